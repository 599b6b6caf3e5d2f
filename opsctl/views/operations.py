"""What a service does, by span name, as a sample of its traces shows it: how often, how slow, how often it failed."""

from __future__ import annotations

from collections.abc import Iterable

from opsctl.core.frozen import dataclass
from opsctl.core.traces import Trace
from opsctl.insight.siblings import median


@dataclass(frozen=True, slots=True)
class OperationLine:
    """One span name: times in µs over the spans of the sample; `trace_id` and `span_id` are of the longest one."""

    name: str
    count: int
    errors: int
    median_us: int
    longest_us: int
    trace_id: str
    span_id: str


def operations(traces: Iterable[Trace], service: str) -> tuple[OperationLine, ...]:
    """The operations of a service, the one with the longest span first."""
    spans: dict[str, list[tuple[int, bool, str, str]]] = {}
    for trace in traces:
        for span in trace.spans:
            if span.service == service:
                spans.setdefault(span.name, []).append((span.duration_us, span.failed, trace.trace_id, span.span_id))
    out = []
    for name, found in spans.items():
        longest = max(found)
        errors = sum(failed for _, failed, _, _ in found)
        middle = median([duration for duration, *_ in found])
        out.append(OperationLine(name, len(found), errors, middle, longest[0], longest[2], longest[3]))
    return tuple(sorted(out, key=lambda one: (-one.longest_us, one.name)))
