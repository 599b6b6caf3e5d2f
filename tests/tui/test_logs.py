"""The log screen on lines in memory: what a person reads and presses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.logs import LogRecord
from opsctl.core.signals import Failed, Reason
from opsctl.core.traces import Span, Trace
from opsctl.tui import log_stream
from opsctl.tui.app import OpsctlApp
from opsctl.tui.focus import Window
from opsctl.tui.options import Options
from opsctl.tui.panes.log_parts import Flow
from opsctl.tui.panes.logs import Logs
from tests.tui.hand import HandClock, hand_app, screen_text, until
from tests.tui.reports import AT

TRACE, SPAN, BELOW = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "00f067aa0ba902b8"
CATALOGUE = Catalogue(
    {
        "wallet": Service("wallet", 1, "money", selectors={"elasticsearch": "wallet-svc"}),
        "payments": Service("payments", 1, "money"),
    }
)
START_US = round((AT - timedelta(minutes=30)).timestamp() * 1e6)
THE_TRACE = Trace(
    TRACE,
    (
        Span(TRACE, SPAN, None, "pay", "payments", "server", START_US, 10_000),
        Span(TRACE, BELOW, SPAN, "debit", "wallet", "client", START_US, 5_000),
    ),
)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of following takes a moment."""
    monkeypatch.setattr(log_stream, "EACH_SECONDS", 0.05)
    monkeypatch.setattr(log_stream, "AWAY_SECONDS", 0.05)


def line(number: int, message: str = "", severity: str = "INFO", service: str = "payments", **more: Any) -> LogRecord:
    at = more.pop("at", AT - timedelta(seconds=1_000 - number))
    return LogRecord(at, message or f"order {number} accepted", severity, service, id=str(number), **more)


LINES = [
    *(line(number) for number in range(300)),
    line(300, "wallet lock timeout after 250 ms", "WARN", "wallet-svc"),
    line(301, "payment failed: ledger is closed", "ERROR", trace_id=TRACE, span_id=SPAN, at=AT - timedelta(minutes=29)),
    line(302, "debit failed", "ERROR", "wallet-svc", trace_id=TRACE, span_id=BELOW, at=AT - timedelta(minutes=29)),
    *(line(number) for number in range(303, 320)),
]


class Board:
    """The app on a log, and the hands on it."""

    def __init__(self, app: OpsctlApp, pilot: Any, clock: HandClock) -> None:
        self.app, self.pilot, self.clock = app, pilot, clock

    @property
    def text(self) -> str:
        return screen_text(self.app)

    @property
    def rows(self) -> list[str]:
        """The lines of the log that are seen, without the bar beside them."""
        return [row[:110].rstrip() for row in self.text.splitlines()[9:38]]

    @property
    def pane(self) -> Logs:
        pane = self.app.pane
        assert isinstance(pane, Logs)
        return pane

    @property
    def source(self) -> Any:
        return self.app.composition.logs

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def sees(self, *words: str, seconds: float = 10.0) -> None:
        try:
            await until(lambda: all(word in self.text for word in words), "words", seconds)
        except AssertionError:
            raise AssertionError(f"not all of {words} on\n{self.text}") from None
        await self.pilot.pause()

    async def sees_no(self, word: str) -> None:
        await until(lambda: word not in self.text, f"no {word} any more")

    async def type(self, text: str) -> None:
        await self.press("slash")
        bar = self.app.query_one("#bar")
        bar.value = text  # type: ignore[attr-defined]
        await self.press("enter")

    def come(self, *records: LogRecord) -> None:
        self.clock.at += SECOND
        self.source.add(records)


def on(
    folder: Path,
    story: Callable[[Board], Awaitable[None]],
    lines: list[LogRecord] = LINES,
    size: tuple[int, int] = (120, 40),
    theme: str = "dark",
) -> None:
    async def whole() -> None:
        clock = HandClock()
        options = Options(screen="logs", theme=theme)
        app, _ = hand_app(folder, CATALOGUE, records=lines, traces=[THE_TRACE], options=options, clock=clock)
        async with app.run_test(size=size, notifications=True) as pilot:
            await story(Board(app, pilot, clock))

    asyncio.run(whole())


