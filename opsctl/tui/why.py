"""Why a service is not OK, as paragraphs: each rule with its value, its line and its evidence; patterns; operations.

Pure: no textual, nothing is asked. Text from outside goes into pieces as it is: who draws them cleans it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from opsctl.core.alerts import Alert
from opsctl.core.logs import LogPage
from opsctl.core.rules import AlertingRule, Asked, State, Verdict, WindowEvidence, state_of
from opsctl.core.signals import Failed, Reading, came
from opsctl.core.slo import BurnRow, Slo
from opsctl.core.traces import TracePage
from opsctl.core.windows import format_duration
from opsctl.core.wording import budget_words, events, percent, times
from opsctl.insight.patterns import Pattern, mine
from opsctl.views.check import first_alert
from opsctl.views.operations import OperationLine, operations
from opsctl.views.rates import length
from opsctl.views.words import ago, state_words

Piece = tuple[str, str]
Paragraph = tuple[Piece, ...]
TONES = {State.OK: "ok", State.WARN: "warn", State.FAIL: "fail", State.UNKNOWN: "unknown"}
RULES_MAX = 8
PATTERNS_MAX = 5
OPERATIONS_MAX = 5
_ELEMENTS = 3
_TEXT = 400  # characters of one expression


def reasons(verdicts: Sequence[Verdict], at: datetime, *, evidence: bool = True) -> list[Paragraph]:
    """Each rule that is not OK: what it says and for how long; with `evidence` also from what that follows."""
    if not verdicts:
        return [(("no rule is about this service: nobody can say how it does", "dim"),)]
    bad = [one for one in verdicts if state_of(one) is not State.OK]
    if not bad:
        count = "its rule holds" if len(verdicts) == 1 else f"all {len(verdicts)} rules hold"
        return [((count, "ok"),)]
    out: list[Paragraph] = []
    for verdict in bad[:RULES_MAX]:
        out += _reason(verdict, at)
        out += _evidence(verdict, at) if evidence else ()
    if len(bad) > RULES_MAX:
        out.append(((f"and {len(bad) - RULES_MAX} rules more", "dim"),))
    return out


def _reason(verdict: Verdict, at: datetime) -> list[Paragraph]:
    alert = first_alert(verdict.alerts)
    head: list[Piece] = [
        (state_words(verdict), TONES[state_of(verdict)]),
        (f"  {verdict.rule.name}", "strong"),
        (f"  {(alert.severity if alert else verdict.rule.severity).value}", ""),
    ]
    if alert is not None:
        head.append((f"  {_lasting(alert, at)}", ""))
    if alert is not None and alert.frozen:
        head.append((f"  ~ kept, not measured: {alert.frozen}", "stale"))
    return [tuple(head), ((f"  {verdict.headline}", ""),)]


def evidence(verdicts: Sequence[Verdict], at: datetime) -> list[Paragraph]:
    """From what each rule that is not OK follows, under its name."""
    out: list[Paragraph] = []
    for verdict in [one for one in verdicts if state_of(one) is not State.OK][:RULES_MAX]:
        out += [(("evidence of ", "head"), (verdict.rule.name, "strong")), *_evidence(verdict, at)]
    return out


def _evidence(verdict: Verdict, at: datetime) -> list[Paragraph]:
    if isinstance(verdict.rule, Slo):
        return _slo_lines(verdict.rule, verdict, at)
    return _rule_lines(verdict.rule, verdict)


def _lasting(alert: Alert, at: datetime) -> str:
    least = "at least " if alert.since_at_least else ""
    return f"{alert.state.value} for {least}{ago(at - alert.since)}"


def _slo_lines(slo: Slo, verdict: Verdict, at: datetime) -> list[Paragraph]:
    windows = verdict.evidence.windows
    out = [
        _row_line(row, windows[2 * i], windows[2 * i + 1])
        for i, row in enumerate(slo.burn.rows)
        if len(windows) > 2 * i + 1
    ]
    if verdict.evidence.budget is not None:
        out.append((("  budget  ", "dim"), (budget_words(slo, verdict.evidence.budget, at), "")))
    elif verdict.evidence.budget_problem:
        out.append((("  budget  not known: ", "dim"), (verdict.evidence.budget_problem, "unknown")))
    wanted = slo.queries[min(row.short for row in slo.burn.rows)] if slo.burn.rows else None
    asked = [
        one
        for one in verdict.evidence.asked
        if wanted is not None and one.since is None and one.expression in (wanted.part, wanted.total)
    ]
    return out + [_asked_line(one) for one in asked]


def _row_line(row: BurnRow, long: WindowEvidence, short: WindowEvidence) -> Paragraph:
    over = all(
        one.ratio is not None and one.threshold is not None and one.ratio > one.threshold for one in (long, short)
    )
    line = f" · line {percent(long.threshold)}" if long.threshold is not None else ""
    return (
        (f"  {row.severity.value:<6}  ", "dim"),
        (f"{window_words(long)} · {window_words(short)}", "fail" if over else ""),
        (f"{line} ({row.factor:g}×)", "dim"),
    )


def window_words(one: WindowEvidence) -> str:
    """One window: `1h 4.5 % (555 of 12,345), 45×`; what was not measured is said."""
    name = format_duration(one.window)
    if one.bad is None or one.total is None:
        return f"{name} not measured"
    if one.ratio is None:
        return f"{name} no events"
    rate = f", {times(one.burn)}" if one.burn is not None else ""
    return f"{name} {percent(one.ratio)} ({events(one.bad)} of {events(one.total)}){rate}"


def _rule_lines(rule: AlertingRule, verdict: Verdict) -> list[Paragraph]:
    out: list[Paragraph] = [(("  rule    ", "dim"), (_short(rule.expr), "accent"))]
    asked = [one for one in verdict.evidence.asked if one.expression == rule.expr and one.since is None]
    return out + [_asked_line(one) for one in asked[:1]]


def _asked_line(one: Asked) -> Paragraph:
    if one.result == "failed":
        came: Piece = (f"failed: {one.message or one.reason or 'no answer'}", "unknown")
    elif one.result == "absent":
        came = ("no series", "warn")
    elif one.value is not None:
        came = (f"{one.value:.6g}", "strong")
    else:
        shown = ", ".join(f"{_labels(each.labels)} {each.value:.4g}" for each in one.samples[:_ELEMENTS])
        more = f", and {one.elements - _ELEMENTS} more" if one.elements > _ELEMENTS else ""
        came = (f"{one.elements} elements: {shown}{more}" if one.elements else "nothing", "strong")
    return (("  asked   ", "dim"), (_short(one.expression), "accent"), ("  → ", "dim"), came)


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name}={value}" for name, value in labels if name != "__name__") + "}"


def _short(text: str) -> str:
    one = " ".join(text[: 4 * _TEXT].split())
    return one if len(one) <= _TEXT else f"{one[: _TEXT - 1]}…"


# -- what is asked on demand -------------------------------------------------------------------------------------------


def pattern_lines(reading: Reading[LogPage] | None) -> list[Paragraph]:
    """The most frequent patterns of error lines; None: still asked for."""
    title = "top error patterns"
    if reading is None:
        return [((title, "head"), ("  …", "dim"))]
    page = came(reading)
    if page is None or not page.records:
        return [((title, "head"), *_why_nothing(reading, "no error line in this window"))]
    head: list[Piece] = [(title, "head"), (f"  of the newest {len(page.records)} error lines", "dim")]
    if isinstance(reading, Failed):
        head.append((f"  partial: {reading.message}", "warn"))
    return [tuple(head), *(_pattern(one) for one in mine(page.records)[:PATTERNS_MAX])]


def _pattern(one: Pattern) -> Paragraph:
    return ((f"  {one.count:>5}× ", "strong"), (f"{one.severity:<5} ", "warn"), (one.template, ""))


def operation_lines(reading: Reading[TracePage] | None, service: str) -> list[Paragraph]:
    """The slowest operations of a service in a sample of its traces; None: still asked for."""
    title = "slowest operations"
    if reading is None:
        return [((title, "head"), ("  …", "dim"))]
    page = came(reading)
    found = operations(page.traces, service) if page is not None else ()
    if page is None or not found:
        return [((title, "head"), *_why_nothing(reading, "no trace in this window"))]
    head: list[Piece] = [(title, "head"), (f"  of the newest {len(page.traces)} traces", "dim")]
    if isinstance(reading, Failed):
        head.append((f"  partial: {reading.message}", "warn"))
    return [tuple(head), *(_operation(one) for one in found[:OPERATIONS_MAX])]


def _operation(one: OperationLine) -> Paragraph:
    errors = f"  {one.errors} of {one.count} failed" if one.errors else f"  {one.count} spans"
    return (
        (f"  {length(one.longest_us / 1e6):>7} ", "strong"),
        (f"median {length(one.median_us / 1e6):>7}  ", "dim"),
        (one.name, ""),
        (errors, "warn" if one.errors else "dim"),
    )


def _why_nothing(reading: Reading[LogPage] | Reading[TracePage], nothing: str) -> list[Piece]:
    if isinstance(reading, Failed):
        return [(f"  not known: {reading.backend}: {reading.message}", "unknown")]
    return [(f"  {nothing}", "dim")]
