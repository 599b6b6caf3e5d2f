"""The local PagerDuty's incidents over REST v2: how they look, how they change, their alerts, notes and log entries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from opsctl.demo.servers.pagerduty_incidents import MOST_AT_ONCE, MOST_NOTES
from tests.contract.local_pagerduty_world import (
    ANA,
    BEN,
    MONEY,
    World,
    error_of,
    event,
)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.file.close()


def test_an_incident_as_it_is_shown(world: World) -> None:
    id_ = world.opened("k", links=[{"href": "https://x", "text": "runbook"}])
    found = world.get(f"/incidents/{id_}")["incident"]
    assert world.get("/incidents/1")["incident"] == found, "by number too"
    assert (found["id"], found["type"], found["incident_number"]) == (id_, "incident", 1)
    assert (found["title"], found["summary"]) == ("k burns", "[#1] k burns")
    assert found["html_url"].endswith(f"/incidents/{id_}")
    assert (found["created_at"], found["resolved_at"]) == ("2026-03-01T12:00:00Z", None)
    assert (found["service"]["id"], found["service"]["type"]) == (MONEY, "service_reference")
    assert found["last_status_change_at"] == found["created_at"]
    assert (found["last_status_change_by"]["type"], found["last_status_change_by"]["id"]) == (
        "service_reference",
        MONEY,
    )
    assert (found["acknowledgements"], found["priority"], found["urgency"]) == ([], None, "high")
    assert [one["assignee"]["summary"] for one in found["assignments"]] == ["Ana Novak"]
    assert found["alert_counts"] == {"all": 1, "triggered": 1, "resolved": 0}


def test_includes_show_whole_resources_instead_of_references(world: World) -> None:
    id_ = world.opened()
    assert world.put(id_, status="acknowledged").status == 200
    plain = world.get(f"/incidents/{id_}")["incident"]
    query = (
        "include[]=services&include[]=acknowledgers&include[]=assignees&include[]=agents&include[]=escalation_policies"
    )
    whole = world.get(f"/incidents/{id_}?{query}")["incident"]
    for look in (
        lambda incident: incident["service"],
        lambda incident: incident["escalation_policy"],
        lambda incident: incident["last_status_change_by"],
        lambda incident: incident["assignments"][0]["assignee"],
        lambda incident: incident["acknowledgements"][0]["acknowledger"],
    ):
        assert look(plain)["type"] == look(whole)["type"] + "_reference"
        assert look(plain)["id"] == look(whole)["id"]
    assert whole["last_status_change_by"]["email"] == ANA


# -- changes


def test_acknowledge_and_resolve_by_a_user(world: World) -> None:
    id_ = world.opened()
    world.clock.advance(timedelta(minutes=1))
    answer = world.put(id_, status="acknowledged")
    assert answer.status == 200
    assert answer.body is not None
    found = answer.body["incident"]
    assert (found["status"], found["last_status_change_at"]) == ("acknowledged", "2026-03-01T12:01:00Z")
    assert (found["last_status_change_by"]["type"], found["last_status_change_by"]["summary"]) == (
        "user_reference",
        "Ana Novak",
    )
    [acknowledgement] = found["acknowledgements"]
    assert (acknowledgement["at"], acknowledgement["acknowledger"]["summary"]) == ("2026-03-01T12:01:00Z", "Ana Novak")
    world.clock.advance(timedelta(minutes=1))
    body = {"incident": {"type": "incident", "status": "resolved", "resolution": "restarted"}}
    resolved = world.rest("PUT", f"/incidents/{id_}", body, **{"from": BEN})
    assert resolved.body is not None
    found = resolved.body["incident"]
    assert (found["status"], found["resolved_at"]) == ("resolved", "2026-03-01T12:02:00Z")
    assert (found["acknowledgements"], found["assignments"]) == ([], [])
    assert found["last_status_change_by"]["summary"] == "Ben Okafor"


def test_events_change_incidents_as_their_service(world: World) -> None:
    id_ = world.opened()
    world.send("acknowledge")
    [acknowledgement] = world.get(f"/incidents/{id_}")["incident"]["acknowledgements"]
    assert acknowledgement["acknowledger"]["type"] == "service_reference"
    world.send("resolve")
    assert world.get(f"/incidents/{id_}")["incident"]["last_status_change_by"]["id"] == MONEY


def test_a_change_that_changes_nothing_has_an_error_code_of_its_own(world: World) -> None:
    id_ = world.opened()
    assert world.put(id_, status="acknowledged").status == 200
    assert error_of(world.put(id_, status="acknowledged"))[:3] == (400, 1002, "Incident Already Acknowledged")
    assert world.put(id_, status="resolved").status == 200
    assert error_of(world.put(id_, status="resolved"))[:3] == (400, 1001, "Incident Already Resolved")


@pytest.mark.parametrize("status", ["acknowledged", "triggered"])
def test_a_resolved_incident_is_opened_again_by_a_change_but_never_by_an_event(world: World, status: str) -> None:
    """PagerDuty's changelog, 2025-09-18. Until then it was refused: who only means to acknowledge must look first."""
    id_ = world.opened()
    world.send("resolve")
    for action in ("acknowledge", "resolve"):
        world.send(action)
    assert world.get(f"/incidents/{id_}")["incident"]["status"] == "resolved"
    world.clock.advance(timedelta(minutes=5))
    assert world.put(id_, status=status).status == 200
    found = world.get(f"/incidents/{id_}")["incident"]
    assert (found["status"], found["resolved_at"]) == (status, None)
    assert found["last_status_change_at"] == "2026-03-01T12:05:00Z"
    assert len(found["acknowledgements"]) == (status == "acknowledged")
    world.send("trigger")
    assert len(world.file.incidents()) == 1, "it is the open incident of its key again"


