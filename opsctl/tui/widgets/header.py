"""The two lines on top: context, what is known of the backends, the window, the time; and the screens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from opsctl.core.frozen import dataclass
from opsctl.core.windows import format_duration
from opsctl.render.text import clean
from opsctl.tui.panes import PANES
from opsctl.tui.report import Report
from opsctl.tui.tones import style
from opsctl.tui.widgets.lines import Piece
from opsctl.views.words import ago, clock_time

STALE = timedelta(seconds=90)
"""A report that is older than this is not the present any more."""


@dataclass(frozen=True, slots=True)
class Heading:
    """Everything that the first line says; `read_only` says why, `writable_seconds` counts down."""

    context: str
    protected: bool
    read_only: str = ""
    writable_seconds: int | None = None
    window: timedelta = timedelta(hours=1)
    end: datetime | None = None
    paused: bool = False
    waiting: int = 0  # reports that came while paused
    replay: bool = False
    report: Report | None = None
    now: datetime | None = None
    utc: bool = True


def backend_pieces(report: Report, now: datetime) -> Iterable[Piece]:
    """Each backend once: glyph, word, how long it took, and how old that is."""
    age = now - report.made
    seen: dict[str, tuple[str, float]] = {}
    for one in report.backends:
        name = one.name.split(" ")[0]
        name = str(one.signal) if name == "memory" else name
        status, took = seen.get(name, ("ok", 0.0))
        worse = one.status if status == "ok" else status
        seen[name] = (worse, max(took, one.took_seconds))
    for name, (status, took) in seen.items():
        if report.old or (report.live and age > STALE):
            yield (f"{name} ~{ago(age)}  ", "stale")
        elif status == "ok":
            yield (f"{name} ✔{took:.1f}s  ", "ok")
        else:
            word = "partial" if status == "partial" else "down"
            yield (f"{name} {'!' if status == 'partial' else '✖'}{word}  ", "warn" if status == "partial" else "fail")


def head_pieces(head: Heading) -> tuple[list[Piece], list[Piece]]:
    """Left and right part of the first line."""
    left: list[Piece] = [("opsctl ", "strong"), (f"▌{head.context}▐ ", "fail" if head.protected else "accent")]
    if head.replay:
        left.append(("REPLAY ", "warn"))
    if head.writable_seconds is not None:
        left.append((f"WRITE {head.writable_seconds // 60}:{head.writable_seconds % 60:02d} ", "warn"))
    elif head.read_only:
        left.append(("RO ", "warn"))
    left.append((f" window {format_duration(head.window)} ", "dim"))
    if head.end is not None:
        left.append((f"▸ until {clock_time(head.end, utc=head.utc)} PAST  ", "warn"))
    elif head.paused:
        left.append((f"▸ PAUSED +{head.waiting}  ", "warn"))
    else:
        left.append(("▸ live  ", "ok"))
    right: list[Piece] = []
    if head.report is not None and head.now is not None:
        right += backend_pieces(head.report, head.now)
    if head.now is not None:
        right.append((clock_time(head.now, utc=head.utc), ""))
    return left, right


class Header(Widget):
    """The first line; what has no room on the right is left out from its left."""

    def __init__(self) -> None:
        super().__init__(id="header")
        self._head: Heading | None = None

    def show(self, head: Heading) -> None:
        """Another heading; drawn only where it differs."""
        if head != self._head:
            self._head = head
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """Left part, room, right part."""
        width, theme = self.size.width, self.app.theme
        if self._head is None or y:
            return Strip.blank(width, self.rich_style)
        left, right = head_pieces(self._head)
        room = width - _wide(left)
        while right and _wide(right) > room and len(right) > 1:
            right.pop(0)
        gap = max(0, room - _wide(right))
        pieces = [*left, (" " * gap, ""), *right]
        return strip_of(pieces, width, theme, self.rich_style)


class Tabs(Widget):
    """The screens by their digits; a click opens one."""

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self._active = ""

    def show(self, active: str) -> None:
        """Another screen is seen."""
        self._active = active
        self.refresh()

    def _parts(self) -> list[tuple[str, str, str]]:
        short = self.size.width < 84
        return [
            (
                entry.name,
                f" {entry.key} {entry.title if not short or entry.name == self._active else entry.title[:4]} ",
                "strong" if entry.name == self._active else "dim",
            )
            for entry in PANES
        ]

    def render_line(self, y: int) -> Strip:
        """All of them on one line, the one that is seen reversed."""
        pieces = []
        base = self.rich_style
        for name, text, tone in self._parts():
            look = base + style(self.app.theme, tone)
            pieces.append(Segment(text, look + Style(reverse=True) if name == self._active else look))
        return Strip(pieces).crop_extend(0, self.size.width, base)

    def on_click(self, event: events.Click) -> None:
        """Open what was clicked on."""
        x = 0
        for name, text, _ in self._parts():
            x += cell_len(text)
            if event.x < x:
                self.app.call_later(self.app.open_screen, name)  # type: ignore[attr-defined]
                return


class Banner(Widget):
    """What must not be overlooked, at most three lines; nothing at all on a good day."""

    def __init__(self) -> None:
        super().__init__(id="banner")
        self._lines: tuple[Piece, ...] = ()

    def show(self, lines: tuple[Piece, ...]) -> None:
        """Other lines."""
        if lines == self._lines:
            return
        self._lines = lines
        self.display = bool(lines)
        self.styles.height = min(3, len(lines)) or 1
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One of them."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        text, tone = self._lines[y]
        if y == 2 and len(self._lines) > 3:
            text = f"{text}  (and {len(self._lines) - 3} more: 0 Backends)"
        return strip_of([(text, tone)], self.size.width, self.app.theme, self.rich_style)


@dataclass(frozen=True, slots=True)
class Hint:
    """A key and what it does; `always`: it is the last to be left out."""

    key: str
    does: str
    always: bool = False

    @property
    def wide(self) -> int:
        """Cells that it takes."""
        return cell_len(clean(self.key)) + cell_len(clean(self.does)) + 3


def fitting(hints: Sequence[Hint], width: int) -> list[Hint]:
    """The whole ones that there is room for, in their order; those that are always there first of all."""
    taken: set[int] = set()
    for place in sorted(range(len(hints)), key=lambda place: not hints[place].always):
        if sum(hints[one].wide for one in taken) + hints[place].wide <= width:
            taken.add(place)
    return [hint for place, hint in enumerate(hints) if place in taken]


class Hints(Widget):
    """The last line: the keys that do something here."""

    def __init__(self) -> None:
        super().__init__(id="hints")
        self._hints: tuple[Hint, ...] = ()

    def show(self, hints: tuple[Hint, ...]) -> None:
        """Other keys."""
        if hints != self._hints:
            self._hints = hints
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """As many as there is room for."""
        width = self.size.width
        pieces: list[Piece] = []
        for hint in fitting(self._hints, width):
            pieces += [(f" {hint.key}", "accent"), (f" {hint.does} ", "dim")]
        return strip_of(pieces, width, self.app.theme, self.rich_style)


def strip_of(pieces: Iterable[Piece], width: int, theme: str, base: Style) -> Strip:
    """Cleaned pieces in exactly so many cells."""
    segments = [Segment(clean(text), base + style(theme, tone)) for text, tone in pieces if text]
    return Strip(segments).crop_extend(0, width, base)


def _wide(pieces: Iterable[Piece]) -> int:
    return sum(cell_len(clean(text)) for text, _ in pieces)
