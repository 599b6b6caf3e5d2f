"""An incident beside what the far side shows of it: what is a difference, and what is only not known yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from opsctl.core.seen import Seen, SeenIncident
from opsctl.ports import Incident
from opsctl.views.far_side import Beside, beside
from tests.unit.paging.world import T0, minutes

KEY = "opsctl/1"
NOW = T0 + minutes(30)
HERE = Incident(
    episode=7,
    key=KEY,
    rule_uid="u",
    rule_name="R",
    service="s",
    team="money",
    severity="page",
    cause="burn",
    summary="",
    runbook=None,
    opened=T0,
    state="firing",
    delivery="accepted",
    route="pagerduty/money",
    remote_id="Q1",
)
CLOSED = replace(HERE, state="resolved", resolved=T0 + minutes(10))
THERE = SeenIncident(KEY, "Q1", "triggered", T0 + minutes(0.1), T0 + minutes(1), "Ann", True, "https://x/Q1")
GONE = replace(THERE, status="resolved")
OLD = replace(GONE, id="Q0", created=T0 - minutes(60))


def seen(*there: SeenIncident, absent: tuple[str, ...] = ()) -> dict[str, Seen]:
    return {"pagerduty": Seen(NOW, {one.key: one for one in there}, frozenset(absent))}


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (HERE, seen(THERE), "triggered"),
        (HERE, seen(replace(THERE, status="acknowledged")), "taken by Ann"),
        (HERE, seen(replace(THERE, status="acknowledged", who="")), "acknowledged"),
        (HERE, seen(GONE), "! resolved by Ann"),
        (CLOSED, seen(GONE), "resolved by Ann"),
        (CLOSED, seen(THERE), "! triggered"),
        (HERE, seen(absent=(KEY,)), "! not there"),
        (CLOSED, seen(absent=(KEY,)), "not there"),
        (replace(HERE, delivery="queued"), seen(absent=(KEY,)), "not there"),
        (HERE, seen(), None),  # nobody asked
        (HERE, {}, None),
        (replace(HERE, route="opsgenie/money"), seen(THERE), None),
        (replace(HERE, route=""), seen(THERE), None),
        (HERE, seen(OLD), "! not there"),  # the newest one is the episode before's
    ],
)
def test_what_is_shown_and_what_is_marked(here: Incident, there: dict[str, Seen], words: str | None) -> None:
    found = beside([here], there, NOW)
    assert ({number: one.words for number, one in found.items()}) == ({7: words} if words else {})


def test_a_difference_is_none_before_the_far_side_had_time() -> None:
    assert beside([CLOSED], seen(THERE), T0 + minutes(11))[7].mismatch == ""
    assert beside([HERE], seen(absent=(KEY,)), T0 + timedelta(seconds=5))[7].mismatch == ""


def test_only_the_newest_incident_of_a_key_is_compared() -> None:
    newer = replace(HERE, episode=9, opened=T0 + minutes(20), remote_id="Q2")
    found = beside([newer, CLOSED], seen(replace(THERE, id="Q2")), NOW)
    assert found == {9: Beside("pagerduty", "triggered", "", "Q2", "https://x/Q1", "Ann", THERE.changed)}
