"""Faults by script and a person in PagerDuty's own pages: what is carried out, and what the client sees of it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from tests.contract.local_pagerduty_world import BEN, KEY, OTHER_KEY, World, event


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.file.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPagerDuty]:
    server = start_local_pagerduty(
        tmp_path_factory.mktemp("pd") / "pd.sqlite3", {"money": KEY}, faults=[{"do": "status", "status": 599}]
    )
    yield server
    server.stop()


def ask(server: LocalPagerDuty, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), json.loads(answer.read() or b"null")
    finally:
        connection.close()


def load(server: LocalPagerDuty, *rules: dict[str, Any]) -> None:
    assert ask(server, "PUT", "/_faults", list(rules))[0] == 200


def seen(server: LocalPagerDuty, key: str) -> list[str]:
    return [one["status"] for one in ask(server, "GET", f"/_incidents?dedup_key={key}")[2]["incidents"]]


def test_a_lost_request_opens_nothing_and_a_lost_reply_does(local: LocalPagerDuty) -> None:
    """Both look alike to the client: its connection ends."""
    for kind, found in (("lose_request", []), ("lose_reply", ["triggered"])):
        load(local, {"do": kind, "match": {"dedup_key": kind}})
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(local, "POST", "/v2/enqueue", event(key=kind))
        assert seen(local, kind) == found
    lost = [one for one in ask(local, "GET", "/_log")[2]["log"] if one["status"] == 0]
    assert [(one["effect"], one["dedup_key"]) for one in lost] == [("fault lose_request", "lose_request")]
    statuses = [(one["fault"], one["status"]) for one in ask(local, "GET", "/_requests")[2]["requests"]]
    assert [one for one in statuses if one[0]] == [("lose_request", 0), ("lose_reply", 0)]


def test_a_slow_answer_comes_late_and_is_carried_out_at_once(local: LocalPagerDuty) -> None:
    load(local, {"do": "slow", "seconds": 0.4, "match": {"dedup_key": "slow"}})
    began = time.monotonic()
    assert ask(local, "POST", "/v2/enqueue", event(key="slow"))[0] == 202
    assert time.monotonic() - began >= 0.4
    assert seen(local, "slow") == ["triggered"]


def test_a_dripping_answer_is_whole_in_the_end(local: LocalPagerDuty) -> None:
    load(local, {"do": "drip", "seconds": 0.005, "match": {"dedup_key": "drip"}})
    began = time.monotonic()
    status, _, body = ask(local, "POST", "/v2/enqueue", event(key="drip"))
    assert (status, body["dedup_key"]) == (202, "drip")
    assert time.monotonic() - began >= 0.3
    assert seen(local, "drip") == ["triggered"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 502, 503, 504])
def test_a_status_is_answered_and_nothing_carried_out(local: LocalPagerDuty, status: int) -> None:
    """In the words of the API that was asked; 429 with and without Retry-After."""
    for more, after in (({}, None), ({"retry_after": 7}, "7")):
        load(local, {"do": "status", "status": status, **more})
        answered, headers, body = ask(local, "POST", "/v2/enqueue", event(key=f"s{status}"))
        assert (answered, headers.get("Retry-After")) == (status, after)
        assert isinstance(body["message"], str)
        answered, headers, body = ask(local, "GET", "/incidents")
        assert (answered, headers.get("Retry-After")) == (status, after)
        assert isinstance(body["error"]["code"], int)
    assert seen(local, f"s{status}") == []


def test_what_a_wrong_script_says_and_that_it_changes_nothing(local: LocalPagerDuty) -> None:
    load(local, {"do": "slow", "seconds": 0})
    for body in ([{"do": "explode"}], {"rules": 3}, 7):
        status, _, said = ask(local, "PUT", "/_faults", body)
        assert status == 400
        assert "/_faults: " in said["message"]
    assert [rule["do"] for rule in ask(local, "GET", "/_faults")[2]["rules"]] == ["slow"]


def test_an_accepted_event_may_never_appear(world: World) -> None:
    world.faults.load([{"do": "accept_invisible", "match": {"action": "trigger", "times": 1}}])
    answer = world.send(key="ghost")
    assert answer.status == 202
    assert answer.body is not None
    assert answer.body["dedup_key"] == "ghost"
    assert world.file.incidents() == []
    assert world.get("/incidents")["incidents"] == []
    world.send(key="ghost")
    assert (world.log(), len(world.file.incidents())) == (["invisible", "opened"], 1)


def test_an_accepted_event_may_appear_later(world: World) -> None:
    """Each at its own time, also when an event that came after it was carried out already."""
    world.faults.load([{"do": "accept_later", "seconds": 30, "match": {"to": 2}}])
    for key in ("late", "late", "early"):
        assert world.send(key=key).status == 202
    assert [one["dedup_key"] for one in world.file.incidents()] == ["early"]
    assert world.log() == ["later", "later", "opened"]
    world.clock.advance(timedelta(seconds=29.9))
    assert world.file.incidents("late") == []
    world.clock.advance(timedelta(seconds=0.1))
    assert [(one["status"], one["alerts"]) for one in world.file.incidents("late")] == [("triggered", 2)]
    assert world.log() == ["opened", "appended", "opened"]
    assert [one["incident_number"] for one in world.get("/incidents")["incidents"]] == [1, 2]


def test_a_late_event_survives_a_restart(tmp_path: Path) -> None:
    first = World(tmp_path / "pd.sqlite3")
    first.faults.load([{"do": "accept_later", "seconds": 60}])
    first.send(key="late")
    first.file.close()
    second = World(tmp_path / "pd.sqlite3")
    assert second.file.incidents() == []
    second.clock.advance(timedelta(seconds=61))
    assert [one["status"] for one in second.file.incidents("late")] == ["triggered"]
    second.file.close()


def test_rules_choose_by_path_method_action_and_key_and_by_number(world: World) -> None:
    world.faults.load(
        [
            {"match": {"path": "/incidents*", "method": "PUT"}, "do": "status", "status": 502},
            {"match": {"action": "resolve", "dedup_key": "opsctl/*", "nth": 2}, "do": "status", "status": 503},
            {"match": {"path": "/v2/change/*", "action": "change", "from": 2, "to": 3}, "do": "status", "status": 504},
        ]
    )
    opened = world.opened("opsctl/1")
    assert world.put(opened, status="acknowledged").status == 502
    assert [world.send("resolve", "opsctl/1").status for _ in range(3)] == [202, 503, 202]
    change = {"routing_key": KEY, "payload": {"summary": "s"}}
    found = [world.reply("POST", "/v2/change/enqueue", change).answer.status for _ in range(4)]
    assert found == [202, 504, 504, 202]
    assert [(rule["seen"], rule["acted"]) for rule in world.faults.shown()] == [(1, 1), (3, 1), (4, 2)]


def test_chance_is_the_same_each_time(world: World) -> None:
    rule = {"match": {"probability": 0.3, "seed": 4}, "do": "lose_request"}
    told = []
    for _ in range(2):
        world.faults.load([rule])
        told.append([world.reply("POST", "/v2/enqueue", event(key=str(n))).lost for n in range(60)])
    assert told[0] == told[1]
    assert 5 < sum(told[0]) < 35


@pytest.mark.parametrize(("do", "status"), [("acknowledge", "acknowledged"), ("resolve", "resolved")])
def test_a_person_acts_in_pagerdutys_own_pages(world: World, do: str, status: str) -> None:
    incident = world.opened("k")
    world.clock.advance(timedelta(minutes=3))
    answer = world.reply("POST", "/_person", {"do": do, "dedup_key": "k", "user": BEN}).answer
    assert answer.status == 200
    found = world.get(f"/incidents/{incident}")["incident"]
    assert (found["status"], found["last_status_change_at"]) == (status, "2026-03-01T12:03:00Z")
    assert found["last_status_change_by"]["type"] == "user_reference"
    assert found["last_status_change_by"]["summary"] == "Ben Okafor"


def test_a_person_acts_on_the_open_incident_only(world: World) -> None:
    assert world.reply("POST", "/_person", {"do": "resolve", "dedup_key": "k"}).answer.status == 404
    first = world.opened("k")
    world.send("resolve", "k")
    assert world.reply("POST", "/_person", {"do": "acknowledge", "dedup_key": "k"}).answer.status == 404
    second = world.opened("k")
    answer = world.reply("POST", "/_person", {"do": "acknowledge", "incident": second, "user": "Ana Novak"}).answer
    assert answer.status == 200
    assert [one["status"] for one in world.file.incidents("k")] == ["resolved", "acknowledged"]
    assert first != second
    for wrong in (
        {"do": "reassign", "dedup_key": "k"},
        {"do": "resolve"},
        {"do": "resolve", "dedup_key": "k", "user": "x"},
    ):
        assert world.reply("POST", "/_person", wrong).answer.status == 400


def test_our_own_side_is_never_treated_badly_and_tells_what_is_wrong(world: World) -> None:
    world.faults.load([{"do": "lose_request"}])
    for path in ("/", "/_incidents", "/_log", "/_requests", "/_changes", "/_faults", "/_clock"):
        assert world.reply("GET", path).answer.status == 200
    assert world.reply("GET", "/_log?after=x").answer.status == 400
    assert world.reply("GET", "/_nothing").answer.status == 404
    assert world.reply("POST", "/_clock", {"at": "yesterday"}).answer.status == 400
    assert world.reply("POST", "/_clock", b"{").answer.status == 400
    assert world.reply("POST", "/_clock", {"at": "2026-04-01T00:00:00Z"}).answer.status == 200
    assert world.clock.now().isoformat() == "2026-04-01T00:00:00+00:00"


def test_a_rule_may_be_for_one_integration(world: World) -> None:
    world.faults.load([{"match": {"integration": "chat"}, "do": "status", "status": 503}])
    assert world.send().status == 202
    assert world.send(routing_key=OTHER_KEY).status == 503
