"""A file's values with the line of each: what TOML and YAML readers make and every loader walks.

A loader asks a `Table` for its keys with the type that it expects; what is wrong is noted in `Problems` and the loader
goes on with a default, so that one run names every wrong place of a file. Must never show a value that may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from datetime import timedelta
from typing import Union

from opsctl.core.frozen import dataclass
from opsctl.core.slo import Origin
from opsctl.core.windows import parse_duration
from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.text import meant

Scalar = Union[str, int, float, bool, None]


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it was written; `text` is a scalar as written, `where` its dotted place in the document."""

    value: Scalar | dict[str, Node] | list[Node] = field(repr=False)
    path: str
    line: int | None
    where: str = ""
    text: str = field(default="", repr=False)

    @property
    def origin(self) -> Origin:
        """Path and line as core types keep them."""
        return Origin(self.path, self.line or 1)

    def get(self, key: str) -> Node | None:
        """The value of a key, if this is a mapping that has it."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def plain(self) -> object:
        """The value without its lines."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        return [child.plain() for child in self.value] if isinstance(self.value, list) else self.value


def kind_words(node: Node, *, secret: bool = False) -> str:
    """What a value is, for `expected …, got …`: short scalars are shown unless they may be secret."""
    value = node.value
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if secret:
        return "a text" if isinstance(value, str) else "a number"
    if isinstance(value, str):
        line = " ".join(value.split())
        return f'"{line}"' if len(line) <= 60 else f'"{line[:59]}…"'
    return node.text or str(value)


@dataclass(slots=True)
class Problems:
    """What is wrong so far, in the order found; `seen` notes where each value that a loader asked for came from."""

    errors: list[ConfigError] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)

    def add(self, at: Node | Origin, message: str, *, hint: str | None = None) -> None:
        """Note one wrong place, in one line: a key may hold a line's end."""
        line = " ".join(message.splitlines())
        self.errors.append(ConfigError(at.path, at.line, line, hint=hint and " ".join(hint.splitlines())))

    def take(self, wrong: ConfigError) -> None:
        """Note what a callee raised."""
        self.errors.extend(wrong.errors if isinstance(wrong, ConfigErrors) else (wrong,))

    def check(self) -> None:
        """Raise what was noted, each once: the one error as it is, several together."""
        errors = tuple({str(error): error for error in self.errors}.values())
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ConfigErrors(errors)

    def unknown(self, at: Node, kind: str, word: str, known: Iterable[str], *, inside: str = "") -> None:
        """Note an unknown word and the nearest known one."""
        place = f" in {inside}" if inside else ""
        self.add(at, f"unknown {kind} {word}{place}", hint=meant(word, known))