def test_beside_an_incident_that_was_opened_again_events_go_to_the_newer_one(world: World) -> None:
    first = world.opened()
    world.send("resolve")
    second = world.opened()
    assert world.put(first, status="triggered").status == 200
    world.send("resolve")
    assert [one["status"] for one in world.file.incidents()] == ["triggered", "resolved"]
    assert first != second


BAD_CHANGES: list[tuple[Any, int]] = [
    ({}, 2001),
    ({"incident": []}, 2001),
    ({"incident": {"status": "resolved"}}, 2001),
    ({"incident": {"type": "service", "status": "resolved"}}, 2001),
    ({"incident": {"type": "incident", "status": "closed"}}, 1003),
    ({"incident": {"type": "incident", "status": 3}}, 1003),
    ({"incident": {"type": "incident", "state": "resolved"}}, 2001),
    ({"incident": {"type": "incident", "title": " "}}, 2001),
    ({"incident": {"type": "incident", "status": "acknowledged", "resolution": "x"}}, 2001),
    ([], 2001),
]


@pytest.mark.parametrize(("body", "code"), BAD_CHANGES, ids=[str(body) for body, _ in BAD_CHANGES])
def test_a_bad_change_is_refused_and_changes_nothing(world: World, body: Any, code: int) -> None:
    id_ = world.opened()
    assert error_of(world.rest("PUT", f"/incidents/{id_}", body))[:2] == (400, code)
    assert [one["status"] for one in world.file.incidents()] == ["triggered"]


def test_a_title_changes_alone(world: World) -> None:
    id_ = world.opened()
    assert world.put(id_, title="It burns").status == 200
    found = world.get(f"/incidents/{id_}")["incident"]
    assert (found["title"], found["status"]) == ("It burns", "triggered")


def several(world: World, *changes: dict[str, Any]) -> Any:
    return world.rest("PUT", "/incidents", {"incidents": [{"type": "incident_reference"} | one for one in changes]})


def test_many_incidents_change_at_once_or_none(world: World) -> None:
    ids = [world.opened(key) for key in ("a", "b", "c")]
    world.send("resolve", "c")
    assert error_of(several(world, *({"id": id_, "status": "resolved"} for id_ in ids)))[:2] == (400, 1001)
    assert error_of(several(world, {"id": ids[0], "status": "resolved"}, {"id": "Q0", "status": "resolved"}))[1] == 1004
    assert error_of(several(world, {"id": ids[0], "status": "resolved"}, {"id": ids[1], "status": "x"}))[1] == 1003
    assert error_of(several(world))[1] == 2001
    assert [one["status"] for one in world.file.incidents()] == ["triggered", "triggered", "resolved"]
    answer = several(world, {"id": ids[0], "status": "acknowledged"}, {"id": ids[1], "status": "resolved"})
    assert [one["status"] for one in answer.body["incidents"]] == ["acknowledged", "resolved"]


def test_250_incidents_may_change_at_once_and_not_one_more(world: World) -> None:
    id_ = world.opened()
    changes = [{"id": id_, "title": str(number)} for number in range(MOST_AT_ONCE + 1)]
    assert error_of(several(world, *changes))[0] == 413
    assert several(world, *changes[1:]).status == 200
    assert world.file.incidents()[0]["title"] == str(MOST_AT_ONCE)


# -- alerts, notes, log entries


