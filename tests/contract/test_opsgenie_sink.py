"""The Opsgenie sink: one request a call, whatever comes back; and the reader, which never says more than was shown."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.adapters.sinks.opsgenie import Account, Opsgenie, alias_of, open_opsgenie
from opsctl.adapters.sinks.opsgenie_reader import OpsgenieReader
from opsctl.core.events import encode, minimal
from opsctl.demo.servers.opsgenie import start_local_opsgenie
from opsctl.errors import AuthError, ConfigError
from opsctl.files.context import Opsgenie as Settings
from opsctl.files.context import Secret
from opsctl.ports import SinkEvent
from tests.contract.opsgenie_world import KEY, TEAM_KEY
from tests.contract.opsgenie_world import Opsgenie as Far
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

Serve = Callable[[Behaviour], Misbehaving]
READ_NOT = "37c8f316-17c6-49d7-899b-9c7e540c048d"
ACCEPTED = b'{"result":"Request will be processed","took":0.1,"requestId":"x"}'


def trigger(key: str = "opsctl/1", team: str = "money", **payload: Any) -> SinkEvent:
    given = {"summary": "payments burn 9× their budget", "source": "payments", "severity": "critical"} | payload
    return SinkEvent(team, encode({"event_action": "trigger", "dedup_key": key, "payload": given}), "1")


def later(action: str, key: str = "opsctl/1", team: str = "money", **more: Any) -> SinkEvent:
    return SinkEvent(team, encode({"event_action": action, "dedup_key": key} | more), "2")


def sink(url: str, key: str = KEY, *, responders: bool = False) -> Opsgenie:
    return Opsgenie(Account({"default": lambda: key}, url), responders=responders)


# -- one request a call


def answer(status: str, body: bytes = b"{}", *headers: str) -> Behaviour:
    return lambda exchange: exchange.answer(body, status, "application/json", *headers)


def reset(exchange: Exchange) -> None:
    exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    exchange.sock.close()


def drip(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 202 Accepted\r\nX-Long: " + b"x" * 4000, 0.02)


def flood(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n")
    exchange.flood(b"10000\r\n" + b"x" * 65536 + b"\r\n")


REFUSED = b'{"message":"Request body is not processable.","errors":{"message":"can not be empty"},"took":0.1}'
CASES: list[tuple[str, Behaviour, str, int | None]] = [
    ("202", answer("202 Accepted", ACCEPTED), "accepted", 202),
    ("202 without JSON", answer("202 Accepted", b"<html>"), "accepted", 202),
    ("200 of something else", answer("200 OK", b"<html>"), "retry", 200),
    ("302", answer("302 Found", b"", "Location: http://127.0.0.1:1/"), "retry", 302),
    ("400", answer("400 Bad Request", b'{"message":"Request body is not valid JSON."}'), "permanent", 400),
    ("401", answer("401 Unauthorized", b'{"message":"Could not authenticate"}'), "permanent", 401),
    ("402", answer("402 Payment Required"), "permanent", 402),
    ("403", answer("403 Forbidden"), "permanent", 403),
    ("404", answer("404 Not Found", b"no such page"), "permanent", 404),
    ("408", answer("408 Request Timeout"), "retry", 408),
    ("413", answer("413 Too Large"), "permanent", 413),
    ("422", answer("422 Unprocessable Entity", REFUSED), "permanent", 422),
    ("429", answer("429 Too Many", b"{}", "Retry-After: 7"), "retry", 429),
    ("500", answer("500 Internal"), "retry", 500),
    ("502", answer("502 Bad Gateway", b"\xff\xfe\x00"), "retry", 502),
    ("503", answer("503 Unavailable"), "retry", 503),
    ("504", answer("504 Gateway Timeout"), "retry", 504),
    ("599", answer("599 Odd"), "retry", 599),
    ("reset", reset, "retry", None),
    ("hang", Exchange.hold, "retry", None),
    ("drip", drip, "retry", None),
    ("flood", flood, "retry", None),
    ("garbage", lambda exchange: exchange.send(b"\0\1\2\r\n\r\n"), "retry", None),
]


@pytest.mark.parametrize(("name", "behave", "outcome", "status"), CASES, ids=[case[0] for case in CASES])
def test_exactly_one_request_a_call(
    serve: Serve, name: str, behave: Behaviour, outcome: str, status: int | None
) -> None:
    server = serve(behave)
    og = sink(server.url)
    began = time.monotonic()
    delivery = og.send(trigger(), timeout_seconds=0.6)
    assert (delivery.outcome, delivery.status) == (outcome, status), delivery.message
    assert time.monotonic() - began < 2.5
    time.sleep(0.05)
    assert len(server.requests) == 1
    assert server.requests[0].startswith(b"POST /v2/alerts HTTP/1.1")
    assert f"Authorization: GenieKey {KEY}".encode() in server.requests[0]
    assert KEY not in delivery.message
    assert "\n" not in delivery.message
    assert bool(delivery.message) == (outcome != "accepted")
    og.close()


def test_a_refusal_says_which_field_and_why(serve: Serve) -> None:
    delivery = sink(serve(answer("422 Unprocessable Entity", REFUSED)).url).send(trigger())
    assert delivery.message == "HTTP 422: Request body is not processable.: message: can not be empty"


def test_a_connection_that_the_server_gave_up_costs_no_second_request_in_one_call(serve: Serve) -> None:
    def once_then_cut(exchange: Exchange) -> None:
        if len(server.requests) % 2:
            exchange.answer(ACCEPTED, "202 Accepted")
        else:
            reset(exchange)

    server = serve(once_then_cut)
    og = sink(server.url)
    assert [og.send(trigger(), 2.0).outcome for _ in range(3)] == ["accepted", "retry", "accepted"]
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (("Retry-After: 7",), 7.0),
        (("Retry-After: 0.5",), 0.5),
        (("Retry-After: -3",), 0.0),
        (("Retry-After: 99999999",), 600.0),
        (("Retry-After: nan",), None),
        (("Retry-After: soon",), None),
        (("X-RateLimit-State: THROTTLED", "X-RateLimit-Period-In-Sec: 60"), 60.0),
        (("X-RateLimit-Period-In-Sec: 60", "Retry-After: 2"), 2.0),
        ((), None),
    ],
)
def test_how_long_to_wait_is_read_and_capped(serve: Serve, headers: tuple[str, ...], seconds: float | None) -> None:
    delivery = sink(serve(answer("429 Too Many", b"{}", *headers)).url).send(trigger())
    assert (delivery.outcome, delivery.retry_after_seconds) == ("retry", seconds)


def test_a_key_that_was_renewed_is_read_again_for_the_next_call_and_not_within_one(serve: Serve) -> None:
    def only_the_new_key(exchange: Exchange) -> None:
        known = TEAM_KEY.encode() in exchange.head
        exchange.answer(ACCEPTED if known else b"{}", "202 Accepted" if known else "401 Unauthorized")

    server = serve(only_the_new_key)
    current = [KEY]
    og = Opsgenie(Account({"default": lambda: current[0]}, server.url))
    current_before = og.send(trigger())
    current[0] = TEAM_KEY
    assert (current_before.outcome, len(server.requests)) == ("permanent", 1)
    assert (og.send(trigger()).outcome, len(server.requests)) == ("accepted", 2)


def test_an_answer_that_repeats_the_key_does_not_show_it(serve: Serve) -> None:
    said = f'{{"message":"bad key {KEY}"}}'.encode()
    message = sink(serve(answer("400 Bad Request", said)).url).send(trigger()).message
    assert "bad key" in message
    assert KEY not in message


def test_a_missing_or_unreadable_or_impossible_key_makes_no_request_and_is_tried_again(serve: Serve) -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x: no such file")

    server = serve(answer("202 Accepted"))
    for keys in ({}, {"default": unreadable}, {"default": lambda: "a\r\nX: y"}):
        delivery = Opsgenie(Account(keys, server.url)).send(trigger())
        assert (delivery.outcome, delivery.status) == ("retry", None)
        assert delivery.message
        assert "X: y" not in delivery.message
    assert server.requests == []


def test_nobody_there_is_a_retry_and_a_url_that_is_none_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert sink(f"http://127.0.0.1:{port}").send(trigger(), 1.0).outcome == "retry"
    for url in ("http://api.opsgenie.com", "opsgenie", "ftp://127.0.0.1", "https://u:p@api.opsgenie.com", ""):
        with pytest.raises(ConfigError, match=r"opsgenie\.url"):
            sink(url)


def test_keys_go_by_team_and_all_share_one_channel(serve: Serve) -> None:
    server = serve(answer("202 Accepted"))
    secrets = {"default": Secret("env", "D"), "money": Secret("env", "M")}
    values = {"D": KEY, "M": TEAM_KEY}
    og, account = open_opsgenie(Settings(server.url + "/v2/alerts", secrets), lambda secret: values[secret.reference])
    assert [og.send(trigger(team=team)).outcome for team in ("money", "social", "")] == ["accepted"] * 3
    assert [TEAM_KEY.encode() in request for request in server.requests] == [True, False, False]
    assert og.channel("money") == og.channel("social") == f"opsgenie/127.0.0.1:{server.port}"
    assert account.readable
    assert not Account({}, "https://api.atlassian.com/jsm/ops/integration/").readable


def test_an_event_that_opsgenie_knows_nothing_of_makes_no_request(serve: Serve) -> None:
    server = serve(answer("202 Accepted"))
    og = sink(server.url)
    for body in ('{"event_action":"merge","dedup_key":"k"}', '{"event_action":"resolve"}', "{"):
        assert og.send(SinkEvent("", body)).outcome == "permanent"
    assert server.requests == []


# -- against the local Opsgenie


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    keys = {"default": KEY, "money": TEAM_KEY, "blind": {"key": READ_NOT, "read": False}}
    options = ("--per-minute", "100000", "--per-second", "100000", "--lag", "0.01")
    local = start_local_opsgenie(tmp_path_factory.mktemp("og") / "og.sqlite3", keys, options=options)
    yield Far(local)
    local.stop()


@pytest.fixture
def og(far: Far) -> Iterator[Opsgenie]:
    far.faults()
    made = sink(far.local.address, responders=True)
    yield made
    made.close()
    far.faults()


def settled(far: Far, key: str) -> dict[str, Any]:
    """The newest alert of a key, when everything accepted was carried out."""
    time.sleep(0.05)
    return far.alerts(alias_of(key))[-1]


def test_an_event_becomes_an_alert_with_what_a_person_needs(far: Far, og: Opsgenie) -> None:
    details = {
        "rule": "payments-success",
        "value": 9.25,
        "frozen": None,
        "labels": {"region": "eu"},
        "alerts": ["a", "b"],
        "evidence": ["burns 9×", "1h: 3.7 % bad"],
        "description": "People cannot pay.",
    }
    event = trigger("opsctl/alert", component="payments", group="money", custom_details=details)
    assert og.send(event).outcome == "accepted"
    alert = settled(far, "opsctl/alert")
    assert alert["alias"] == "opsctl:alert"
    assert alert["message"] == "payments burn 9× their budget"
    assert alert["description"] == "People cannot pay.\n\nEvidence:\nburns 9×\n1h: 3.7 % bad"
    assert alert["details"] == {
        "rule": "payments-success",
        "value": "9.25",
        "labels.region": "eu",
        "alerts": "a, b",
    }
    assert alert["tags"] == ["service:payments", "team:money", "severity:critical"]
    assert (alert["entity"], alert["source"], alert["priority"]) == ("payments", "opsctl", "P1")
    assert alert["responders"] == [{"type": "team", "name": "money"}]


@pytest.mark.parametrize(
    ("severity", "priority"), [("critical", "P1"), ("error", "P2"), ("warning", "P3"), ("info", "P5"), ("odd", "P1")]
)
def test_severities_have_priorities(far: Far, og: Opsgenie, severity: str, priority: str) -> None:
    assert og.send(trigger(f"opsctl/{severity}", severity=severity)).outcome == "accepted"
    assert settled(far, f"opsctl/{severity}")["priority"] == priority


@pytest.mark.parametrize("letter", ["x", "é", "\N{FIRE}", "\ud800", "\x00", '"', "\n"])
def test_the_largest_and_the_oddest_event_is_within_every_limit(far: Far, og: Opsgenie, letter: str) -> None:
    huge = letter * 40_000
    event = trigger(
        "opsctl/" + "k" * 240,
        summary=huge[:1024],
        component=huge[:4096],
        group=huge[:4096],
        custom_details={
            **{f"{letter}{number}" * 50: huge for number in range(200)},
            "evidence": [huge] * 50,
            "labels": {letter: huge, "": huge},
            "description": huge,
        },
    )
    assert og.send(event).message == ""
    small = SinkEvent("", encode(minimal(json.loads(event.body))))
    assert og.send(small).message == ""
    alert = settled(far, json.loads(event.body)["dedup_key"])
    assert alert["message"]
    assert alert["count"] % 2 == 0


def test_acknowledge_note_and_resolve_go_by_alias(far: Far, og: Opsgenie) -> None:
    key = "opsctl/0123456789abcdef0123456789abcdef01234567"
    for event in (
        trigger(key),
        later("acknowledge", key),
        later("note", key, note="the database is back"),
        later("resolve", key, payload={"summary": "s"}),
    ):
        assert og.send(event).outcome == "accepted"
    alert = settled(far, key)
    assert (alert["status"], alert["acknowledged"], alert["owner"]) == ("closed", True, "opsctl")
    assert [note["note"] for note in alert["notes"]] == ["the database is back"]
    assert alert["report"]["closedBy"] == "opsctl"


def test_a_repeat_after_a_lost_reply_makes_no_second_alert(far: Far, og: Opsgenie) -> None:
    far.faults({"match": {"alias": "opsctl:lost", "nth": 1}, "do": "lose_reply"})
    outcomes = [og.send(trigger("opsctl/lost"), 2.0).outcome for _ in range(2)]
    assert outcomes == ["retry", "accepted"]
    settled(far, "opsctl/lost")
    assert [one["count"] for one in far.alerts("opsctl:lost")] == [2]


def test_a_script_of_faults_costs_one_request_for_each_call(far: Far, og: Opsgenie) -> None:
    match = {"alias": "opsctl:faulty"}
    script: list[tuple[dict[str, Any], str]] = [
        ({"do": "lose_request"}, "retry"),
        ({"do": "status", "status": 429, "retry_after": 3}, "retry"),
        ({"do": "status", "status": 503}, "retry"),
        ({"do": "status", "status": 403}, "permanent"),
        ({"do": "slow", "seconds": 0.8}, "retry"),
        ({"do": "drip", "seconds": 0.05}, "retry"),
        ({"do": "accept_invisible"}, "accepted"),
    ]
    far.faults(*[rule | {"match": match | {"nth": 1}} for rule, _ in script])
    before = len(far.log())
    for rule, outcome in script:
        assert og.send(trigger("opsctl/faulty"), 0.4).outcome == outcome, rule
    assert len(far.log()) - before == len(script)


def test_jira_service_management_takes_the_same_events(far: Far) -> None:
    og = sink(far.local.address + "/jsm/ops/integration")
    for event in (trigger("opsctl/jsm"), later("acknowledge", "opsctl/jsm"), later("resolve", "opsctl/jsm")):
        assert og.send(event).outcome == "accepted"
    assert settled(far, "opsctl/jsm")["status"] == "closed"
    assert {line["path"].startswith("/jsm/ops/integration/v2/alerts") for line in far.log()[-3:]} == {True}


# -- reading back


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Far]:
    keys = {"default": KEY, "money": TEAM_KEY, "blind": {"key": READ_NOT, "read": False}}
    options = ("--per-minute", "100000", "--per-second", "100000", "--lag", "0.01")
    local = start_local_opsgenie(tmp_path / "og.sqlite3", keys, options=options)
    yield Far(local)
    local.stop()


def reader(far: Far, *keys: str, url: str = "") -> OpsgenieReader:
    given = {f"k{number}": (lambda key=key: key) for number, key in enumerate(keys or (KEY,))}
    return OpsgenieReader(Account(given, url or far.local.address), lambda: datetime.now(UTC))


def opened(far: Far, *keys: str) -> None:
    og = sink(far.local.address)
    for key in keys:
        assert og.send(trigger(key)).outcome == "accepted"
    time.sleep(0.05)


def test_a_look_shows_what_is_open_taken_closed_and_not_there(own: Far) -> None:
    opened(own, "opsctl/new", "opsctl/taken", "opsctl/done", "opsctl/ours", "opsctl/unasked")
    own.create("somebody-elses", source="other")
    own.person("acknowledge", "opsctl:taken")
    own.person("close", "opsctl:done", "ben@example.com")
    assert sink(own.local.address).send(later("resolve", "opsctl/ours")).outcome == "accepted"
    time.sleep(0.05)
    keys = ["opsctl/new", "opsctl/taken", "opsctl/done", "opsctl/ours", "opsctl/never"]
    seen = reader(own).look(keys, {})
    assert (seen.problem, seen.complete, seen.absent) == (None, True, {"opsctl/never"})
    assert {key: one.status for key, one in seen.incidents.items()} == {
        "opsctl/new": "triggered",
        "opsctl/taken": "acknowledged",
        "opsctl/done": "resolved",
        "opsctl/ours": "resolved",
        "opsctl/unasked": "triggered",
    }
    who = {key: (one.who, one.by_person) for key, one in seen.incidents.items()}
    assert who["opsctl/taken"] == ("ana@example.com", True)
    assert who["opsctl/done"] == ("ben@example.com", True)
    assert who["opsctl/ours"] == ("opsctl", False)
    taken = seen.incidents["opsctl/taken"]
    assert timedelta(0) <= taken.changed - taken.created < timedelta(seconds=5)
    assert taken.id == own.alerts("opsctl:taken")[0]["id"]


def test_a_new_alert_of_a_closed_key_is_the_one_that_is_seen(own: Far) -> None:
    opened(own, "opsctl/again")
    own.person("close", "opsctl:again")
    opened(own, "opsctl/again")
    old, new = own.alerts("opsctl:again")
    seen = reader(own).look(["opsctl/again"], {old["id"]: "opsctl/again"})
    assert (seen.incidents["opsctl/again"].id, seen.incidents["opsctl/again"].open) == (new["id"], True)


def test_what_searches_do_not_show_yet_is_found_by_its_alias_and_by_the_id_of_an_earlier_look(
    own: Far, serve: Serve
) -> None:
    opened(own, "opsctl/slow-index", "opsctl/old")
    own.person("close", "opsctl:old")
    old = own.alerts("opsctl:old")[0]["id"]

    def pass_on(exchange: Exchange) -> None:
        target = exchange.head.split(b" ")[1].decode()
        if target.startswith("/v2/alerts?"):
            exchange.answer(b'{"data":[]}')
            return
        got = own.call("GET", target)
        exchange.answer(json.dumps(got.body).encode(), f"{got.status} X")

    look = reader(own, url=serve(pass_on).url).look
    seen = look(["opsctl/slow-index", "opsctl/old"], {old: "opsctl/old"})
    assert {key: one.status for key, one in seen.incidents.items()} == {
        "opsctl/slow-index": "triggered",
        "opsctl/old": "resolved",
    }
    assert seen.absent == frozenset()


def test_hundreds_of_open_alerts_are_read_page_by_page(own: Far) -> None:
    keys = [f"opsctl/{number:040x}" for number in range(230)]
    opened(own, *keys)
    seen = reader(own).look(keys, {})
    assert (len(seen.incidents), seen.complete, seen.problem) == (230, True, None)
    assert sum(line["action"] == "list" for line in own.log()) == 3


def test_several_keys_are_each_asked_and_one_that_may_not_read_leaves_nothing_called_absent(own: Far) -> None:
    opened(own, "opsctl/shared")
    seen = reader(own, KEY, TEAM_KEY).look(["opsctl/shared", "opsctl/none"], {})
    assert (seen.absent, seen.complete) == ({"opsctl/none"}, True)
    blind = reader(own, KEY, READ_NOT).look(["opsctl/shared", "opsctl/none"], {})
    assert (blind.absent, blind.complete) == (frozenset(), False)
    assert "opsctl/shared" in blind.incidents
    assert blind.problem is not None
    assert "403" in blind.problem


def test_a_key_that_cannot_be_had_is_a_problem_and_no_answer(own: Far) -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x: no such file")

    account = Account({"default": lambda: KEY, "money": unreadable}, own.local.address)
    seen = OpsgenieReader(account, lambda: datetime.now(UTC)).look(["opsctl/none"], {})
    assert (seen.absent, seen.complete, seen.problem) == (frozenset(), False, "secret file /run/x: no such file")


SCRIPTS: list[dict[str, Any]] = [
    {"do": "status", "status": 429},
    {"do": "status", "status": 503},
    {"do": "lose_reply"},
    {"do": "slow", "seconds": 2},
    {"do": "drip", "seconds": 0.05},
]


@pytest.mark.parametrize("script", SCRIPTS, ids=[str(script) for script in SCRIPTS])
def test_a_look_at_a_far_side_in_trouble_ends_in_time_and_claims_nothing(own: Far, script: dict[str, Any]) -> None:
    opened(own, "opsctl/there")
    own.faults({"match": {"method": "GET"}} | script)
    began = time.monotonic()
    seen = reader(own).look(["opsctl/there", "opsctl/none"], {}, timeout_seconds=0.5)
    assert time.monotonic() - began < 1.5
    assert (dict(seen.incidents), seen.absent, seen.complete) == ({}, frozenset(), False)
    assert seen.problem
    assert "\n" not in seen.problem


def test_a_closed_alert_is_not_the_newest_where_a_newer_one_could_not_be_asked_for(own: Far) -> None:
    opened(own, "opsctl/closed")
    own.person("close", "opsctl:closed")
    own.faults({"match": {"action": "get"}, "do": "status", "status": 503})
    seen = reader(own).look(["opsctl/closed"], {})
    assert (dict(seen.incidents), seen.absent) == ({}, frozenset())


def test_more_keys_than_there_is_time_for_are_no_problem_and_not_called_absent(own: Far) -> None:
    opened(own, "opsctl/there")
    own.faults({"match": {"action": "get"}, "do": "slow", "seconds": 0.15})
    keys = ["opsctl/there", *(f"opsctl/never-{number}" for number in range(50))]
    seen = reader(own).look(keys, {}, timeout_seconds=0.8)
    assert (seen.problem, seen.complete, set(seen.incidents)) == (None, True, {"opsctl/there"})
    assert seen.absent == set(keys[1 : 1 + len(seen.absent)])
    assert 0 < len(seen.absent) < 50


def test_a_key_that_was_renewed_is_read_again_for_the_next_look(own: Far) -> None:
    current = ["00000000-0000-0000-0000-000000000000"]
    look = OpsgenieReader(Account({"default": lambda: current[0]}, own.local.address), lambda: datetime.now(UTC)).look
    refused = look([], {})
    assert refused.problem is not None
    assert "401" in refused.problem
    current[0] = KEY
    assert look([], {}).problem is None


ODD: list[bytes] = [
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b'{"data":3}',
    b'{"data":[3]}',
    b'{"data":[{"id":"x"}]}',
    b'{"data":[{"id":"x","alias":"opsctl:a","status":"ajar","createdAt":"2026-01-01T00:00:00Z"}]}',
    b'{"data":[{"id":"x","alias":"opsctl:a","status":"open","createdAt":"2026-01-01T00:00:00"}]}',
    b'{"data":[{"id":"x","alias":"opsctl:a","status":"open","createdAt":"soon"}]}',
    b'{"data":[{"id":"x","alias":"opsctl:a","status":"closed","createdAt":"2026-01-01T00:00:00Z","report":{"closeTime":1e300}}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", ODD, ids=[body[:50].decode() for body in ODD])
def test_an_answer_that_is_none_is_a_problem_and_nothing_is_concluded(serve: Serve, body: bytes) -> None:
    server = serve(lambda exchange: exchange.answer(body))
    account = Account({"default": lambda: KEY}, server.url)
    seen = OpsgenieReader(account, lambda: datetime.now(UTC)).look(["opsctl/a"], {"x": "opsctl/a"})
    assert (dict(seen.incidents), seen.absent, seen.complete) == ({}, frozenset(), False)
    assert seen.problem
    assert len(seen.problem) < 500


def test_a_404_that_is_not_opsgenies_does_not_mean_that_there_is_no_alert(serve: Serve) -> None:
    for body in (b"<html>no such page", b'{"message":"no Route matched with those values"}', b"{}"):
        server = serve(lambda exchange, body=body: exchange.answer(body, "404 Not Found"))  # type: ignore[misc]
        account = Account({"default": lambda: KEY}, server.url)
        seen = OpsgenieReader(account, lambda: datetime.now(UTC)).look(["opsctl/a"], {})
        assert (seen.absent, seen.complete) == (frozenset(), False)
        assert seen.problem is not None
        assert "404" in seen.problem