class Table:
    """A mapping that is read by key with expected types; unknown keys are noted at once."""

    def __init__(self, node: Node, problems: Problems, known: Iterable[str] | None, what: str = "") -> None:
        self.node = node
        self.problems = problems
        self.what = what or node.where
        self._values: Mapping[str, Node] = node.value if isinstance(node.value, dict) else {}
        if not isinstance(node.value, dict):
            problems.add(node, f"{self._name()}expected a mapping, got {kind_words(node)}")
        elif known is not None:
            names = tuple(known)
            for key, child in node.value.items():
                if key not in names:
                    problems.unknown(child, "key", key, names, inside=self.what)

    def _name(self) -> str:
        return f"{self.what}: " if self.what else ""

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def items(self) -> Iterator[tuple[str, Node]]:
        """Every key with its value, in the order written."""
        yield from self._values.items()

    def node_of(self, key: str) -> Node | None:
        """The value of a key as it is; None where it is missing or empty (`key:` in YAML)."""
        where = f"{self.node.where}.{key}" if self.node.where else key
        found = self._values.get(key)
        self.problems.seen[where] = place(found) if found is not None else "default"
        return None if found is None or found.value is None else found

    def need(self, key: str) -> Node | None:
        """The value of a key that must be there."""
        found = self.node_of(key)
        if found is None:
            self.problems.add(self._values.get(key, self.node), f"{self._name()}{key} is missing")
        return found

    def _wrong(self, node: Node, expected: str) -> None:
        self.problems.add(node, f"{node.where}: expected {expected}, got {kind_words(node)}")

    def text(self, key: str, default: str = "", *, required: bool = False, loose: bool = False) -> str:
        """A text; with `loose` any scalar as written, as Go's YAML reads one into a string."""
        node = self.need(key) if required else self.node_of(key)
        if node is None:
            return default
        if isinstance(node.value, str):
            return node.value
        if loose and not isinstance(node.value, (dict, list)):
            return node.text
        self._wrong(node, "a text")
        return default

    def choice(self, key: str, words: Iterable[str], default: str) -> str:
        """One of a few words."""
        known = tuple(words)
        node = self.node_of(key)
        if node is None or node.value in known:
            return default if node is None else str(node.value)
        expected = f"one of {', '.join(known)}"
        hint = meant(node.text, known) if isinstance(node.value, str) else None
        self.problems.add(node, f"{node.where}: expected {expected}, got {kind_words(node)}", hint=hint)
        return default

    def boolean(self, key: str, default: bool = False) -> bool:
        """True or false."""
        node = self.node_of(key)
        if node is None or isinstance(node.value, bool):
            return default if node is None else bool(node.value)
        self._wrong(node, "true or false")
        return default

    def integer(self, key: str, default: int = 0, *, least: int = 0, most: int = 2**31, loose: bool = False) -> int:
        """A whole number between two others, both allowed; with `loose` it may be written `3.0`."""
        node = self.node_of(key)
        if node is None:
            return default
        value = node.value
        if isinstance(value, float) and loose and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if least <= value <= most:
                return value
            self._wrong(node, f"a whole number from {least}" + (f" to {most}" if most < 2**31 else ""))
            return default
        self._wrong(node, "a whole number")
        return default

    def number(self, key: str, *, required: bool = False) -> float | None:
        """A number that is not NaN or infinite."""
        node = self.need(key) if required else self.node_of(key)
        if node is None:
            return None
        value = node.value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf"):
            return float(value)
        self._wrong(node, "a number")
        return None

    def duration(self, key: str, default: timedelta, *, loose: bool = False) -> timedelta:
        """A duration as Prometheus writes it."""
        node = self.node_of(key)
        if node is None:
            return default
        try:
            if isinstance(node.value, str) or loose:
                return parse_duration(node.text)
        except (ValueError, OverflowError):
            pass
        self._wrong(node, 'a duration like "10s"')
        return default

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of texts."""
        node = self.node_of(key)
        if node is None:
            return default
        if isinstance(node.value, list):
            wrong = [item for item in node.value if not isinstance(item.value, str)]
            for item in wrong:
                self._wrong(item, "a text")
            return tuple(str(item.value) for item in node.value if isinstance(item.value, str))
        self._wrong(node, "a list of texts")
        return default

    def text_map(self, key: str, *, loose: bool = False, secret: bool = False) -> dict[str, str]:
        """A mapping of names to texts."""
        node = self.node_of(key)
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            self.problems.add(node, f"{node.where}: expected a mapping, got {kind_words(node, secret=secret)}")
            return {}
        out = {}
        for name, child in node.value.items():
            if isinstance(child.value, str):
                out[name] = child.value
            elif loose and not isinstance(child.value, (dict, list)):
                out[name] = "" if child.value is None else child.text
            else:
                self.problems.add(child, f"{child.where}: expected a text, got {kind_words(child, secret=secret)}")
        return out

    def table(self, key: str, known: Iterable[str] | None, *, required: bool = False) -> Table | None:
        """A mapping inside this one."""
        node = self.need(key) if required else self.node_of(key)
        return None if node is None else Table(node, self.problems, known)

    def nodes(self, key: str, *, required: bool = False) -> list[Node]:
        """A list's items."""
        node = self.need(key) if required else self.node_of(key)
        if node is None:
            return []
        if isinstance(node.value, list):
            return node.value
        self._wrong(node, "a list")
        return []


def place(node: Node) -> str:
    """Where a value came from: `path:line`, or the name of an environment variable."""
    return node.path if node.line is None else f"{node.path}:{node.line}"
