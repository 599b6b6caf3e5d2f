"""What is read back from PagerDuty, as the local one has it; for what that never answers see test_pagerduty_odd_answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.adapters.sinks.pagerduty import RoutingKeys
from opsctl.adapters.sinks.pagerduty_reader import MOST_ALERT_LISTS, PagerDutyReader
from opsctl.adapters.sinks.pagerduty_rest import Rest
from opsctl.adapters.sinks.pagerduty_services import Services
from opsctl.core.seen import SeenOrigin
from opsctl.demo.servers.pagerduty import start_local_pagerduty
from opsctl.demo.servers.pagerduty_tls import NoOpenssl, openssl
from opsctl.errors import AuthError
from tests.contract.pagerduty_world import ANA, KEYS, TOKEN, PagerDutyWorld, key_of, pagerduty_world
from tests.servers.misbehaving import Exchange, Misbehaving


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PagerDutyWorld]:
    with pagerduty_world(tmp_path) as made:
        yield made


def test_open_ones_are_found_without_being_asked_for_and_others_tools_are_not_ours(world: PagerDutyWorld) -> None:
    for key in (key_of("a"), key_of("b"), "grafana/1"):
        world.event("trigger", key)
    seen = world.look()
    assert seen.problem is None
    assert seen.complete
    assert {key: one.status for key, one in seen.incidents.items()} == {
        key_of("a"): "triggered",
        key_of("b"): "triggered",
    }
    [other] = seen.others
    known = {one.id: key for key, one in seen.incidents.items()} | {other: ""}
    before = len(world.requests("/alerts"))
    again = world.look(known=known)
    assert again.incidents == seen.incidents
    assert again.complete
    assert len(world.requests("/alerts")) == before == 3


def test_a_key_is_open_resolved_or_absent_and_the_newest_incident_counts(world: PagerDutyWorld) -> None:
    for action in ("trigger", "resolve", "trigger", "resolve"):
        world.event(action, key_of("closed"))
        time.sleep(0.01)
    for action in ("trigger", "resolve", "trigger"):
        world.event(action, key_of("again"))
    seen = world.look(key_of("closed"), key_of("again"), key_of("never"))
    assert {key: one.status for key, one in seen.incidents.items()} == {
        key_of("closed"): "resolved",
        key_of("again"): "triggered",
    }
    assert seen.absent == {key_of("never")}
    found = world.get("/_incidents")["incidents"]
    newest = [one["id"] for one in found if one["dedup_key"] == key_of("closed")][-1]
    assert seen.incidents[key_of("closed")].id == newest


def test_incidents_older_than_a_month_are_seen(world: PagerDutyWorld) -> None:
    """Without date_range=all PagerDuty answers with the last 30 days."""
    world.event("trigger", key_of("old"))
    world.event("trigger", key_of("older"))
    world.event("resolve", key_of("older"))
    world.post("/_clock", {"advance": 40 * 86400})
    seen = world.look(key_of("old"), key_of("older"))
    assert seen.incidents[key_of("old")].status == "triggered"
    assert seen.incidents[key_of("older")].status == "resolved"


def test_who_took_it_and_whether_that_was_a_person(world: PagerDutyWorld) -> None:
    for name in ("taken", "closed", "by-event"):
        world.event("trigger", key_of(name))
    world.person("acknowledge", key_of("taken"), "ben@example.com")
    world.person("resolve", key_of("closed"))
    world.event("resolve", key_of("by-event"))
    seen = world.look(key_of("taken"), key_of("closed"), key_of("by-event")).incidents
    told = {key.removeprefix("opsctl/"): (one.status, one.who, one.by_person) for key, one in seen.items()}
    assert told == {
        "taken": ("acknowledged", "Ben Okafor", True),
        "closed": ("resolved", "Ana Novak", True),
        "by-event": ("resolved", "", False),
    }
    one = seen[key_of("taken")]
    assert one.url.endswith(f"/incidents/{one.id}")
    assert one.changed >= one.created


def test_a_window_is_told_for_every_team_whose_key_leads_to_that_service(world: PagerDutyWorld) -> None:
    world.window("default", description="moving\nracks \x1b[31m")
    world.window("default", hours=3, description="still moving")
    found = world.look().maintenance
    assert found.get("default", "") == found.get("a team without a key", "") == found.get("", "")
    assert found["default"].startswith("PagerDuty maintenance window until 20")
    assert found["default"].endswith("Z: still moving")
    assert found.get("money", "") == ""


def test_services_are_asked_for_once_and_incidents_by_service(world: PagerDutyWorld) -> None:
    world.look()
    world.look()
    assert len(world.requests("/services")) == 1
    queries = [one["query"] for one in world.requests("/incidents")]
    assert all(query.count("service_ids") == len(KEYS) for query in queries)


def test_a_service_is_found_on_a_later_page_and_no_page_is_read_after_it(tmp_path: Path) -> None:
    names = [f"S{number:03d}" for number in range(350)]
    services: dict[str, list[str]] = {name: [] for name in names} | {"S150": ["default", "money"], "S160": ["social"]}
    with pagerduty_world(tmp_path, account={"services": services}) as world:
        world.window("S160", description="moving racks")
        assert "moving racks" in world.look().maintenance["social"]
        assert len(world.requests("/services")) == 2 + 1  # one is the window's own


def test_a_read_only_token_is_enough_to_look(tmp_path: Path) -> None:
    reader = {"token": "r3ad0nly", "access": "read"}
    with pagerduty_world(tmp_path, tokens={"reader": reader}) as world:
        rest = Rest(lambda: "r3ad0nly", "", world.server.address)
        world.event("trigger", key_of("a"))
        seen = PagerDutyReader(rest, Services(rest, world.keys)).look([key_of("b")], {})
        assert (seen.problem, list(seen.incidents), seen.absent) == (None, [key_of("a")], {key_of("b")})


def test_a_routing_key_without_a_service_means_no_filter(world: PagerDutyWorld) -> None:
    """The key of an event orchestration: its incidents may be on any service."""
    keys = RoutingKeys({"default": lambda: KEYS["default"], "orchestrated": lambda: "R" * 32})
    reader = PagerDutyReader(world.rest, Services(world.rest, keys))
    world.event("trigger", key_of("elsewhere"), team="social")
    seen = reader.look([], {})
    assert key_of("elsewhere") in seen.incidents
    assert seen.problem is None
    assert "service_ids" not in world.requests("/incidents")[0]["query"]


def test_more_than_a_page_of_open_incidents_and_a_bound_on_what_is_asked(world: PagerDutyWorld) -> None:
    """130 open ones of nobody known: 50 are asked for their keys, the newest first; those that were asked for are known."""
    keys = [key_of(f"{number:03d}") for number in range(130)]
    for place, key in enumerate(keys):
        world.event("trigger", key, team=("money", "social", "default")[place % 3])
    seen = world.look(keys[0], seconds=20)
    assert not seen.complete
    assert seen.problem is None
    assert len(seen.incidents) == MOST_ALERT_LISTS + 1
    assert keys[0] in seen.incidents
    assert keys[-1] in seen.incidents
    assert keys[1] not in seen.incidents
    assert seen.absent == frozenset()
    known = {one["id"]: one["dedup_key"] for one in world.get("/_incidents")["incidents"]}
    whole = world.look(known=known, seconds=20)
    assert whole.complete
    assert len(whole.incidents) == 130


def test_the_time_is_kept_and_the_first_keys_come_first(world: PagerDutyWorld) -> None:
    for name in ("a", "b", "c"):
        world.event("trigger", key_of(name))
        world.event("resolve", key_of(name))
    world.look()
    world.faults({"match": {"path": "/incidents"}, "do": "slow", "seconds": 0.4})
    began = time.monotonic()
    seen = world.look(key_of("c"), key_of("a"), key_of("b"), seconds=1.0)
    assert time.monotonic() - began < 1.6
    assert list(seen.incidents) == [key_of("c")]
    assert seen.absent == frozenset()
    assert seen.problem is not None


def test_a_wrong_token_is_one_line_that_names_the_setting(world: PagerDutyWorld) -> None:
    rest = Rest(lambda: "wr0ngT0ken", ANA, world.server.address)
    seen = PagerDutyReader(rest, Services(rest, world.keys)).look([key_of("a")], {})
    assert "401" in str(seen.problem)
    assert "pagerduty.rest" in str(seen.problem)
    assert "wr0ng" not in str(seen.problem)
    assert not seen.incidents
    assert not seen.absent
    assert not seen.complete
    assert len(world.requests()) == 1  # the next question would fare no better


def test_a_token_that_an_error_repeats_is_masked_also_where_the_error_is_cut_off() -> None:
    def echo(exchange: Exchange) -> None:
        said = {"error": {"message": "x" * 280 + TOKEN, "code": 2000, "errors": [TOKEN]}}
        exchange.answer(json.dumps(said).encode(), "500 Internal")

    server = Misbehaving(echo)
    rest = Rest(lambda: TOKEN, ANA, server.url)
    seen = PagerDutyReader(rest, Services(rest, RoutingKeys({"default": lambda: KEYS["default"]}))).look([], {})
    rest.close()
    server.stop()
    assert "xxx[redacted]" in str(seen.problem)
    assert TOKEN[:4] not in str(seen.problem)


def test_an_unreadable_token_is_a_problem_and_no_request(world: PagerDutyWorld) -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x cannot be read: no such file")

    rest = Rest(unreadable, ANA, world.server.address)
    seen = PagerDutyReader(rest, Services(rest, world.keys)).look([key_of("a")], {})
    assert seen.problem == "pagerduty.rest: secret file /run/x cannot be read: no such file"
    assert world.requests() == []


def test_a_short_429_is_waited_for_and_a_long_one_is_a_problem(world: PagerDutyWorld) -> None:
    world.event("trigger", key_of("a"))
    world.faults({"match": {"path": "/incidents", "nth": 1}, "do": "status", "status": 429, "retry_after": 0.2})
    seen = world.look(key_of("a"))
    assert seen.problem is None
    assert key_of("a") in seen.incidents
    world.faults({"match": {"path": "/incidents", "nth": 1}, "do": "status", "status": 429, "retry_after": 60})
    began = time.monotonic()
    seen = world.look(key_of("a"))
    assert time.monotonic() - began < 2.0
    assert "429" in str(seen.problem)
    asked = [one["status"] for one in world.requests() if one["path"] == "/incidents"]
    assert asked == [429, 200, 200, 429]  # the package would ask for ever
    assert (dict(seen.incidents), seen.absent, seen.complete) == ({}, frozenset(), False)


@pytest.mark.parametrize("part", ["/services", "/maintenance_windows", "/incidents", "/incidents/*/alerts"])
def test_one_part_that_fails_is_said_and_nothing_is_concluded_from_it(world: PagerDutyWorld, part: str) -> None:
    world.event("trigger", key_of("a"))
    world.faults({"match": {"path": part}, "do": "status", "status": 503})
    seen = world.look(key_of("never"))
    assert "503" in str(seen.problem)
    assert "\n" not in str(seen.problem)
    once = {"/services": 1, "/maintenance_windows": 1, "/incidents": 2, "/incidents/*/alerts": 1}[part]
    assert sum(one["status"] == 503 for one in world.requests()) == once  # the package would ask each ten times
    if part in ("/services", "/maintenance_windows"):
        assert key_of("a") in seen.incidents
        assert seen.absent == {key_of("never")}
    else:
        assert not seen.complete
        assert key_of("a") not in seen.incidents


def test_lost_requests_and_lost_replies_are_problems(world: PagerDutyWorld) -> None:
    for fault in ("lose_request", "lose_reply"):
        world.faults({"match": {"path": "/incidents"}, "do": fault})
        seen = world.look(key_of("a"))
        assert seen.problem
        assert seen.absent == frozenset()


def test_an_incident_says_where_it_comes_from_and_which_key_reaches_it(world: PagerDutyWorld) -> None:
    """A journal that was lost can close it; of a group that may have more rules than its event could hold nothing is said."""
    details = {"namespace": "prod-eu", "rule_uid": "redeem", "rule": "RedeemBudgetBurn", "team": "somebody else"}
    group = details | {"rule_uid": "group/pagerduty/money"}
    for name, said in {
        "alone": details,
        "group": group | {"alerts": ["redeem", "pay"]},
        "large": group | {"alerts": [f"u{number}" for number in range(50)]},
        "nobody": group,
        "bare": None,
    }.items():
        body = {"summary": "s", "source": "x", "severity": "critical", "custom_details": said}
        world.event("trigger", key_of(name), team="social", payload=body)
    origins = {key.removeprefix("opsctl/"): one.origin for key, one in world.look().incidents.items()}
    assert origins == {
        "alone": SeenOrigin("prod-eu", ("redeem",), "RedeemBudgetBurn", "social"),
        "group": SeenOrigin("prod-eu", ("redeem", "pay"), "RedeemBudgetBurn", "social"),
        "large": None,
        "nobody": None,
        "bare": None,
    }


def test_over_tls_a_certificate_is_trusted_or_it_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        openssl()
    except NoOpenssl as missing:
        pytest.skip(str(missing))
    server = start_local_pagerduty(tmp_path / "pd.sqlite3", KEYS, tokens={"opsctl": TOKEN}, tls=True)
    try:
        stranger = PagerDutyWorld(server).look(key_of("a"))
        assert "CERTIFICATE_VERIFY_FAILED" in str(stranger.problem)
        assert stranger.absent == frozenset()
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
        seen = PagerDutyWorld(server).look(key_of("a"))
        assert (seen.problem, seen.absent, seen.complete) == (None, {key_of("a")}, True)
    finally:
        server.stop()
