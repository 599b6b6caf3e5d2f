"""The local PagerDuty's services, people on call and maintenance windows over REST v2."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.contract.local_pagerduty_world import (
    ANA,
    BEN,
    CHAT,
    MONEY,
    OTHER_KEY,
    PERSONAL,
    World,
    error_of,
)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.file.close()


# -- what is configured


def test_services_tell_their_integrations_only_when_asked(world: World) -> None:
    plain = world.get("/services")["services"]
    assert [(one["name"], one["status"]) for one in plain] == [("Chat", "active"), ("Money", "active")]
    assert plain[0]["integrations"][0]["type"] == "events_api_v2_inbound_integration_reference"
    assert "integration_key" not in plain[0]["integrations"][0]
    [whole] = world.get("/services?include[]=integrations&query=chat")["services"]
    assert whole["integrations"][0]["integration_key"] == OTHER_KEY
    id_ = whole["integrations"][0]["id"]
    assert world.get(f"/services/{CHAT}/integrations/{id_}")["integration"]["integration_key"] == OTHER_KEY
    world.opened()
    assert world.get(f"/services/{MONEY}")["service"]["status"] == "critical"
    world.send("acknowledge")
    assert world.get(f"/services/{MONEY}")["service"]["status"] == "warning"


def test_users_are_found_by_name_and_me_needs_a_token_of_a_user(world: World) -> None:
    assert [one["email"] for one in world.get("/users")["users"]] == [ANA, BEN]
    assert [one["email"] for one in world.get("/users?query=okafor")["users"]] == [BEN]
    assert error_of(world.rest("GET", "/users/me"))[0] == 400
    me = world.rest("GET", "/users/me", authorization=f"Token token={PERSONAL}")
    assert me.body is not None
    assert me.body["user"]["email"] == ANA
    assert world.get(f"/users/{me.body['user']['id']}")["user"] == me.body["user"]


def test_who_is_on_call_now_then_and_next(world: World) -> None:
    def names(query: str = "") -> list[tuple[str, int]]:
        found = world.get(f"/oncalls{query}")["oncalls"]
        return [(one["user"]["summary"], one["escalation_level"]) for one in found]

    assert names() == [("Ana Novak", 1), ("Ben Okafor", 2)]
    first, second = world.get("/oncalls")["oncalls"]
    assert (first["start"], first["end"]) == ("2026-03-01T08:00:00Z", "2026-03-01T20:00:00Z")
    assert (first["schedule"]["summary"], second["schedule"], second["end"]) == ("Primary", None, None)
    assert names("?since=2026-03-01T21:00Z&until=2026-03-01T22:00Z") == [("Ben Okafor", 1), ("Ben Okafor", 2)]
    assert len(names("?since=2026-03-01T12:00Z&until=2026-03-02")) == 3
    assert names(f"?schedule_ids[]={first['schedule']['id']}") == [("Ana Novak", 1)]
    assert names("?schedule_ids[]=null") == [("Ben Okafor", 2)]
    assert names(f"?user_ids[]={second['user']['id']}") == [("Ben Okafor", 2)]
    assert names("?escalation_policy_ids[]=x") == []
    assert len(names("?since=2026-03-01T12:00Z&until=2026-04-01&earliest=true")) == 3
    whole = world.get("/oncalls?include[]=users&include[]=schedules&include[]=escalation_policies")["oncalls"][0]
    assert (whole["user"]["email"], whole["schedule"]["type"], whole["escalation_policy"]["type"]) == (
        ANA, "schedule", "escalation_policy",
    )  # fmt: skip
    for bad in ("since=2026-03-02&until=2026-03-01", "until=2026-09-01", "since=x", "include[]=teams"):
        assert world.rest("GET", f"/oncalls?{bad}").status == 400
    world.clock.advance(timedelta(hours=9))
    assert names() == [("Ben Okafor", 1), ("Ben Okafor", 2)]


def test_schedules_policies_and_priorities(world: World) -> None:
    [schedule] = world.get("/schedules")["schedules"]
    assert [one["summary"] for one in schedule["users"]] == ["Ana Novak", "Ben Okafor"]
    assert world.get(f"/schedules/{schedule['id']}")["schedule"] == schedule
    [policy] = world.get("/escalation_policies")["escalation_policies"]
    assert [one["targets"][0]["summary"] for one in policy["escalation_rules"]] == ["Primary", "Ben Okafor"]
    assert world.get(f"/escalation_policies/{policy['id']}")["escalation_policy"] == policy
    assert [one["name"] for one in world.get("/priorities")["priorities"]] == ["P1", "P2", "P3", "P4", "P5"]


# -- maintenance windows


def window(**changes: Any) -> dict[str, Any]:
    made = {
        "type": "maintenance_window",
        "start_time": "2026-03-01T14:00:00+01:00",
        "end_time": "2026-03-01T14:00:00Z",
        "description": "database",
        "services": [{"id": MONEY, "type": "service_reference"}],
    }
    return {"maintenance_window": {name: value for name, value in (made | changes).items() if value is not None}}


def test_a_window_is_in_the_future_ongoing_and_past(world: World) -> None:
    answer = world.rest("POST", "/maintenance_windows", window())
    assert answer.status == 201
    assert answer.body is not None
    made = answer.body["maintenance_window"]
    assert (made["start_time"], made["end_time"]) == ("2026-03-01T13:00:00Z", "2026-03-01T14:00:00Z")
    assert (made["created_by"]["summary"], made["sequence_number"]) == ("Ana Novak", 1)

    def states() -> list[str]:
        found = []
        for name in ("past", "future", "ongoing", "open", "all"):
            if world.get(f"/maintenance_windows?filter={name}")["maintenance_windows"]:
                found.append(name)
        return found

    assert states() == ["future", "open", "all"]
    world.clock.advance(timedelta(hours=1))
    assert states() == ["ongoing", "open", "all"]
    assert world.get(f"/services/{MONEY}")["service"]["status"] == "maintenance"
    world.clock.advance(timedelta(hours=1))
    assert states() == ["past", "all"]
    assert world.get(f"/maintenance_windows/{made['id']}")["maintenance_window"] == made


def test_windows_are_found_by_service_and_description(world: World) -> None:
    world.rest("POST", "/maintenance_windows", window())
    for query, count in (
        (f"service_ids[]={MONEY}", 1), (f"service_ids[]={CHAT}", 0), ("query=DATA", 1), ("query=x", 0),
        (f"service_ids[]={CHAT}&service_ids[]={MONEY}", 1), ("team_ids[]=T", 0),
    ):  # fmt: skip
        assert len(world.get(f"/maintenance_windows?{query}")["maintenance_windows"]) == count, query
    assert world.rest("GET", "/maintenance_windows?filter=now").status == 400
    [whole] = world.get("/maintenance_windows?include[]=services&include[]=users")["maintenance_windows"]
    assert (whole["services"][0]["type"], whole["created_by"]["email"]) == ("service", ANA)


BAD_WINDOWS = [
    {"type": "window"}, {"type": None}, {"start_time": None}, {"end_time": None}, {"end_time": "soon"}, {"end_time": 7},
    {"end_time": "2026-03-01T11:59:00Z"}, {"start_time": "2026-03-01T15:00:00Z"}, {"services": None}, {"services": []},
    {"services": [{"id": "Money", "type": "service_reference"}]}, {"services": [{"id": MONEY, "type": "team"}]},
    {"services": [MONEY]}, {"description": 7},
]  # fmt: skip


@pytest.mark.parametrize("changes", BAD_WINDOWS, ids=[str(one) for one in BAD_WINDOWS])
def test_a_bad_window_is_refused(world: World, changes: dict[str, Any]) -> None:
    assert error_of(world.rest("POST", "/maintenance_windows", window(**changes)))[:2] == (400, 2001)
    assert world.get("/maintenance_windows")["maintenance_windows"] == []


def test_a_window_that_begins_in_the_past_begins_now(world: World) -> None:
    answer = world.rest("POST", "/maintenance_windows", window(start_time="2026-02-01T00:00:00Z"))
    assert answer.body is not None
    assert answer.body["maintenance_window"]["start_time"] == "2026-03-01T12:00:00Z"


def test_a_future_window_is_deleted_an_ongoing_one_ended_and_a_past_one_stays(world: World) -> None:
    ids = []
    for changes in ({}, {"start_time": "2026-03-01T12:00:00Z"}):
        made = world.rest("POST", "/maintenance_windows", window(**changes))
        assert made.body is not None
        ids.append(made.body["maintenance_window"]["id"])
    future, ongoing = ids
    assert world.rest("DELETE", f"/maintenance_windows/{future}")[:2] == (204, None)
    assert world.rest("GET", f"/maintenance_windows/{future}").status == 404
    world.clock.advance(timedelta(minutes=10))
    assert world.rest("DELETE", f"/maintenance_windows/{ongoing}").status == 204
    left = world.get(f"/maintenance_windows/{ongoing}")["maintenance_window"]
    assert left["end_time"] == "2026-03-01T12:10:00Z"
    assert error_of(world.rest("DELETE", f"/maintenance_windows/{ongoing}"))[:2] == (405, 5003)
