"""Rows and words: folding, bars, durations, what two traces differ in, dependencies against the catalogue."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.trace_shape import FIRST_US, LAST_US
from opsctl.core.traces import Edge, Span, SpanEvent, Trace, Value, trace_of
from opsctl.insight.trace_difference import differences, own_time_us
from opsctl.render.traces import few_warnings, log_commands, log_window, span_lines, write_waterfall
from opsctl.views.services import Seen, dependencies
from opsctl.views.traces import bar, difference, moment_of, shortened, telling_span, took, waterfall, why_failed
from tests.contract.trace_world import HOSTILE, MS, span


def calls(*names: str, took_us: int = 10 * MS) -> Trace:
    """A root that makes these calls one after the other."""
    spans = [span(1, 1, None, "shop", "buy", "server", 0, len(names) * took_us)]
    spans += [
        span(1, 2 + number, 1, "purse", name, "server", number * took_us, took_us) for number, name in enumerate(names)
    ]
    return trace_of(spans[0].trace_id, spans)


def counts(trace: Trace, *, unfold: bool = False) -> list[tuple[str, int]]:
    """Names and how many spans each line stands for."""
    return [(line.name, line.count) for line in waterfall(trace, unfold=unfold)]


def test_three_of_the_same_in_a_row_are_one_line() -> None:
    """Two are not, and nor are three with another between them."""
    assert counts(calls("a", "a", "a")) == [("buy", 1), ("a", 3)]
    assert counts(calls("a", "a")) == [("buy", 1), ("a", 1), ("a", 1)]
    assert counts(calls("a", "a", "b", "a")) == [("buy", 1), ("a", 1), ("a", 1), ("b", 1), ("a", 1)]
    assert counts(calls("a", "a", "a"), unfold=True) == [("buy", 1), ("a", 1), ("a", 1), ("a", 1)]


def test_the_same_name_of_another_service_is_not_the_same() -> None:
    """Service and name count together."""
    trace = calls("a", "a", "a")
    other = [*trace.spans[:2], *(span(1, 9, 1, "else", "a", "server", 15 * MS, MS),), *trace.spans[2:]]
    assert [count for _, count in counts(trace_of(trace.trace_id, other))] == [1, 1, 1, 1, 1]


def test_a_folded_line_has_what_is_below_it() -> None:
    """Spans, errors and the time on the path of all that it hides."""
    spans = list(calls("a", "a", "a").spans)
    spans.append(span(1, 50, 3, "purse", "INSERT", "client", 11 * MS, 8 * MS, "error"))
    folded = waterfall(trace_of(spans[0].trace_id, spans))[1]
    assert (folded.count, folded.spans, folded.errors, folded.path_us) == (3, 4, 1, 30 * MS)
    assert (folded.median_us, folded.longest_us, folded.duration_us) == (10 * MS, 10 * MS, 30 * MS)


def test_the_path_of_all_lines_is_the_trace_without_idle_time() -> None:
    """Folded or not."""
    spans = [*calls("a", "a", "a", "b").spans, span(1, 60, 1, "watch", "late", "consumer", 50 * MS, 10 * MS)]
    trace = trace_of(spans[0].trace_id, spans)
    for unfold in (False, True):
        assert sum(line.path_us for line in waterfall(trace, unfold=unfold)) == trace.duration_us - 10 * MS


@pytest.mark.parametrize(
    ("stretches", "drawn"),
    [
        ([(0, 100, True)], "██████████"),
        ([(0, 50, False)], "░░░░░     "),
        ([(90, 100, True)], "         █"),
        ([(99, 99, False)], "         ░"),
        ([(0, 100, False), (40, 60, True)], "░░░░██░░░░"),
        ([(55, 55, True)], "     █    "),
        ([], "          "),
    ],
)
def test_bars(stretches: list[tuple[int, int, bool]], drawn: str) -> None:
    """Ten cells over 100 µs; the shortest span is one cell."""
    assert bar(stretches, 100, 10) == drawn


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.booleans())), st.integers(0, 500))
def test_a_bar_is_always_as_wide_as_it_should_be(stretches: list[tuple[int, int, bool]], total: int) -> None:
    """Also for times that are not within the trace, and for a trace without time."""
    assert len(bar([(a, a + b, c) for a, b, c in stretches], total, 17)) == 17


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0 µs"),
        (999, "999 µs"),
        (1_000, "1.00 ms"),
        (9_999, "10.0 ms"),
        (99_960, "100 ms"),
        (999_499, "999 ms"),
        (999_500, "1.00 s"),
        (61_000_000, "61.0 s"),
        (125_000_000, "2m05s"),
        (7_300_000_000, "2h01m"),
        (-2_500, "-2.50 ms"),
        (-125_000_000, "-2m05s"),
    ],
)
def test_durations_in_words(us: int, text: str) -> None:
    """Three digits, in the unit that fits."""
    assert took(us) == text


def test_differences_have_a_sign() -> None:
    """Plus is said, zero has none."""
    assert (difference(1500), difference(0), difference(-1500)) == ("+1.50 ms", "0 µs", "-1.50 ms")


@pytest.mark.parametrize("us", [2**70, -(2**70), 0])
def test_a_time_that_no_calendar_has(us: int) -> None:
    """Hostile numbers become a time, not a traceback."""
    assert moment_of(us).tzinfo is not None


def test_own_time_is_what_no_child_covers() -> None:
    """Children that overlap count once, and what is outside the span not at all."""
    spans = [
        span(1, 1, None, "a", "a", "server", 100, 100),
        span(1, 2, 1, "b", "b", "server", 110, 30),
        span(1, 3, 1, "b", "b", "server", 130, 30),
        span(1, 4, 1, "b", "b", "server", 190, 500),
        span(1, 5, 1, "b", "b", "server", 50, 55),
    ]
    trace = trace_of(spans[0].trace_id, spans)
    root = next(index for index, one in enumerate(trace.spans) if one.span_id.endswith("1"))
    assert own_time_us(trace, root) == 100 - 50 - 10 - 5


def test_traces_are_aligned_by_path() -> None:
    """The same operation below another one is another path; what is in one only has one side; greatest first."""
    a, b = calls("x", "y"), calls("y", "y", "z", took_us=20 * MS)
    found = {one.operation: one for one in differences(a, b)}
    y = found["y"]
    assert y.a is not None
    assert y.b is not None
    assert (y.a.count, y.b.count, y.duration_us) == (1, 2, 30 * MS)
    assert (found["x"].b, found["z"].a) == (None, None)
    assert [one.operation for one in differences(a, b)] == ["y", "z", "x", "buy"]
    assert (y.depth, y.callers(9)) == (1, [("shop", "buy")])
    assert all(one.duration_us == one.own_us == 0 for one in differences(a, a))


def test_the_same_operation_below_another_is_another_path() -> None:
    """By its callers, not by its name."""
    rows = [("buy", None), ("a", 1), ("db", 2), ("b", 1), ("db", 4)]
    spans = [span(1, n + 1, parent, "s", name, "server", n, 100 - 10 * n) for n, (name, parent) in enumerate(rows)]
    trace = trace_of(spans[0].trace_id, spans)
    below = [one.callers(9)[-1][1] for one in differences(trace, trace) if one.operation == "db"]
    assert sorted(below) == ["a", "b"]


def test_a_tree_of_twenty_thousand_levels_is_compared() -> None:
    """Each level costs the same."""
    count = 20_000
    spans = [span(1, n, n - 1 or None, "s", "again", "server", n, 2 * count - 2 * n) for n in range(1, count + 1)]
    trace = trace_of(spans[0].trace_id, spans)
    found = differences(trace, trace)
    assert max(one.depth for one in found) == count - 1
    assert len(found[-1].callers(20)) <= 20


CATALOGUE = Catalogue(
    {
        "shop": Service("shop", 1, "m", depends_on=("wallet", "ledger", "bank", "queue")),
        "wallet": Service("wallet", 1, "m", selectors={"jaeger": "purse"}),
        "ledger": Service("ledger", 1, "m"),
        "bank": Service("bank", 1, "x", kind="third_party"),
        "queue": Service("queue", 3, "x", kind="third_party"),
    }
)


def test_dependencies_against_the_catalogue() -> None:
    """By the catalogue's names; a third party that sends spans should have been seen, one that sends none cannot be."""
    edges = [Edge("shop", "purse", 7, 1), Edge("purse", "stranger", 1)]
    found = dependencies(CATALOGUE, edges, ["shop", "purse", "queue", "stranger"], backend="jaeger")
    assert [(one.parent, one.child, one.seen, one.calls, one.errors) for one in found] == [
        ("wallet", "stranger", Seen.NOT_DECLARED, 1, None),
        ("shop", "ledger", Seen.NOT_SEEN, None, None),
        ("shop", "queue", Seen.NOT_SEEN, None, None),
        ("shop", "bank", Seen.NOT_TRACED, None, None),
        ("shop", "wallet", Seen.DECLARED, 7, 1),
    ]
    only = dependencies(CATALOGUE, edges, ["shop"], backend="jaeger", service="wallet")
    assert {(one.parent, one.child) for one in only} == {("wallet", "stranger"), ("shop", "wallet")}


