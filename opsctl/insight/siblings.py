"""Calls that one span repeats: the same operation of the same service several times in a row.

Pure. Must never fold spans that differ in name or service, or that have another one between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from opsctl.core.traces import Trace

LEAST = 3
"""So many in a row are one line."""


def runs(trace: Trace, siblings: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Siblings (by start) as runs of one operation; a run shorter than `LEAST` comes as single spans."""

    def operation(index: int) -> tuple[str, str]:
        span = trace.spans[index]
        return span.service, span.name

    for _, group in groupby(siblings, operation):
        run = tuple(group)
        if len(run) >= LEAST:
            yield run
        else:
            yield from ((index,) for index in run)


def median(values: Sequence[int]) -> int:
    """The lower median: a value that was measured."""
    return sorted(values)[(len(values) - 1) // 2]
