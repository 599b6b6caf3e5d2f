"""The board's table: which columns there are, and one service's row as cells with tones.

Pure: no textual. Must never give a number a healthy tone, or show an old one without its age.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from opsctl.core.frozen import dataclass
from opsctl.core.rules import State
from opsctl.views.board import Row, Scene, Standing, row
from opsctl.views.rates import Figure, amount, length, share, spark
from opsctl.views.words import ago

Piece = tuple[str, str]
SPARK = 8
_BAR = 5
_STATE_TONES: Mapping[State, str] = MappingProxyType(
    {State.OK: "ok", State.WARN: "warn", State.FAIL: "fail", State.UNKNOWN: "unknown"}
)


@dataclass(frozen=True, slots=True)
class Head:
    """One column: what sorts by it ("" for one that is not sorted by), and how it behaves in a narrow window."""

    key: str
    title: str
    sort: str = ""
    right: bool = False
    priority: int = 0
    least: int = 1
    most: int = 60


HEADS = (
    Head("state", "state", "state", least=9, most=18),
    Head("service", "service", "service", least=10, most=26),
    Head("objective", "slo", right=True, priority=6, least=6, most=9),
    Head("budget", "budget", "budget", right=True, least=6, most=14),
    Head("bar", "", priority=7, least=_BAR),
    Head("burn", "burn", "burn", right=True, least=9, most=13),
    Head("rps", "rps", "rps", right=True, priority=4, least=5, most=11),
    Head("rps-line", "", priority=10, least=SPARK),
    Head("errors", "err%", "errors", right=True, priority=2, least=5, most=11),
    Head("errors-line", "", priority=8, least=SPARK),
    Head("latency", "99th", "latency", right=True, priority=3, least=6, most=11),
    Head("latency-line", "", priority=9, least=SPARK),
    Head("alerts", "alerts", priority=1, least=7, most=24),
    Head("incident", "incident", priority=1, least=8, most=14),
    Head("change", "change", "change", priority=5, least=8, most=12),
)


def cells(
    standing: Standing, around: Scene, start: datetime, end: datetime, *, old: bool = False
) -> tuple[tuple[Piece, ...], ...]:
    """One service's row in the order of `HEADS`; `old` dims all of it."""
    made = row(standing, around)
    fresh = all(one.fresh for one in standing.verdicts)
    out = (
        _state(standing),
        ((standing.service, "strong" if standing.trouble else ""),),
        _objective(made),
        _budget(made),
        _bar(made),
        _burn(made, fresh),
        _number(made.rps, amount, made, quiet=made.of_objective),
        _spark(made.rps, start, end),
        _number(made.errors, share, made, quiet=made.of_objective),
        _spark(made.errors, start, end),
        _number(made.latency, length, made),
        _spark(made.latency, start, end),
        _alerts(standing, fresh),
        _incident(made),
        _change(made),
    )
    if old or standing.state is None:
        return tuple(tuple((text, "stale" if old else "dim") for text, _ in cell) for cell in out)
    return out


def _state(one: Standing) -> tuple[Piece, ...]:
    if one.state is None:
        return ((one.words, "dim"),)
    hidden = one.state is State.OK and one.words.startswith("~")
    return ((one.words, "dim" if hidden else _STATE_TONES[one.state]),)


def _objective(made: Row) -> tuple[Piece, ...]:
    slo = made.objective
    return ((f"{slo.target * 100:.6g}", "dim") if slo is not None else ("–", "dim"),)


def _missing(made: Row) -> Piece:
    """What stands for a number that is not there: `?` where nobody could say it."""
    state = made.standing.state
    return ("?", "unknown") if state is State.UNKNOWN else ("–", "dim")


def _budget(made: Row) -> tuple[Piece, ...]:
    if made.objective is None:
        return (("–", "dim"),)
    if made.budget is None:
        return (_missing(made),)
    left, age = made.budget.left, made.budget.age
    text = percent_left(left)
    if age is not None:
        return ((f"{text}~{ago(age)}", "stale"),)
    return ((text, _budget_tone(left)),)


def percent_left(left: float) -> str:
    """What is left of a budget: `62%`, `<1%`, `-12%`."""
    if 0 < left < 0.01:
        return "<1%"
    if left < -99.99:
        return "<-9999%"
    return f"{left * 100:.0f}%"


def _budget_tone(left: float) -> str:
    return "fail" if left <= 0 else "warn" if left < 0.25 else ""


def _bar(made: Row) -> tuple[Piece, ...]:
    if made.budget is None:
        return (("", ""),)
    text = bar(made.budget.left, _BAR)
    return ((text, "stale" if made.budget.age is not None else _budget_tone(made.budget.left)),)


def bar(left: float, width: int) -> str:
    """What is left of a budget in blocks; all that is not is shaded."""
    full = round(min(1.0, max(0.0, left)) * width)
    return "▓" * full + "░" * (width - full)


def _burn(made: Row, fresh: bool) -> tuple[Piece, ...]:
    burn = made.burn
    if burn is None:
        return (("–", "dim"),)
    over = burn.nearness >= 1
    near = burn.nearness >= 0.5
    tone = ("fail" if over else "warn" if near else "") if fresh else "stale"
    none = "?" if burn.asked else "–"
    if burn.long is None and burn.short is None:
        return ((none, "unknown" if burn.asked else "dim"),)
    return ((f"{_times(burn.long, none)}/{_times(burn.short, none)}", tone),)


def _times(value: float | None, none: str) -> str:
    if value is None:
        return none
    if 0 < value < 0.05:
        return "<0.1"
    return f"{value:.0f}" if value >= 99.5 else f"{value:.3g}" if value >= 1 else f"{value:.1f}"


def _number(one: Figure, words: Callable[[float], str], made: Row, *, quiet: bool = False) -> tuple[Piece, ...]:
    if one.value is None:
        return (("?", "unknown") if made.unknown else ("–", "dim"),)
    text = words(one.value)
    if one.age is not None:
        return ((f"{text}~{ago(one.age)}", "stale"),)
    return ((text, "dim" if quiet else ""),)


def _spark(one: Figure, start: datetime, end: datetime) -> tuple[Piece, ...]:
    return ((spark(one.points, start, end, SPARK), "stale" if one.age is not None else "accent"),)


def _alerts(one: Standing, fresh: bool) -> tuple[Piece, ...]:
    out: list[Piece] = []
    for count, word, tone in (
        (one.pages, "page", "fail"),
        (one.tickets, "ticket", "warn"),
        (one.shows, "show", ""),
        (one.pending, "pending", "dim"),
    ):
        if count:
            out.append((f"{' ' if out else ''}{count} {word}", tone if fresh else "stale"))
    return tuple(out) or (("", ""),)


def _incident(made: Row) -> tuple[Piece, ...]:
    one = made.incident
    if one is None:
        return (("", ""),)
    more = f" +{made.more_incidents}" if made.more_incidents else ""
    word = " ack" if made.acknowledged else ""
    return ((f"#{one.episode}{word}{more}", "" if made.acknowledged else "warn"),)


def _change(made: Row) -> tuple[Piece, ...]:
    if made.change_age is None:
        return (("", ""),)
    recent = made.change_age < timedelta(hours=1)
    return ((f"{ago(made.change_age)} ago", "accent" if recent else "dim"),)


def titles(sort: str, *, reverse: bool) -> Sequence[tuple[Head, str]]:
    """Each column with its title; the one that is sorted by has an arrow."""
    return [(one, f"{one.title}{'▲' if reverse else '▼'}" if one.sort == sort else one.title) for one in HEADS]
