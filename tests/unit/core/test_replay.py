"""A verdict can be judged again from its saved evidence alone, to the same words."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from opsctl.core.evidence import sealed
from opsctl.core.replay import Saved, SavedVerdict, judge_again, same, saved_verdict
from opsctl.core.rules import Outcome, Rule, State, Verdict, state_of
from opsctl.core.signals import Failed, Reason, Vector
from opsctl.engine import CycleReport, run_cycle
from opsctl.files.evidence import evidence_document, read_evidence
from tests.unit.engine.fakes import AT, BACKEND, MINUTE, ONE_ROW, History, Value, element, rule, slo, steady

REFUSED: Failed[object] = Failed(Reason.UNREACHABLE, "connection refused", BACKEND)
PARTIAL: Failed[object] = Failed(
    Reason.PARTIAL, "shard 2 timed out", BACKEND, Vector((element(7.0, a="1"),)), warnings=("shard 2",)
)
SEVERAL: Value = (element(1.0, a="1"), element(2.0, a="2"))
NAN: Value = (element(math.nan, a="1"),)
ANSWERS = ["fine", "burns", None, REFUSED, PARTIAL, 0.0, math.nan, math.inf, SEVERAL, NAN]
RULES = [
    slo(),
    slo(burn=ONE_ROW),
    slo(part="good", missing_part="no-data", on_no_events="pass"),
    rule("x:part:60", for_=3 * MINUTE, keep_firing_for=MINUTE),
    rule("x:part:60", metrics=("a:60", "b:60")),
    rule("count(a:60)", metrics=("a:60",), labels={"value": "NaN", "severity": "page"}),
]


def source(answer: object) -> History:
    """A backend that gives the same answer to everything, or good or bad ratios."""
    if answer in ("fine", "burns"):
        return History(steady(0.0 if answer == "fine" else 0.5))
    return History(lambda query, at: answer)  # type: ignore[return-value, arg-type]


def of(report: CycleReport) -> Saved:
    """What is saved of a report."""
    verdicts = tuple(saved_verdict(verdict) for verdict in report.verdicts)
    return Saved(report.at, "test", "test", "page", "fail", 0, (), verdicts, (), stale=report.stale)


def through_a_file(report: CycleReport, folder: Path) -> SavedVerdict:
    """The report's verdict, written and read."""
    (folder / "evidence.json").write_bytes(evidence_document(of(report)))
    return read_evidence(str(folder / "evidence.json")).verdicts[0]


def assert_same(verdict: Verdict, one: SavedVerdict) -> None:
    """The verdict that was saved and the one that is judged from the file are one, down to the digest."""
    assert one.rule == verdict.rule
    again = judge_again(verdict.rule, one.evidence).verdict
    assert (again.outcome, again.headline, again.fresh) == (verdict.outcome, verdict.headline, verdict.fresh)
    assert (again.hides, again.never_had_data) == (verdict.hides, verdict.never_had_data)
    assert repr(again.alerts) == repr(verdict.alerts)  # NaN is not equal to itself
    assert again.evidence.digest == verdict.evidence.digest == one.evidence.digest
    assert same(one, again)


@pytest.mark.parametrize("ours", RULES)
@pytest.mark.parametrize("first", ANSWERS[:6])
def test_replay_gives_the_same_verdict(ours: Rule, first: Value, tmp_path: Path) -> None:
    """Two cycles in a row, so that a remembered state takes part too; whatever came second."""
    before = run_cycle([ours], source(first), AT)
    assert_same(before.verdicts[0], through_a_file(before, tmp_path))
    for second in ANSWERS:
        after = run_cycle([ours], source(second), AT + MINUTE, before.memory)
        assert_same(after.verdicts[0], through_a_file(after, tmp_path))


def test_what_was_not_asked_is_never_a_pass() -> None:
    """Evidence that lacks an answer, as another version of opsctl may leave it, is unknown and says why."""
    (verdict,) = run_cycle([slo()], History(steady(0.0)), AT).verdicts
    assert state_of(verdict) is State.OK
    kept = tuple(asked for asked in verdict.evidence.asked if ":total:300" not in asked.expression)
    again = judge_again(verdict.rule, sealed(replace(verdict.evidence, asked=kept))).verdict
    assert (again.outcome, again.fresh) == (Outcome.UNKNOWN, False)
    assert "was not asked in the run that saved it" in again.headline
    burning = run_cycle([slo()], History(steady(0.5)), AT).verdicts[0]
    now = tuple(asked for asked in burning.evidence.asked if asked.since is None)
    alert = judge_again(burning.rule, sealed(replace(burning.evidence, asked=now))).verdict.alerts[0]
    assert alert.since_at_least


def test_a_verdict_that_changed_is_seen() -> None:
    """`same` tells a verdict from another one, from one with other evidence, and from one with other alerts."""
    fine, burns = (run_cycle([slo()], History(steady(ratio)), AT).verdicts[0] for ratio in (0.0, 0.5))
    assert same(saved_verdict(fine), fine)
    assert not same(saved_verdict(fine), burns)
    assert not same(saved_verdict(burns), replace(burns, alerts=()))
    assert not same(saved_verdict(fine), replace(fine, evidence=replace(fine.evidence, digest="0")))
