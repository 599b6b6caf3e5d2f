"""Traces as rows: the waterfall of one, and how times and durations of spans are written for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest

from opsctl.core.frozen import dataclass
from opsctl.core.trace_shape import NO_PARENT
from opsctl.core.traces import Span, Trace
from opsctl.insight.critical_path import Segment, critical_path
from opsctl.insight.siblings import LEAST, median, runs

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Stretch = tuple[int, int, bool]
"""(from, to) in µs since the trace began, and whether the trace was waiting for it."""


@dataclass(frozen=True, slots=True)
class WaterfallLine:
    """One span, or several of the same in a row (`count` > 1, `spans` with all that is below them)."""

    index: int  # of the (first) span in the trace
    depth: int
    name: str
    service: str
    span_id: str
    offset_us: int  # since the trace began
    duration_us: int  # of all of them together, from the first start to the last end
    path_us: int  # of the trace's critical path; with what is below where that is not shown
    errors: int
    count: int
    spans: int
    median_us: int
    longest_us: int
    stretches: tuple[Stretch, ...]


Row = tuple[tuple[int, ...], int]
"""The spans that one line stands for (several: the same call in a row), and how deep it is."""


def waterfall(trace: Trace, *, unfold: bool = False) -> tuple[WaterfallLine, ...]:
    """Depth first, children by start; the same call three times in a row is one line unless `unfold`."""
    whole = Waterfall(trace)
    return tuple(whole.line(row) for row in whole.rows(unfold=unfold))


class Waterfall:
    """One trace being drawn: all of its rows at once, which is cheap, and a line when somebody looks at it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._shape = trace.shape
        self._segments: dict[int, list[Segment]] = {}
        for segment in critical_path(trace.shape):
            if not segment.idle:
                self._segments.setdefault(segment.index, []).append(segment)

    def rows(
        self, *, unfold: bool = False, opened: Collection[int] = (), closed: Collection[int] = ()
    ) -> Sequence[Row]:
        """Rows from the top; `opened` names runs to unfold by their first span, `closed` spans to show without what
        is below them.
        """
        out: list[Row] = []
        waiting: list[Row] = [(run, 0) for run in reversed(self._runs(NO_PARENT, unfold, opened))]
        while waiting:
            row = waiting.pop()
            out.append(row)
            run, depth = row
            if len(run) == 1 and run[0] not in closed and self._shape.below[run[0]]:
                waiting += [(below, depth + 1) for below in reversed(self._runs(run[0], unfold, opened))]
        return out

    def _runs(self, parent: int, unfold: bool, opened: Collection[int]) -> Sequence[tuple[int, ...]]:
        siblings = self._shape.below[parent]
        if unfold or len(siblings) < LEAST:
            return [(index,) for index in siblings]
        out: list[tuple[int, ...]] = []
        for run in runs(self.trace, siblings):
            out += [(index,) for index in run] if run[0] in opened else [run]
        return out

    def run_of(self, index: int) -> tuple[int, ...]:
        """All spans of the run that a span belongs to; itself where it is alone."""
        siblings = self._shape.below[self._shape.parents[index]]
        return next(run for run in runs(self.trace, siblings) if index in run)

    def waits(self, index: int) -> bool:
        """Whether a span itself is on the critical path."""
        return index in self._segments

    def shown(self, row: Row, closed: Collection[int] = ()) -> Sequence[int]:
        """Every span that a row stands for: with what is below, where that has no rows of its own."""
        run = row[0]
        return run if len(run) == 1 and run[0] not in closed else list(self._with_below(run))

    def line(self, row: Row, closed: Collection[int] = ()) -> WaterfallLine:
        """What is to be said of a row."""
        run, depth = row
        shape, spans = self._shape, self.trace.spans
        shown = self.shown(row, closed)
        start = min(shape.starts_us[index] for index in run)
        end = max(shape.ends_us[index] for index in run)
        durations = [shape.ends_us[index] - shape.starts_us[index] for index in run]
        first = spans[run[0]]
        segments = [segment for index in shown for segment in self._segments.get(index, ())]
        stretches = [(shape.starts_us[index], shape.ends_us[index], False) for index in run]
        stretches += [(segment.from_us, segment.to_us, True) for segment in segments]
        began = shape.start_us
        return WaterfallLine(
            index=run[0],
            depth=depth,
            name=first.name,
            service=first.service,
            span_id=first.span_id,
            offset_us=start - began,
            duration_us=end - start,
            path_us=sum(segment.duration_us for segment in segments),
            errors=sum(spans[index].failed for index in shown),
            count=len(run),
            spans=len(shown),
            median_us=median(durations),
            longest_us=max(durations),
            stretches=tuple((begin - began, until - began, critical) for begin, until, critical in stretches),
        )

    def _with_below(self, run: tuple[int, ...]) -> Iterator[int]:
        waiting = list(run)
        while waiting:
            index = waiting.pop()
            yield index
            waiting += self._shape.below[index]


