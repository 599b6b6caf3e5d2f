"""The Traces screen, as a person reads it: a list, a filter, a waterfall, the logs of a span, and honest bad news."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from opsctl.core.catalogue import Catalogue
from opsctl.core.logs import LogRecord
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.core.traces import Span, Trace, TracePage, trace_of
from opsctl.ports.traces import TraceQuery
from opsctl.tui.app import OpsctlApp
from opsctl.tui.focus import Focus, Window
from opsctl.tui.options import Options
from opsctl.tui.panes.traces import Traces
from tests.contract.trace_world import MS, span
from tests.tui.hand import hand_app, screen_text, until
from tests.tui.reports import AT
from tests.tui.test_tree import fields, repeated

US = 1_000_000
NOW_US = int(AT.timestamp()) * US
ELSEWHERE = ("burn", "p99", "since", "acknowledge", "severity", "step", "reachable")
EVIL = "\x1b[31mred\x07 [bold]x[/foo] ‮ rtl 漢字\n\r\t"


def request(number: int, ago_seconds: int, took_ms: int, *, failed: bool = False) -> Trace:
    """A request of shop's that waits for purse's debit."""
    at = NOW_US - ago_seconds * US
    error: Any = "error" if failed else "unset"
    spans = [
        span(number, 1, None, "shop", "POST /buy", "server", at, took_ms * MS, error),
        span(number, 2, 1, "purse", "purse.Debit", "server", at + MS, (took_ms - 2) * MS, error, code=500 + number),
        span(number, 3, 2, "purse", "INSERT ledger", "client", at + 2 * MS, MS),
    ]
    return trace_of(f"{number:032x}", spans)


REQUESTS = (request(0xA1, 60, 40), request(0xB2, 120, 900, failed=True), request(0xC3, 180, 300))


def shifted(trace: Trace) -> Trace:
    """The same a minute ago."""
    by = NOW_US - 60 * US - trace.start_us
    return trace_of(trace.trace_id, [Span(**{**fields(one), "start_us": one.start_us + by}) for one in trace.spans])


@dataclass
class Scripted:
    """Answers what a test says; `asked` is what it was asked."""

    name: str = "scripted"
    concurrency: int = 1
    found: Reading[TracePage] = Absent("scripted")
    one: Reading[Trace] = Absent("scripted")
    known: Reading[tuple[str, ...]] = Measured(("shop", "purse"), "scripted")
    asked: list[TraceQuery] = field(default_factory=list)

    def services(self, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """What it has."""
        return self.known

    def operations(self, service: str, timeout_seconds: float) -> Reading[Any]:
        """None."""
        return Absent(self.name)

    def search(self, query: TraceQuery, timeout_seconds: float) -> Reading[TracePage]:
        """As scripted."""
        self.asked.append(query)
        return self.found

    def trace(self, trace_id: str, timeout_seconds: float) -> Reading[Trace]:
        """As scripted."""
        return self.one

    def close(self) -> None:
        """Nothing is open."""


Look = Callable[["Seen"], Awaitable[None]]


@dataclass
class Seen:
    """An app that is being looked at."""

    app: OpsctlApp
    pilot: Pilot[Any]

    @property
    def pane(self) -> Traces:
        """The screen."""
        pane = self.app.pane
        assert isinstance(pane, Traces)
        return pane

    @property
    def text(self) -> str:
        """What is on it."""
        return screen_text(self.app)

    async def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def reads(self, *words: str) -> str:
        """Wait until all of these are on the screen."""
        try:
            await until(lambda: all(word in self.text for word in words), f"{words}", 5)
        except AssertionError as late:
            raise AssertionError(f"{late} in\n{self.text}") from None
        return self.text


def look(
    folder: Path,
    what: Look,
    traces: tuple[Trace, ...] = REQUESTS,
    *,
    source: Scripted | None = None,
    records: tuple[LogRecord, ...] = (),
    size: tuple[int, int] = (120, 40),
    **focus: Any,
) -> None:
    """Open the screen on these traces and look."""

    async def run() -> None:
        app, _ = hand_app(folder, Catalogue({}), traces=traces, records=records, options=Options(screen="traces"))
        if source is not None:
            app.composition.trace_source = source  # type: ignore[assignment]
        app.spot = Focus(**focus)
        async with app.run_test(size=size) as pilot:
            await what(Seen(app, pilot))

    asyncio.run(run())


def rows(text: str) -> list[str]:
    """The requests of a list, as `took errors`."""
    found = re.findall(r"Z +(\S+ m?s) +\d+ +(✖ \d+)?", text)
    return [f"{took} {errors}".strip() for took, errors in found]


# -- the list


def test_traces_come_newest_first_with_errors_marked_and_the_time_that_was_asked_for(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        text = await seen.reads("3 traces, 1 with errors, newest first", "17:00:00 – 18:00:00Z", "critical path")
        assert rows(text) == ["40.0 ms", "900 ms ✖ 2", "300 ms"]
        assert re.search(r"POST /buy +\d+% purse ", text)
        assert not any(word in text.lower() for word in ELSEWHERE)
        assert seen.pane.command() == ("trace", "search", "shop", "--since", "1h", "--limit", "50")
        assert seen.pane.under_cursor() == f"{0xA1:032x}"
        assert [line[1] for line in seen.pane.export()] == ["took", "40.0 ms", "900 ms", "300 ms"]

    look(tmp_path, what, service="shop")


def test_sorting_goes_through_time_duration_and_errors_and_keeps_the_cursor_on_its_trace(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads("newest first")
        await seen.press("G")
        await seen.press("s")
        assert rows(await seen.reads("slowest first")) == ["900 ms ✖ 2", "300 ms", "40.0 ms"]
        assert seen.pane.under_cursor() == f"{0xC3:032x}"
        await seen.press("S")
        assert rows(await seen.reads("quickest first")) == ["40.0 ms", "300 ms", "900 ms ✖ 2"]
        await seen.press("s")
        assert rows(await seen.reads("most errors first"))[0] == "900 ms ✖ 2"

    look(tmp_path, what, service="shop")


def test_the_filter_is_kept_reopened_and_equal_to_the_commands_flags(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads("3 traces")
        assert seen.pane.set_filter("POST /buy >200ms") == ""
        assert rows(await seen.reads("2 traces", "shop POST /buy >200ms")) == ["900 ms ✖ 2", "300 ms"]
        assert seen.pane.filter_text() == "POST /buy >200ms"
        assert seen.pane.command()[3:7] == ("--operation", "POST /buy", "--min-duration", "200ms")
        assert ">soon: expected a duration" in seen.pane.set_filter(">soon")
        assert seen.pane.filter_text() == "POST /buy >200ms"
        await seen.press("z")
        await seen.reads("1 trace, 1 with errors")
        assert seen.app.spot.errors_only
        assert seen.pane.filter_text() == "POST /buy error >200ms"
        await seen.press("escape")
        await seen.reads("2 traces")
        assert not seen.app.spot.errors_only

    look(tmp_path, what, service="shop")


def test_an_operation_that_nobody_has_is_not_silence(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads("3 traces")
        seen.pane.set_filter("POST /bye")
        await seen.reads(
            "nothing: memory has no trace of shop POST /bye", "it has no operation POST /bye; it has POST /buy"
        )
        seen.app.look(service="shap")
        await seen.reads("it has no spans of shap at all; it has purse, shop")

    look(tmp_path, what, service="shop")


def test_without_a_service_those_with_spans_can_be_chosen(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads("2 services have spans", "purse", "shop", "critical path")
        seen.pane.set_filter("sho")
        await seen.reads("1 of 2 services")
        await seen.press("enter")
        await seen.reads("3 traces")
        assert seen.app.spot.service == "shop"
        await seen.press("escape")
        await seen.reads("services have spans")

    look(tmp_path, what)


def test_services_that_could_not_be_asked_for_are_asked_for_again(tmp_path: Path) -> None:
    source = Scripted(known=Failed(Reason.UNREACHABLE, "connection refused", "scripted"))

    async def what(seen: Seen) -> None:
        await seen.reads("✖ scripted: connection refused", "R asks now")
        source.known = Measured(("shop",), "scripted")
        seen.pane._asked_at = float("-inf")
        seen.pane._poll()
        await seen.reads("1 service has spans")

    look(tmp_path, what, source=source)


def test_it_says_so_where_a_search_failed_came_in_part_or_was_cut(tmp_path: Path) -> None:
    source = Scripted(found=Failed(Reason.DEADLINE, "not back within 10 s", "scripted"))

    async def what(seen: Seen) -> None:
        text = await seen.reads("✖ no answer: scripted: not back within 10 s", "17:00:00 – 18:00:00Z")
        assert "nothing" not in text
        page = TracePage(REQUESTS[:1], truncated=True)
        source.found = Failed(Reason.PARTIAL, "one of two clusters is away", "scripted", partial=page)
        await seen.press("R")
        await seen.reads("! partial: scripted: one of two clusters", "1 trace", "there may be more that fit")
        source.found = Failed(Reason.UNREACHABLE, "connection refused", "scripted")
        await seen.press("R")
        text = await seen.reads("✖ no answer: scripted: connection refused", "these are of 17:00:00", "old")
        assert rows(text) == ["40.0 ms"]

    look(tmp_path, what, source=source, service="shop")


def test_it_searches_again_only_while_it_is_live_seen_and_not_paused(tmp_path: Path) -> None:
    source = Scripted(found=Measured(TracePage(REQUESTS), "scripted"))

    async def what(seen: Seen) -> None:
        await seen.reads("3 traces")

        async def due() -> int:
            seen.pane._asked_at = float("-inf")
            seen.pane._poll()
            await seen.pilot.pause(0.05)
            return len(source.asked)

        assert await due() == 2
        seen.pane._poll()  # not due again
        await seen.press("space")
        assert await due() == 2
        await seen.press("space")
        await until(lambda: len(source.asked) == 3, "it goes on")
        seen.app.look(window=seen.app.spot.window.shifted(-2, AT))
        await until(lambda: len(source.asked) == 4, "another time is asked for")
        assert source.asked[-1].end == AT - timedelta(hours=1)
        assert await due() == 4
        assert seen.pane.command()[3:7] == ("--since", "2026-05-14T16:00:00Z", "--to", "2026-05-14T17:00:00Z")

    look(tmp_path, what, source=source, service="shop")


# -- one trace


def test_enter_opens_the_waterfall_on_the_span_that_failed(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads("3 traces")
        await seen.press("j", "enter")
        text = await seen.reads(
            "█ critical path", "3 spans of 2 services, 2 errors", "✖ shop POST /buy", "✖ purse purse.Debit"
        )
        assert re.search(r"took +on path 0 |took 0 .*900 ms│", text)  # the ruler
        assert "operation    purse.Debit" in text
        assert "code  678" in text  # 500 + 0xB2
        assert seen.app.spot.trace_id == f"{0xB2:032x}"
        assert seen.app.spot.span_id == f"{2:016x}"
        assert seen.pane.command() == ("trace", "show", f"{0xB2:032x}", "--span", f"{2:016x}")
        assert seen.pane.under_cursor() == f"{2:016x}"
        assert not any(word in text.lower() for word in ELSEWHERE)
        exported = seen.pane.export()
        assert [row[0].strip() for row in exported] == ["span", "✖ POST /buy", "✖ purse.Debit", "INSERT ledger"]
        assert "█" in exported[2][-1]
        await seen.press("escape")
        await seen.reads("3 traces")
        assert seen.app.spot.trace_id == ""
        assert seen.pane.under_cursor() == f"{0xB2:032x}"

    look(tmp_path, what, service="shop")


def test_folds_open_one_by_one_and_all_and_errors_and_path_are_one_key_away(tmp_path: Path) -> None:
    trace = shifted(repeated(errors=(2, 7)))

    async def what(seen: Seen) -> None:
        await seen.reads("purse.Debit ×12 2 failed", "the first that failed of ×12")
        lines = seen.pane.view.lines
        await seen.press("enter")
        assert lines.count == 2 + 24
        await seen.press("n")
        assert seen.app.spot.span_id == f"{12:016x}"
        await seen.press("n")
        assert seen.app.spot.span_id == f"{17:016x}"
        await seen.press("N")
        assert seen.app.spot.span_id == f"{12:016x}"
        await seen.press("plus")
        assert lines.count == 3
        await seen.press("u")
        assert lines.count == 26
        await seen.press("u")
        assert lines.count == 3
        await seen.press("g", "p")
        assert seen.pane.view.shown is not None
        assert seen.pane.view.shown.line(lines.cursor).path_us > 0

    look(tmp_path, what, (trace,), service="shop", trace_id=trace.trace_id)


def test_a_trace_set_elsewhere_opens_on_its_span_and_esc_shows_the_list(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads("operation    INSERT ledger")
        await seen.press("escape")
        await seen.reads("3 traces")
        assert (seen.app.spot.trace_id, seen.app.spot.span_id) == ("", "")

    look(tmp_path, what, service="shop", trace_id="c3", span_id=f"{3:016x}")


def test_esc_in_a_trace_takes_back_a_change_of_time_first(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads("3 traces")
        await seen.press("enter")
        await seen.reads("3 spans of 2 services")
        await seen.press("left_square_bracket")
        assert seen.app.spot.window.end is not None
        await seen.press("escape")
        assert seen.app.spot.window.end is None
        assert seen.app.spot.trace_id == f"{0xA1:032x}"
        await seen.press("escape")
        assert rows(await seen.reads("3 traces")) == ["40.0 ms", "900 ms ✖ 2", "300 ms"]

    look(tmp_path, what, service="shop")


def test_a_list_that_was_left_before_it_came_is_there_afterwards_also_in_the_past(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        seen.app.look(service="shop")
        seen.app.look(trace_id="c3")
        await seen.reads("3 spans of 2 services")
        await seen.press("escape")
        await seen.reads("3 traces, 1 with errors")

    look(tmp_path, what, window=Window(timedelta(hours=1), AT - timedelta(seconds=1)))


def line(number: int, span_id: int, message: str, severity: str = "INFO") -> LogRecord:
    """A log line of the failed request."""
    at = AT - timedelta(seconds=119, milliseconds=-number)
    return LogRecord(at, message, severity, "purse", f"{0xB2:032x}", f"{span_id:016x}", {}, str(number))


LINES = (line(1, 1, "cart is checked"), line(2, 2, "wallet is locked", "ERROR"), line(3, 3, "insert took long", "WARN"))


def test_the_lines_of_span_subtree_and_trace_stand_beside_the_waterfall(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        text = await seen.reads("logs of [span] subtree", "ERROR wallet is locked")
        assert "insert took long" not in text
        await seen.press("v")
        text = await seen.reads("[subtree]", "wallet is locked", "WARN insert took long")
        assert "cart is checked" not in text
        await seen.press("tab")
        await seen.reads("[trace]", "cart is checked", "wallet is locked", "insert took long")

    look(tmp_path, what, records=LINES, service="shop", trace_id="b2")


def test_a_narrow_screen_shows_span_and_logs_below_one_after_the_other(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        text = await seen.reads("█ critical path", "purse purse.Debit")
        assert "operation" not in text
        await seen.press("tab")
        await seen.reads("operation    purse.Debit")
        await seen.press("tab")
        assert "operation" not in await seen.reads("logs of [span]", "ERROR wallet is locked")
        await seen.press("tab")
        await until(lambda: "logs of" not in seen.text, "neither")

    look(tmp_path, what, records=LINES, size=(80, 24), service="shop", trace_id="b2")


def test_d_goes_to_the_logs_of_the_subtree_and_capital_d_to_those_of_the_trace(tmp_path: Path) -> None:
    async def what(seen: Seen) -> None:
        went: list[tuple[str, dict[str, Any]]] = []

        async def go(name: str, **changes: Any) -> None:
            went.append((name, changes))

        seen.app.go = go  # type: ignore[method-assign]
        await seen.reads("purse.Debit")
        await seen.press("d", "D")
        (_, below), (name, whole) = went
        assert name == "logs"
        assert (below["trace_id"], below["span_id"], below["subtree"]) == (f"{0xB2:032x}", f"{2:016x}", True)
        assert (whole["trace_id"], whole["span_id"], whole["subtree"]) == (f"{0xB2:032x}", "", False)
        assert below["errors_only"] is False  # every line of a span that failed

    look(tmp_path, what, service="shop", trace_id="b2", errors_only=True)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Absent("scripted"), ("scripted has no trace", "kept for a time only", "R asks again")),
        (
            Failed(Reason.UNREACHABLE, "connection refused", "scripted"),
            ("✖ trace", "refused", "may be there all the same"),
        ),
        (Failed(Reason.PARTIAL, "2 shards away", "scripted", REQUESTS[1]), ("! partial: scripted: 2 shards away", "✖")),
    ],
)
def test_a_trace_that_is_not_there_or_not_whole_says_so(
    tmp_path: Path, reading: Reading[Trace], words: tuple[str, ...]
) -> None:
    async def what(seen: Seen) -> None:
        await seen.reads(*words)

    look(tmp_path, what, source=Scripted(one=reading), service="shop", trace_id="b2")


def test_of_ten_thousand_spans_only_the_lines_on_the_screen_are_made(tmp_path: Path) -> None:
    at = NOW_US - 60 * US
    spans = [span(1, 1, None, "shop", "root", "server", at, 20 * US)]
    spans += [span(1, n, n // 3 + 1, "shop", f"work {n % 7}", "", at + n, 10 * US - n * 10) for n in range(2, 10_001)]
    trace = trace_of(f"{1:032x}", spans)

    async def what(seen: Seen) -> None:
        await seen.reads("10000 spans of 1 service")
        lines = seen.pane.view.lines
        assert lines.count > 9_000
        assert 0 < lines.made < 200
        before = lines.made
        await seen.press("G", "g")
        assert lines.made - before < 200

    look(tmp_path, what, (trace,), service="shop", trace_id=trace.trace_id)


def test_hostile_names_and_values_are_text(tmp_path: Path) -> None:
    at = NOW_US - 60 * US
    evil = span(7, 1, None, "shop", EVIL * 200, "server", at, 10 * MS, "error", error__message=EVIL, more="x" * 10_000)
    trace = trace_of(f"{7:032x}", [evil, span(7, 2, 1, EVIL, "", "", at, -5)], (EVIL,))

    async def what(seen: Seen) -> None:
        await seen.reads("1 trace, 1 with errors", r"\x1b[31mred\x07 [bold]x[")
        await seen.press("enter")
        text = await seen.reads("█ critical path", "(no name)", r"\x1b[31mred")
        assert not set(text) & {"\x1b", "\x07", "‮", "\r"}
        await seen.press("enter", "n", "p", "u", "v", "v", "tab")
        assert seen.pane.export()

    look(tmp_path, what, (trace,), service="shop")
