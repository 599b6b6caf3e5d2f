"""A bug in the plan: what fires is paged all the same, nothing is resolved, and it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from opsctl.adapters.journal import open_journal
from opsctl.core.commands import Resolve, Trigger
from opsctl.core.failing_open import plan_in_any_case
from opsctl.core.planning import plan
from opsctl.core.routing import Matcher, Route, Routing
from opsctl.sender import drain
from tests.unit.paging.world import T0, ScriptedSink, SteppedClock, alert, cycle, minutes, run_record, sinks_of

BROKEN = Routing("prod-eu", (Route("pagerduty", (Matcher("service", "=~", "("),), "money"),))
BOTH = ("redeem", "pay")


def test_an_expression_that_breaks_the_plan_costs_no_page(tmp_path: Path) -> None:
    clock = SteppedClock()
    journal = open_journal(tmp_path / "state", "prod-eu", clock)
    for minute, uids in ((0, ("redeem",)), (1, BOTH), (2, ("pay",)), (9, ("pay",))):
        now = replace(cycle(T0 + minutes(minute), [alert(uid) for uid in uids], fresh=BOTH), routing=BROKEN)
        committed = journal.commit(run_record(T0), (), now)
        assert committed.plan is not None
        assert "failed (error: a bug)" in committed.plan.problems[0] or "PatternError" in committed.plan.problems[0]
    pager = ScriptedSink()
    drain(journal, sinks_of(pager), clock)
    assert [(one["event_action"], one["payload"]["class"], one["route"]) for one in pager.sent] == [
        ("trigger", "RedeemBudgetBurn", "pagerduty/money"),
        ("trigger", "PayBudgetBurn", "pagerduty/money"),
    ]
    assert len(journal.incidents()) == 2
    assert any("a bug" in line for line in journal.unheard())
    for minute in (10, 16):
        journal.commit(run_record(T0), (), cycle(T0 + minutes(minute), [alert("pay")], fresh=BOTH))
    drain(journal, sinks_of(pager), clock)
    assert pager.actions() == ["trigger", "trigger", "resolve"], "the bug is gone, and what is over is closed"


def test_one_alert_that_breaks_every_plan_is_named_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(before, now, **how):  # type: ignore[no-untyped-def]
        if any(one.rule_uid == "redeem" for one in now.alerts):
            raise ZeroDivisionError
        return plan(before, now, **how)

    monkeypatch.setattr("opsctl.core.failing_open.plan", breaks)
    alerts = [alert(), alert("pay"), alert("chat")]
    made = plan_in_any_case({}, cycle(T0, alerts), namespace="prod-eu", next_episode=4)
    assert [(type(one), one.episode) for one in made.commands] == [(Trigger, 4), (Trigger, 5)]
    assert made.problems[1].startswith("NOT DELIVERED: RedeemBudgetBurn: ZeroDivisionError")
    assert not [one for one in made.commands if isinstance(one, Resolve)]
