"""Where a run stands, from the journal's rows and from what the runner tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from opsctl.core.runbooks import Role
from opsctl.ports.runbooks import RunbookRun, RunbookStep
from opsctl.runner import Event
from opsctl.runner.outcome import Outcome
from opsctl.tui.run_progress import (
    OUTPUT_CHARACTERS,
    Progress,
    can_resume,
    can_undo,
    lines_of,
    of_journal,
    run_rows,
    shown_output,
    states_in_short,
    told,
)
from tests.unit.runbooks.documents import LOOK, book, change, fence

AT = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)
BOOK = book(
    LOOK,
    fence("promql", "up > 0", id="back", expect="value > 0", poll="10s", for_="1m", timeout="5m"),
    change("shed", undo="unshed"),
    change("unshed", role="undo", idempotency="natural"),
)
LOOKS, BACK, SHED, UNSHED = (BOOK.step(name) for name in ("look", "back", "shed", "unshed"))


def row(step: str, state: str, number: int = 1, **more: object) -> RunbookStep:
    ended = None if state == "running" else AT + timedelta(seconds=5)
    return RunbookStep("r", step, number, state, AT, ended, **more)  # type: ignore[arg-type]


def at(seconds: int) -> datetime:
    return AT + timedelta(seconds=seconds)


def test_a_step_that_runs_has_a_clock_and_says_what_it_waits_for() -> None:
    assert LOOKS is not None
    assert BACK is not None
    progress = told(Progress("r"), Event("begin", LOOKS, Role.STEP), AT)
    progress = told(progress, Event("end", LOOKS, Role.STEP, "", Outcome("ok", captured={"times": 3})), at(2))
    progress = told(progress, Event("begin", BACK, Role.STEP), at(2))
    progress = told(progress, Event("wait", BACK, Role.STEP, "holds for 20s of 1m"), at(22))
    assert progress.now == "back"
    rows = run_rows(BOOK, progress, at(32))
    assert [(one.words, one.took, one.said) for one in rows] == [
        ("✔ ok", "2s", "times = 3"),
        ("▶ running", "30s", "holds for 20s of 1m"),
        ("· pending", "", ""),
    ]
    assert states_in_short(rows) == "1 of 3 steps done"


def test_a_second_attempt_is_the_one_that_is_shown() -> None:
    assert SHED is not None
    progress = told(Progress("r"), Event("begin", SHED, Role.STEP), AT)
    progress = told(progress, Event("end", SHED, Role.STEP, "", Outcome("failed", "status 500")), at(1))
    progress = told(progress, Event("begin", SHED, Role.STEP, "again"), at(1))
    shown = run_rows(BOOK, progress, at(4))[2]
    assert (shown.state, shown.took, shown.said) == ("running", "3s", "again; 2. time")


def test_a_row_that_was_running_when_its_process_ended_is_unknown_and_no_success() -> None:
    run = RunbookRun("r", BOOK.id, "d", {}, AT, "running")
    progress = of_journal(run, [row("look", "ok"), row("@resume", "ok"), row("shed", "running")])
    rows = run_rows(BOOK, progress, at(60))
    assert [one.state for one in rows] == ["ok", "not run", "unknown"]
    assert rows[2].took == ""
    assert rows[2].said == "nobody knows how it ended"
    assert progress.state == "unknown"
    assert can_resume(progress)
    assert can_undo(BOOK, progress)


def test_undo_and_check_attempts_stand_below_the_flow() -> None:
    progress = Progress("r", lines_of([row("shed", "ok"), row("undo:unshed", "ok")]), state="undone")
    assert [one.name for one in run_rows(BOOK, progress, AT)] == ["look", "back", "shed", "undo:unshed"]
    assert not can_resume(progress)


def test_what_was_only_read_has_nothing_to_undo() -> None:
    assert not can_undo(BOOK, Progress("r", lines_of([row("look", "ok")]), state="failed"))


def test_captured_values_and_messages_come_from_the_journal_too() -> None:
    captured = {"times": "31.5", "@message": "as it should be", "@by": "ana"}
    line = lines_of([row("look", "ok", captured=captured, output="31.5")])[0]
    assert (line.message, line.captured, line.output) == ("as it should be", (("times", "31.5"),), "31.5")


def test_of_a_long_output_the_end_is_shown_and_the_rest_is_counted() -> None:
    lines = shown_output("\n".join(f"line {i}" for i in range(20_000)))
    assert lines[-1] == "line 19999"
    assert lines[0].endswith("characters before this are not shown]")
    assert sum(map(len, lines[1:])) <= OUTPUT_CHARACTERS
    assert shown_output("a\nb") == ("a", "b")
