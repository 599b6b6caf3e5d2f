"""Recording rules put in the place of their names: a rule can be asked of a server that does not record them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from opsctl.core.rules import RecordingRule
from opsctl.core.slo import Origin
from opsctl.promql import PromqlError, parse, rewrite
from opsctl.promql.ast import Call, Expr, Number, transform

SIZE_LIMIT = 20_000
"""Characters: a longer expression is left to the server that records it."""


_ABSENCE = frozenset({"absent", "absent_over_time"})
_ONLY_WHILE_ACTIVE = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
"""Prometheus writes these only while an alert is active: that they are not there says nothing."""


def metrics_read(text: str) -> tuple[str, ...]:
    """The distinct metric names that an expression leans on, in their order; none where it cannot be parsed.

    A name inside absent() is not one of them: its absence is what the rule is about.
    """

    def blank(node: Expr) -> Expr | None:
        return Number(0.0) if isinstance(node, Call) and node.function in _ABSENCE else None

    try:
        found = rewrite.selectors(transform(parse(text), blank))
    except PromqlError:
        return ()
    names = dict.fromkeys(each.metric for each in found if each.metric)
    return tuple(name for name in names if name not in _ONLY_WHILE_ACTIVE)


class Recorded:
    """The expressions of every recorded name, themselves free of recorded names."""

    def __init__(self, rules: Sequence[RecordingRule]) -> None:
        self._raw: dict[str, list[RecordingRule]] = {}
        for rule in rules:
            self._raw.setdefault(rule.record, []).append(rule)
        self._done: dict[str, str] = {}
        self._busy: set[str] = set()
        for name in self._raw:
            self._resolve(name)

    def inline(self, text: str) -> str:
        """The expression with recorded names replaced; as it was where it reads none."""
        if not any(name in text for name in self._done):
            return text
        try:
            out: str = rewrite.inline(text, self._done)
        except PromqlError:
            return text  # its own error is noted where the file is read
        return out if len(out) <= SIZE_LIMIT else text

    def still_read(self, names: Sequence[str]) -> Mapping[str, Origin]:
        """Those of the names that a rule records, with its place: only the server that records them has them."""
        return MappingProxyType({name: self._raw[name][0].origin for name in names if name in self._raw})

    def _resolve(self, name: str) -> None:
        if name in self._done or name in self._busy:
            return
        self._busy.add(name)  # a rule that reads itself, also by way of others, is left to the server
        text = " or ".join(f"({_labelled(rule)})" for rule in self._raw[name])
        try:
            for other in rewrite.metric_names(text):
                if other in self._raw:
                    self._resolve(other)
            whole = rewrite.inline(text, self._done)
            if len(whole) <= SIZE_LIMIT and not rewrite.metric_names(whole) & self._busy:
                self._done[name] = whole
        except PromqlError:
            pass  # noted where the file is read, or out of our engine's scope
        self._busy.discard(name)


def _labelled(rule: RecordingRule) -> str:
    """The expression with the labels that recording adds."""
    out = rule.expr if "#" not in rule.expr else rule.expr + "\n"
    for name, value in sorted(rule.labels.items()):
        out = f'label_replace({out}, {_quoted(name)}, {_quoted(value.replace("$", "$$"))}, "", "")'
    return out


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
