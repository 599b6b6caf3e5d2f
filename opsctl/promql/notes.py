"""The remarks that travel with a result: Prometheus's annotations, in its words.

Must never decide anything: a note changes no number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from opsctl.promql.ast import Expr, children
from opsctl.promql.series import NAME, Bools, Floats, SeriesSet

_COUNTERS = ("_total", "_sum", "_count", "_bucket")


@dataclass(slots=True)
class Notes:
    """Warnings and infos in the order they came up, each once; ended by where in the expression."""

    warnings: dict[str, None] = field(default_factory=dict)
    infos: dict[str, None] = field(default_factory=dict)
    line_starts: tuple[int, ...] = (0,)

    def warn(self, text: str, expr: Expr) -> None:
        """Add a warning about an expression."""
        self.warnings[f"PromQL warning: {text}{self._where(expr)}"] = None

    def info(self, text: str, expr: Expr) -> None:
        """Add an info about an expression."""
        self.infos[f"PromQL info: {text}{self._where(expr)}"] = None

    def _where(self, expr: Expr) -> str:
        at = expr.at
        if at < 0:
            return ""
        line = sum(start <= at for start in self.line_starts)
        return f" ({line}:{at - self.line_starts[line - 1] + 1})"

    def quantile(self, q: Floats, expr: Expr | None) -> None:
        """Warn of quantiles that are none."""
        if expr is None:
            return
        for value in np.unique(q[~((q >= 0) & (q <= 1))]).tolist():
            self.warn(f"quantile value should be between 0 and 1, got {go_float(value)}", expr)

    def counter(self, series: SeriesSet, present: Bools, expr: Expr) -> None:
        """Say that what is treated as a counter has not the name of one."""
        suspects = series.derive("not counters", lambda: _not_counters(series))
        for row, name in suspects:
            if present[row].any():
                inner = expr
                while inner.at < 0 and children(inner):
                    inner = children(inner)[0]
                self.info(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: " + f'"{name}"',
                    inner,
                )


def _not_counters(series: SeriesSet) -> tuple[tuple[int, str], ...]:
    names = ((row, dict(labels).get(NAME, "")) for row, labels in enumerate(series.labels))
    dropped = series.drops.tolist()
    return tuple((row, name) for row, name in names if name and not dropped[row] and not name.endswith(_COUNTERS))


def go_float(value: float) -> str:
    """A number as Go's %g prints it."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    return text[:-2] if text.endswith(".0") else text
