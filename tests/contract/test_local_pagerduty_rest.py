"""The local PagerDuty's REST v2: who may ask, how often, and each documented rule of lists."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from opsctl.demo.servers.pagerduty_rest import REQUESTS_PER_MINUTE
from tests.contract.local_pagerduty_world import (
    CHAT,
    MONEY,
    OTHER_KEY,
    READER,
    TOKEN,
    World,
    error_of,
)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.file.close()


def keys(world: World, query: str = "") -> list[int]:
    return [one["incident_number"] for one in world.get(f"/incidents{query}")["incidents"]]


# -- who may ask


@pytest.mark.parametrize(
    "authorization", ["", TOKEN, f"Token {TOKEN}", f"token token={TOKEN}", f"Bearer {TOKEN}", "Token token=wrong"]
)
def test_another_form_of_authorization_is_401(world: World, authorization: str) -> None:
    answer = world.rest("GET", "/incidents", authorization=authorization)
    assert error_of(answer)[:2] == (401, 2006)
    assert "ratelimit-limit" not in answer.headers


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/vnd.pagerduty+json;version=1"])
def test_another_version_is_refused(world: World, accept: str) -> None:
    assert error_of(world.rest("GET", "/incidents", accept=accept))[:2] == (400, 2002)


WRITES = [
    ("PUT", "/incidents/1", {"incident": {"type": "incident", "status": "acknowledged"}}),
    ("PUT", "/incidents", {"incidents": [{"id": "x", "type": "incident", "status": "acknowledged"}]}),
    ("POST", "/incidents/1/notes", {"note": {"content": "n"}}),
    ("POST", "/maintenance_windows", {"maintenance_window": {}}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES])
def test_a_change_needs_a_token_that_writes_and_a_known_user(world: World, method: str, path: str, body: Any) -> None:
    world.opened()
    assert error_of(world.rest(method, path, body, authorization=f"Token token={READER}"))[:2] == (403, 2010)
    missing = error_of(world.rest(method, path, body, **{"from": ""}))
    assert missing[:2] == (400, 2016)
    assert '"From" header' in missing[2]
    assert error_of(world.rest(method, path, body, **{"from": "nobody@example.com"}))[:3] == (
        400,
        1008,
        "Requester User Not Found",
    )
    assert error_of(world.rest(method, path, body, content_type="text/plain"))[:2] == (400, 2002)
    for unreadable in (b"{", b"[" * 100_000, b'{"note": {"content": "\\ud800"}}'):
        assert error_of(world.rest(method, path, unreadable))[:2] == (400, 2001)
    assert [one["status"] for one in world.file.incidents()] == ["triggered"]
    assert world.get("/incidents/1/notes")["notes"] == []


def test_a_read_only_token_reads(world: World) -> None:
    assert world.rest("GET", "/incidents", authorization=f"Token token={READER}").status == 200
    assert world.rest("DELETE", "/maintenance_windows/x", authorization=f"Token token={READER}").status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("GET", "/incidents/Q1"), ("GET", "/incidents/Q1/notes"), ("PUT", "/incidents/Q1"),
     ("POST", "/incidents/Q1/notes"), ("POST", "/services"), ("DELETE", "/incidents/1"), ("GET", "/services/x"),
     ("GET", "/users/x"), ("GET", "/schedules/x"), ("GET", "/maintenance_windows/x"), ("GET", "/incidents/1/x"),
     ("DELETE", "/maintenance_windows/x"), ("GET", f"/services/{MONEY}/integrations/x")],
)  # fmt: skip
def test_what_is_not_there_is_404(world: World, method: str, path: str) -> None:
    body = {"incident": {"type": "incident"}, "note": {"content": "n"}}
    assert error_of(world.rest(method, path, body))[:3] == (404, 2100, "Not Found")


def test_960_requests_a_minute_for_each_token_and_headers_that_tell(world: World) -> None:
    first = world.rest("GET", "/priorities").headers
    assert (first["ratelimit-limit"], first["ratelimit-remaining"]) == ("960", "959")
    for _ in range(REQUESTS_PER_MINUTE - 1):
        last = world.rest("GET", "/nothing")
    assert (last.status, last.headers["ratelimit-remaining"]) == (404, "0")
    world.clock.advance(timedelta(seconds=20))
    refused = world.rest("GET", "/priorities")
    assert error_of(refused) == (429, 2020, "Rate Limit Exceeded", [])
    assert (refused.headers["ratelimit-remaining"], refused.headers["ratelimit-reset"]) == ("0", "41")
    assert "retry-after" not in {name.casefold() for name in refused.headers}
    assert world.rest("GET", "/priorities", authorization=f"Token token={READER}").status == 200
    world.clock.advance(timedelta(seconds=40))
    assert world.rest("GET", "/priorities").status == 200


# -- lists


def test_pages_of_25_unless_asked_and_of_100_at_most(world: World) -> None:
    for number in range(30):
        world.opened(str(number))
    first = world.get("/incidents")
    assert (first["limit"], first["offset"], first["more"], first["total"]) == (25, 0, True, None)
    assert [one["incident_number"] for one in first["incidents"]] == [*range(1, 26)]
    rest = world.get("/incidents?offset=25&total=true")
    assert (rest["more"], rest["total"], len(rest["incidents"])) == (False, 30, 5)
    assert keys(world, "?limit=3&offset=28") == [29, 30]
    assert keys(world, "?offset=30") == []
    assert world.get("/incidents?limit=30")["more"] is False


BAD_QUERIES = [
    ("limit=0", 2001), ("limit=101", 2001), ("limit=x", 2001), ("limit=-1", 2001), ("offset=-1", 2001),
    ("limit=100&offset=9901", 2001), ("total=maybe", 2001), ("date_range=some", 2001), ("statuses[]=open", 2001),
    ("urgencies[]=middle", 2001), ("include[]=everything", 2001), ("sort_by=title", 2001),
    ("sort_by=created_at:up", 2001), ("sort_by=created_at,resolved_at,urgency", 2001), ("since=yesterday", 2004),
    ("until=2026-13-01", 2004), ("since=9999-12-31", 2004), ("until=0001-01-01T00:00:00%2B14:00", 2004), ("since=2026-02-01&until=2026-01-01", 2005), ("since=2025-01-01&until=2025-12-01", 2005),
]  # fmt: skip


@pytest.mark.parametrize(("query", "code"), BAD_QUERIES, ids=[query for query, _ in BAD_QUERIES])
def test_a_query_beyond_the_documentation_is_refused(world: World, query: str, code: int) -> None:
    assert error_of(world.rest("GET", f"/incidents?{query}"))[:2] == (400, code)


def test_the_last_page_that_paging_reaches(world: World) -> None:
    assert keys(world, "?limit=100&offset=9900") == []


def test_only_the_last_month_is_listed_unless_asked(world: World) -> None:
    """The default that makes an old incident look as if it were not there."""
    world.opened("old")
    world.clock.advance(timedelta(days=30, seconds=-1))
    assert keys(world) == [1]
    world.clock.advance(timedelta(seconds=2))
    world.opened("new")
    assert keys(world) == [2]
    assert keys(world, "?incident_key=old") == []
    assert keys(world, "?date_range=all") == [1, 2]
    assert keys(world, "?date_range=all&since=2026-03-20") == [1, 2]
    assert keys(world, "?since=2026-03-01T12:00:00Z") == [1]
    assert keys(world, "?since=2026-03-01T12:00:00Z&until=2026-04-02") == [1, 2]
    assert keys(world, "?since=2026-03-01T12:00:01Z&until=2026-04-02") == [2]
    assert keys(world, "?until=2026-03-02") == [1]


def test_statuses_services_keys_and_users_choose(world: World) -> None:
    for key in ("a", "b", "c"):
        world.opened(key)
    world.send("acknowledge", "b")
    world.send("resolve", "c")
    world.send(key="a", routing_key=OTHER_KEY)
    assert keys(world, "?statuses[]=triggered") == [1, 4]
    assert keys(world, "?statuses[]=triggered&statuses[]=acknowledged") == [1, 2, 4]
    assert keys(world, "?statuses%5B%5D=resolved") == [3]
    assert keys(world, f"?service_ids[]={CHAT}") == [4]
    assert keys(world, f"?service_ids[]={MONEY}&statuses[]=triggered") == [1]
    assert keys(world, "?service_ids[]=nobody") == []
    assert keys(world, "?incident_key=a") == [1, 4]
    assert keys(world, "?incident_key=A") == []
    assert keys(world, "?urgencies[]=high") == [1, 2, 3, 4]
    assert keys(world, "?urgencies[]=low") == []
    assert keys(world, "?team_ids[]=T1") == []
    ana = world.get("/users?query=ana")["users"][0]["id"]
    assert keys(world, f"?user_ids[]={ana}") == [1, 2, 4], "a resolved incident is assigned to nobody"


def test_order_is_by_number_unless_asked(world: World) -> None:
    for key in ("a", "b", "c"):
        world.opened(key)
        world.clock.advance(timedelta(seconds=1))
    world.send("resolve", "b")
    assert keys(world) == [1, 2, 3]
    assert keys(world, "?sort_by=incident_number:desc") == [3, 2, 1]
    assert keys(world, "?sort_by=created_at:desc") == [3, 2, 1]
    assert keys(world, "?sort_by=resolved_at:desc,incident_number:desc") == [2, 3, 1]
    assert keys(world, "?sort_by=urgency") == [1, 2, 3]


def test_an_incident_with_alerts_has_no_key_but_is_found_by_it(world: World) -> None:
    world.opened("opsctl/1")
    [found] = world.get("/incidents?incident_key=opsctl/1")["incidents"]
    assert found["incident_key"] is None
    [alert] = world.get(f"/incidents/{found['id']}/alerts")["alerts"]
    assert alert["alert_key"] == "opsctl/1"
