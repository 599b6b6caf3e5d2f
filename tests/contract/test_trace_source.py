"""One contract for every trace source: in memory, a real Jaeger 2.13 and a real Zipkin 3.6.1, given the same traces.

Where they differ it is said here: Zipkin has names in lower case, texts for all values, no kinds of operations, no
resource apart from the tags, no links and no event attributes; Jaeger counts no errors of dependencies.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from collectors.jaeger import JaegerSource
from collectors.memory_traces import MemoryTraceSource
from collectors.zipkin import ZipkinSource
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.traces import Span, Trace, TracePage
from opsctl.http import Endpoint
from opsctl.insight.critical_path import critical_path
from opsctl.ports.traces import TraceQuery, TraceSource, value_text
from tests.contract.trace_world import HOSTILE, MS, otlp, post, span, wait_until, world
from tests.contract.trace_world import zipkin as as_zipkin
from tests.servers.jaeger import Jaeger
from tests.servers.running import Running

SECONDS = 10.0
FIRST_ID = 0xABC0
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
BASE_US = int(BEGAN.timestamp()) * 1_000_000
WORLD = world(BASE_US, FIRST_ID)
END = BEGAN + timedelta(minutes=5)
SHOP = TraceQuery("shop", BEGAN - timedelta(minutes=1), END)
PURSE = replace(SHOP, service="purse")
HEALTHY, FAILED, TORN, STRANGE, LINKED = (trace.trace_id for trace in WORLD)


@dataclass
class Kind:
    """A source, and what its backend does to what it keeps."""

    name: str
    source: TraceSource

    def text(self, name: str) -> str:
        """A service's or operation's name as this backend keeps it."""
        return name.lower() if self.name == "zipkin" else name


@pytest.fixture(scope="module")
def jaeger_url(jaeger: Jaeger) -> str:
    """A real Jaeger that has the traces."""
    post(f"{jaeger.otlp}/v1/traces", otlp(WORLD))
    source = JaegerSource(Endpoint(jaeger.url))
    wait_until(lambda: all(isinstance(source.trace(trace.trace_id, SECONDS), Measured) for trace in WORLD))
    source.close()
    return jaeger.url


@pytest.fixture(scope="module")
def zipkin_url(zipkin: Running) -> str:
    """A real Zipkin that has the traces."""
    post(f"{zipkin.url}/api/v2/spans", as_zipkin(WORLD))
    source = ZipkinSource(Endpoint(zipkin.url))
    wait_until(lambda: all(isinstance(source.trace(trace.trace_id, SECONDS), Measured) for trace in WORLD))
    source.close()
    return zipkin.url


@pytest.fixture(params=["memory", "jaeger", "zipkin"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Each kind of source, fresh; the servers behind them are shared."""
    source: TraceSource
    if request.param == "memory":
        source = MemoryTraceSource()
        source.add(WORLD)
    elif request.param == "jaeger":
        source = JaegerSource(Endpoint(request.getfixturevalue("jaeger_url")))
    else:
        source = ZipkinSource(Endpoint(request.getfixturevalue("zipkin_url")))
    yield Kind(request.param, source)
    source.close()


@pytest.fixture
def source(kind: Kind) -> TraceSource:
    """The source alone."""
    return kind.source


def found(reading: Reading[TracePage]) -> list[str]:
    """The trace ids of a page; fails unless the answer is whole."""
    if isinstance(reading, Absent):
        return []
    assert isinstance(reading, Measured), reading
    return [trace.trace_id for trace in reading.data.traces]


def whole(reading: Reading[Trace]) -> Trace:
    """The trace of a whole answer."""
    assert isinstance(reading, Measured), reading
    return reading.data


def test_it_names_itself_and_its_bound(kind: Kind) -> None:
    """`name` is for people and `concurrency` at least one."""
    assert kind.source.name.startswith(kind.name)
    assert kind.source.concurrency >= 1


def test_every_service_is_there_and_sorted(source: TraceSource) -> None:
    """Services of others may be there too: the servers are shared."""
    reading = source.services(SECONDS)
    assert isinstance(reading, Measured)
    assert list(reading.data) == sorted(set(reading.data))
    assert {"shop", "purse", "watch"} <= set(reading.data)


def test_operations_are_those_of_the_service(kind: Kind) -> None:
    """Sorted, each once, and with the kind of their spans where the backend keeps it."""
    reading = kind.source.operations("purse", SECONDS)
    assert isinstance(reading, Measured)
    assert [one.name for one in reading.data] == [kind.text(name) for name in ("purse.Credit", "purse.Debit")]
    assert {one.kind for one in reading.data} == ({""} if kind.name == "zipkin" else {"server"})


