"""Prometheus's patterns (RE2, anchored) as Python's.

Must never let a pattern that means something else in Python through silently.
"""

from __future__ import annotations

import re
from functools import lru_cache

from opsctl.promql.errors import PromqlError, UnsupportedError

_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\\x00-\\x7f", "blank": "\\t ", "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~", "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?(\)|:)")
_NAMED = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>")
_ENDLESS = re.compile(r"[*+]|\{\d+,\}")
_COUNT = re.compile(r"\{\d+(?:,\d*)?\}\Z")
_POSIX = re.compile(r"\[:(\^?)([a-z]+):\]")


@lru_cache(maxsize=4096)
def compile_anchored(pattern: str) -> re.Pattern[str]:
    """The pattern as Prometheus matches with it: the whole text, `.` takes line ends too, ASCII classes."""
    try:
        return re.compile(f"(?:{translate(pattern)})\\Z", re.DOTALL | re.ASCII)
    except (re.error, RecursionError, OverflowError) as wrong:
        raise PromqlError(f"the pattern {pattern!r} cannot be used: {wrong}") from None


def translate(pattern: str) -> str:
    """RE2 to `re`: flags in the middle get a group of their own, `\\z`, `\\Q…\\E`, POSIX classes are spelled out."""
    return _Translation(pattern).run()


class _Translation:
    """Walks a pattern once; `_open` counts, for each open group, the groups that flags in it opened."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._open = [0]
        self._repeats = [False]  # whether a group holds a repetition without end

    def run(self) -> str:
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "\\":
                self._escape()
            elif char == "[":
                self._bracket()
            elif char == "(":
                self._group()
            elif char == ")":
                self._close()
            elif char in "*+?}":
                self._quantifier(char)
            else:
                self._take(1)
        self._out.append(")" * self._open[0])
        return "".join(self._out)

    def _take(self, count: int, instead: str | None = None) -> None:
        self._out.append(self._text[self._at : self._at + count] if instead is None else instead)
        self._at += count

    def _close(self) -> None:
        opened = self._open.pop() if len(self._open) > 1 else 0
        repeats = self._repeats.pop() if len(self._repeats) > 1 else False
        self._take(1, ")" * (opened + 1))
        if repeats and _ENDLESS.match(self._text, self._at):  # RE2 has no trouble with it, Python may never end
            raise UnsupportedError(f"a repetition inside a repetition, as in the pattern {self._text!r}, is")
        self._repeats[-1] = self._repeats[-1] or repeats

    def _quantifier(self, char: str) -> None:
        """`a*+` is possessive in Python and wrong in RE2."""
        counted = _COUNT.search(self._text, 0, self._at + 1) if char == "}" else None
        if char == "}" and counted is None:  # an ordinary character
            self._take(1)
            return
        self._repeats[-1] |= char in "*+" or (counted is not None and counted[0].endswith(",}"))
        if self._text.startswith("+", self._at + 1):
            raise PromqlError(f"the pattern {self._text!r} repeats a repetition: {char}+")
        self._take(2 if self._text.startswith("?", self._at + 1) and char != "}" else 1)

    def _escape(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "z":
            self._take(2, "\\Z")
        elif following == "Q":
            end = self._text.find("\\E", self._at)
            end = len(self._text) if end < 0 else end
            self._take(end + 2 - self._at, re.escape(self._text[self._at + 2 : end]))
        elif following == "x" and self._text.startswith("{", self._at + 2):
            end = self._text.find("}", self._at)
            self._take(end + 1 - self._at, re.escape(chr(int(self._text[self._at + 3 : end], 16))))
        elif following in ("p", "P", "C") or (following.isdigit() and following != "0") or following == "Z":
            raise PromqlError(f"the pattern {self._text!r} uses \\{following}, which this engine does not know")
        else:
            self._take(2)

    def _bracket(self) -> None:
        self._take(1)
        if self._text.startswith("^", self._at):
            self._take(1)
        if self._text.startswith("]", self._at):
            self._take(1, "\\]")
        while self._at < len(self._text) and self._text[self._at] != "]":
            if posix := _POSIX.match(self._text, self._at):
                if posix[1] or posix[2] not in _CLASSES:
                    raise PromqlError(f"the pattern {self._text!r} uses {posix[0]}, which this engine does not know")
                self._take(len(posix[0]), _CLASSES[posix[2]])
            elif self._text[self._at] == "\\":
                self._escape()
            elif self._text[self._at] in "[&|~":
                self._take(1, "\\" + self._text[self._at])
            else:
                self._take(1)
        if self._at >= len(self._text):
            raise PromqlError(f"the pattern {self._text!r} has a [ without its ]")
        self._take(1)

    def _group(self) -> None:
        flags = _FLAGS.match(self._text, self._at)
        if flags is None:
            self._open.append(0)
            self._repeats.append(False)
            named = _NAMED.match(self._text, self._at)
            if named:
                self._take(len(named[0]), f"(?P<{named[1]}>")
            elif self._text.startswith("(?", self._at) and not self._text.startswith("(?:", self._at):
                raise PromqlError(f"the pattern {self._text!r} uses {self._text[self._at : self._at + 3]}, not RE2")
            else:
                self._take(3 if self._text.startswith("(?:", self._at) else 1)
            return
        if "U" in flags[0]:
            raise PromqlError(f"the pattern {self._text!r} uses the flag U, which this engine does not know")
        opening = f"(?{flags[1]}{'-' + flags[2] if flags[2] else ''}:"
        if flags[3] == ":":
            self._open.append(0)
            self._repeats.append(False)
        else:
            self._open[-1] += 1
        self._take(len(flags[0]), opening if flags[1] or flags[2] else "(?:")
