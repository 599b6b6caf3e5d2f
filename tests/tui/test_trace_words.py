"""What the Traces screen says, and what it copies, opens and asks for, without a screen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from opsctl.core.logs import LogPage, LogRecord
from opsctl.core.signals import Absent, Failed, Measured, Reason
from opsctl.core.traces import trace_of
from opsctl.files.context import Backend, ContextSettings
from opsctl.tui.focus import Window
from opsctl.tui.trace_words import between, log_paragraphs, log_query, mostly, search_command, ui_link
from tests.contract.trace_world import MS, span
from tests.tui.reports import AT
from tests.tui.test_tree import T0, repeated

HOUR = timedelta(hours=1)


def said(paragraphs: object) -> list[str]:
    """The text of paragraphs."""
    return ["".join(text for text, _ in one) for one in paragraphs]  # type: ignore[attr-defined]


def test_a_browser_is_sent_to_the_page_of_the_backend_that_has_one() -> None:
    none = ContextSettings("prod", "prod", state_dir=Path("state"), base=Path())
    assert ui_link(none, "ab") == ""
    assert ui_link(replace(none, jaeger=Backend("https://j.example/ui/")), "ab") == "https://j.example/ui/trace/ab"
    assert ui_link(replace(none, zipkin=Backend("https://z.example")), "a/b") == "https://z.example/zipkin/traces/a%2Fb"


def test_a_search_is_typed_with_the_window_that_is_on() -> None:
    live = search_command("promo", ("--error",), Window(timedelta(minutes=15)), 50)
    assert live == ("trace", "search", "promo", "--error", "--since", "15m", "--limit", "50")
    past = search_command("promo", (), Window(HOUR, AT), 50)
    assert past[3:7] == ("--since", "2026-05-14T17:00:00Z", "--to", "2026-05-14T18:00:00Z")


def test_a_stretch_of_time_has_its_days_where_it_has_two() -> None:
    assert between(AT - HOUR, AT, utc=True) == "17:00:00 – 18:00:00Z"
    assert between(AT - 24 * HOUR, AT, utc=True) == "2026-05-13 18:00 – 2026-05-14 18:00Z"


def test_the_service_that_was_waited_for_longest_stands_in_the_list() -> None:
    spans = [
        span(1, 1, None, "shop", "buy", "server", T0, 100 * MS),
        span(1, 2, 1, "purse", "Debit", "server", T0 + 10 * MS, 80 * MS),
    ]
    assert mostly(trace_of("1" * 32, spans)) == " 80% purse"
    assert mostly(trace_of("1" * 32, [span(1, 1, None, "shop", "buy", "server", T0, 0)])) == ""


def test_lines_are_asked_for_by_span_subtree_and_trace_five_minutes_around() -> None:
    trace = repeated()
    debit = trace.by_id[f"{17:016x}"]
    asked = {scope: log_query(trace, debit, scope) for scope in ("span", "subtree", "trace")}
    assert {scope: query.span_ids for scope, query in asked.items() if query} == {
        "span": (f"{17:016x}",),
        "subtree": (f"{17:016x}", f"{57:016x}"),
        "trace": (),
    }
    query = asked["span"]
    assert query is not None
    assert query.trace_id == trace.trace_id
    assert query.end - query.start == timedelta(minutes=10, milliseconds=500)
    whole = log_query(trace, trace.root, "subtree")
    assert whole is not None
    assert whole.span_ids == ()  # all of it
    assert log_query(trace_of("1" * 32, [span(1, 1, None, "a", "a", "", 10**18, 1)]), debit, "span") is None


def test_no_lines_a_failed_answer_and_a_part_are_three_different_things() -> None:
    record = LogRecord(AT, "locked\nagain", "ERROR")
    assert said(log_paragraphs(Absent("es"), "span", utc=True)) == [
        "es has no line with the id of this span, five minutes around"
    ]
    assert said(log_paragraphs(Failed(Reason.DEADLINE, "too late", "es"), "span", utc=True)) == ["✖ es: too late"]
    part = said(log_paragraphs(Failed(Reason.PARTIAL, "a shard", "es", LogPage((record,))), "span", utc=True))
    assert part == ["! es: a shard", r"18:00:00.000Z ERROR locked\nagain"]
    more = said(log_paragraphs(Measured(LogPage((record,), "next"), "es"), "trace", utc=True))
    assert more[-1] == "… more than 1: d opens them in Logs"
    assert said(log_paragraphs(None, "trace", utc=True))[0].startswith("no calendar has the times")
