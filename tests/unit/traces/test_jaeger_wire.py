"""What Jaeger's JSON becomes: ids with dropped zeros, parents in all their forms, spans that are made on use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collectors.jaeger.answers import read
from collectors.jaeger.source import decode_traces
from collectors.jaeger.wire import traces_of
from opsctl.core.traces import SpansOnUse, Trace
from opsctl.http import Answer


def made(*spans: dict[str, Any]) -> Trace:
    """The trace of these spans, from the bytes of an answer."""
    trace = {"traceID": "abc", "spans": list(spans), "processes": {"p1": {"serviceName": "shop"}}}
    body = json.dumps({"data": [trace], "errors": None}).encode()
    (one,) = read(Answer(200, {}, body), decode_traces, traces_of, "http://127.0.0.1").data
    return one


def span(name: str, start: int = 0, *references: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    """A span with references (kind, trace, span)."""
    refs = [{"refType": kind, "traceID": trace, "spanID": of} for kind, trace, of in references]
    return {"spanID": name, "operationName": name, "startTime": start, "duration": 10, "references": refs} | {
        "processID": "p1",
        **more,
    }


CHILD, FOLLOWS = "CHILD_OF", "FOLLOWS_FROM"


@pytest.mark.parametrize(
    ("references", "parent", "links"),
    [
        ((), None, 0),
        (((CHILD, "abc", "1"),), 1, 0),
        (((CHILD, "0000abc", "01"),), 1, 0),
        (((CHILD, "", "1"),), 1, 0),
        (((FOLLOWS, "abc", "1"),), 1, 0),
        (((FOLLOWS, "abc", "2"), (CHILD, "abc", "1")), 1, 1),
        (((CHILD, "abc", "1"), (FOLLOWS, "def", "1")), 1, 1),
        (((CHILD, "def", "1"),), None, 1),
        (((FOLLOWS, "def", "1"), (FOLLOWS, "def", "2")), None, 2),
    ],
)
def test_parents_and_links(references: tuple[tuple[str, str, str], ...], parent: int | None, links: int) -> None:
    """CHILD_OF in this trace, else FOLLOWS_FROM in it; everything else is a link."""
    one = made(span("1"), span("2"), span("3", 5, *references)).by_id[f"{3:016x}"]
    assert one.parent_id == (None if parent is None else f"{parent:016x}")
    if parent is None or links:
        assert len(one.links) == links


def test_ids_are_whole_whatever_zeros_were_dropped() -> None:
    """Also where only one of many is short, or in capitals."""
    trace = made(span("000000000000000A"), span("b", 1, (CHILD, "abc", "a")))
    assert trace.trace_id == f"{0xABC:032x}"
    assert [one.span_id for one in trace.spans] == [f"{10:016x}", f"{11:016x}"]
    assert list(trace.shape.parents) == [-1, 0]


def test_spans_come_by_start_whatever_their_order() -> None:
    """As they ended is how they are stored."""
    trace = made(span("3", 30), span("1", 10), span("2", 20))
    assert [one.name for one in trace.spans] == ["1", "2", "3"]
    assert (trace.start_us, trace.duration_us) == (10, 30)


def test_spans_are_made_when_they_are_looked_at() -> None:
    """Times, tree and length cost no span; a span is made once."""
    trace = made(*(span(str(n), n) for n in range(1, 6)))
    spans = trace.spans
    assert isinstance(spans, SpansOnUse)
    assert (len(spans), trace.duration_us, len(trace.shape.order)) == (5, 14, 5)
    assert spans._made == [None] * 5
    assert spans[-1] is spans[4]
    assert spans._made[:4] == [None] * 4
    assert [one.name for one in spans[1:3]] == ["2", "3"]
    with pytest.raises(IndexError):
        _ = spans[5]
    assert spans == tuple(spans)
    assert spans != tuple(spans)[:-1]


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ([], "unset"),
        ([("error", True)], "error"),
        ([("error", "true")], "error"),
        ([("error", "False")], "unset"),
        ([("error", False)], "unset"),
        ([("otel.status_code", "ERROR")], "error"),
        ([("otel.status_code", "OK")], "ok"),
        ([("error", "timeout")], "error"),
    ],
)
def test_errors_in_all_their_spellings(tags: list[tuple[str, Any]], status: str) -> None:
    """OpenTracing's tag, as a truth value or a text, and OpenTelemetry's code."""
    one = made(span("1", tags=[{"key": key, "value": value} for key, value in tags])).root
    assert (one.status, one.failed) == (status, status == "error")
