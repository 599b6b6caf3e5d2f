"""Typed values out of the YAML of a runbook: its front matter, its step options and its test cases.

Scalars are read as written (`no`, `1e3` and `08:00` mean what they say) until somebody asks for a number or a duration.
What is wrong becomes a finding with a code and is answered with the given default, so that one pass finds everything.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import date, timedelta
from typing import TypeVar

from opsctl.core.frozen import dataclass
from opsctl.core.slo import Origin
from opsctl.core.windows import parse_duration
from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.nodes import Node

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a runbook; codes are listed in docs/runbooks.md."""

    code: str
    origin: Origin
    message: str
    level: str = "error"  # or warning


@dataclass
class Reader:
    """Reads typed values out of nodes and collects what is wrong, all under one code."""

    path: str
    code: str
    findings: list[Finding] = field(default_factory=list)

    def wrong(self, node: Node | Origin, message: str, code: str | None = None) -> None:
        """Note one wrong place."""
        origin = node.origin if isinstance(node, Node) else node
        self.findings.append(Finding(code or self.code, origin, message))

    def mapping(self, node: Node | None, what: str, known: tuple[str, ...] | None = None) -> Mapping[str, Node]:
        """The pairs of a mapping, without the ones that are not known."""
        if node is None:
            return {}
        if not isinstance(node.value, dict):
            self.wrong(node, f"{what}: expected a mapping")
            return {}
        if known is None:
            return node.value
        for key, child in node.value.items():
            if key not in known:
                self.wrong(child, f"{what}: unknown key {key!r}; {nearest(key, known)}")
        return {key: child for key, child in node.value.items() if key in known}

    def items(self, node: Node | None, what: str) -> tuple[Node, ...]:
        """The elements of a list."""
        if node is None:
            return ()
        if not isinstance(node.value, list):
            self.wrong(node, f"{what}: expected a list")
            return ()
        return tuple(node.value)

    def text(self, node: Node | None, what: str, default: str = "") -> str:
        """The text of a scalar."""
        if node is None:
            return default
        if isinstance(node.value, (dict, list)):
            self.wrong(node, f"{what}: expected one value")
            return default
        return node.text

    def texts(self, node: Node | None, what: str) -> tuple[str, ...]:
        """The texts of a list of scalars."""
        return tuple(self.text(item, what) for item in self.items(node, what))

    def parsed(self, node: Node | None, what: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        """A scalar read by `parse`, which raises ValueError for what it does not take."""
        if node is None:
            return default
        text = self.text(node, what)
        try:
            return parse(text)
        except (ValueError, OverflowError):
            self.wrong(node, f"{what}: {text[:60]!r} is not {expected}")
            return default

    def number(self, node: Node | None, what: str, default: int) -> int:
        """A whole number."""
        return self.parsed(node, what, default, int, "a whole number")

    def duration(self, node: Node | None, what: str, default: timedelta) -> timedelta:
        """A duration such as 90s or 1h30m."""
        return self.parsed(node, what, default, parse_duration, "a duration like 10s, 5m or 1h30m")

    def day(self, node: Node | None, what: str) -> date | None:
        """A date such as 2027-03-31."""
        return self.parsed(node, what, None, date.fromisoformat, "a date like 2027-03-31")

    def truth(self, node: Node | None, what: str, default: bool) -> bool:
        """true or false."""
        words = {"true": True, "false": False}

        def read(text: str) -> bool:
            if text not in words:
                raise ValueError(text)
            return words[text]

        return self.parsed(node, what, default, read, "true or false")


def nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    """`did you mean X?` or what is known."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"


def read_nodes(text: str, path: str, first_line: int = 1) -> tuple[Node | None, tuple[Finding, ...]]:
    """The one YAML document of a text, or what is wrong with it."""
    from opsctl.files.yaml_lines import parse_yaml

    try:
        return parse_yaml(text, path, first_line), ()
    except ConfigError as wrong:
        errors = wrong.errors if isinstance(wrong, ConfigErrors) else (wrong,)
        return None, tuple(Finding("RB001", Origin(e.path, e.line or first_line), _alone(e)) for e in errors)


def _alone(wrong: ConfigError) -> str:
    """The message without its place, which the finding has."""
    place = wrong.path if wrong.line is None else f"{wrong.path}:{wrong.line}"
    return str(wrong).removeprefix(f"{place}: ")