def shortened(lines: Sequence[WaterfallLine], most: int) -> tuple[WaterfallLine, ...]:
    """At most so many lines: by turns the longest on the path and those with errors, each with what is above it."""
    if len(lines) <= most:
        return tuple(lines)
    above = _above(lines)
    longest = sorted(range(len(lines)), key=lambda place: -lines[place].path_us)
    failed = sorted((place for place in longest if lines[place].errors), key=lambda place: -lines[place].depth)
    kept: set[int] = {0}
    for place in _by_turns(longest, failed):
        wanted = []
        at = place
        while at != NO_PARENT and at not in kept:
            wanted.append(at)
            at = above[at]
        kept.update(wanted[: most - len(kept)])
        if len(kept) >= most:
            break
    return tuple(lines[place] for place in sorted(kept))


def _above(lines: Sequence[WaterfallLine]) -> Sequence[int]:
    """The place of the line that each is below."""
    out: list[int] = []
    open_at: list[int] = []  # the newest line of each depth
    for place, line in enumerate(lines):
        del open_at[line.depth :]
        out.append(open_at[-1] if open_at else NO_PARENT)
        open_at.append(place)
    return out


def _by_turns(one: Sequence[int], other: Sequence[int]) -> Iterator[int]:
    for pair in zip_longest(one, other):
        yield from (place for place in pair if place is not None)


def telling_span(trace: Trace) -> Span:
    """The span to look at first: the deepest that failed, else the one that the trace waited for longest."""
    shape = trace.shape
    depths = [0] * len(trace.spans)
    for index in shape.order:
        parent = shape.parents[index]
        depths[index] = 0 if parent == NO_PARENT else depths[parent] + 1
    path = [0] * len(trace.spans)
    for segment in critical_path(shape):
        path[segment.index] += 0 if segment.idle else segment.duration_us

    def weight(index: int) -> tuple[bool, int, int]:
        failed = trace.spans[index].failed
        return failed, depths[index] if failed else 0, path[index]

    return trace.spans[max(shape.order, key=weight)]


def why_failed(span: Span) -> str:
    """What a span that failed says of it, in the words of OpenTelemetry, OpenTracing or Zipkin; often nothing."""
    said = [event.attributes.get("exception.message") or event.attributes.get("message") for event in span.events]
    said += [span.attributes.get(name) for name in ("otel.status_description", "error.message", "error")]
    words = (text for text in said if isinstance(text, str) and text.strip().lower() not in {"", "true", "1"})
    return next(words, "") if span.failed else ""


def bar(stretches: Sequence[Stretch], total_us: int, width: int) -> str:
    """A line of `width` cells over the whole trace: `█` where the trace waited for this, `░` where it only ran."""
    cells = [" "] * width
    for begin, until, critical in stretches:
        scale = width / total_us if total_us > 0 else 0.0
        first = min(width - 1, int(begin * scale))
        last = max(first + 1, min(width, -int(-until * scale // 1)))
        for cell in range(first, last):
            if critical or cells[cell] == " ":
                cells[cell] = "█" if critical else "░"
    return "".join(cells)


def moment_of(us: int) -> datetime:
    """A time in microseconds since the epoch; a time that no calendar has is the nearest one that it has."""
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if us > 0 else datetime.min.replace(tzinfo=UTC)


def took(us: int) -> str:
    """A duration in three digits: `812 µs`, `3.4 ms`, `1.25 s`, `2m05s`."""
    size = abs(us)
    if size < 1_000:
        return f"{us} µs"
    if size < 999_500:
        return f"{_three(us / 1_000)} ms"
    if size < 99_950_000:
        return f"{_three(us / 1_000_000)} s"
    seconds = round(size / 1_000_000)
    sign = "-" if us < 0 else ""
    if seconds < 3600:
        return f"{sign}{seconds // 60}m{seconds % 60:02d}s"
    return f"{sign}{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def _three(value: float) -> str:
    size = abs(value)
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:.0f}"


def difference(us: int) -> str:
    """A difference of durations, with its sign."""
    return took(us) if us <= 0 else f"+{took(us)}"
