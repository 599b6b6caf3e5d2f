"""What the inside asks of the outside; only `app.py` names the classes that answer.

Traces, logs and runbooks are in modules of their own, which a check of metrics does not load.
"""

from __future__ import annotations

from opsctl.ports.delivery import (
    Attempt,
    Committed,
    Delivery,
    Fact,
    Incident,
    Journal,
    Moment,
    Outbox,
    Pager,
    PagerEvent,
    RuleVerdict,
    RunRecord,
    VerdictSpan,
)
from opsctl.ports.metrics import (
    Clock,
    MetricsSource,
    Probe,
)

__all__ = [
    "Attempt",
    "Clock",
    "Committed",
    "Delivery",
    "Fact",
    "Incident",
    "Journal",
    "MetricsSource",
    "Moment",
    "Outbox",
    "Pager",
    "PagerEvent",
    "Probe",
    "RuleVerdict",
    "RunRecord",
    "VerdictSpan",
]
