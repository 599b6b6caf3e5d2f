"""The webhook sink: what is posted, how it is signed, and what of its address may be shown."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from opsctl.adapters.sinks.webhook import Webhook, sign
from opsctl.errors import AuthError
from opsctl.http import Endpoint
from opsctl.ports import SinkEvent
from tests.contract.sink_world import SIGNING, Receiver, answer, event
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

Serve = Callable[[Behaviour], Misbehaving]
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECRET_PATH = "/services/T0000/B0000/XXXXXXXXXXXX"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def hook(url: str, signing: Callable[[], str] | None = None) -> Webhook:
    return Webhook("chat", Endpoint(url), lambda: AT, signing)


def test_the_body_is_versioned_and_carries_the_event_as_it_is(receiver: Receiver) -> None:
    sent = event()
    assert hook(receiver.url).send(sent).outcome == "accepted"
    headers, body = receiver.requests[0]
    assert json.loads(body) == {
        "schema": "opsctl/event/v1",
        "action": "trigger",
        "key": "opsctl/1",
        "id": "opsctl/1/7/trigger/0",
        "to": "money",
        "event": json.loads(sent.body),
    }
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "opsctl/1/7/trigger/0"
    assert "webhook-signature" not in headers


def test_signatures_are_those_of_the_published_example() -> None:
    """The test vector of Standard Webhooks."""
    secret, identifier = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signed = sign(secret, identifier, 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", [SIGNING, "words that are no base64"])
def test_a_receiver_can_verify_what_it_got(receiver: Receiver, secret: str) -> None:
    """As its libraries do: over the bytes that came, with the secret's bytes."""
    assert hook(receiver.url, lambda: secret).send(event()).outcome == "accepted"
    headers, body = receiver.requests[0]
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == headers["idempotency-key"]
    assert int(headers["webhook-timestamp"]) == AT.timestamp()


def test_every_attempt_of_an_event_has_its_id_and_no_other_event_has_it(receiver: Receiver) -> None:
    sink = hook(receiver.url)
    for one in (event(), event(), event(number=1), event("resolve")):
        sink.send(one)
    ids = [headers["idempotency-key"] for headers, _ in receiver.requests]
    assert ids == ["opsctl/1/7/trigger/0", "opsctl/1/7/trigger/0", "opsctl/1/7/trigger/1", "opsctl/1/7/resolve/0"]


def test_an_event_without_an_id_is_known_by_its_content(receiver: Receiver) -> None:
    sink = hook(receiver.url)
    for body in (event().body, event().body, event("resolve").body):
        sink.send(SinkEvent("money", body))
    ids = [headers["idempotency-key"] for headers, _ in receiver.requests]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("path", ["", "/", "/hook", "/hook/", "/a/b%2Fc"])
def test_the_address_is_asked_as_it_is_written(serve: Serve, path: str) -> None:
    """With or without a slash at its end: at some receivers that is another address."""
    server = serve(answer("200 OK"))
    assert hook(server.url + path).send(event()).outcome == "accepted"
    assert server.requests[0].startswith(f"POST {path or '/'} HTTP/1.1".encode())


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
def test_any_2xx_is_accepted_with_whatever_page(serve: Serve, status: str) -> None:
    server = serve(answer(status, b"<html>ok", kind="text/html"))
    assert hook(server.url).send(event()).outcome == "accepted"


@pytest.mark.parametrize("status", ["302 Found", "400 Bad Request", "404 Not Found", "500 Internal"])
def test_the_path_which_may_be_the_secret_is_in_no_message(serve: Serve, status: str) -> None:
    def tell(exchange: Exchange) -> None:
        said = "x" * 360 + SECRET_PATH
        body = json.dumps({"message": said}).replace("/", "\\/").encode()
        exchange.answer(body, status, "application/json", f"Location: http://127.0.0.1:1{SECRET_PATH}")

    server = serve(tell)
    message = hook(server.url + SECRET_PATH).send(event()).message
    assert "T0000" not in message
    assert message


def test_a_secret_that_cannot_be_read_or_is_no_base64_makes_no_request(serve: Serve) -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x cannot be read: no such file")

    server = serve(answer("200 OK"))
    for signing, words in ((unreadable, "secret file /run/x"), (lambda: "whsec_c4n@ry", "is not base64")):
        delivery = hook(server.url, signing).send(event())
        assert delivery.outcome == "retry"
        assert words in delivery.message
        assert "c4n@ry" not in delivery.message
    assert server.requests == []


def test_a_secret_is_read_once_and_again_after_it_was_not_accepted(serve: Serve) -> None:
    read: list[int] = []

    def signing() -> str:
        read.append(1)
        return SIGNING

    statuses = iter(["200 OK", "200 OK", "401 Unauthorized", "200 OK"])
    server = serve(lambda exchange: answer(next(statuses))(exchange))
    sink = hook(server.url, signing)
    for _ in range(4):
        sink.send(event())
    assert len(read) == 2
