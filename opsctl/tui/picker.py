"""A list that narrows while one types: the palette, and the keys of a screen. Drawn as segments, never as markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from opsctl.core.frozen import dataclass
from opsctl.render.text import clean, shortened
from opsctl.tui.fuzzy import fits
from opsctl.tui.widgets.lines import Lines, Piece

MOST = 500  # hits that are shown
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """One line: `text` and `note` may be from outside; `kind` groups. Without `take` it is only read."""

    text: str
    kind: str
    note: str = ""
    take: Callable[[], object] | None = None


class Hits(Lines):
    """What fits; a line without a choice is a heading."""

    DEFAULT_CSS = "Hits { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id="hits")
        self.can_focus = False
        self.hits: Sequence[tuple[Choice, tuple[int, ...]] | str] = ()

    def show(self, hits: Sequence[tuple[Choice, tuple[int, ...]] | str]) -> None:
        """Other lines; the cursor on the first that is no heading."""
        self.hits = hits
        first = next((i for i, hit in enumerate(hits) if not isinstance(hit, str)), 0)
        self.resized(len(hits), first)

    def step(self, by: int) -> None:
        """Up or down, past headings."""
        at = self.cursor + by
        while 0 <= at < len(self.hits) and isinstance(self.hits[at], str):
            at += 1 if by > 0 else -1
        if 0 <= at < len(self.hits):
            self.cursor = at

    @property
    def chosen(self) -> Choice | None:
        """What the cursor is on."""
        hit = self.hits[self.cursor] if self.cursor < len(self.hits) else ""
        return None if isinstance(hit, str) else hit[0]

    def pieces(self, index: int, width: int) -> Iterable[Piece]:
        """One line: the letters that fit stand out, the note is on the right."""
        hit = self.hits[index]
        if isinstance(hit, str):
            return [(hit, "head")]
        choice, places = hit
        left = [("  ", ""), *_marked(choice.text, places)]
        note = shortened(clean(choice.note), max(0, width // 2))
        room = width - sum(cell_len(text) for text, _ in left) - cell_len(note) - 1
        return [*left, (" " * max(1, room), ""), (note, "dim")]


def _marked(text: str, places: tuple[int, ...]) -> Iterator[Piece]:
    wanted = set(places)
    for i, ch in enumerate(text):
        yield ch, "match" if i in wanted else ""


class Picker(ModalScreen[Any]):
    """Type to narrow, enter to take; `note` says what it is, `fuzzy` whether letters may lie apart."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape", "close", "close", show=False),
        Binding("down,ctrl+n", "step(1)", "down", show=False),
        Binding("up", "step(-1)", "up", show=False),
        Binding("pagedown", "step(10)", "page down", show=False),
        Binding("pageup", "step(-10)", "page up", show=False),
    ]
    DEFAULT_CSS = """
    Picker .dialog { height: 80%; }
    Picker Input { height: 1; border: none; padding: 0; background: $surface; }
    """

    def __init__(self, placeholder: str, choices: Iterable[Choice], *, fuzzy: bool = True) -> None:
        super().__init__()
        self._placeholder, self._fuzzy = placeholder, fuzzy
        self._choices = [Choice(shortened(clean(c.text), _LONGEST), c.kind, c.note, c.take) for c in choices]

    def compose(self) -> ComposeResult:
        """What is typed, and what fits it."""
        with Vertical(classes="dialog"):
            yield Input(placeholder=self._placeholder, compact=True, id="typed")
            yield Hits()

    def on_mount(self) -> None:
        """All of it, to begin with."""
        self.query_one(Input).focus()
        self._narrow("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer, or more."""
        event.stop()
        self._narrow(event.value)

    def _narrow(self, typed: str) -> None:
        self.query_one(Hits).show(grouped(found(self._choices, typed[:60], fuzzy=self._fuzzy), sort=bool(typed)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self._take()

    def on_lines_opened(self, event: Lines.Opened) -> None:
        """A second click."""
        event.stop()
        self._take()

    def on_click(self, event: events.Click) -> None:
        """Beside it: close."""
        if event.widget is self:
            self.action_close()

    def _take(self) -> None:
        choice = self.query_one(Hits).chosen
        if choice is not None and choice.take is not None:
            self.dismiss(choice.take)

    def action_step(self, by: int) -> None:
        """Up or down."""
        self.query_one(Hits).step(by)

    def action_close(self) -> None:
        """Nothing is taken."""
        self.dismiss(None)


Found = tuple[float, Choice, tuple[int, ...]]


def found(choices: Iterable[Choice], typed: str, *, fuzzy: bool) -> list[Found]:
    """What fits, with its score; not fuzzy: each word must stand in the text or the note as it is."""
    out: list[Found] = []
    for choice in choices:
        if not fuzzy:
            whole = f"{choice.text} {choice.note} {choice.kind}".lower()
            if all(word in whole for word in typed.lower().split()):
                out.append((0.0, choice, ()))
            continue
        hit = fits(typed, choice.text) if typed.strip() else (0.0, ())
        if hit is not None:
            out.append((hit[0], choice, hit[1]))
    return out


def grouped(hits: list[Found], *, sort: bool) -> list[tuple[Choice, tuple[int, ...]] | str]:
    """Under a heading for each kind, the kind with the best hit first."""
    best: dict[str, float] = {}
    for score, choice, _ in hits:
        best[choice.kind] = max(best.get(choice.kind, score), score)
    kinds = sorted(best, key=lambda kind: -best[kind]) if sort else list(best)
    lines: list[tuple[Choice, tuple[int, ...]] | str] = []
    for kind in kinds:
        mine = [one for one in hits if one[1].kind == kind]
        if sort:
            mine.sort(key=lambda one: -one[0])
        lines += [kind, *((choice, places) for _, choice, places in mine)]
    return lines[:MOST]
