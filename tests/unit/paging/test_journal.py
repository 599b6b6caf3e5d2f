"""The journal: one transaction, nothing lost on the way to disk and back, and a page whatever happens to the file."""

from __future__ import annotations

import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.adapters.journal.rows import alert_from, alert_json, micros, time
from opsctl.core.alerts import AlertState
from opsctl.core.commands import Watched
from opsctl.core.slo import Severity
from opsctl.errors import ConfigError
from opsctl.ports import Fact, RuleVerdict, RunRecord
from opsctl.ports.runbooks import RunbookRun, RunbookStep
from tests.unit.paging.world import T0, SteppedClock, alert, cycle, minutes, run_record


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return open_journal(tmp_path / "state", "prod-eu", SteppedClock())


def events(journal: SqliteJournal) -> list[tuple[str, int, int]]:
    return [(row.action, row.episode, row.repeat) for row in journal.unfinished()]


def reopen(journal: SqliteJournal) -> SqliteJournal:
    journal.close()
    return open_journal(journal.folder, journal.namespace, SteppedClock())


def test_the_file_is_private_and_durable(journal: SqliteJournal) -> None:
    assert stat.S_IMODE(os.stat(journal.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(journal.folder).st_mode) == 0o700
    db = journal._db
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert journal.integrity() == ()


def test_an_existing_file_with_wide_permissions_is_closed_to_others(journal: SqliteJournal) -> None:
    os.chmod(journal.path, 0o644)
    assert stat.S_IMODE(os.stat(reopen(journal).path).st_mode) == 0o600


def test_alerts_come_back_as_they_were(journal: SqliteJournal) -> None:
    full = alert(
        identity=(("region", "eu"),),
        labels=(("a", "ü\x00'\""),),
        fired_at=T0 + minutes(1.00001),
        frozen="no answer",
        value=0.1,
        runbook="promo",
        evidence=("x", "y"),
        absent_since=T0,
    )
    made = journal.commit(run_record(T0), (), cycle(T0, [full])).plan
    assert made is not None
    assert dict(reopen(journal).alerts()) == dict(made.after)


@settings(max_examples=50, deadline=None)
@given(st.datetimes(timezones=st.just(T0.tzinfo)), st.text(), st.sampled_from(list(AlertState)))
def test_times_and_texts_are_exact(at: Any, text: str, state: AlertState) -> None:
    assert time(micros(at)) == at
    one = alert(summary=text, since=at, state=state)
    assert alert_from(alert_json(one)) == one


def test_a_cycle_is_one_transaction(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault between the alerts and the outbox leaves neither."""

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("opsctl.adapters.journal.store._write_alerts", broken)
    with pytest.raises(KeyboardInterrupt):
        journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    monkeypatch.undo()
    assert (events(journal), dict(journal.alerts()), journal.incidents()) == ([], {}, ())
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    assert events(journal) == [("trigger", 1, 0)]


def test_episode_numbers_are_never_given_twice(journal: SqliteJournal) -> None:
    for number in range(3):
        start = T0 + minutes(20 * number)
        journal.commit(run_record(start), (), cycle(start, [alert()]))
        for later in (1, 7):
            journal.commit(run_record(start), (), cycle(start + minutes(later)))
    journal.vacuum(T0 + minutes(10_000))
    journal = reopen(journal)
    journal.commit(run_record(T0), (), cycle(T0 + minutes(200), [alert()]))
    assert [one.episode for one in journal.incidents()] == [4]


def test_only_the_first_full_run_sweeps(journal: SqliteJournal) -> None:
    pay = Watched("pay", "Pay", "money", ())
    scoped = cycle(T0, fresh=("pay",), healthy=(pay,), full=False)
    journal.commit(run_record(T0, full=False), (), scoped)
    full = cycle(T0, fresh=("pay",), healthy=(pay, Watched("chat", "Chat", "social", ())))
    journal.commit(run_record(T0), (), full)
    journal.commit(run_record(T0), (), replace(full, healthy=(*full.healthy, Watched("new", "New", "money", ()))))
    assert events(journal) == [("resolve", 0, 0)], "chat was not fresh, pay is swept once, new came after the first run"


def test_facts_come_back_and_null_forgets_one(journal: SqliteJournal) -> None:
    facts = [Fact("budget", name, '{"bad":1}', T0) for name in ("redeem", "pay")]
    journal.commit(run_record(T0), facts)
    journal.commit(run_record(T0), [Fact("budget", "pay", "null", T0), Fact("had_data", "redeem", "true", T0)])
    assert dict(reopen(journal).facts("budget")) == {"redeem": facts[0]}


def test_a_fact_that_is_remembered_outside_of_a_run_takes_the_place_of_the_one_before(journal: SqliteJournal) -> None:
    newer = Fact("change", "pay", '{"summary":"1.3"}', T0 + minutes(1))
    journal.remember([Fact("change", "pay", '{"summary":"1.2"}', T0), Fact("change", "chat", "{}", T0)])
    journal.remember([newer])
    assert journal.last_success() is None, "it is no run"
    found = reopen(journal).facts("change")
    assert found["pay"] == newer
    assert set(found) == {"pay", "chat"}


def test_equal_verdicts_are_one_span(journal: SqliteJournal) -> None:
    for minute, outcome in enumerate(("pass", "pass", "fail", "pass")):
        at = T0 + minutes(minute)
        verdict = RuleVerdict("redeem", outcome, f"at {minute}", True)
        journal.commit(RunRecord(at, at, True, True, (verdict,)))
    spans = journal.verdicts("redeem", T0)
    assert [(span.outcome, span.runs, span.headline) for span in spans] == [
        ("pass", 2, "at 1"),
        ("fail", 1, "at 2"),
        ("pass", 1, "at 3"),
    ]


def test_last_success_is_moved_by_success_only(journal: SqliteJournal) -> None:
    first, second = journal.commit(run_record(T0)).run, journal.commit(run_record(T0)).run
    journal.finish(first, 0, T0 + minutes(1), success=True)
    journal.finish(second, 70, T0 + minutes(2), success=False)
    assert journal.last_success() == T0 + minutes(1)


def test_a_person_acknowledges_once_and_resolves_once(journal: SqliteJournal) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    until = T0 + minutes(60)
    assert [journal.acknowledge(1, "ann", T0, until) for _ in range(2)] == [True, False]
    assert [journal.resolve(1, "ann", T0, until) for _ in range(2)] == [True, False]
    assert events(journal) == [("trigger", 1, 0), ("acknowledge", 1, 0), ("resolve", 1, 0)]
    assert journal.incidents() == ()
    [known] = journal.alerts().values()
    assert (known.episode, known.closed) == (None, T0)
    assert not journal.acknowledge(99, "ann", T0, until)
    assert "acknowledged" in [line.kind for line in journal.timeline(1)]


def test_a_ticket_is_resolved_without_an_event(journal: SqliteJournal) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert(severity=Severity.TICKET)]))
    assert journal.resolve(1, "ann", T0, T0)
    assert events(journal) == []


def test_the_journal_of_another_namespace_is_refused(journal: SqliteJournal) -> None:
    journal.close()
    with pytest.raises(ConfigError, match="belongs to namespace prod-eu"):
        open_journal(journal.folder, "prod-us", SteppedClock())


@pytest.mark.parametrize("damage", ["text", "zeros", "middle"])
def test_a_corrupt_journal_is_moved_aside_and_the_page_is_planned_anyway(journal: SqliteJournal, damage: str) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    key = journal.unfinished()[0].key
    journal.close()
    path = Path(journal.path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        if damage == "middle":
            file.seek(4096)
        file.write((b"not a database, " if damage == "text" else b"\0" * 16) * ((size - file.tell()) // 16))
    again = open_journal(journal.folder, "prod-eu", SteppedClock())
    again.commit(run_record(T0), (), cycle(T0, [alert()]))
    assert [row.key for row in again.unfinished()] == [key]
    assert again.problem is not None
    assert "moved to" in again.problem
    assert [one for one in os.listdir(journal.folder) if one.startswith("journal.sqlite3.corrupt-")]
    assert again.path == str(path)


def test_an_alert_row_that_cannot_be_read_is_damage_too(journal: SqliteJournal) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    journal._db.execute("UPDATE alerts SET alert = '{}'")
    made = journal.commit(run_record(T0), (), cycle(T0, [alert()])).plan
    assert made is not None
    assert len(made.commands) == 1
    assert "corrupt" in str(journal.problem)


def test_without_a_place_to_write_the_run_goes_on_in_memory(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    journal = open_journal(tmp_path / "state", "prod-eu", SteppedClock())
    with journal.lock("evaluate", 0):
        journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    assert events(journal) == [("trigger", 1, 0)]
    assert "in memory" in str(journal.problem)


def test_a_full_disk_in_the_middle_of_a_run_does_not_lose_the_page(journal: SqliteJournal) -> None:
    journal._db.execute("PRAGMA max_page_count = 1")  # SQLITE_FULL on the next growth
    many = [alert(f"rule-{number}", description="x" * 5000) for number in range(40)]
    made = journal.commit(run_record(T0), (), cycle(T0, many)).plan
    assert made is not None
    assert len(made.commands) == len(journal.unfinished()) == 40
    assert "in memory" in str(journal.problem)


def test_a_journal_of_a_newer_opsctl_is_left_alone(journal: SqliteJournal) -> None:
    journal._db.execute("INSERT INTO migrations VALUES (99, 0)")
    again = reopen(journal)
    assert "upgrade opsctl" in str(again.problem)
    assert sorted(os.listdir(journal.folder))[0] == "journal.sqlite3"
    assert not [one for one in os.listdir(journal.folder) if "corrupt" in one]


def test_vacuum_drops_what_ended_and_keeps_what_is_open(journal: SqliteJournal) -> None:
    journal.commit(run_record(T0), (), cycle(T0, [alert(), alert("pay")], fresh=("redeem", "pay")))
    for later in (1, 7):
        journal.commit(
            run_record(T0 + minutes(later)), (), cycle(T0 + minutes(later), [alert("pay")], fresh=("redeem", "pay"))
        )
    journal.now = lambda: T0 + minutes(10)
    assert journal.vacuum(T0 + minutes(9)) > 0
    assert [one.rule_uid for one in journal.incidents(include_resolved=True)] == ["pay"]
    assert len(journal.unfinished()) == 3, "unsent rows are never dropped by age"


def test_runbook_runs_are_written_before_and_after_each_step(journal: SqliteJournal) -> None:
    log = journal.runbooks
    log.start(RunbookRun("run-abc", "promo", "sha256:1", {"pct": "10"}, T0, who="ann", source="# x"))
    with pytest.raises(sqlite3.IntegrityError):
        log.start(RunbookRun("run-abc", "promo", "sha256:1", {}, T0))
    log.step_before(RunbookStep("run-abc", "shed", 1, "running", T0, idempotency_key="run-abc/shed"))
    assert [step.state for step in reopen(journal).runbooks.steps("run-abc")] == ["running"]
    log = open_journal(journal.folder, "prod-eu", SteppedClock()).runbooks
    log.step_after(
        RunbookStep("run-abc", "shed", 1, "ok", T0, T0 + minutes(1), "done", 0, "run-abc/shed", {"status": "200"})
    )
    log.step_after(RunbookStep("run-abc", "tell", 1, "skipped", T0))
    assert [(s.step, s.state, s.captured) for s in log.steps("run-abc")] == [
        ("shed", "ok", {"status": "200"}),
        ("tell", "skipped", None),
    ]
    log.finish("run-abc", "waiting", None, "approval")
    found = log.run_of("run-a")
    assert found is not None
    assert (found.state, found.note, found.params, found.source) == ("waiting", "approval", {"pct": "10"}, "# x")
    assert log.run_of("nothing") is None
    assert [run.run for run in log.runs(runbook="promo")] == ["run-abc"]
    assert log.runs(state="ok") == ()


def test_a_page_that_another_runner_told_before_this_one_could_is_not_sent(journal: SqliteJournal) -> None:
    """Where its own key is refused, it would go to the fallback and wake a second person."""
    from opsctl.core.seen import Seen, SeenIncident

    journal.commit(run_record(T0), (), cycle(T0, [alert()]))
    [row] = journal.unfinished()
    at = T0 + minutes(1)
    theirs = SeenIncident(row.key, "Q1", "triggered", T0, T0)
    seen = {"pagerduty": Seen(at, {row.key: theirs}, frozenset(), True)}
    journal.commit(run_record(at), (), replace(cycle(at, [alert()]), seen=seen))
    assert journal.unfinished() == ()
    journal.commit(run_record(at), (), cycle(T0 + minutes(2)))
    journal.commit(run_record(at), (), cycle(T0 + minutes(9)))
    assert [row.action for row in journal.unfinished()] == ["resolve"]
