"""Notes go to the incident of their key, once each; without a token they say what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.adapters.sinks.pagerduty_notes import RestNotes
from opsctl.adapters.sinks.pagerduty_rest import Rest
from opsctl.ports import Delivery, SinkEvent
from tests.contract.pagerduty_world import ANA, TOKEN, PagerDutyWorld, key_of, note, pagerduty_world

KEY = key_of("a")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PagerDutyWorld]:
    with pagerduty_world(tmp_path) as made:
        yield made


def sink(world: PagerDutyWorld, token: str = TOKEN, sender: str = ANA) -> PagerDuty:
    return PagerDuty(world.keys, world.server.address, RestNotes(Rest(lambda: token, sender, world.server.address)))


def send(world: PagerDutyWorld, text: str = "ann: restarted", id_: str = "k/1/note/0", **how: str) -> Delivery:
    pager = sink(world, **how)
    try:
        return pager.send(SinkEvent("money", note(KEY, text), id_), 3.0)
    finally:
        pager.close()


def notes(world: PagerDutyWorld) -> list[str]:
    [incident] = world.get("/_incidents")["incidents"]
    return [one["content"] for one in world.get(f"/incidents/{incident['id']}/notes")["notes"]]


def test_a_note_is_written_once_however_often_it_is_tried(world: PagerDutyWorld) -> None:
    world.event("trigger", KEY)
    for _ in range(3):
        assert send(world).outcome == "accepted"
    assert send(world, id_="k/1/note/1").outcome == "accepted"  # the same words, said again
    written = notes(world)
    assert len(written) == 2
    assert all(one.startswith("ann: restarted [opsctl ") for one in written)


def test_a_note_whose_answer_was_lost_is_found_again(world: PagerDutyWorld) -> None:
    world.event("trigger", KEY)
    world.faults({"match": {"method": "POST", "path": "/incidents/*", "nth": 1}, "do": "lose_reply"})
    assert send(world).outcome == "retry"
    assert send(world).outcome == "accepted"
    assert len(notes(world)) == 1


def test_a_note_for_an_incident_that_does_not_show_yet_waits(world: PagerDutyWorld) -> None:
    delivery = send(world)
    assert (delivery.outcome, delivery.message) == ("retry", "PagerDuty shows no incident with this key yet")


def test_an_unknown_sender_and_a_wrong_token_are_refused_for_good(world: PagerDutyWorld) -> None:
    world.event("trigger", KEY)
    stranger = send(world, sender="nobody@example.com")
    assert stranger.outcome == "permanent"
    assert "pagerduty.rest.from" in stranger.message
    refused = send(world, token="wr0ngT0ken")
    assert refused.outcome == "permanent"
    assert "pagerduty.rest" in refused.message
    assert "wr0ng" not in refused.message


def test_a_refused_note_is_not_tried_again_and_a_broken_server_is(world: PagerDutyWorld) -> None:
    world.event("trigger", KEY)
    [incident] = world.get("/_incidents")["incidents"]
    path = f"/incidents/{incident['id']}/notes"
    world.faults({"match": {"method": "POST", "path": path}, "do": "status", "status": 400})
    assert send(world).outcome == "permanent"
    world.faults({"match": {"method": "POST", "path": path}, "do": "status", "status": 503})
    assert send(world).outcome == "retry"


def test_a_429_says_when_to_come_again(world: PagerDutyWorld) -> None:
    world.event("trigger", KEY)
    world.faults({"match": {"path": "/incidents"}, "do": "status", "status": 429, "retry_after": 30})
    delivery = send(world)
    assert (delivery.outcome, delivery.status, delivery.retry_after_seconds) == ("retry", 429, 30.0)


def test_without_a_token_a_note_is_refused_by_the_settings_name(world: PagerDutyWorld) -> None:
    pager = PagerDuty(world.keys, world.server.address)
    delivery = pager.send(SinkEvent("money", note(KEY, "x"), "id"), 2.0)
    assert delivery.outcome == "permanent"
    assert "pagerduty.rest" in delivery.message
    assert world.requests() == []
