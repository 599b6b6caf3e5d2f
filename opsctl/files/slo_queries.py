"""How a window enters a query: OpenSLO v1 does not say, so docs/rules.md does.

(1) `{{.window}}` is replaced by the duration; (2) else, with `counter: true`, each bare selector becomes
`increase(selector[w])`; (3) else the query is per instant and summed over steps of a minute. A range written into a
query of kind 2 or 3 is an error, since it would be counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from opsctl.core.frozen import dataclass
from opsctl.core.slo import WindowQueries
from opsctl.core.windows import format_duration
from opsctl.files.nodes import Node, Problems
from opsctl.promql import PromqlError, parse, rewrite
from opsctl.promql.forms import by_form, each_by_form
from opsctl.promql.lexer import tokens

STEP = "1m"
OPERATORS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
Inline = Callable[[str], str]
"""Puts the expressions of recording rules in the place of their names."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Part and total as written."""

    part: Node
    total: Node
    counter: bool
    counts: Literal["bad", "good"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A query per instant; a step is good where `query op value`."""

    query: Node
    op: str
    value: float


def ratio_queries(
    ratio: Ratio, windows: Sequence[timedelta], inline: Inline, problems: Problems
) -> Mapping[timedelta, WindowQueries]:
    """Both queries for each window; empty when one of them is wrong."""
    texts = [format_duration(window) for window in windows]
    part = _windowed(ratio.part, ratio.counter, texts, inline, problems)
    total = _windowed(ratio.total, ratio.counter, texts, inline, problems)
    if part is None or total is None:
        return {}
    return {window: WindowQueries(*pair) for window, pair in zip(windows, zip(part, total, strict=True), strict=True)}


def _windowed(
    node: Node, counter: bool, windows: Sequence[str], inline: Inline, problems: Problems
) -> Sequence[str] | None:
    """The query for each window, by whichever of the three ways is its own."""
    text = str(node.value).strip()
    try:
        written = by_form(rewrite.has_window, text)
        query = text if written or counter else inline(text)
        found = each_by_form(_asked, query, counter, *windows)
        return [inline(each) for each in found] if written else found
    except PromqlError as wrong:
        problems.add(node, f"{node.where}: {wrong}")
        return None


def _asked(text: str, counter: bool, *windows: str) -> Sequence[str]:
    if rewrite.has_window(text):
        rewrite.with_window(text, windows[0])  # what is right for one duration is right for all
        pieces = _pieces(text)
        return [window.join(pieces) for window in windows]
    if counter:
        return [rewrite.wrap_counter(text, window) for window in windows]
    return [rewrite.over_steps(text, window, STEP) for window in windows]


def _pieces(text: str) -> list[str]:
    """What stands between the placeholders, strings and comments left alone."""
    out, end = [], 0
    for token in tokens(text):
        if token.kind == "window":
            out.append(text[end : token.at])
            end = token.end
    return [*out, text[end:]]


def threshold_queries(
    threshold: Threshold, windows: Iterable[timedelta], inline: Inline, problems: Problems
) -> Mapping[timedelta, WindowQueries]:
    """Counts of good and of all steps for each window: their quotient is the share of good steps."""
    node = threshold.query
    text = str(node.value).strip()
    if _has_window(text):
        problems.add(
            node, f"{node.where}: a thresholdMetric is asked per instant; write a range instead of {{{{.window}}}}"
        )
        return {}
    try:
        by_form(parse, text)
        inner = inline(text)
    except PromqlError as wrong:
        problems.add(node, f"{node.where}: {wrong}")
        return {}
    end = "\n" if "#" in inner else ""  # a comment would swallow the bracket
    good = f"({inner}{end}) {OPERATORS[threshold.op]} bool {threshold.value!r}"
    out = {}
    for window in windows:
        steps = f"[{format_duration(window)}:{STEP}]"
        out[window] = WindowQueries(
            f"sum(sum_over_time(({good}){steps}))", f"sum(count_over_time(({inner}{end}){steps}))"
        )
    return out


def _has_window(text: str) -> bool:
    try:
        return by_form(rewrite.has_window, text)
    except PromqlError:
        return False  # the parser says what is wrong


def missing_is_zero(ratio: Ratio) -> bool:
    """Whether the part only adds matchers to the total: then its absence can only mean that nothing was counted."""
    try:
        return by_form(_adds_only_matchers, str(ratio.part.value), str(ratio.total.value))
    except PromqlError:
        return True  # the query's own error is noted where it is read


def _adds_only_matchers(part: str, total: str) -> bool:
    return rewrite.adds_only_matchers(_any_window(part), _any_window(total))


def _any_window(text: str) -> str:
    return rewrite.with_window(text, "5m") if rewrite.has_window(text) else text
