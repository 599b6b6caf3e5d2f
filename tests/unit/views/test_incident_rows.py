"""Incidents as people read them: whose they are, who took them, what became of the page."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from opsctl.ports import Incident, Moment
from opsctl.views.far_side import Beside, Glance
from opsctl.views.incident_rows import (
    MINE,
    Scope,
    around,
    details,
    in_scope,
    next_scope,
    notes_of,
    ordered,
    page_words,
    taken_by,
    troubled,
)
from tests.tui.reports import AT, HOUR, Maker

MAKER = Maker()


def incident(number: int = 1, **changes: object) -> Incident:
    """One that is open and was told."""
    plain = {"resolved": None, "state": "firing", "acknowledged": None, "withheld": "", "last_error": ""}
    return replace(MAKER.incident(number, "wallet", AT), **{**plain, **changes})  # type: ignore[arg-type]


def seen(status: str, mismatch: str = "", who: str = "") -> Glance:
    """What PagerDuty shows of the first."""
    return Glance({1: Beside("pagerduty", status, mismatch, "Q1", "https://pd.example/Q1", who)}, ("pagerduty",))


def test_open_ones_come_first_and_the_newest_of_them() -> None:
    """A resolved one is last, however new."""
    old, new = incident(1, opened=AT - HOUR), incident(2, opened=AT)
    closed = incident(3, opened=AT + HOUR, resolved=AT + HOUR)
    assert [one.episode for one in ordered([closed, old, new])] == [2, 1, 3]


def test_scopes_go_round() -> None:
    """All, mine, each team that has an incident, and all again; a team that has none any more ends at the first."""
    incidents = [incident(1, team="money"), incident(2, team="chat")]
    words, scope = [], Scope()
    for _ in range(5):
        words.append(scope.words)
        scope = next_scope(scope, incidents)
    assert words == ["all", "mine", "team chat", "team money", "all"]
    assert next_scope(Scope("team", "gone"), incidents) == Scope()


@pytest.mark.parametrize(
    ("taken", "me", "is_mine"),
    [("ana", {"ana"}, True), ("Ana", {"ana"}, True), ("bob", {"ana"}, False), ("", {"ana", ""}, False)],
)
def test_mine_are_those_that_i_acknowledged(taken: str, me: set[str], is_mine: bool) -> None:
    """By a name that I go by; one that nobody took is nobody's."""
    assert in_scope(incident(), Scope(MINE), taken, me) is is_mine


def test_who_took_it_is_the_journals_word_then_the_far_sides() -> None:
    """Somebody, where neither says who."""
    moments = [Moment(AT, "acknowledged", "", "ana")]
    assert taken_by(incident(), [], Glance()) == ""
    assert taken_by(incident(acknowledged=AT), moments, Glance()) == "ana"
    assert taken_by(incident(), [], seen("acknowledged", who="Bob")) == "Bob"
    assert taken_by(incident(acknowledged=AT), [], Glance()) == "somebody"


@pytest.mark.parametrize(
    ("changes", "glance", "words"),
    [
        ({"route": "", "delivery": "none"}, Glance(), "nobody told"),
        ({"delivery": "queued"}, Glance(), "queued"),
        ({"delivery": "never_delivered"}, Glance(), "never delivered"),
        ({"delivery": "accepted", "withheld": "silenced by ana"}, Glance(), "withheld"),
        ({"delivery": "accepted"}, seen("triggered"), "triggered"),
        ({"delivery": "accepted"}, seen("acknowledged", who="Bob"), "taken by Bob"),
        ({"delivery": "visible"}, seen("absent", "open here"), "! not there"),
        ({"delivery": "queued"}, seen("absent"), "queued, not there"),
    ],
)
def test_what_became_of_the_page(changes: dict[str, object], glance: Glance, words: str) -> None:
    """The delivery, and beside it what the far side shows."""
    assert page_words(incident(**changes), glance) == words


def test_trouble_is_a_page_that_is_lost_or_a_far_side_that_differs() -> None:
    """And nothing else."""
    assert troubled(incident(delivery="dead"), Glance())
    assert troubled(incident(), seen("absent", "open here"))
    assert not troubled(incident(), seen("triggered"))


def test_details_say_what_is_known_and_what_the_far_side_could_not_say() -> None:
    """A problem of the look is a line."""
    glance = replace(seen("triggered"), problems=("pagerduty: HTTP 503",))
    said = dict(details(incident(), glance, "", None, AT))
    assert said["acknowledged"] == "by nobody"
    assert said["pagerduty"] == "triggered, https://pd.example/Q1"
    assert said["!"] == "pagerduty: HTTP 503"
    assert "burn" not in said["rule"].split()


def test_notes_are_what_people_wrote_and_how_it_went() -> None:
    """Not what the pager did."""
    kinds = ("opened", "note", "note accepted", "trigger accepted", "noted elsewhere")
    assert [one.kind for one in notes_of(Moment(AT, kind, "") for kind in kinds)] == ["note", "note accepted"]


def test_the_window_around_an_incident() -> None:
    """Now, where it goes on within it; else it lies in the middle, and never ends in the future."""
    assert around(HOUR, AT - timedelta(minutes=10), None, AT) is None
    assert around(HOUR, AT - 10 * HOUR, AT - 9 * HOUR, AT) == AT - 10 * HOUR + HOUR / 2
    assert around(HOUR, AT - timedelta(minutes=10), AT, AT) == AT
