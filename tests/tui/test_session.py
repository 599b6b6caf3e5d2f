"""A session can be written down and looked at again: the same screens, from the file alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.core.logs import LogPage, LogQuery, LogRecord
from opsctl.core.signals import Absent, Failed, Measured, Reason
from opsctl.core.traces import Span, TracePage, trace_of
from opsctl.errors import ConfigError, UsageError
from opsctl.files.evidence import read_evidence
from opsctl.ports.traces import TraceQuery
from opsctl.tui.app import OpsctlApp
from opsctl.tui.memory import LAST, Memory
from opsctl.tui.options import Options
from opsctl.tui.recorder import Recorder
from opsctl.tui.replay import NOT_ASKED, ReplayClock, ReplayFeed, ReplayQueries, composition_of, open_session
from opsctl.tui.session import Head, answer_line, head_line, question_of, read_session, report_line
from tests.tui.hand import HandClock, screen_text, until
from tests.tui.reports import AT, Maker, services

NAMES = services(5)
MAKER = Maker()
HEAD = Head("prod", "prod", "1.0", AT, MAKER.catalogue(NAMES))
QUERY = LogQuery(start=AT - timedelta(minutes=5), end=AT, services=("wallet",))
RECORD = LogRecord(AT, "credit failed", "ERROR", "wallet", "a" * 32, "b" * 16, {"http.response.status_code": 503}, "1")


def key(query: LogQuery) -> tuple[object, ...]:
    """As the query service makes it."""
    return ("logs", query, 500, "", False)


def test_a_report_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    report = MAKER.report(NAMES)
    file = tmp_path / "s"
    file.write_bytes(head_line(HEAD) + report_line(report, HEAD))
    head, found = read_session(file)
    assert head == HEAD
    assert found == report


def test_a_report_in_a_session_holds_evidence_that_check_replays(tmp_path: Path) -> None:
    import msgspec

    file = tmp_path / "evidence.json"
    report = MAKER.report(NAMES)
    tree = msgspec.json.decode(report_line(report, HEAD))
    file.write_bytes(msgspec.json.encode(tree["report"]["evidence"]))
    assert len(read_evidence(str(file)).verdicts) == len(report.verdicts)


@pytest.mark.parametrize(
    ("kind", "query", "reading"),
    [
        ("logs", key(QUERY), Measured(LogPage((RECORD,), "c"), "es", 0.1, ("a note",))),
        ("logs", key(QUERY), Absent("es")),
        ("logs", key(QUERY), Failed(Reason.DEADLINE, "too slow", "es", LogPage((RECORD,)), took_seconds=1.0)),
        (
            "traces",
            ("traces", TraceQuery("promo", AT - timedelta(hours=1), AT)),
            Measured(
                TracePage((trace_of("c" * 32, [Span("c" * 32, "d" * 16, None, "x", "promo", "server", 1, 2)]),)), "j"
            ),
        ),
    ],
)
def test_an_answer_is_the_same_after_it_was_written_and_read(
    tmp_path: Path, kind: str, query: object, reading: object
) -> None:
    file = tmp_path / "s"
    file.write_bytes(head_line(HEAD) + answer_line(AT, kind, query, reading))  # type: ignore[arg-type]
    _, answer = read_session(file)
    assert answer.reading == reading  # type: ignore[union-attr]


def test_a_question_is_known_again_at_another_time_and_another_one_is_not() -> None:
    later = LogQuery(start=AT, end=AT + timedelta(minutes=9), services=("wallet",))
    other = LogQuery(start=QUERY.start, end=QUERY.end, services=("promo",))
    assert question_of(key(QUERY)) == question_of(key(later))
    assert question_of(key(QUERY)) != question_of(key(other))


def test_a_line_that_was_cut_short_is_left_out_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "s"
    whole = head_line(HEAD) + report_line(MAKER.report(NAMES), HEAD)
    file.write_bytes(whole + b'{"report": {"num')
    assert len(list(read_session(file))) == 2
    file.write_bytes(whole + b'{"nonsense": 1}\n')
    with pytest.raises(ConfigError, match=r"s:3: is no session"):
        list(read_session(file))
    file.write_bytes(b'{"schema": "opsctl/evidence/v1"}\n')
    with pytest.raises(ConfigError, match="expected opsctl/session/v1"):
        list(read_session(file))
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read_session(tmp_path / "none"))


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        Recorder(tmp_path / "s", HEAD, HandClock(), print)
    assert (tmp_path / "s").read_text() == "mine"


def test_a_recorder_writes_what_it_is_given_for_the_owner_alone(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "s", HEAD, HandClock(), print)
    report = MAKER.report(NAMES)
    recorder.report(report)
    recorder.answer("logs", key(QUERY), Absent("es"))
    recorder.close(5)
    session = open_session(tmp_path / "s")
    assert session.reports == (report,)
    assert [one.kind for one in session.answers] == ["logs"]
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_the_last_report_is_recalled_as_an_old_one_of_the_same_context_only(tmp_path: Path) -> None:
    Memory(tmp_path, lambda: HEAD).keep(MAKER.report(NAMES))
    recalled = Memory(tmp_path, lambda: HEAD).recall()
    assert recalled is not None
    assert recalled.old
    other = Head("staging", "staging", "1.0", AT, HEAD.catalogue)
    assert Memory(tmp_path, lambda: other).recall() is None
    (tmp_path / LAST).write_bytes(b"{")
    assert Memory(tmp_path, lambda: HEAD).recall() is None


def test_between_two_writings_the_newest_report_waits_until_somebody_leaves(tmp_path: Path) -> None:
    memory = Memory(tmp_path, lambda: HEAD)
    memory.keep(MAKER.report(NAMES, 1))
    memory.keep(MAKER.report(NAMES, 2))
    first = memory.recall()
    assert first is not None
    assert first.number == 1
    memory.leave()
    last = memory.recall()
    assert last is not None
    assert last.number == 2


def test_a_replayed_session_shows_its_reports_and_asks_nobody(tmp_path: Path) -> None:
    first, second = MAKER.report(NAMES, 1), MAKER.report(NAMES[:2], 2, AT + timedelta(minutes=1))
    file = tmp_path / "s"
    lines = [head_line(HEAD), report_line(first, HEAD), report_line(second, HEAD)]
    lines.append(answer_line(AT, "logs", key(QUERY), Measured(LogPage((RECORD,)), "es")))
    file.write_bytes(b"".join(lines))
    session = open_session(file)
    clock = ReplayClock(first.made)
    composition = composition_of(session, clock, tmp_path)
    queries = ReplayQueries(composition, session.answers)
    feed = ReplayFeed(session, clock)
    app = OpsctlApp(composition, feed, composition.desk(read_only=True), Options(replay=file), queries=queries)

    async def look() -> None:
        async with app.run_test(size=(120, 40)):
            await until(lambda: app.report == first, "the first report")
            await until(lambda: NAMES[4] in screen_text(app), "its services")
            assert "REPLAY" in screen_text(app)
            known = await queries.logs(LogQuery(start=AT, end=AT + timedelta(hours=1), services=("wallet",)))
            assert isinstance(known, Measured)
            unknown = await queries.logs(LogQuery(start=AT, end=AT, services=("chat",)))
            assert isinstance(unknown, Failed)
            assert unknown.message == NOT_ASKED
            feed.look_at(second.made, timedelta(hours=1))
            await until(lambda: app.report == second, "the report of the other time")
        feed.stop(5)

    asyncio.run(look())
    composition.close()
