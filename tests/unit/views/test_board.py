"""The board's rows: worst first, what is not known is said, and what was not measured is no number."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from opsctl.core.rules import BudgetEvidence, Outcome, State, Verdict, WindowEvidence
from opsctl.tui.board_rows import HEADS, cells
from opsctl.views.board import Row, Scene, Standing, chosen, ordered, row, runbook_of, scene, standings, worst_burn
from opsctl.views.changes import Change
from opsctl.views.rates import Rates
from tests.tui.reports import AT, HOUR, MINUTES, Maker

MAKER = Maker()
NAMES = ["calm", "loud", "blind", "warned", "bare"]
OUTCOMES = {"calm": Outcome.PASS, "loud": Outcome.FAIL, "blind": Outcome.UNKNOWN, "warned": Outcome.WARN}


def found() -> list[Standing]:
    """One service of each kind; `bare` has no rule."""
    verdicts = [MAKER.verdict(name, outcome, AT) for name, outcome in OUTCOMES.items()]
    return standings(verdicts, (), MAKER.catalogue(NAMES))


def around(**changes: object) -> Scene:
    """Nothing around them, but for what is said."""
    base = scene(AT, live=True, step=timedelta(minutes=1), rates={}, rates_problem="", incidents=(), changes=())
    return replace(base, **changes)  # type: ignore[arg-type]


def one(name: str, where: Scene | None = None) -> Row:
    """The row of a service."""
    return row(next(each for each in found() if each.service == name), where or around())


def said(standing: Standing, where: Scene, *, old: bool = False) -> dict[str, tuple[str, str]]:
    """Each column's text and the tone of its first piece."""
    made = cells(standing, where, AT - HOUR, AT, old=old)
    return {head.key: ("".join(text for text, _ in cell), cell[0][1]) for head, cell in zip(HEADS, made, strict=True)}


def test_the_worst_comes_first_and_a_service_without_a_rule_last() -> None:
    assert [(each.service, each.state) for each in found()] == [
        ("loud", State.FAIL),
        ("blind", State.UNKNOWN),
        ("warned", State.WARN),
        ("calm", State.OK),
        ("bare", None),
    ]


def test_unknown_is_neither_green_nor_a_number() -> None:
    blind = next(each for each in found() if each.service == "blind")
    cell = said(blind, around(rates_failed=True))
    assert cell["state"] == ("? UNKNOWN", "unknown")
    assert {cell[name][0] for name in ("budget", "burn", "rps", "errors", "latency")} == {"?"}


def test_what_is_measured_as_nothing_is_a_dash_and_what_could_not_be_asked_a_question_mark() -> None:
    bare = found()[-1]
    assert said(bare, around())["rps"] == ("–", "dim")
    calm = one("calm").standing
    assert said(calm, around(rates_failed=True))["latency"][0] == "?"
    assert said(calm, around())["latency"][0] == "–"


def test_old_rates_are_dim_with_their_age_and_an_old_report_dims_everything() -> None:
    at = AT.timestamp() - 300
    where = around(rates={"calm": Rates(((at, 8200.0),), ((at, 0.02),), ((at, 0.84),))})
    calm = one("calm").standing
    assert said(calm, where)["rps"] == ("8.2k~5m", "stale")
    assert {tone for text, tone in said(calm, where, old=True).values() if text.strip()} == {"stale"}


def test_a_budget_that_was_asked_long_ago_is_shown_with_its_age() -> None:
    verdict = MAKER.verdict("calm", Outcome.PASS, AT)
    old = BudgetEvidence(AT - timedelta(hours=3), 10.0, 100.0, -0.12)
    verdict = replace(verdict, evidence=replace(verdict.evidence, budget=old))
    (standing,) = standings([verdict], (), MAKER.catalogue(["calm"]))
    assert said(standing, around())["budget"] == ("-12%~3h00m", "stale")


def test_without_request_metrics_an_objectives_events_stand_in_and_duration_does_not() -> None:
    made = one("loud")
    assert made.of_objective
    assert made.rps.value == pytest.approx(1000 / MINUTES.total_seconds())
    assert made.errors.value == pytest.approx(0.037)
    assert made.latency.value is None
    assert not one("loud", around(rates={"loud": Rates(((AT.timestamp(), 1.0),))})).of_objective


def windows(verdict: Verdict, long: float, short: float) -> Verdict:
    """The verdict with these burn rates."""
    evidence = tuple(
        WindowEvidence(window, 1.0, 10.0, 0.1, burn, 0.0144) for window, burn in ((HOUR, long), (MINUTES, short))
    )
    return replace(verdict, evidence=replace(verdict.evidence, windows=evidence))


def test_the_worst_objective_is_the_one_in_the_worst_state_then_the_nearest_to_its_line() -> None:
    calm = windows(MAKER.verdict("a", Outcome.PASS, AT), 14.0, 14.0)
    loud = windows(MAKER.verdict("b", Outcome.FAIL, AT), 20.0, 15.0)
    worst = worst_burn([calm, loud])
    assert worst is not None
    assert (worst.slo.service, worst.long, worst.short) == ("b", 20.0, 15.0)
    nearer = windows(MAKER.verdict("c", Outcome.PASS, AT), 14.2, 99.0)
    again = worst_burn([calm, nearer])
    assert again is not None
    assert again.slo.service == "c"


def test_incidents_and_changes_are_those_of_the_time_that_is_looked_at() -> None:
    incident = replace(MAKER.incident(1, "loud", AT), acknowledged=AT)
    change = Change(AT - timedelta(minutes=9), "loud", "deploy")
    earlier = AT - timedelta(minutes=10)

    def at(when: object, live: bool) -> Row:
        where = scene(
            when,  # type: ignore[arg-type]
            live=live,
            step=MINUTES,
            rates={},
            rates_problem="",
            incidents=(incident,),
            changes=(change,),
        )
        return one("loud", where)

    now = at(AT, True)
    assert now.incident == incident
    assert now.acknowledged
    assert now.change == change
    then = at(earlier, False)
    assert then.incident == incident, "it was open a minute before"
    assert not then.acknowledged
    assert then.change is None
    assert at(AT - timedelta(hours=1), False).incident is None


@pytest.mark.parametrize(
    ("words", "trouble", "names"),
    [
        ("", True, ["loud", "blind", "warned"]),
        ("FAIL", False, ["loud"]),
        ("money calm", False, ["calm"]),
        ("money nobody", False, []),
        ("no rule", False, ["bare"]),
    ],
)
def test_a_filter_has_every_word_and_faults_are_what_is_not_ok(words: str, trouble: bool, names: list[str]) -> None:
    assert [each.service for each in chosen(found(), words, trouble=trouble)] == names


@pytest.mark.parametrize("by", ["rps", "errors", "latency"])
def test_what_has_no_value_is_last_either_way(by: str) -> None:
    now = AT.timestamp()
    rates = {name: Rates(*[((now, value),)] * 3) for name, value in (("calm", 1.0), ("loud", 5.0))}
    where = around(rates=rates)
    assert [each.service for each in ordered(found(), by, where)][:2] == ["loud", "calm"]
    assert [each.service for each in ordered(found(), by, where, reverse=True)][:2] == ["calm", "loud"]


def test_what_to_run_is_the_incidents_runbook_else_that_of_what_is_wrong() -> None:
    loud, calm = one("loud").standing, one("calm").standing
    assert runbook_of(loud, replace(MAKER.incident(1, "loud", AT), runbook="Other")) == "Other"
    assert runbook_of(loud, None) == "PromoSurge"
    assert runbook_of(calm, None) == "", "nothing is wrong with it"
