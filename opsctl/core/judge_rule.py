"""The verdict of a Prometheus alerting rule from its elements: Prometheus's machine, not the one of SLO alerts.

Pure. A missing element resolves, as in Prometheus; an answer that failed or is partial touches no state.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.evidence import asked, fingerprint, sealed
from opsctl.core.frozen import dataclass
from opsctl.core.judge import Judged
from opsctl.core.look_back import Ask, Present, Recorder, Relabel, RuleHistory, carried, elements, rule_history
from opsctl.core.machine import ZERO, Active, Element, advance
from opsctl.core.memory import Remembered
from opsctl.core.presence import Presence, Sight, answered, look, looked_back, marked, presence_query
from opsctl.core.rules import AlertingRule, Asked, Evidence, Outcome, Verdict
from opsctl.core.signals import Absent, Failed, Labels, Reading, Reason, Sample, Vector
from opsctl.core.slo import Severity
from opsctl.core.template_words import show
from opsctl.core.templates import render
from opsctl.core.windows import format_duration
from opsctl.core.wording import clock

SHOWN = 3
"""So many elements are named in a headline; all are in the alerts."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The machine's elements after this step, or what was remembered and why it is kept."""

    active: Active
    frozen: str | None = None


def judge_alerting(
    rule: AlertingRule,
    at: datetime,
    reading: Reading[Vector],
    ask: Ask,
    *,
    presence: Presence | None = None,
    was: Remembered | None = None,
    had_data: bool = False,
) -> Judged:
    """Judge an alerting rule at a step of its group's grid; `ask` is used where the state needs history.

    `presence` says whether the rule's metrics are there, where `reading` is empty.
    """
    recorder = Recorder(ask)
    mark = fingerprint(rule)
    found = _found(rule, at, reading, recorder, was, mark)
    alerts = tuple(_alert(rule, element, at, found.frozen) for element in found.active.values())
    merged = _merged(alerts)
    given = presence if presence is not None and isinstance(reading, Absent) else {}
    sight = look(rule, given) if found.frozen is None and not merged else None
    if sight is not None and sight.gone and not had_data:
        sight = _past(rule, at, sight, recorder, was, mark)
    questions = (*_asked(rule, at, reading, given), *recorder.asked)
    evidence = sealed(
        Evidence(
            at,
            questions,
            warnings=tuple(dict.fromkeys(line for question in questions for line in question.warnings)),
            remembered=_lean(rule, found, sight, was),
            had_data=had_data,
        )
    )
    outcome, headline = _outcome(rule, found, merged, at)
    if sight is not None and sight.outcome is not None:
        outcome, headline = sight.outcome, sight.words
    fresh, never = found.frozen is None, sight is not None and sight.never is True
    verdict = Verdict(rule, outcome, headline, evidence, merged, fresh, never_had_data=never)
    seen = had_data or (sight is not None and sight.seen)
    return Judged(verdict, Remembered(at, mark, fresh, alerts, never), seen, found.frozen)


def _asked(rule: AlertingRule, at: datetime, reading: Reading[Vector], presence: Presence) -> tuple[Asked, ...]:
    when = at - rule.query_offset
    metrics = [asked(presence_query(name), when, one) for name, one in answered(rule, presence).items()]
    return (asked(rule.expr, when, reading, elements=True), *metrics)


def _past(rule: AlertingRule, at: datetime, sight: Sight, ask: Ask, was: Remembered | None, mark: str) -> Sight:
    """What a blind rule sees, with whether that was ever there."""
    if was is not None and was.alerts:
        return sight
    if was is not None and was.never_had_data and carried(was, mark, at, rule.interval):
        return marked(sight, True)
    return looked_back(rule, sight, at, ask)


def _lean(rule: AlertingRule, found: _Found, sight: Sight | None, was: Remembered | None) -> Remembered | None:
    blind = sight is not None and bool(sight.gone)
    needed = found.frozen is not None or found.active or rule.keep_firing_for > ZERO or blind
    return was if needed else None


def _found(
    rule: AlertingRule, at: datetime, reading: Reading[Vector], ask: Ask, was: Remembered | None, mark: str
) -> _Found:
    if isinstance(reading, Failed):
        word = "partial answer" if reading.reason is Reason.PARTIAL else "no answer"
        return _Found(elements(was), f"{word} from {reading.backend}: {reading.message}")
    relabel = _relabel(rule)
    samples = () if isinstance(reading, Absent) else reading.data.samples
    now = _present(samples, relabel)
    if len(now) < len(samples):
        return _Found(elements(was), "two elements have the same labels after the rule's own are set")
    history = _before(rule, at, now, relabel, ask, was, mark)
    if history.problem is not None and (rule.for_ > ZERO or rule.keep_firing_for > ZERO):
        return _Found(_guessed(rule, history, now, at), history.problem)
    active = advance(history.active, now, at, rule.for_, rule.keep_firing_for)
    if history.problem is not None:
        active = {labels: replace(element, since_at_least=True) for labels, element in active.items()}
    if 0 < rule.limit < len(active):
        return _Found(elements(was), f"{len(active)} alerts are over the rule's limit of {rule.limit}")
    return _Found(active)


