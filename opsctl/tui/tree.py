"""A trace as rows that can be folded and unfolded, and where its errors and its critical path are in them.

Pure: no textual. What is needed of all spans is computed once; a line of the screen only when it is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opsctl.core.trace_shape import NO_PARENT
from opsctl.core.traces import Span, Trace
from opsctl.render.traces import failure_line, few_warnings
from opsctl.views.traces import Row, Waterfall, WaterfallLine, telling_span


class Tree:
    """One trace, and what of it is folded. Making one looks at every span: in a worker where there are many."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.waterfall = Waterfall(trace)
        telling = telling_span(trace)
        self.telling = telling.span_id
        self.failure = failure_line(telling)
        self.warnings = tuple(few_warnings(trace))
        self._failed = bytes(span.failed for span in trace.spans)
        self.errors = sum(self._failed)
        self._opened: set[int] = set()
        self._closed: set[int] = set()
        self.unfolded = False  # all of it
        self.rows: Sequence[Row] = ()
        self._place: dict[int, int] = {}  # of each span's row
        self._lay()

    def _lay(self) -> None:
        self.rows = self.waterfall.rows(unfold=self.unfolded, opened=self._opened, closed=self._closed)
        self._place = {index: place for place, (run, _) in enumerate(self.rows) for index in run}

    # -- what is seen

    def line(self, place: int) -> WaterfallLine:
        """What is to be said of a row."""
        return self.waterfall.line(self.rows[place], self._closed)

    def span(self, place: int) -> Span:
        """The span of a row; of several the first that failed, else the longest."""
        run, _ = self.rows[place]
        ends, starts = self.trace.shape.ends_us, self.trace.shape.starts_us
        return self.trace.spans[max(run, key=lambda index: (self._failed[index], ends[index] - starts[index]))]

    def hides(self, place: int) -> int:
        """How many spans a row stands for, besides its first one."""
        return len(self.waterfall.shown(self.rows[place], self._closed)) - 1

    def enters(self, place: int) -> bool:
        """Whether another service than that of the span above begins in a row."""
        index = self.rows[place][0][0]
        parent = self.trace.shape.parents[index]
        return parent == NO_PARENT or self.trace.spans[parent].service != self.trace.spans[index].service

    # -- folding

    def toggle(self, place: int) -> int:
        """Unfold what is folded in a row, or fold it: the run that it was unfolded from, else what is below it.

        The place of the same span afterwards.
        """
        run, _ = self.rows[place]
        index = run[0]
        first = self.waterfall.run_of(index)[0] if self._opened else index
        if len(run) > 1:
            self._opened.add(index)
        elif index in self._closed:
            self._closed.discard(index)
        elif first in self._opened:
            self._opened.discard(first)
        elif self.trace.shape.below[index]:
            self._closed.add(index)
        self._lay()
        return self._place[index]

    def toggle_all(self, place: int) -> int:
        """Unfold everything, or fold what repeats; the place of the same span, or of what it is folded into."""
        index = self.rows[place][0][0]
        self.unfolded = not self.unfolded
        self._opened.clear()
        self._closed.clear()
        self._lay()
        return self._near(index)

    # -- going places

    def place_of(self, span_id: str) -> int:
        """The row of a span, unfolding what hides it as little as is needed; -1 where the trace has no such span."""
        index = next((i for i, name in enumerate(self.trace.shape.span_ids) if name == span_id), NO_PARENT)
        if index == NO_PARENT:
            return -1
        while (run := self.rows[place := self._near(index)][0]) != (index,):
            if len(run) == 1 and run[0] not in self._closed:
                return place  # cannot be: what is below an open row has rows
            self.toggle(place)
        return place

    def first_place(self) -> int:
        """The row to begin on: that of the span that tells most, or of the run that it is one of."""
        index = self.trace.shape.span_ids.index(self.telling)
        place = self._near(index)
        return place if index in self.rows[place][0] else self.place_of(self.telling)

    def _near(self, index: int) -> int:
        """The row of a span, or of the nearest span above it that has one."""
        while index not in self._place:
            index = self.trace.shape.parents[index]
        return self._place[index]

    def next_error(self, place: int, by: int) -> int:
        """The next row (`by` 1) or the one before (-1) with a span that failed; -1 where there is none."""
        return self._next(place, by, lambda index: bool(self._failed[index]))

    def next_waited(self, place: int, by: int = 1) -> int:
        """The next row on the critical path; -1 where there is none."""
        return self._next(place, by, self.waterfall.waits)

    def _next(self, place: int, by: int, fits: Callable[[int], bool]) -> int:
        count = len(self.rows)
        for away in range(1, count + 1):
            other = (place + by * away) % count
            if any(map(fits, self.waterfall.shown(self.rows[other], self._closed))):
                return other
        return -1
