"""Alerts: what is pending, firing or over, and the machine that says so."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Labels
from opsctl.core.slo import Severity


class AlertState(StrEnum):
    """Prometheus's states."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


class Cause(StrEnum):
    """Why an alert is active."""

    BURN = "burn"  # an SLO's budget burns over a row of windows
    RULE = "rule"  # a Prometheus rule's element
    NO_DATA = "no_data"  # a page-tier SLO without data for too long
    STALE = "stale"  # a backend gave no whole answer for longer than `stale_after`


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; (rule_uid, severity, identity) is what the dedup key is made of."""

    rule_uid: str
    rule_name: str  # alert name: `RedemptionSuccessBudgetBurn`
    service: str
    team: str
    severity: Severity
    identity: Labels
    labels: Labels
    state: AlertState
    cause: Cause
    since: datetime  # active since
    summary: str
    since_at_least: bool = False  # the look-back cap was reached: active for at least this long
    fired_at: datetime | None = None
    frozen: str | None = None  # the state was kept because: one line
    value: float | None = None
    description: str = ""
    runbook: str | None = None
    evidence: tuple[str, ...] = ()  # lines for the incident's details
    absent_since: datetime | None = None  # a rule's element that is gone and kept by `keep_firing_for`
    members: tuple[tuple[str, str], ...] = ()  # of a group: rule uid and key of each alert that it stands for
