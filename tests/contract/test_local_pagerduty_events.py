"""The local PagerDuty's Events v2: each documented rule, and what is dropped without a word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.demo.servers.events_v2 import EVENTS_PER_MINUTE
from tests.contract.local_pagerduty_world import KEY, MONEY, OTHER_KEY, World, event, payload


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.file.close()


def post(world: World, body: Any, path: str = "/v2/enqueue") -> tuple[int, dict[str, Any]]:
    answer = world.reply("POST", path, body).answer
    assert answer.body is not None
    return answer.status, dict(answer.body)


BAD: list[tuple[Any, str]] = [
    (event(routing_key=None), "'routing_key' is missing or blank"),
    (event(routing_key="short"), "should be 32 characters"),
    (event(routing_key="-" * 32), "non-alphanumeric"),
    (event(routing_key="z" * 32), "Invalid routing key"),
    (event(action=""), "'event_action' is missing or blank"),
    (event(action="close"), "'event_action' is invalid"),
    (event("resolve", key=""), "'dedup_key' is missing or blank"),
    (event("acknowledge", dedup_key=None), "'dedup_key' is missing or blank"),
    (event(key="k" * 256), "Length of 'dedup_key'"),
    (event(payload=None), "'payload' is missing or blank"),
    (event(**payload(summary=" ")), "'payload.summary' is missing or blank"),
    (event(**payload(summary="s" * 1025)), "Length of 'payload.summary'"),
    (event(**payload(source=None)), "'payload.source' is missing or blank"),
    (event(**payload(severity="page")), "'payload.severity' is invalid"),
    (event(**payload(timestamp="yesterday")), "'payload.timestamp' is invalid"),
    (event(**payload(timestamp="0001-01-01T00:00:00+14:00")), "'payload.timestamp' is invalid"),
    (event(**payload(group=3)), "'payload.group' must be a string"),
    (event(**payload(custom_details=[1])), "'payload.custom_details' must be an object"),
    (event(links=[{"text": "x"}]), "'links[0].href' is missing or blank"),
    (event(images="x"), "'images' must be an array"),
    (event(images=[{"src": "http://x/y.png"}]), "'images[0].src' must be served via HTTPS"),
]


@pytest.mark.parametrize(("body", "error"), BAD, ids=[error for _, error in BAD])
def test_a_bad_event_is_refused_in_the_documented_words(world: World, body: Any, error: str) -> None:
    status, answer = post(world, body)
    assert status == 400
    assert (answer["status"], answer["message"]) == ("invalid event", "Event object is invalid")
    assert any(error in one for one in answer["errors"])
    assert world.file.incidents() == []


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", [], "x", b"[" * 100_000, b'{"a": "\\ud800"}'])
def test_what_is_no_json_object_is_told_so(world: World, body: Any) -> None:
    assert post(world, body) == (
        400,
        {
            "status": "Unrecognized object",
            "message": "Event object format is unrecognized",
            "errors": ["JSON parse error"],
        },
    )


def test_what_the_limits_just_allow_is_accepted(world: World) -> None:
    whole = event(key="k" * 255, **payload(summary="s" * 1024, timestamp="2015-07-17T08:42:58.315+0000"))
    whole |= {"links": [{"href": "https://x"}], "images": [{"src": "https://x/y.png"}]}
    assert post(world, whole)[0] == 202


def test_incidents_open_collect_and_open_again_only_after_a_resolve(world: World) -> None:
    for action in ("resolve", "trigger", "trigger", "acknowledge", "trigger", "resolve", "resolve", "trigger"):
        status, answer = post(world, event(action, "life", extra="tolerated"))
        assert (status, answer) == (202, {"status": "success", "message": "Event processed", "dedup_key": "life"})
    found = world.file.incidents("life")
    assert [(one["status"], one["alerts"]) for one in found] == [("resolved", 3), ("triggered", 1)]
    assert world.log() == [
        "ignored", "opened", "appended", "acknowledged", "appended", "resolved", "ignored", "opened",
    ]  # fmt: skip


def test_an_event_of_another_key_never_touches_an_incident(world: World) -> None:
    world.send("trigger", "shared")
    for action in ("acknowledge", "resolve"):
        assert post(world, event(action, "shared", routing_key=OTHER_KEY))[0] == 202
    assert [(one["integration"], one["status"]) for one in world.file.incidents("shared")] == [("money", "triggered")]
    post(world, event("trigger", "shared", routing_key=OTHER_KEY))
    assert [one["integration"] for one in world.file.incidents("shared")] == ["money", "chat"]


def test_a_trigger_without_a_key_gets_one(world: World) -> None:
    bare = event()
    del bare["dedup_key"]
    status, answer = post(world, bare)
    assert status == 202
    assert len(answer["dedup_key"]) == 32
    assert post(world, bare)[1]["dedup_key"] != answer["dedup_key"]


def test_too_large_wrong_path_and_wrong_method(world: World) -> None:
    assert post(world, event(**payload(custom_details={"x": "y" * 530_000})))[0] == 413
    assert post(world, event(), "/v2/other")[0] == 404
    for path in ("/v2/enqueue", "/v2/change/enqueue"):
        assert world.reply("GET", path).answer.status == 405


def test_more_than_120_in_a_minute_are_throttled_for_that_key_only(world: World) -> None:
    """Both kinds of events count; PagerDuty documents no Retry-After, so there is none."""
    change = {"routing_key": KEY, "payload": {"summary": "deployed"}}
    statuses = [post(world, change, "/v2/change/enqueue")[0]]
    statuses += [world.send(key=str(number)).status for number in range(EVENTS_PER_MINUTE - 1)]
    assert statuses == [202] * EVENTS_PER_MINUTE
    refused = world.send(key="one more")
    assert (refused.status, refused.headers) == (429, {})
    assert refused.body is not None
    assert refused.body["status"] == "throttle exceeded"
    assert post(world, change, "/v2/change/enqueue")[0] == 429
    assert world.file.incidents("one more") == []
    assert world.send(routing_key=OTHER_KEY).status == 202
    world.clock.advance(timedelta(seconds=59))
    assert world.send(key="one more").status == 429
    world.clock.advance(timedelta(seconds=1))
    assert world.send(key="one more").status == 202


BAD_CHANGES: list[tuple[Any, str]] = [
    ({"payload": {"summary": "s"}}, "'routing_key' is missing or blank"),
    ({"routing_key": KEY}, "'payload' is missing or blank"),
    ({"routing_key": KEY, "payload": {}}, "'payload.summary' is missing or blank"),
    ({"routing_key": KEY, "payload": {"summary": "s" * 1025}}, "Length of 'payload.summary'"),
    ({"routing_key": KEY, "payload": {"summary": "s", "timestamp": "x"}}, "'payload.timestamp' is invalid"),
    ({"routing_key": KEY, "payload": {"summary": "s", "source": 1}}, "'payload.source' must be a string"),
    ({"routing_key": KEY, "payload": {"summary": "s"}, "links": [{}]}, "'links[0].href' is missing or blank"),
    ({"routing_key": "z" * 32, "payload": {"summary": "s"}}, "Invalid routing key"),
]


@pytest.mark.parametrize(("body", "error"), BAD_CHANGES, ids=[error for _, error in BAD_CHANGES])
def test_a_bad_change_event_is_refused(world: World, body: Any, error: str) -> None:
    status, answer = post(world, body, "/v2/change/enqueue")
    assert status == 400
    assert any(error in one for one in answer["errors"])
    assert world.file.changes() == []


def test_a_change_event_is_kept_and_opens_nothing(world: World) -> None:
    body = {
        "routing_key": KEY,
        "payload": {
            "summary": "deployed 1.2",
            "source": "ci",
            "timestamp": "2026-03-01T11:00:00Z",
            "custom_details": {"by": "ana"},
        },
        "links": [{"href": "https://ci/7", "text": "build"}],
    }
    assert post(world, body, "/v2/change/enqueue") == (
        202,
        {"status": "success", "message": "Change event processed"},
    )
    assert world.file.incidents() == []
    [kept] = world.get("/change_events")["change_events"]
    assert (kept["summary"], kept["source"], kept["timestamp"]) == ("deployed 1.2", "ci", "2026-03-01T11:00:00Z")
    assert (kept["custom_details"], kept["links"]) == ({"by": "ana"}, body["links"])
    assert [one["id"] for one in kept["services"]] == [MONEY]
    assert world.get("/change_events?since=2026-03-01T11:00:01Z")["change_events"] == []
    assert world.rest("GET", "/change_events?since=2026-03-01T11:00:01%2B01:00").status == 400


def test_in_a_maintenance_window_events_are_accepted_and_dropped(world: World) -> None:
    """PagerDuty's support pages: integrations are switched off, and nothing is resolved through the Events API."""
    before = world.opened("before")
    window = {
        "type": "maintenance_window",
        "start_time": "2026-03-01T12:00:00Z",
        "end_time": "2026-03-01T13:00:00Z",
        "services": [{"id": MONEY, "type": "service_reference"}],
    }
    assert world.rest("POST", "/maintenance_windows", {"maintenance_window": window}).status == 201
    for action, key in (("trigger", "within"), ("trigger", "before"), ("acknowledge", "before"), ("resolve", "before")):
        assert world.send(action, key).status == 202
    assert world.log() == ["opened", "maintenance", "maintenance", "maintenance", "maintenance"]
    assert world.file.incidents("within") == []
    assert [one["status"] for one in world.file.incidents("before")] == ["triggered"]
    assert world.send(key="elsewhere", routing_key=OTHER_KEY).status == 202
    assert len(world.file.incidents("elsewhere")) == 1
    assert world.put(before, status="resolved").status == 200
    world.clock.advance(timedelta(hours=1))
    world.send("trigger", "within")
    assert [one["status"] for one in world.file.incidents("within")] == ["triggered"]


def test_no_secret_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path / "pd.sqlite3")
    world.opened()
    world.send(routing_key="z" * 32)
    world.get("/services?include[]=integrations")
    world.file.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"burns" in kept
    assert not [secret for secret in (KEY, OTHER_KEY, "z" * 32, "canary") if secret.encode() in kept]


def test_a_file_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    """It has incidents and a log, and nothing that tells who did what."""
    world = World(tmp_path / "pd.sqlite3")
    incident = world.opened()
    with world.file.transaction() as db:
        for table in ("entries", "pending", "changes", "windows"):
            db.execute(f"DROP TABLE {table}")
    world.file.close()
    again = World(tmp_path / "pd.sqlite3")
    found = again.get(f"/incidents/{incident}")["incident"]
    assert (found["status"], found["last_status_change_by"]["id"]) == ("triggered", MONEY)
    assert found["last_status_change_at"] == found["created_at"]
    assert json.dumps(again.get(f"/incidents/{incident}/log_entries")["log_entries"]) == "[]"
    again.file.close()