def _guessed(rule: AlertingRule, history: RuleHistory, now: Present, at: datetime) -> dict[Labels, Element]:
    """What is kept and what is new where history could not be asked: nothing resolves, nothing fires on a guess."""
    active = advance(history.active, now, at, rule.for_, rule.keep_firing_for)
    kept = {labels: element for labels, element in history.active.items() if labels not in active}
    new = {labels: replace(element, since_at_least=labels not in history.active) for labels, element in active.items()}
    return {**new, **kept}


def _before(
    rule: AlertingRule, at: datetime, now: Present, relabel: Relabel, ask: Ask, was: Remembered | None, mark: str
) -> RuleHistory:
    if not now and rule.keep_firing_for <= ZERO:
        return RuleHistory({})
    if carried(was, mark, at, rule.interval):
        return RuleHistory(elements(was))
    return rule_history(rule, at, now, relabel, ask, was)


def _present(samples: tuple[Sample, ...], relabel: Relabel) -> dict[Labels, float]:
    return {relabel(sample.labels, sample.value): sample.value for sample in samples}


def _relabel(rule: AlertingRule) -> Relabel:
    fixed = {name: text for name, text in rule.labels.items() if "{{" not in text}
    rendered = {name: text for name, text in rule.labels.items() if "{{" in text}
    by_value = any("alue" in text for text in rendered.values())
    cache: dict[tuple[Labels, float | None], Labels] = {}

    def relabel(labels: Labels, value: float) -> Labels:
        key = (labels, value if by_value else None)
        if key not in cache:
            given = tuple(pair for pair in labels if pair[0] != "__name__")
            own = {name: render(text, labels, value) for name, text in rendered.items()}
            final = {**dict(given), **fixed, **own, "alertname": rule.name}
            cache[key] = tuple(sorted((name, text) for name, text in final.items() if text))
        return cache[key]

    return relabel


# Alerts


def _alert(rule: AlertingRule, element: Element, at: datetime, frozen: str | None) -> Alert:
    texts = {name: render(text, element.labels, element.value) for name, text in rule.annotations.items()}
    labels = dict(element.labels)
    summary = texts.get("summary") or texts.get("description") or texts.get("message") or _plain(rule, element)
    if element.absent_since is not None:
        frozen = frozen or f"gone since {clock(element.absent_since, at)}, kept by keep_firing_for"
    return Alert(
        rule_uid=rule.uid,
        rule_name=rule.name,
        service=rule.service or labels.get("service", ""),
        team=rule.team or labels.get("team", ""),
        severity=rule.severity,
        identity=_identity(rule, element.labels),
        labels=element.labels,
        state=element.state,
        cause=Cause.RULE,
        since=element.since,
        summary=summary,
        since_at_least=element.since_at_least,
        fired_at=element.fired_at,
        frozen=frozen,
        value=element.value,
        description=texts.get("description", ""),
        runbook=rule.runbook,
        evidence=(f"expression: {rule.expr}", f"value: {show(element.value)}", f"labels: {_braces(element.labels)}"),
        absent_since=element.absent_since,
    )


def _plain(rule: AlertingRule, element: Element) -> str:
    return f"{rule.name}: {show(element.value)}{_braces(_own(element.labels))}"


def _own(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] not in ("alertname", "severity"))


def _braces(labels: Labels) -> str:
    return " {" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""


def _identity(rule: AlertingRule, labels: Labels) -> Labels:
    if rule.identity_labels is not None:
        return tuple(pair for pair in labels if pair[0] in rule.identity_labels)
    # The rule's uid stands for its name, so a renamed alert keeps its incident.
    return tuple(pair for pair in labels if pair[0] not in ("severity", "alertname") and pair[0][:7] != "opsctl_")


def _merged(alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
    """One alert a key: the loudest and oldest stands for all elements that share its identity."""
    groups: dict[Labels, list[Alert]] = {}
    for alert in sorted(alerts, key=lambda alert: (alert.state is not AlertState.FIRING, alert.since, alert.labels)):
        groups.setdefault(alert.identity, []).append(alert)
    out = []
    for first, *others in groups.values():
        if others:
            more = tuple(f"also: {alert.summary}" for alert in others)
            summary = f"{first.summary} (and {len(others)} more)"
            first = replace(first, summary=summary, evidence=first.evidence + more)
        out.append(first)
    return tuple(out)


# The verdict table


def _outcome(rule: AlertingRule, found: _Found, alerts: tuple[Alert, ...], at: datetime) -> tuple[Outcome, str]:
    firing = [alert for alert in alerts if alert.state is AlertState.FIRING]
    pending = [alert for alert in alerts if alert.state is AlertState.PENDING]
    if found.frozen is not None:
        kept = f"; kept: {len(firing)} firing" if firing else ""
        return Outcome.UNKNOWN, found.frozen + kept
    if firing:
        words = _several([alert.summary for alert in firing])
        match rule.severity:
            case Severity.PAGE:
                return Outcome.FAIL, words
            case Severity.TICKET:
                return Outcome.WARN, words
            case Severity.SHOW:
                return Outcome.PASS, f"fires, for show: {words}"
    if pending:
        first = min(alert.since for alert in pending)
        due = f"pending since {clock(first, at)}, fires after {format_duration(rule.for_)}"
        outcome = Outcome.PASS if rule.severity is Severity.SHOW else Outcome.WARN
        return outcome, f"{due}: {_several([alert.summary for alert in pending])}"
    return Outcome.PASS, "no element"


def _several(lines: list[str]) -> str:
    more = f" (and {len(lines) - SHOWN} more)" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more
