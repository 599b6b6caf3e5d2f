"""TOML documents as nodes that know their lines.

`tomllib` reads and judges the text; the locator only walks what is known to be valid and notes on which line each key
and each array item begins. Must never judge a text on its own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from opsctl.errors import ConfigError
from opsctl.files.nodes import Node

Place = tuple["str | int", ...]
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2}(?!"))' r"|'''.*?'''(?:'{0,2}(?!'))" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_ATOM = re.compile(r"[^,\]}#\n]+")


def parse_toml(text: str, path: str) -> Node:
    """The root table of a TOML text; ConfigError with the line where it is not TOML."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        words = str(wrong)
        match = _AT_LINE.search(words)
        line = int(match[1]) if match and match[1] else text.count("\n") + 1
        raise ConfigError(path, line, f"is not TOML: {_AT_LINE.sub('', words)}") from None
    except RecursionError:
        raise ConfigError(path, None, "is nested too deeply") from None
    return _node(document, path, locate(text), (), 1)


def locate(text: str) -> Mapping[Place, int]:
    """The 1-based line of each key and array item of a valid TOML text, by its place."""
    walk = _Walk(text)
    walk.document()
    return walk.lines


def _node(value: Any, path: str, lines: Mapping[Place, int], at: Place, line: int) -> Node:
    here = lines.get(at, line)
    where = dotted(at)
    if isinstance(value, dict):
        children = {key: _node(child, path, lines, (*at, key), here) for key, child in value.items()}
        return Node(children, path, here, where)
    if isinstance(value, list):
        return Node([_node(item, path, lines, (*at, i), here) for i, item in enumerate(value)], path, here, where)
    if isinstance(value, (str, bool, int, float)):
        return Node(value, path, here, where, str(value).lower() if isinstance(value, bool) else str(value))
    return Node(value.isoformat(), path, here, where, value.isoformat())


def dotted(at: Place) -> str:
    """A place for people: `contexts.prod.rules[1]`."""
    out = ""
    for part in at:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


class _Walk:
    """One pass over a valid text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Place, int] = {}
        self.counts: dict[Place, int] = {}  # arrays of tables: how many so far
        self._line, self._counted = 1, 0

    def line(self) -> int:
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def document(self) -> None:
        table: Place = ()
        while self.skip(_BETWEEN) is not None and self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> Place:
        line = self.line()
        several = self.text.startswith("[[", self.at)
        self.at += 2 if several else 1
        keys = self.key()
        self.skip(_SPACE)
        self.at += 2 if several else 1
        place: Place = ()
        for index, key in enumerate(keys):
            place = (*place, key)
            self.lines.setdefault(place, line)
            last = index == len(keys) - 1
            if last and several:
                self.counts[place] = self.counts.get(place, 0) + 1
            if place in self.counts:
                place = (*place, self.counts[place] - 1)
                self.lines.setdefault(place, line)
        return place

    def pair(self, table: Place) -> None:
        line = self.line()
        place = table
        for key in self.key():
            place = (*place, key)
            self.lines.setdefault(place, line)
        self.skip(_SPACE)
        self.at += 1  # =
        self.skip(_SPACE)
        self.value(place)

    def key(self) -> tuple[str, ...]:
        keys = []
        while True:
            self.skip(_SPACE)
            keys.append(self.skip(_BARE) or unquoted(self.skip(_STRING)))
            self.skip(_SPACE)
            if self.text[self.at : self.at + 1] != ".":
                return tuple(keys)
            self.at += 1

    def value(self, place: Place) -> None:
        first = self.text[self.at]
        if first == "[":
            self.array(place)
        elif first == "{":
            self.inline_table(place)
        elif not self.skip(_STRING):
            self.skip(_ATOM)

    def array(self, place: Place) -> None:
        self.at += 1
        index = 0
        while True:
            self.skip(_BETWEEN)
            if self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.lines[(*place, index)] = self.line()
            self.value((*place, index))
            index += 1

    def inline_table(self, place: Place) -> None:
        self.at += 1
        while True:
            self.skip(_BETWEEN)
            if self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.pair(place)


def unquoted(key: str) -> str:
    """A quoted key without its quotes."""
    return str(next(iter(tomllib.loads(f"{key} = 0"))))