def test_alerts_have_the_key_the_details_and_the_integration(world: World) -> None:
    body = event("trigger", "k", links=[{"href": "https://x", "text": "runbook"}])
    body["payload"] |= {"custom_details": {"rule": "r"}, "severity": "warning"}
    world.reply("POST", "/v2/enqueue", body)
    [alert] = world.get("/incidents/1/alerts")["alerts"]
    assert (alert["type"], alert["alert_key"], alert["status"], alert["severity"]) == (
        "alert",
        "k",
        "triggered",
        "warning",
    )
    assert alert["body"]["details"] == {"rule": "r"}
    assert alert["body"]["contexts"] == [{"type": "link", "href": "https://x", "text": "runbook"}]
    assert (alert["service"]["id"], alert["integration"]["summary"]) == (MONEY, "money")
    assert alert["incident"]["type"] == "incident_reference"
    for query, count in (
        ("?alert_key=k", 1), ("?alert_key=x", 0), ("?statuses[]=triggered", 1), ("?statuses[]=resolved", 0),
    ):  # fmt: skip
        assert len(world.get(f"/incidents/1/alerts{query}")["alerts"]) == count
    assert world.rest("GET", "/incidents/1/alerts?statuses[]=acknowledged").status == 400
    world.send("resolve")
    assert world.get("/incidents/1/alerts")["alerts"][0]["status"] == "resolved"


def test_notes_are_added_by_a_user_and_come_in_order(world: World) -> None:
    id_ = world.opened()
    answer = world.rest("POST", f"/incidents/{id_}/notes", {"note": {"content": "on it"}})
    assert answer.status == 201
    assert answer.body is not None
    assert (answer.body["note"]["content"], answer.body["note"]["user"]["summary"]) == ("on it", "Ana Novak")
    world.send("resolve")
    assert world.rest("POST", f"/incidents/{id_}/notes", {"note": {"content": "done"}}, **{"from": BEN}).status == 201
    notes = world.get(f"/incidents/{id_}/notes")["notes"]
    assert [(one["content"], one["user"]["summary"]) for one in notes] == [
        ("on it", "Ana Novak"),
        ("done", "Ben Okafor"),
    ]
    for bad in ({}, {"note": {}}, {"note": {"content": " "}}, {"note": {"content": 7}}, []):
        assert error_of(world.rest("POST", f"/incidents/{id_}/notes", bad))[:2] == (400, 2001)


def test_an_incident_has_2000_notes_at_most(world: World) -> None:
    id_ = world.opened()
    with world.file.transaction() as db:
        db.executemany(
            "INSERT INTO entries (incident, kind, at, agent_type, agent, note) VALUES (?, 'annotate', ?, 'user', ?, 'n')",
            [(id_, "2026-03-01T12:00:00.000+00:00", "x")] * (MOST_NOTES - 1),
        )
    assert world.rest("POST", f"/incidents/{id_}/notes", {"note": {"content": "the last"}}).status == 201
    refused = world.rest("POST", f"/incidents/{id_}/notes", {"note": {"content": "one more"}})
    assert error_of(refused)[:3] == (400, 5002, "Simple Log Entry Limit Reached")
    assert len(world.get(f"/incidents/{id_}/notes")["notes"]) == MOST_NOTES


def test_log_entries_tell_who_did_what_newest_first(world: World) -> None:
    id_ = world.opened()
    world.send("trigger")
    world.clock.advance(timedelta(minutes=1))
    world.put(id_, status="acknowledged")
    world.rest("POST", f"/incidents/{id_}/notes", {"note": {"content": "on it"}})
    world.clock.advance(timedelta(minutes=1))
    world.put(id_, status="resolved", resolution="restarted")
    entries = world.get(f"/incidents/{id_}/log_entries")["log_entries"]
    assert [one["type"].removesuffix("_log_entry") for one in entries] == [
        "resolve", "annotate", "acknowledge", "trigger", "notify", "assign", "trigger",
    ]  # fmt: skip
    assert entries[0]["channel"] == {"type": "note", "summary": "restarted"}
    assert (entries[1]["channel"]["summary"], entries[1]["agent"]["summary"]) == ("on it", "Ana Novak")
    assert (entries[4]["user"]["summary"], entries[5]["assignees"][0]["summary"]) == ("Ana Novak", "Ana Novak")
    assert entries[6]["id"] == world.get("/incidents/1")["incident"]["first_trigger_log_entry"]["id"]
    assert entries[6]["agent"]["type"] == "service_reference"
    assert len({one["id"] for one in entries}) == len(entries)
    assert len(world.get(f"/incidents/{id_}/log_entries?is_overview=true")["log_entries"]) == 6
    assert len(world.get(f"/incidents/{id_}/log_entries?since=2026-03-01T12:02:00Z")["log_entries"]) == 1
    page = world.get(f"/incidents/{id_}/log_entries?limit=2&offset=1&total=1")
    assert (len(page["log_entries"]), page["more"], page["total"]) == (2, True, 7)
