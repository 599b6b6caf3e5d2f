"""Answers that stay away: one alert for a dead backend, or one for each rule that alone gets none.

Pure. A dead Prometheus is one page, not forty; and no alert here resolves on a run that did not ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.frozen import dataclass
from opsctl.core.memory import Remembered
from opsctl.core.rules import Rule
from opsctl.core.slo import Severity
from opsctl.core.wording import clock, lasted

BACKEND_UID = "opsctl-backend-stale"
RULE_UID = "opsctl-rule-stale"
_LOUD = (Severity.PAGE, Severity.TICKET, Severity.SHOW)


@dataclass(frozen=True, slots=True)
class Frozen:
    """A rule of this run without whole answers, and why."""

    rule: Rule
    why: str


def stale_alerts(
    backend: str,
    frozen: Sequence[Frozen],
    frozen_since: Mapping[str, datetime],
    at: datetime,
    stale_after: timedelta,
) -> tuple[Alert, ...]:
    """What is stale for longer than `stale_after`; what froze with the backend is under the backend's own alert."""
    down = frozen_since.get(f"backend:{backend}")
    out = []
    if down is not None and at - down >= stale_after and frozen:
        out.append(_backend_alert(backend, frozen, down, at))
    for one in frozen:
        since = frozen_since[f"rule:{one.rule.uid}"]
        alone = down is None or since < down
        if alone and at - since >= stale_after:
            out.append(_rule_alert(one, since, at))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run asked: `rules` by uid, `backends` by name; `loaded` are the uids of every rule that there is."""

    rules: frozenset[str]
    backends: frozenset[str]
    loaded: frozenset[str] | None = None

    @property
    def all(self) -> bool:
        """Whether no loaded rule was left out: then what was not asked is not there any more."""
        return self.loaded is not None and self.loaded <= self.rules

    def spares(self, subject: tuple[str, str]) -> bool:
        """Whether an alert about a rule or a backend is none of this run's business."""
        match subject:
            case ("rule", uid):
                return uid not in self.rules and (self.loaded is None or uid in self.loaded)
            case ("backend", name):
                return name not in self.backends and not self.all
        return False


def kept(was: Remembered | None, asked: Asked) -> tuple[Alert, ...]:
    """Stale alerts of an earlier run about rules and backends that are still in use and that this run did not ask."""
    alerts = was.alerts if was is not None else ()
    return tuple(alert for alert in alerts if any(asked.spares(subject) for subject in alert.identity))


def frozen_since(
    before: Mapping[str, datetime], frozen: Mapping[str, datetime], asked: Asked, told: Sequence[Alert] = ()
) -> dict[str, datetime]:
    """Since when, by `rule:UID` and `backend:NAME`: kept for what was not asked, dropped for what answered.

    `frozen` is what has no whole answer now, with the time that it was asked for. A rule that froze with its backend
    and was not asked since it answers is dropped too, unless its alert is `told`: else the backend's next silence would
    be an alert for each of them.
    """
    firing = {f"{kind}:{name}" for alert in told for kind, name in alert.identity}
    back = [before[key] for key in before if key[:8] == "backend:" and not (key in frozen or _spared(key, asked))]
    out = {
        key: since
        for key, since in before.items()
        if _spared(key, asked) and (key[:5] != "rule:" or key in firing or all(since < each for each in back))
    }
    out.update((key, min(before.get(key, at), at)) for key, at in frozen.items())  # a clock may have been ahead
    return out


def _spared(key: str, asked: Asked) -> bool:
    return asked.spares(_subject(key))


def _subject(key: str) -> tuple[str, str]:
    kind, _, name = key.partition(":")
    return kind, name


def _backend_alert(backend: str, frozen: Sequence[Frozen], since: datetime, at: datetime) -> Alert:
    loudest = min(frozen, key=lambda one: _LOUD.index(one.rule.severity))
    rules = "1 rule is" if len(frozen) == 1 else f"{len(frozen)} rules are"
    summary = (
        f"{backend} has given no whole answer since {clock(since, at)} ({lasted(at - since)}): "
        f"{rules} blind; their alerts neither fire nor resolve"
    )
    services = ", ".join(sorted({one.rule.service for one in frozen if one.rule.service}))
    return _alert(
        BACKEND_UID,
        "BackendStale",
        loudest.rule,
        (("backend", backend),),
        since,
        summary,
        (f"last error: {frozen[0].why}", f"services: {services}"),
        service="opsctl",
    )


def _rule_alert(one: Frozen, since: datetime, at: datetime) -> Alert:
    rule = one.rule
    summary = (
        f"{rule.name} has had no whole answer since {clock(since, at)} ({lasted(at - since)}): "
        f"its alerts neither fire nor resolve: {one.why}"
    )
    return _alert(
        RULE_UID,
        "RuleStale",
        rule,
        (("rule", rule.uid),),
        since,
        summary,
        (f"last error: {one.why}", f"rule: {rule.name} ({rule.origin})"),
        service=rule.service,
    )


def _alert(
    uid: str,
    name: str,
    rule: Rule,
    identity: tuple[tuple[str, str], ...],
    since: datetime,
    summary: str,
    evidence: tuple[str, ...],
    *,
    service: str,
) -> Alert:
    labels = {"alertname": name, "service": service, "severity": rule.severity.value, **dict(identity)}
    return Alert(
        rule_uid=uid,
        rule_name=name,
        service=service,
        team=rule.team,
        severity=rule.severity,
        identity=identity,
        labels=tuple(sorted(labels.items())),
        state=AlertState.FIRING,
        cause=Cause.STALE,
        since=since,
        summary=summary,
        fired_at=since,
        evidence=evidence,
    )
