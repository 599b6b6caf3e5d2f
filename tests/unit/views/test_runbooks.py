"""Rows of a plan, where parameters come from, and which runbook fits what is looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opsctl.core.params import Given
from opsctl.ports.runbooks import RunbookRun
from opsctl.runner import plan
from opsctl.views.runbooks import (
    Happening,
    Looked,
    edit_of,
    episodes_for,
    fit,
    known_values,
    param_rows,
    plan_rows,
    to_take_up,
)
from tests.unit.runbooks.documents import FRONT, LOOK, book, change, fence

AT = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)
NEEDS = FRONT + (
    "params:\n"
    '  admin: {type: url, from: env.ADMIN, hosts: ["127.0.0.1"]}\n'
    "  region: {type: enum, values: [eu-1, us-1], from: alert.labels.region}\n"
    "  percent: {type: int, min: 1, max: 9, default: 5}\n"
)
SAMPLE = book(
    LOOK,
    fence("approval", "May we?", id="go"),
    change("shed", requires="go", undo="unshed"),
    change("unshed", role="undo", idempotency="natural"),
    front=NEEDS,
)
TRIGGERED = replace(book(LOOK, front=FRONT + "triggers: [{alert: ChatBudgetBurn, match: {region: eu-1}}]\n"), id="Chat")


def test_what_each_step_does_stands_in_its_row() -> None:
    rows = {row.step: row for row in plan_rows(plan(SAMPLE, {"admin": "http://127.0.0.1:9"}))}
    assert [(row.does, row.gate, row.undo) for row in rows.values()] == [
        ("reads", "", ""),
        ("asks for approval", "", ""),
        ("changes chat", "go", "unshed"),
        ("(undo) changes chat", "none", "none"),
    ]
    assert rows["shed"].text.startswith("PUT http://127.0.0.1:9/v1/shed\n")
    assert rows["shed"].complete
    assert rows["shed"].changes
    assert not rows["look"].changes


def test_a_plan_says_what_is_not_known_yet_in_place_of_a_guess() -> None:
    shed = next(row for row in plan_rows(plan(SAMPLE, {})) if row.step == "shed")
    assert not shed.complete
    assert "not known yet" in shed.text
    assert "admin" in shed.text


def test_each_parameter_says_where_it_comes_from_and_what_is_wrong_with_it() -> None:
    given = Given({}, {"region": "mars"}, {"ADMIN": "http://127.0.0.1:9"})
    admin, region, percent = param_rows(SAMPLE, given)
    assert (admin.text, admin.source, admin.problem) == ("http://127.0.0.1:9", "env.ADMIN", "")
    assert region.source == "alert.labels.region"
    assert "'mars' is not one of eu-1, us-1" in region.problem
    assert (percent.text, percent.source) == ("5", "its default")
    assert known_values((admin, region, percent)) == {"admin": "http://127.0.0.1:9", "percent": 5}


def test_a_missing_parameter_names_every_way_to_give_it() -> None:
    admin = param_rows(SAMPLE, Given())[0]
    assert admin.text is None
    assert admin.problem == "missing: -p admin=…, or env.ADMIN"


def test_what_is_typed_wins_over_every_source() -> None:
    given = Given({"region": "us-1"}, {"region": "eu-1"})
    assert [(row.text, row.source) for row in param_rows(SAMPLE, given)][1] == ("us-1", "-p")


def happening(number: int, alert: str = "ChatBudgetBurn", region: str = "eu-1", **more: object) -> Happening:
    plain = {"rule_uid": f"r{number}", "service": "chat", "runbook": ""}
    opened = AT + timedelta(minutes=number)
    return Happening(number, alert, opened=opened, labels={"region": region}, **{**plain, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("open_", "looked", "rank", "why"),
    [
        ((), Looked(), 5, ""),
        ((happening(1, region="us-1"),), Looked(), 5, ""),
        ((happening(1, "Other"),), Looked(incident=1), 5, ""),
        ((happening(1), happening(2)), Looked(), 4, "for #2"),
        ((), Looked(service="chat"), 3, "for chat"),
        ((happening(1),), Looked(service="chat"), 2, "for chat"),
        ((happening(1),), Looked(rule_uid="r1"), 1, "for ChatBudgetBurn"),
        ((happening(1), happening(2)), Looked(service="chat", incident=1), 0, "for #1"),
        ((happening(1, "Other", runbook="Chat"),), Looked(incident=1), 0, "for #1"),
    ],
)
def test_what_is_looked_at_decides_which_runbook_fits(
    open_: tuple[Happening, ...], looked: Looked, rank: int, why: str
) -> None:
    found = fit(TRIGGERED, open_, looked)
    assert (found.rank, found.why) == (rank, why)


def test_a_run_is_for_the_incident_that_is_looked_at_else_for_the_newest_that_calls_for_it() -> None:
    open_ = (happening(1), happening(3), happening(2), happening(9, "Other"))
    assert episodes_for(TRIGGERED, open_, Looked(incident=2), sent=False) == (2, 3, 1)
    assert episodes_for(TRIGGERED, open_, Looked(), sent=False) == (3, 2, 1)
    assert episodes_for(TRIGGERED, open_, Looked(incident=9), sent=False) == (3, 2, 1)
    assert episodes_for(TRIGGERED, open_, Looked(incident=9), sent=True) == (9, 3, 2, 1)
    assert episodes_for(TRIGGERED, open_, Looked(incident=77), sent=True) == (3, 2, 1)


def run(number: int, state: str, runbook: str = "Chat") -> RunbookRun:
    return RunbookRun(f"run-{number}", runbook, "d", {}, AT, state, source="a\nb\n")  # type: ignore[arg-type]


def test_runs_to_take_up_are_those_that_no_later_run_has_replaced() -> None:
    runs = (run(6, "ok"), run(5, "failed"), run(4, "waiting"), run(3, "running"), run(2, "stopped", "Other"))
    assert [one.run for one in to_take_up(runs)] == ["run-4", "run-3", "run-2"]


def test_an_edit_is_shown_as_a_diff() -> None:
    lines = edit_of(run(1, "waiting"), replace(TRIGGERED, source="a\nc\n"))
    assert "-b" in lines
    assert "+c" in lines
