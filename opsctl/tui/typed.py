"""What `:` takes: words that move the board, and the command line's own grammar for everything else.

Pure: no textual, nothing is asked or done here. Must never guess: of a word that names nothing it is said what is near.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from threading import Event
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Union

from opsctl.core.frozen import dataclass
from opsctl.core.windows import parse_duration
from opsctl.files.text import meant, nearest
from opsctl.views.moments import clock_moment

if TYPE_CHECKING:
    from opsctl.actions import Action

CommandPath = tuple[str, ...]
Grammar = Mapping[CommandPath, tuple[str, ...]]
"""Each command and group of the command line by its words → its options."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command; `cut` says why there is no more of it, `code` None that it did not end."""

    code: int | None
    out: str
    talk: str = ""
    cut: str = ""


class CommandLine(Protocol):
    """The command line, for whoever is above; every method may take long and is called in a thread."""

    def grammar(self) -> Grammar:
        """Which commands there are."""
        ...

    def action(self, words: Sequence[str]) -> Action | None:
        """What a command would change, None for one that only shows; OpsctlError where it is wrong or not for here."""
        ...

    def run(self, words: Sequence[str], width: int, stop: Event) -> Ran:
        """Run a command that only shows, until it ends or `stop` is set."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """The names that words may be completed to."""

    services: tuple[str, ...] = ()
    incidents: tuple[int, ...] = ()  # numbers of episodes
    runbooks: tuple[str, ...] = ()
    themes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """Another screen with a changed focus."""

    screen: str
    changes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Order:
    """Something that the board does itself."""

    word: str
    argument: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class At:
    """Another end of the window, None for now."""

    end: datetime | None


@dataclass(frozen=True, slots=True)
class Length:
    """Another length of the window."""

    length: timedelta


@dataclass(frozen=True, slots=True)
class Ask:
    """A command of the command line."""

    words: tuple[str, ...]


Typed = Union[Move, Order, At, Length, Ask]

_SCREENS = {
    name: entry
    for entry in ("board", "service", "alerts", "incidents", "traces", "logs", "runbooks", "backends")
    for name in {entry, entry.removesuffix("s"), entry.removesuffix("s") + "s"}
}
ORDERS: Mapping[str, str] = {
    "q": "leave",
    "quit": "leave",
    "write": "lift the read-only of a protected context for 15 minutes",
    "ro": "read-only again",
    "theme": "dark, light or mono",
    "export": "write the view into FILE (.txt .csv .md .json .svg); export! overwrites",
    "at": "go to a time: 03:02, 15m, 2026-05-01T03:02:00Z",
    "window": "how much is looked at: 30m",
    "live": "follow the clock",
    "help": "the keys of this screen",
}
"""What the board does itself, and what that is."""


def parse(text: str, grammar: Grammar, known: Known, now: datetime, *, utc: bool) -> Typed:
    """What a line means; ValueError says what is wrong with it."""
    try:
        words = shlex.split(text.strip().removeprefix(":"))
    except ValueError as wrong:
        raise ValueError(f"{str(wrong).lower()}: close the quotation") from None
    if words and words[0] == "opsctl":
        words = words[1:]
    if not words:
        raise ValueError("type a command: Tab completes, ? lists the keys")
    first, rest = words[0], words[1:]
    force = first.endswith("!")
    if first.removesuffix("!") in ORDERS:
        return _order(first.removesuffix("!"), rest, known, now, utc=utc, force=force)
    if _is_command(words, grammar):
        return _command(words, known)
    if first in _SCREENS:
        return _moved(first, rest, grammar, known)
    if (first,) in grammar:
        word = rest[0] if rest else ""
        raise ValueError(f"no such command: {first} {word} ({meant(word, _inner(first, grammar))})")
    names = {*ORDERS, *_SCREENS, *(path[0] for path in grammar)}
    raise ValueError(f"no such command: {first} ({meant(first, names)})")


def _inner(group: str, grammar: Grammar) -> set[str]:
    return {path[1] for path in grammar if len(path) == 2 and path[0] == group}


def _moved(first: str, rest: Sequence[str], grammar: Grammar, known: Known) -> Move:
    """A screen; where its word is a group of commands too, one of those may have been meant."""
    try:
        return _move(_SCREENS[first], rest, known)
    except ValueError:
        near = nearest(rest[0], _inner(first, grammar))
        if near is None:
            raise
        raise ValueError(f"no such command: {first} {rest[0]} (did you mean {near}?)") from None


def _is_command(words: Sequence[str], grammar: Grammar) -> bool:
    """Whether the command line has it: a group alone, such as `incident`, is the screen."""
    first = (words[0],)
    if first not in grammar:
        return False
    if len(words) == 1:
        return not _is_group(first, grammar)
    return not _is_group(first, grammar) or tuple(words[:2]) in grammar or words[1].startswith("-")


def _is_group(path: CommandPath, grammar: Grammar) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in grammar)


def _command(words: Sequence[str], known: Known) -> Typed:
    if words[:2] == ["runbook", "run"] and len(words) > 2 and not {"-h", "--help"} & set(words):
        changes: dict[str, Any] = {"runbook": next((w for w in words[2:] if w in known.runbooks), words[2])}
        for word, after in zip(words[2:], [*words[3:], ""], strict=True):
            number = word.removeprefix("--incident=") if word.startswith("--incident=") else after
            if word.startswith("--incident") and number.removeprefix("#").isdecimal():
                changes["incident"] = int(number.removeprefix("#"))
        return Move("runbooks", changes)
    return Ask(tuple(words))


def _order(word: str, rest: Sequence[str], known: Known, now: datetime, *, utc: bool, force: bool) -> Typed:
    argument = " ".join(rest)
    match word:
        case "at":
            return At(None if argument in {"now", ""} else _moment(argument, now, utc=utc))
        case "window":
            return Length(window_length(argument))
        case "theme":
            if argument not in known.themes:
                raise ValueError(f"theme {argument}: expected one of {', '.join(known.themes)}")
        case "export":
            force = force or argument.endswith(" !")
            argument = argument.removesuffix(" !")
            if not argument:
                raise ValueError("export: into which file?")
        case "quit":
            word = "q"
        case _:
            if argument:
                raise ValueError(f"{word} takes nothing after it, got {argument}")
    return Order(word, argument, force)


def _moment(text: str, now: datetime, *, utc: bool) -> datetime:
    try:
        return clock_moment(text, now, utc=utc)
    except ValueError as wrong:
        raise ValueError(f"{text}: {wrong}") from None


def window_length(text: str) -> timedelta:
    """The length of a window; ValueError where it is none."""
    try:
        length = parse_duration(text)
    except (ValueError, OverflowError):
        raise ValueError(f"window {text}: expected a duration like 30m or 6h") from None
    if not timedelta(minutes=1) <= length <= timedelta(days=90):
        raise ValueError(f"window {text}: expected from 1m to 90d")
    return length


def _move(screen: str, rest: Sequence[str], known: Known) -> Move:
    if not rest:
        return Move(screen)
    if len(rest) > 1:
        raise ValueError(f"{screen}: expected one name, got {' '.join(rest)}")
    word = rest[0]
    match screen:
        case "traces" if _is_trace(word):
            return Move(screen, {"trace_id": word.lower(), "span_id": "", "subtree": False})
        case "incidents" if word.removeprefix("#").isdecimal():
            return Move(screen, {"incident": _one_number(int(word.removeprefix("#")), known)})
        case "runbooks":
            return Move(screen, {"runbook": _one("runbook", word, known.runbooks)})
        case "backends":
            raise ValueError("backends takes nothing after it")
    return Move(screen, {"service": _one("service", word, known.services)})


def _is_trace(word: str) -> bool:
    return len(word) in {16, 32} and all(ch in "0123456789abcdefABCDEF" for ch in word)


def _one_number(number: int, known: Known) -> int:
    if number not in known.incidents:
        raise ValueError(f"no such incident: #{number} ({meant(f'#{number}', [f'#{one}' for one in known.incidents])})")
    return number


def _one(kind: str, word: str, names: Sequence[str]) -> str:
    """The name that is meant: itself, or the only one that begins so."""
    if word in names:
        return word
    found = [name for name in names if name.lower().startswith(word.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{word} is the beginning of {', '.join(sorted(found)[:6])}")
    raise ValueError(f"no such {kind}: {word} ({meant(word, names)})")


# -- completing


def completions(text: str, grammar: Grammar, known: Known) -> tuple[str, ...]:
    """Each whole line that `text` may be the beginning of, sorted."""
    head, space, last = text.rpartition(" ")
    words = head.split()
    if words[:1] == ["opsctl"]:
        words = words[1:]
    names: Iterable[str] = _next_words(tuple(words), last, grammar, known)
    lower = last.lower()
    return tuple(f"{head}{space}{name}" for name in sorted(set(names)) if name.lower().startswith(lower))


def _next_words(before: CommandPath, last: str, grammar: Grammar, known: Known) -> list[str]:
    if not before:
        return [*ORDERS, *_SCREENS, *(path[0] for path in grammar)]
    path = max((p for p in grammar if before[: len(p)] == p), key=len, default=())
    if last.startswith("-"):
        return list(grammar.get(path, ()))
    inner = [other[len(path)] for other in grammar if len(other) == len(path) + 1 and other[: len(path)] == path]
    names = [] if inner and len(before) > len(path) else inner
    return names + _names_for(before[0].removesuffix("!"), known)


def _names_for(word: str, known: Known) -> list[str]:
    incidents = [f"#{number}" for number in known.incidents]
    match word:
        case "theme":
            return list(known.themes)
        case "incident" | "incidents":
            return incidents
        case "runbook" | "runbooks":
            return [*known.runbooks, *incidents]
        case "q" | "quit" | "write" | "ro" | "at" | "window" | "live" | "help" | "export" | "config" | "doctor":
            return []
    return list(known.services)