def drawn(trace: Trace, width: int) -> list[str]:
    """The waterfall's lines."""
    out = io.StringIO()
    write_waterfall(out, trace, waterfall(trace), color=False, width=width)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_a_waterfall_fits_its_terminal(width: int) -> None:
    """Hostile names of any length, on any terminal: printable, and not wider than 80 columns or the terminal."""
    names = [HOSTILE, "x" * 300, "", "日本" * 40]
    spans = [span(1, 1, None, HOSTILE * 3, names[0], "server", 0, 100 * MS)]
    spans += [span(1, 2 + n, 1 + n, "s" * 60, name, "server", n, 90 * MS) for n, name in enumerate(names)]
    for line in drawn(trace_of(spans[0].trace_id, spans), width):
        assert line.isprintable()
        assert cell_len(line) <= max(width, 72)


def test_a_deep_tree_does_not_run_out_of_the_screen() -> None:
    """From the thirteenth level on the depth is a number."""
    spans = [span(1, n, n - 1 or None, "s", f"step {n}", "server", n, 1000 - n) for n in range(1, 40)]
    lines = drawn(trace_of(spans[0].trace_id, spans), 100)
    assert "38› step 39" in lines[-1]


def test_ten_thousand_spans_are_drawn_in_a_second_or_two() -> None:
    """`--all` on a large trace is text at once, not a table that is laid out."""
    import time

    spans: list[Span] = [span(1, 1, None, "s", "root", "server", 0, 10**7)]
    spans += [span(1, n, n // 3 or 1, "s", f"step {n % 5}", "server", n * 900, 5000) for n in range(2, 10_001)]
    trace = trace_of(spans[0].trace_id, spans)
    begun = time.monotonic()
    out = io.StringIO()
    write_waterfall(out, trace, waterfall(trace, unfold=True), color=True, width=120)
    assert len(out.getvalue().splitlines()) == 10_001
    assert time.monotonic() - begun < 10


def test_a_large_trace_is_cut_to_the_lines_that_tell_most() -> None:
    """The longest on the path and what failed are kept with what is above them, in their order; never more lines."""
    spans: list[Span] = [span(1, 1, None, "s", "root", "server", 0, 10**7)]
    for n in range(2, 3000):
        bad = "error" if n == 2500 else "unset"
        spans.append(span(1, n, n // 3 or 1, "s", f"step {n}", "server", n * 900, 5_000_000 if n == 1700 else 5, bad))
    trace = trace_of(spans[0].trace_id, spans)
    every = waterfall(trace)
    assert shortened(every, len(every)) == every
    few = shortened(every, 50)
    assert len(few) == 50
    assert [line for line in every if line in few] == list(few)
    names = {line.name for line in few}
    assert {"root", "step 1700", "step 566", "step 188", "step 2500", "step 833"} <= names
    deep = [span(2, n, n - 1 or None, "s", f"step {n}", "server", n, 10_000 - n) for n in range(1, 5000)]
    assert len(shortened(waterfall(trace_of(deep[0].trace_id, deep)), 50)) == 50


def test_the_span_to_look_at_is_found_in_a_folded_line_too() -> None:
    """The deepest failure, though it is one of many calls; without one, where the time went."""
    calls = [span(1, 2 + n, 1, "db", "SELECT", "client", n * MS, MS, "error" if n == 5 else "unset") for n in range(9)]
    trace = trace_of(calls[0].trace_id, [span(1, 1, None, "s", "root", "server", 0, 9 * MS, "error"), *calls])
    assert telling_span(trace).span_id == f"{7:016x}"
    slow = [span(1, 1, None, "s", "root", "server", 0, 9 * MS), span(1, 2, 1, "s", "slow", "server", MS, 7 * MS)]
    assert telling_span(trace_of(slow[0].trace_id, slow)).name == "slow"


@pytest.mark.parametrize(
    ("attributes", "event", "said"),
    [
        ({"error": True}, {"exception.message": "queue is full"}, "queue is full"),
        ({"error": "true", "otel.status_description": "no answer"}, {}, "no answer"),
        ({"error": "connection reset"}, {}, "connection reset"),
        ({"error": "true"}, {}, ""),
    ],
)
def test_why_a_span_failed(attributes: dict[str, Value], event: dict[str, Value], said: str) -> None:
    """In OpenTelemetry's, Jaeger's and Zipkin's places; a span that did not fail says nothing."""
    one = span(1, 1, None, "s", "root", "server", 0, 10, "error")
    events = (SpanEvent(5, "exception", event),) if event else ()
    failed = msgspec.structs.replace(one, attributes=attributes, events=events)
    assert why_failed(failed) == said
    assert why_failed(msgspec.structs.replace(failed, status="ok")) == ""


def test_a_stack_trace_is_lines_and_a_long_value_is_cut_for_people() -> None:
    """A line of the value for each line; 1 MB of an attribute does not push everything off the screen."""
    event = SpanEvent(5, "exception", {"exception.stacktrace": "Traceback\n  File \x1b[2J"})
    one = span(1, 1, None, "s", "root", "server", 0, 10, "error")
    one = msgspec.structs.replace(one, attributes={"big": "x" * 1_000_000}, events=(event,))
    trace = trace_of(one.trace_id, [one])
    lines = list(span_lines(trace, one, whole=False))
    at = lines.index("  exception.stacktrace")
    assert lines[at + 1 : at + 3] == ["    Traceback", "      File \\x1b[2J"]
    assert at < lines.index("attributes")
    assert max(map(len, lines)) < 2_100
    assert any("1,000,000 characters" in line for line in lines)
    assert max(map(len, span_lines(trace, one, whole=True))) > 1_000_000


def test_warnings_of_thousands_of_spans_are_few_lines() -> None:
    """Jaeger warns of every orphan in other words; ours come first."""
    spans = [span(1, n, 9000 + n, "s", "orphan", "server", n * 10, 5) for n in range(1, 200)]
    spans = [msgspec.structs.replace(one, warnings=(f"invalid parent {one.span_id}",)) for one in spans]
    lines = list(few_warnings(trace_of(spans[0].trace_id, spans)))
    assert "199 parent spans have not arrived: the tree has gaps" in lines[:2]
    assert len(lines) == 8
    assert lines[-1] == "and 194 more warnings; -o json has all"


@pytest.mark.parametrize(
    ("ago", "flags"),
    [
        (timedelta(minutes=10), ""),
        (timedelta(hours=5), " --since 2026-03-01T06:55:00Z --to 2026-03-01T07:05:00Z"),
        (timedelta(days=-3), " --since 2026-03-04T11:55:00Z --to 2026-03-04T12:05:00Z"),
    ],
)
def test_the_logs_of_a_trace_are_looked_for_at_its_time(ago: timedelta, flags: str) -> None:
    """`log search` looks through the hour before now: an older trace, or one of a clock that is ahead, says when."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    start = int((now - ago).timestamp()) * 1_000_000
    trace = trace_of("1", [span(1, 1, None, "s", "root", "server", start, 500)])
    window = log_window(trace, now)
    assert window == flags
    assert log_commands("1", window=window) == [f"opsctl log search --trace 1{flags}"]


@pytest.mark.parametrize("us", [FIRST_US, LAST_US, 1_000_000])
def test_the_edges_of_the_calendar_have_a_window(us: int) -> None:
    """A time that cannot be widened is taken as it is."""
    assert "--since" in log_window(trace_of("1", [span(1, 1, None, "s", "x", "server", us, 5)]), datetime.now(UTC))


def test_commands_are_quoted_for_the_shell() -> None:
    """An id is what a backend sent: it cannot become another command."""
    assert log_commands("a; rm -rf ~", "$(x)") == [
        "opsctl log search --trace 'a; rm -rf ~' --span '$(x)'",
        "opsctl log search --trace 'a; rm -rf ~' --subtree '$(x)'",
    ]
