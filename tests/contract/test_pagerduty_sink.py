"""What is PagerDuty's own in its sink: routing keys, where a request may go, and 202 as the only yes.

What holds for every sink is in test_sinks.py.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator

import pytest

from opsctl.adapters.sinks.pagerduty import PagerDuty, open_pagerduty
from opsctl.core.events import encode
from opsctl.errors import AuthError, ConfigError
from opsctl.files.context import PagerDuty as Settings
from opsctl.files.context import Secret
from opsctl.ports import Delivery, SinkEvent
from tests.contract.raw_server import RawServer, http

KEY = "c4naryc4naryc4naryc4naryc4nary00"
TRIGGER = SinkEvent(
    "money",
    encode(
        {
            "event_action": "trigger",
            "dedup_key": "opsctl/1",
            "payload": {"summary": "s", "source": "x", "severity": "critical"},
        }
    ),
)


@contextlib.contextmanager
def against(answer: Callable[[socket.socket], None]) -> Iterator[tuple[PagerDuty, RawServer]]:
    server = RawServer(answer)
    pager = PagerDuty({"default": lambda: KEY}, server.url)
    try:
        yield pager, server
    finally:
        pager.close()
        server.close()


def test_only_202_is_accepted_and_the_routing_key_is_in_the_body_alone() -> None:
    with against(http("202 Accepted", b'{"status":"success"}')) as (pager, server):
        assert pager.send(TRIGGER).outcome == "accepted"
        assert json.loads(server.requests[0])["routing_key"] == KEY
    for status, body in (
        ("200 OK", b"<html>"),
        ("200 OK", b"{}"),
        ("204 No Content", b""),
        ("502 Bad", b"\xff\xfe\x00"),
    ):
        with against(http(status, body)) as (pager, _):
            assert pager.send(TRIGGER).outcome == "retry"


def test_what_ends_an_incident_is_sent_without_the_payload_of_its_trigger() -> None:
    """PagerDuty knows an incident by its key; the payload is for sinks that do not."""
    with against(http("202 Accepted")) as (pager, server):
        for action in ("acknowledge", "resolve"):
            body = json.loads(TRIGGER.body) | {"event_action": action}
            assert pager.send(SinkEvent("money", encode(body))).outcome == "accepted"
    assert [sorted(json.loads(raw)) for raw in server.requests] == [["dedup_key", "event_action", "routing_key"]] * 2


def test_an_answer_that_repeats_the_routing_key_does_not_show_it() -> None:
    with against(http("400 Bad", f'{{"message":"bad key {KEY}"}}'.encode())) as (pager, _):
        assert pager.send(TRIGGER, 2.0).message == "HTTP 400: bad key [redacted]"


def test_plain_http_is_for_loopback_only() -> None:
    for url in ("http://events.pagerduty.com", "http://127.0.0.1.example.net", "ftp://127.0.0.1", "events", ""):
        with pytest.raises(ConfigError, match="neither https nor http to loopback"):
            PagerDuty({"default": lambda: KEY}, url)
    assert PagerDuty({"default": lambda: KEY}, "http://[::1]:99/v2/enqueue").name == "pagerduty"


def test_a_missing_or_unreadable_key_makes_no_request_and_is_tried_again() -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x: no such file")

    with against(http("202 Accepted")) as (_, server):
        for keys in ({}, {"default": unreadable}):
            delivery: Delivery = PagerDuty(keys, server.url).send(TRIGGER, 1.0)
            assert delivery.outcome == "retry"
            assert "no request was made" in delivery.message
        assert server.requests == []


def test_routes_take_their_teams_key_and_share_a_channel_when_they_share_a_key() -> None:
    secrets = {name: Secret("env", name) for name in ("default", "money", "social", "fallback")}
    values = {"default": "d" * 32, "money": "m" * 32, "social": "d" * 32, "fallback": "f" * 32}
    with against(http("202 Accepted")) as (_, server):
        primary = open_pagerduty(Settings(secrets, server.url), lambda secret: values[secret.reference])
        for key in ("money", "nobody", "fallback"):
            primary.send(SinkEvent(key, TRIGGER.body), 2.0)
        assert [json.loads(body)["routing_key"][0] for body in server.requests] == ["m", "d", "f"]
        assert primary.channel("social") == primary.channel("nobody") != primary.channel("money")
        assert "m" * 8 not in primary.channel("money")


def test_a_refused_key_is_read_again_before_the_next_event() -> None:
    """A routing key that was renewed in its file works without a restart; one that works is not read again."""
    keys = iter([KEY, KEY[::-1], "never"])
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(b"")
        first = len(seen) == 1
        body = b'{"message":"Invalid routing key"}' if first else b"{}"
        http("400 Bad Request" if first else "202 Accepted", body)(connection)

    server = RawServer(answer)
    pager = PagerDuty({"default": lambda: next(keys)}, server.url)
    try:
        assert [pager.send(TRIGGER).outcome for _ in range(3)] == ["permanent", "accepted", "accepted"]
    finally:
        pager.close()
        server.close()
    assert [json.loads(raw)["routing_key"] for raw in server.requests] == [KEY, KEY[::-1], KEY[::-1]]
