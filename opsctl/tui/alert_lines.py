"""Alerts as the rows and the evidence of their screen.

Pure: no textual, nothing is asked. Text from outside goes into cells as it is: who draws them cleans it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from opsctl.core.frozen import dataclass
from opsctl.core.routing import Routing
from opsctl.core.slo import Severity
from opsctl.tui.report import Report
from opsctl.tui.widgets.grid import Cell, Column, Row
from opsctl.tui.widgets.lines import Piece
from opsctl.tui.widgets.prose import Paragraph
from opsctl.views.active_alerts import ActiveAlert, active_alerts, counted
from opsctl.views.alert_values import Fact, against, trend
from opsctl.views.sparkline import sparkline
from opsctl.views.word_filter import WordFilter
from opsctl.views.words import ago, clock_time

KEPT = 60
"""Values of one alert that are kept for its line."""
MOST_KEPT = 5_000  # alerts
LINE = 12  # cells of it
STATES = {"firing": ("✖ firing", "fail"), "pending": ("! pending", "warn"), "held": ("~ held", "dim")}
COLUMNS = (
    Column("state", "state"),
    Column("sev", "sev"),
    Column("rule", "rule", grow=True, least=22),
    Column("service", "service", most=24),
    Column("labels", "labels", priority=7, most=28),
    Column("value", "value", right=True, priority=1, most=22),
    Column("line", "threshold", priority=2, most=14),
    Column("since", "since", right=True),
    Column("for", "for", right=True, priority=5),
    Column("trend", "trend", priority=6, most=LINE),
    Column("to", "told", priority=4, most=18),
    Column("incident", "incident", right=True, priority=3),
)
_LOUD = tuple(Severity)
SORTS: dict[str, Callable[[ActiveAlert], Any]] = {
    "state": lambda one: 0,
    "since": lambda one: one.alert.since,
    "service": lambda one: (one.alert.service, one.alert.rule_name),
    "rule": lambda one: (one.alert.rule_name, one.alert.service),
    "sev": lambda one: _LOUD.index(one.alert.severity),
}
"""Orders by name; `state` is the one that they come in."""


def active_of(report: Report, namespace: str, routing: Routing | None = None) -> list[ActiveAlert]:
    """Every alert of a report."""
    return active_alerts(
        report.verdicts,
        report.stale,
        report.alerts,
        report.incidents,
        namespace,
        report.at,
        live=report.live,
        routing=routing,
    )


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown, and in which order."""

    filter: WordFilter = WordFilter()
    sort: str = "state"
    backwards: bool = False
    faults: bool = False  # only what fires

    def of(self, found: Iterable[ActiveAlert]) -> list[ActiveAlert]:
        """Those that pass, in order."""
        kept = [one for one in found if self._passes(one)]
        kept.sort(key=SORTS[self.sort])
        if self.backwards:
            kept.reverse()
        return kept

    def _passes(self, one: ActiveAlert) -> bool:
        if self.faults and one.state != "firing":
            return False
        return not self.filter.terms or self.filter.holds(_labels(one), _words(one))


def _labels(one: ActiveAlert) -> dict[str, str]:
    return {**one.labels, "state": one.state, "to": one.to, "incident": one.number.removeprefix("#")}


def _words(one: ActiveAlert) -> tuple[str, ...]:
    alert = one.alert
    return (*one.labels.values(), one.state, one.to, one.number, alert.summary, alert.frozen or "")


class Values:
    """What each alert was measured at in the reports that this screen saw, the last `KEPT` of them."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, deque[float]] = OrderedDict()
        self._at: datetime | None = None

    def take(self, found: Iterable[ActiveAlert], at: datetime) -> None:
        """One report's; the same report twice counts once, and one of an earlier time begins anew."""
        if self._at is not None and at == self._at:
            return
        if self._at is not None and at < self._at:
            self._by_key.clear()
        self._at = at
        for one in found:
            number = against(one.alert, one.verdict).number
            if number is not None:
                self._by_key.setdefault(one.key, deque(maxlen=KEPT)).append(number)
                self._by_key.move_to_end(one.key)
        while len(self._by_key) > MOST_KEPT:
            self._by_key.popitem(last=False)

    def line(self, one: ActiveAlert) -> str:
        """A line of blocks: the evidence's own series where it has one, else what was seen here."""
        values: Sequence[float] = trend(one) or tuple(self._by_key.get(one.key, ()))
        return sparkline(values, LINE) if len(values) > 1 else ""


def alert_row(one: ActiveAlert, line: str, now: datetime, *, utc: bool, old: bool) -> Row:
    """One alert."""
    alert = one.alert
    value = against(alert, one.verdict)
    tone = "stale" if old else "dim" if one.aside else ""
    least = "≥" if alert.since_at_least else ""
    identity = ", ".join(f"{name}={text}" for name, text in alert.identity if name != "service")
    cells: tuple[Cell, ...] = (
        _state(one, old=old),
        alert.severity.value,
        alert.rule_name,
        alert.service or "-",
        identity,
        (value.value, "stale" if alert.frozen else tone),
        value.line,
        clock_time(alert.since, utc=utc),
        f"{least}{ago(now - alert.since)}",
        (line, "accent"),
        _told(one),
        one.number,
    )
    return Row(one.key, cells, tone)


def _state(one: ActiveAlert, *, old: bool) -> tuple[Piece, ...]:
    word, tone = STATES.get(one.state, (f"? {one.state}", "unknown"))
    pieces: tuple[Piece, ...] = ((word, "stale" if old else tone),)
    return (*pieces, (" ~frozen", "stale")) if one.alert.frozen else pieces


def _told(one: ActiveAlert) -> Piece:
    if one.withheld:
        return f"~ {one.withheld}", "dim"
    told = one.row is not None and one.row.told
    return one.to, "" if told or not one.to else "dim"


def heading(found: Sequence[ActiveAlert], shown: Sequence[ActiveAlert], how: Shown, words: str) -> Paragraph:
    """How many there are, how many are shown, and why not all."""
    numbers = counted(found)
    pieces: list[Piece] = [
        (f"✖ {numbers['firing']} firing", "fail" if numbers["firing"] else "dim"),
        (f"  ! {numbers['pending']} pending", "warn" if numbers["pending"] else "dim"),
    ]
    if numbers["held"]:
        pieces.append((f"  ~ {numbers['held']} held", "dim"))
    frozen = sum(1 for one in found if one.alert.frozen)
    if frozen:
        pieces.append((f"  {frozen} frozen: kept, not measured", "stale"))
    if how.faults:
        pieces.append(("  only what fires (z)", "accent"))
    if words:
        pieces.append((f"  / {words}", "accent"))
    if len(shown) != len(found):
        pieces.append((f"  {len(shown)} of {len(found)} shown", "accent"))
    if how.sort != "state" or how.backwards:
        pieces.append((f"  by {how.sort}{' backwards' if how.backwards else ''} (s, S)", "dim"))
    return tuple(pieces)


def fact_lines(facts: Iterable[Fact], width: int = 12) -> list[Paragraph]:
    """Each fact with its name before it; a text of several lines is several paragraphs."""
    out: list[Paragraph] = []
    for name, text in facts:
        for number, line in enumerate(text.splitlines() or [""]):
            head = (name if number == 0 else "").ljust(width)
            tone = "warn" if name in {"frozen", "not told", "!", "stopped by", "closed"} else ""
            out.append(((head, "dim"), (line, tone)))
    return out
