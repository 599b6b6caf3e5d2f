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
    IncidentReader,
    Journal,
    Moment,
    Outbox,
    RuleVerdict,
    RunRecord,
    Sink,
    SinkEvent,
    Sinks,
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
    "IncidentReader",
    "Journal",
    "MetricsSource",
    "Moment",
    "Outbox",
    "Probe",
    "RuleVerdict",
    "RunRecord",
    "Sink",
    "SinkEvent",
    "Sinks",
    "VerdictSpan",
]