def test_an_unknown_service_is_absent(source: TraceSource) -> None:
    """Not an error, and not an empty measurement."""
    assert isinstance(source.operations("nobody", SECONDS), Absent)
    assert isinstance(source.search(replace(SHOP, service="nobody"), SECONDS), Absent)


def test_a_search_finds_whole_traces_newest_first(kind: Kind) -> None:
    """A trace is found by any service in it and comes with the spans of all the others."""
    reading = kind.source.search(SHOP, SECONDS)
    assert found(reading) == [STRANGE, FAILED, HEALTHY]
    assert isinstance(reading, Measured)
    assert not reading.data.truncated
    assert [len(trace.spans) for trace in reading.data.traces] == [1, 2, 4]
    assert found(kind.source.search(PURSE, SECONDS)) == [TORN, FAILED, HEALTHY]


SEARCHES: dict[str, tuple[TraceQuery, list[str]]] = {
    "an operation": (replace(SHOP, operation="POST /buy"), [FAILED, HEALTHY]),
    "an operation of another service": (replace(SHOP, operation="purse.Credit"), []),
    "an operation with control characters": (replace(SHOP, operation=HOSTILE), [STRANGE]),
    "errors": (replace(SHOP, errors_only=True), [FAILED]),
    "errors of another service's spans only": (replace(SHOP, service="watch", errors_only=True), []),
    "at least so long": (replace(PURSE, min_duration=timedelta(milliseconds=30)), [TORN, HEALTHY]),
    "at most so long": (replace(PURSE, max_duration=timedelta(milliseconds=20)), [FAILED]),
    "between two durations": (
        replace(PURSE, min_duration=timedelta(milliseconds=21), max_duration=timedelta(milliseconds=49)),
        [TORN],
    ),
    "a span attribute": (replace(SHOP, attributes={"http.response.status_code": "500"}), [FAILED]),
    "an attribute that is a truth value": (replace(PURSE, attributes={"cached": "false"}), [HEALTHY]),
    "an attribute that is a fraction": (replace(PURSE, attributes={"share": "0.5"}), [HEALTHY]),
    "a resource attribute": (replace(SHOP, attributes={"service.version": "2026.3.1"}), [STRANGE, FAILED, HEALTHY]),
    "a hostile value": (replace(SHOP, attributes={"note": HOSTILE}), [STRANGE]),
    "a kind of spans": (replace(SHOP, attributes={"span.kind": "client"}), [HEALTHY]),
    "another service's name": (replace(SHOP, attributes={"service.name": "purse"}), []),
    "an attribute that nothing has": (replace(SHOP, attributes={"note": "nothing"}), []),
    "two attributes of one span": (
        replace(PURSE, attributes={"cached": "false", "share": "0.5"}),
        [HEALTHY],
    ),
    "everything that is said in one span": (
        replace(SHOP, operation="POST /buy", errors_only=True, max_duration=timedelta(milliseconds=90)),
        [FAILED],
    ),
    "errors and an operation of other spans": (replace(SHOP, operation="purse.Debit", errors_only=True), []),
    "a window with one trace": (
        replace(SHOP, start=BEGAN + timedelta(seconds=5), end=BEGAN + timedelta(seconds=15)),
        [FAILED],
    ),
    "a window that ends as the span begins": (replace(SHOP, start=BEGAN - timedelta(seconds=9), end=BEGAN), [HEALTHY]),
    "a window in which only a later span of the trace began": (
        replace(PURSE, start=BEGAN + timedelta(milliseconds=5), end=BEGAN + timedelta(seconds=1)),
        [HEALTHY],
    ),
    "a window without traces": (replace(SHOP, start=END, end=END + timedelta(minutes=1)), []),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_what_fits_and_nothing_else(source: TraceSource, name: str) -> None:
    """Whatever the server thinks of the filter: all that is said must hold for one span."""
    query, expected = SEARCHES[name]
    reading = source.search(query, SECONDS)
    assert found(reading) == expected
    assert isinstance(reading, Measured if expected else Absent)


def test_event_attributes_are_searched(kind: Kind) -> None:
    """An exception's type, which Zipkin does not keep."""
    query = replace(PURSE, attributes={"exception.type": "Timeout"})
    assert found(kind.source.search(query, SECONDS)) == ([] if kind.name == "zipkin" else [FAILED])


def test_a_limit_cuts_and_says_so(source: TraceSource) -> None:
    """Two of three, the newest; and three of three is not cut."""
    reading = source.search(replace(SHOP, limit=2), SECONDS)
    assert found(reading) == [STRANGE, FAILED]
    assert isinstance(reading, Measured)
    assert reading.data.truncated
    exactly = source.search(replace(SHOP, limit=3), SECONDS)
    assert isinstance(exactly, Measured)
    assert not exactly.data.truncated


def test_a_search_that_ends_before_it_starts_is_rejected(source: TraceSource) -> None:
    """In the same words by all."""
    reading = source.search(replace(SHOP, end=SHOP.start - timedelta(seconds=1)), SECONDS)
    assert isinstance(reading, Failed)
    assert (reading.reason, reading.message) == (
        Reason.REJECTED,
        "the end of a search must not be before its start",
    )


def test_a_trace_comes_back_as_it_was(kind: Kind) -> None:
    """Ids with all their zeros, the tree, times to the microsecond, kinds and status."""
    for sent in WORLD:
        got = whole(kind.source.trace(sent.trace_id, SECONDS))
        assert got.trace_id == sent.trace_id
        assert got.duration_us == sent.duration_us
        for ours, theirs in zip(sent.spans, got.spans, strict=True):
            assert _same(kind, ours) == _same(kind, theirs)
        assert list(got.shape.parents) == list(sent.shape.parents)
        assert got.root.span_id == sent.root.span_id
        assert critical_path(got.shape) == critical_path(sent.shape)


def _same(kind: Kind, one: Span) -> tuple[object, ...]:
    known = "" if kind.name == "zipkin" and one.kind == "internal" else one.kind
    return (
        one.span_id,
        one.parent_id,
        kind.text(one.name),
        kind.text(one.service),
        known,
        one.start_us,
        one.duration_us,
        one.status,
    )


def test_attributes_keep_their_values(kind: Kind) -> None:
    """Numbers and truth values stay what they are (texts in Zipkin); hostile text is data."""
    healthy = whole(kind.source.trace(HEALTHY, SECONDS))
    debit = healthy.by_id[f"{3:016x}"]
    wanted = {"cached": False, "share": 0.5}
    shown = {name: value_text(value) for name, value in wanted.items()} if kind.name == "zipkin" else wanted
    assert {name: debit.attributes[name] for name in wanted} == shown
    owner = debit.attributes if kind.name == "zipkin" else debit.resource
    assert owner["service.version"] == "2026.3.1"
    strange = whole(kind.source.trace(STRANGE, SECONDS)).root
    assert (strange.name, strange.attributes["note"]) == (kind.text(HOSTILE), HOSTILE)


def test_an_exception_is_an_event(kind: Kind) -> None:
    """With its time, and its attributes where the backend keeps them."""
    (event,) = whole(kind.source.trace(FAILED, SECONDS)).spans[1].events
    assert (event.name, event.at_us) == ("exception", BASE_US + 10_000_000 + 30 * MS)
    if kind.name != "zipkin":
        assert event.attributes == {"exception.type": "Timeout", "exception.message": HOSTILE}


def test_a_link_leads_to_another_trace(kind: Kind) -> None:
    """It is no parent."""
    trace = whole(kind.source.trace(LINKED, SECONDS))
    assert trace.root.parent_id is None
    assert trace.root.links == (() if kind.name == "zipkin" else ((HEALTHY, f"{1:016x}"),))


def test_spans_whose_parent_did_not_arrive_are_roots(source: TraceSource) -> None:
    """Their parent's id is kept, and the trace has two roots."""
    trace = whole(source.trace(TORN, SECONDS))
    assert [one.parent_id for one in trace.spans] == [f"{21:016x}"] * 2
    assert list(trace.shape.parents) == [-1, -1]


@pytest.mark.parametrize("form", [f"{FIRST_ID:x}", f"{FIRST_ID:016x}", f" {FIRST_ID:032X}", f"0x{FIRST_ID:x}"])
def test_a_trace_is_found_by_any_form_of_its_id(source: TraceSource, form: str) -> None:
    """With and without zeros, in either case."""
    assert whole(source.trace(form, SECONDS)).trace_id == HEALTHY


def test_a_trace_that_is_not_there_is_absent(source: TraceSource) -> None:
    """Not an error."""
    assert isinstance(source.trace("f" * 32, SECONDS), Absent)
    assert isinstance(source.trace("123456789abcdef0", SECONDS), Absent)


@pytest.mark.parametrize("text", ["", "0", "nothex", "a/b", "1" * 33, "../services", "é"])
def test_what_is_no_trace_id_is_rejected(source: TraceSource, text: str) -> None:
    """And not sent."""
    reading = source.trace(text, SECONDS)
    assert isinstance(reading, Failed)
    assert reading.reason is Reason.REJECTED
    assert "hexadecimal" in reading.message


def test_dependencies_are_counted_between_services(kind: Kind) -> None:
    """`shop` called `purse` twice, and one of the calls failed; a service does not depend on itself."""
    reading = kind.source.dependencies(END, timedelta(minutes=10), SECONDS)
    assert isinstance(reading, Measured)
    ours = [edge for edge in reading.data if edge.parent in {"shop", "purse", "watch"}]
    assert list(reading.data) == sorted(reading.data, key=lambda edge: (edge.parent, edge.child))
    errors = {"memory": 1, "jaeger": None, "zipkin": 1}[kind.name]
    assert [(e.parent, e.child, e.calls, e.errors) for e in ours if e.child == "purse"] == [
        ("shop", "purse", 2, errors)
    ]
    consumed = [(edge.parent, edge.child, edge.calls) for edge in ours if edge.child == "watch"]
    # Zipkin draws a message from a broker, not from a service that is not its producer.
    assert consumed == ([] if kind.name == "zipkin" else [("shop", "watch", 1)])


def test_dependencies_of_a_time_without_traces_are_absent(source: TraceSource) -> None:
    """A year ago."""
    assert isinstance(source.dependencies(END - timedelta(days=365), timedelta(minutes=1), SECONDS), Absent)


def test_no_time_left_is_a_deadline(source: TraceSource) -> None:
    """A question with no time is not asked."""
    for reading in _everything(source, 0.0):
        assert isinstance(reading, Failed)
        assert reading.reason is Reason.DEADLINE


def _everything(source: TraceSource, seconds: float) -> list[Reading[object]]:
    return [
        source.services(seconds),
        source.operations("shop", seconds),
        source.search(SHOP, seconds),
        source.trace(HEALTHY, seconds),
        source.dependencies(END, timedelta(minutes=10), seconds),
    ]


def test_a_probe_says_it_is_there(kind: Kind) -> None:
    """Reachable, authorised, and the clocks agree on this machine."""
    probe = kind.source.probe(SECONDS)
    assert (probe.name, probe.reachable, probe.authorised) == (kind.source.name, True, True)
    assert probe.clock_skew_seconds is not None
    assert abs(probe.clock_skew_seconds) < 2
    assert probe.version == ("3.6.1" if kind.name == "zipkin" else "")


def test_after_close_every_answer_is_a_deadline(source: TraceSource) -> None:
    """`close()` twice is once; nothing is answered after it."""
    source.close()
    source.close()
    readings = _everything(source, SECONDS)
    assert [reading.reason for reading in readings if isinstance(reading, Failed)] == [Reason.DEADLINE] * 5
    assert not source.probe(SECONDS).reachable


def test_many_threads_get_their_own_answers(source: TraceSource) -> None:
    """As many threads as it allows, each with its own trace: no answer is another's."""
    wrong: list[object] = []

    def ask(number: int) -> None:
        for trace in itertools.islice(itertools.cycle(WORLD), number, number + 20):
            reading = source.trace(trace.trace_id, SECONDS)
            if not isinstance(reading, Measured) or reading.data.trace_id != trace.trace_id:
                wrong.append(reading)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(source.concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_trace_of_thousands_of_spans_comes_whole(kind: Kind, request: pytest.FixtureRequest) -> None:
    """3,000 spans, one below the other in places, with the critical path that was sent."""
    parents = [None, *[number - 1 if number % 3 else 1 for number in range(2, 3001)]]
    spans = [
        span(
            0xB16, number, parents[number - 1], "big", f"step {number % 7}", "internal", BASE_US + number, 9000 - number
        )
        for number in range(1, 3001)
    ]
    sent = Trace(spans[0].trace_id, tuple(spans))
    if kind.name == "memory":
        assert isinstance(kind.source, MemoryTraceSource)
        kind.source.add([sent])
    elif kind.name == "jaeger":
        post(f"{request.getfixturevalue('jaeger').otlp}/v1/traces", otlp([sent]))
    else:
        post(f"{request.getfixturevalue('zipkin').url}/api/v2/spans", as_zipkin([sent]))

    def there() -> bool:
        reading = kind.source.trace(sent.trace_id, SECONDS)
        return isinstance(reading, Measured) and len(reading.data.spans) == 3000

    wait_until(there)
    got = whole(kind.source.trace(sent.trace_id, SECONDS))
    assert critical_path(got.shape) == critical_path(sent.shape)


def test_five_questions_are_quick(source: TraceSource) -> None:
    """Five questions about this little take less than five seconds, on a busy machine too."""
    begun = time.monotonic()
    assert all(isinstance(reading, Measured) for reading in _everything(source, SECONDS))
    assert time.monotonic() - begun < 5