def test_it_opens_at_the_end_with_severity_and_follows_what_comes(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("▸ following", "severity", "order 319 accepted", "✖ error", "! warn")
        board.come(line(1_001, "a new one", "WARN"))
        await board.sees("a new one", "321 lines")
        assert "! WARN" in board.text

    on(tmp_path, story)


def test_paused_keeps_what_comes_aside_and_counts_it(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("▸ following", "order 319")
        await board.press("space")
        board.come(line(1_001, "one aside"), line(1_002, "two aside"))
        await board.sees("‖ paused +2")
        assert "two aside" not in board.text
        await board.press("space")
        await board.sees("▸ following", "one aside", "two aside")

    on(tmp_path, story)


def test_going_up_stops_following_without_moving_what_is_read_and_G_follows_again(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        await board.press("ctrl+u", "ctrl+u")
        await board.sees("▲ not following")
        before = board.rows
        board.come(*(line(number, f"late comer {number}") for number in range(1_001, 1_051)))
        await board.sees("370 lines")
        assert board.rows == before
        await board.press("G")
        await board.sees("▸ following", "late comer 1050")

    on(tmp_path, story)


def test_conditions_are_chips_and_the_last_one_is_dropped_with_backspace(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        await board.type("service:wallet severity:warn lock")
        await board.sees("[service:wallet] [severity:warn] [lock]", "wallet lock timeout", "▸ following  1 line")
        assert board.app.spot.service == "wallet"
        assert "order" not in board.text
        await board.press("backspace")
        await board.sees("[service:wallet] [severity:warn]", "debit failed")
        await board.press("slash")
        assert board.app.query_one("#bar").value == "service:wallet severity:warn"  # type: ignore[attr-defined]
        assert board.pane.command() == ("log", "tail", "--service", "wallet", "--severity", "warn")

    on(tmp_path, story)


def test_a_wrong_filter_is_said_in_one_line_and_stays_to_be_mended(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        await board.type("severity:loud")
        await board.sees("severity:loud: expected one of trace, debug")
        assert board.app.query_one("#bar").display
        await board.press("escape")
        await board.type("no.such.field=1")
        await board.sees("✖ no field no.such.field in the mapping")

    on(tmp_path, story)


def test_a_value_is_kept_or_dropped_by_the_column_and_by_the_field(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        await board.press("h", "h", "F")
        await board.sees("[log.level!=INFO]", "wallet lock timeout")
        await board.sees_no("order 319")
        await board.press("enter")
        await board.sees("service.name", "log.level")
        board.pane.record_view.cursor = 2  # service.name
        await board.press("f")
        await board.sees("[service:wallet] [log.level!=INFO]")
        await board.sees_no("payment failed")

    on(tmp_path, story)


def test_a_filter_answers_from_the_lines_that_are_here_while_the_backend_is_away(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        away = Failed[Any](Reason.UNREACHABLE, "connection refused", "memory")
        answers = board.source.search
        board.source.search = lambda *_, **__: away
        await board.type("severity:warn")
        await board.sees("✖ connection refused; the lines are", "debit failed", "3 lines")
        board.source.search = answers
        await board.sees("▸ following")
        await board.sees_no("connection refused")

    on(tmp_path, story)


def test_a_backend_that_dies_leaves_the_lines_with_their_age_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("▸ following", "order 319")
        away = Failed[Any](Reason.DEADLINE, "no answer within 10s", "memory")
        answers = board.source.search
        board.source.search = lambda *_, **__: away
        await board.sees("✖ no answer within 10s")
        board.clock.at += timedelta(seconds=45)
        await board.sees("✖ no answer within 10s; the lines are 45s old", "order 319")
        assert board.pane.lines.look.stale
        board.source.search = answers
        board.come(line(1_001, "back again"))
        await board.sees("back again")
        await board.sees_no("no answer")
        assert not board.pane.lines.look.stale

    on(tmp_path, story)


def test_errors_and_matches_are_found_with_keys(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        await board.press("g", "e")
        record = board.pane.lines.record
        assert record is not None
        assert record.severity == "ERROR"
        await board.press("E", "E")
        await board.sees("no error above")
        await board.type("failed")
        await board.sees("[failed]", "2 lines")
        await board.press("g", "n")
        assert board.pane.lines.cursor == 1

    on(tmp_path, story)


def test_a_line_leads_to_its_trace_and_to_all_lines_of_it(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        await board.type("ledger")
        await board.sees("payment failed: ledger", "1 line")
        await board.press("D")
        await board.sees(
            f"[trace:{TRACE}]", "payment failed", "debit failed", "the trace's time ± 5m instead of the window"
        )
        await board.press("escape")
        await board.sees("[ledger]")
        await board.press("T")
        await until(lambda: board.app.screen_name == "traces", "the trace")
        assert (board.app.spot.trace_id, board.app.spot.span_id) == (TRACE, SPAN)

    on(tmp_path, story)


def test_a_subtree_is_asked_by_the_spans_of_the_trace(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        board.app.look(service="payments", trace_id=TRACE, span_id=BELOW, subtree=True)
        await board.sees(f"[subtree:{BELOW}]", "debit failed", "1 line")
        await board.sees_no("payment failed")
        assert "--subtree" in board.pane.command()

    on(tmp_path, story)


def test_a_window_of_the_past_shows_its_lines_and_does_not_follow(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        board.app.look(window=Window(timedelta(minutes=5), AT - timedelta(minutes=14)))
        await board.sees("■ past", "order 159 accepted")
        await board.sees_no("order 160")
        board.come(line(1_001, "not of then"))
        await board.pilot.pause(0.1)
        assert "not of then" not in board.text
        assert board.pane.command()[:2] == ("log", "search")

    on(tmp_path, story)


def test_older_lines_come_when_one_goes_up_until_there_is_none(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("1,000 lines", "older ones come when you go up")
        for _ in range(3):
            await board.press("g")
            await board.pilot.pause(0.05)
        await board.press("g")
        await board.sees("2,500 lines", "order 0 accepted")
        assert "older ones" not in board.text

    on(tmp_path, story, [line(number, at=AT - timedelta(seconds=2_500 - number)) for number in range(2_500)])


def test_patterns_say_what_is_new_and_one_is_followed(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319")
        await board.press("P")
        await board.sees("order <num> accepted", "new: not in the", "wallet lock timeout after <num> ms")
        rows = {row.key: row for row in board.pane.grid.rows}
        assert rows["wallet lock timeout after <num> ms"].cells[2] == ("new", "warn")
        assert rows["order <num> accepted"].cells[2] == ""
        board.pane.grid.go_to("wallet lock timeout after <num> ms")
        await board.press("enter")
        await board.sees('["wallet lock timeout after"]', "1 line")
        assert "order 319" not in board.text

    before = line(900, "order 900 accepted", at=AT - timedelta(minutes=80))
    on(tmp_path, story, [*LINES, before])


def test_a_record_is_shown_whole_its_json_folds_and_a_field_is_copied(tmp_path: Path) -> None:
    document = '{"player": {"id": 7}, "cart": [1, 2]}'

    async def story(board: Board) -> None:
        await board.sees("player")
        await board.press("enter")
        await board.sees("@timestamp", "event.action", '"player": {', "host.name", "–")
        board.pane.record_view.cursor = 5
        assert board.pane.under_cursor() == document
        await board.press("z")
        await board.sees('{"player": {"id": 7}, "cart": [1, 2]}')
        await board.press("escape")
        await board.sees("severity", "message")
        assert board.pane.under_cursor() == document

    more = {"event.action": "pay", "host.name": None}
    on(tmp_path, story, [line(1, document, fields=more)])


HOSTILE = [
    "[/red] [bold]x[/bold] [@click=app.exit]",
    "\x1b[2J\x1b]52;c;aGk=\x07 escape",
    "‮ right to left ⁦ ",
    "nul \x00 bell \x07",
    "first\r\nsecond\r\n\tthird",
    "宽" * 300,
    "e" + "́" * 5_000,
    "x" * 1_000_000,
    '{"a": ' * 20_000,
    "",
]


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (200, 60)])
def test_hostile_lines_are_shown_harmlessly_in_the_list_wrapped_whole_and_as_patterns(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async def story(board: Board) -> None:
        await until(lambda: board.pane.flow.question is not None, "an answer")
        for key in ("k", "w", "g", "j", "j", "w", "enter", "z", "escape", "P", "escape", "e", "f", "h", "f"):
            await board.press(key)
            text = board.text
            assert not any(ord(character) < 32 and character != "\n" for character in text)
            assert "‮" not in text
        await board.press("G", "enter")
        assert board.pane.export()

    at = {"at": AT - timedelta(minutes=1)}
    lines = [
        *(
            line(number, text, service=text[:50], fields={"f": text, "g" * 300: [text]}, **at)
            for number, text in enumerate(HOSTILE)
        ),
        LogRecord(AT - timedelta(days=3_000), "", id="nothing"),
        LogRecord(AT + timedelta(days=300_000), "far", id="far"),
        LogRecord(AT - timedelta(minutes=2), "", id="empty"),
    ]
    on(tmp_path, story, lines, size)


@pytest.mark.parametrize("theme", ["dark", "mono", "light"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_words_of_other_screens_are_not_on_this_one(tmp_path: Path, size: tuple[int, int], theme: str) -> None:
    async def story(board: Board) -> None:
        await board.sees("severity", "following", "order 319")
        for word in ("burn", "p99", "since", "acknowledge", "critical path", "step", "reachable"):
            assert word not in board.text

    on(tmp_path, story, size=size, theme=theme)


def test_more_than_the_ring_holds_is_counted_as_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flow, "capacity", 200)

    async def story(board: Board) -> None:
        await board.sees("200 lines", "120 older lines dropped", "order 319")
        await board.press("k")
        reading = board.pane.lines.record
        board.come(*(line(number) for number in range(1_001, 1_051)))
        await board.sees("170 older lines dropped")
        assert board.pane.lines.record is reading

    on(tmp_path, story)


def test_many_lines_that_are_here_are_sifted_beside_the_screen(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("1,000 lines")
        for _ in range(20):
            await board.pane.flow.stream.older()  # type: ignore[union-attr]
        await board.sees("12,000 lines")
        away = Failed[Any](Reason.UNREACHABLE, "connection refused", "memory")
        board.source.search = lambda *_, **__: away
        await board.type("11999")
        await board.sees("[11999]", "order 11999 accepted", "1 line")

    on(tmp_path, story, [line(number, at=AT - timedelta(seconds=(12_000 - number) / 10)) for number in range(12_000)])


def test_counts_that_fail_are_said_and_the_lines_stay(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("order 319", "no counts over time: no field log.level")

    def refused(*_: Any) -> Failed[Any]:
        return Failed(Reason.REJECTED, "no field log.level in the mapping", "memory")

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr("collectors.memory_logs.MemoryLogs.count", refused)
        on(tmp_path, story)


def test_a_hidden_screen_asks_nothing_and_goes_on_where_it_was(tmp_path: Path) -> None:
    async def story(board: Board) -> None:
        await board.sees("▸ following", "order 319")
        await board.press("1")
        await board.pilot.pause(0.1)
        asked = board.app.queries.use()["logs"].asked
        board.come(line(1_001, "while away"))
        await board.pilot.pause(0.2)
        assert board.app.queries.use()["logs"].asked == asked
        await board.press("6")
        await board.sees("while away", "321 lines")

    on(tmp_path, story)
