"""The port `Sink`, held by every sink: one request a call whatever comes back, and never a secret in a word of it."""

from __future__ import annotations

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsctl.adapters.sinks.alertmanager import Alertmanager, FarSide
from opsctl.adapters.sinks.console import Console
from opsctl.adapters.sinks.opsgenie import Account, Opsgenie
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.adapters.sinks.posting import Server
from opsctl.adapters.sinks.webhook import Webhook
from opsctl.core.events import encode, minimal
from opsctl.demo.servers.opsgenie import start_local_opsgenie
from opsctl.demo.servers.pagerduty import start_local_pagerduty
from opsctl.errors import AuthError
from opsctl.http import Endpoint
from opsctl.ports import Delivery, Sink, SinkEvent
from tests.contract.opsgenie_world import KEY as OPSGENIE_KEY
from tests.contract.opsgenie_world import Opsgenie as LocalAlerts
from tests.contract.sink_world import (
    KINDS,
    SECRET,
    SECRETS,
    Far,
    FarAlertmanager,
    FarOpsgenie,
    FarPagerDuty,
    FarWebhook,
    Kind,
    Receiver,
    answer,
    cut_off,
    drip,
    event,
    flood,
    garbage,
    hang,
    now,
    reset,
)
from tests.servers.fixtures import StartAlertmanager
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

Serve = Callable[[Behaviour], Misbehaving]
ACTIONS = ("trigger", "acknowledge", "resolve")


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each sink over HTTP."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def opened(kind: Kind) -> Iterator[Callable[[str], Sink]]:
    """Open the sink at an address; closed with the test."""
    made: list[Sink] = []

    def start(url: str) -> Sink:
        made.append(kind.open(url, lambda: SECRET))
        return made[-1]

    yield start
    for one in made:
        one.close()


def check_words(delivery: Delivery) -> None:
    """One line, which says something where somebody must do something, and holds no secret."""
    assert "\n" not in delivery.message
    assert len(delivery.message) <= 400
    assert delivery.message or delivery.outcome == "accepted"
    assert not [secret for secret in SECRETS if secret in delivery.message]


# -- one request a call, whatever comes back

STATUSES = {
    **{f"{status} {word}": "permanent" for status, word in {400: "Bad Request", 401: "Unauthorized"}.items()},
    **{f"{status} {word}": "permanent" for status, word in {403: "Forbidden", 404: "Not Found", 413: "Large"}.items()},
    **{f"{status} {word}": "retry" for status, word in {302: "Found", 408: "Timeout", 429: "Too Many"}.items()},
    **{f"{status} {word}": "retry" for status, word in {500: "Internal", 502: "Bad Gateway", 503: "Down"}.items()},
    **{f"{status} {word}": "retry" for status, word in {504: "Gateway Timeout", 599: "Odd"}.items()},
}
TROUBLES = {one.__name__: one for one in (hang, drip, reset, flood, garbage)}


@pytest.mark.parametrize("action", ACTIONS)
def test_what_the_far_side_takes_is_accepted(
    kind: Kind, opened: Callable[[str], Sink], serve: Serve, action: str
) -> None:
    server = serve(answer(kind.accepted))
    delivery = opened(server.url).send(event(action))
    assert delivery.outcome == "accepted", delivery
    assert len(server.requests) == (0 if action in kind.silent else 1)
    check_words(delivery)


@pytest.mark.parametrize(("status", "outcome"), STATUSES.items())
def test_a_refusal_is_permanent_and_what_may_change_is_tried_again(
    opened: Callable[[str], Sink], serve: Serve, status: str, outcome: str
) -> None:
    elsewhere = serve(answer("200 OK"))
    server = serve(answer(status, b'{"message":"so it is"}', f"Location: {elsewhere.url}/"))
    delivery = opened(server.url).send(event())
    assert (delivery.outcome, delivery.status) == (outcome, int(status[:3]))
    check_words(delivery)
    assert (len(server.requests), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_no_whole_answer_is_a_retry_within_the_time_and_after_one_request(
    opened: Callable[[str], Sink], serve: Serve, trouble: Behaviour
) -> None:
    server = serve(trouble)
    began = time.monotonic()
    delivery = opened(server.url).send(event(), timeout_seconds=0.6)
    assert time.monotonic() - began < 2
    assert (delivery.outcome, delivery.status) == ("retry", None)
    check_words(delivery)
    time.sleep(0.05)
    assert (len(server.requests), server.connections) == (1, 1)


def test_an_answer_that_is_cut_off_is_never_taken_for_accepted(opened: Callable[[str], Sink], serve: Serve) -> None:
    server = serve(cut_off)
    delivery = opened(server.url).send(event(), timeout_seconds=2)
    assert delivery.outcome == "retry"
    assert len(server.requests) == 1


def test_the_next_call_after_a_hang_works(kind: Kind, opened: Callable[[str], Sink], serve: Serve) -> None:
    behaviours = iter([hang, answer(kind.accepted)])
    server = serve(lambda exchange: next(behaviours)(exchange))
    sink = opened(server.url)
    assert sink.send(event(), 0.3).outcome == "retry"
    assert sink.send(event(), 2.0).outcome == "accepted"
    assert len(server.requests) == 2


def test_a_connection_that_the_far_side_gave_up_costs_no_second_request_in_a_call(
    kind: Kind, opened: Callable[[str], Sink], serve: Serve
) -> None:
    """Kept alive, and closed while the next request is on its way: the outbox repeats it, not the client."""
    seen: list[int] = []

    def once(exchange: Exchange) -> None:
        seen.append(1)
        answer(kind.accepted)(exchange) if len(seen) == 1 else reset(exchange)

    server = serve(once)
    sink = opened(server.url)
    assert sink.send(event()).outcome == "accepted"
    assert sink.send(event("resolve")).outcome == "retry"
    assert len(server.requests) == 2


def test_nobody_there_is_a_retry(opened: Callable[[str], Sink]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    delivery = opened(f"http://127.0.0.1:{port}").send(event(), 1.0)
    assert (delivery.outcome, delivery.status) == ("retry", None)
    check_words(delivery)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("99999999", 600.0), ("soon", None), ("nan", None), ("inf", 600.0)],
)
@pytest.mark.parametrize("status", ["429 Too Many", "503 Down"])
def test_retry_after_is_read_and_capped(
    opened: Callable[[str], Sink], serve: Serve, status: str, header: str, seconds: float | None
) -> None:
    server = serve(answer(status, b"{}", f"Retry-After: {header}"))
    assert opened(server.url).send(event()).retry_after_seconds == seconds


# -- credentials


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not", "500 Internal"])
def test_an_answer_that_repeats_what_we_sent_shows_no_secret(
    opened: Callable[[str], Sink], serve: Serve, status: str
) -> None:
    """A debugging proxy sends back the request with its headers, as text and inside JSON."""

    def echo(exchange: Exchange) -> None:
        sent = (exchange.head + exchange.body).decode()
        body = json.dumps({"message": sent, "errors": [sent]}).encode()
        exchange.answer(body, status, "application/json", f"WWW-Authenticate: {SECRET}")

    delivery = opened(serve(echo).url).send(event())
    assert delivery.outcome != "accepted"
    check_words(delivery)


def test_a_credential_that_was_renewed_is_not_read_again_within_a_call(kind: Kind, serve: Serve) -> None:
    """A client that reads its token again after a 401 makes two requests of one."""
    values = iter([SECRET, SECRET[::-1], SECRET, SECRET[::-1]])
    server = serve(answer("401 Unauthorized"))
    sink = kind.open(server.url, lambda: next(values))
    assert sink.send(event()).outcome == "permanent"
    assert len(server.requests) == 1
    sink.close()


def test_a_credential_that_cannot_be_read_makes_no_request_and_is_tried_again(kind: Kind, serve: Serve) -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x cannot be read: no such file")

    server = serve(answer(kind.accepted))
    sink = kind.open(server.url, unreadable)
    delivery = sink.send(event())
    assert delivery.outcome == "retry"
    assert "no request was made: secret file /run/x cannot be read" in delivery.message
    assert server.requests == []
    sink.close()


# -- the rest


def test_a_sink_that_was_closed_twice_can_be_used_again(
    kind: Kind, opened: Callable[[str], Sink], serve: Serve
) -> None:
    server = serve(answer(kind.accepted))
    sink = opened(server.url)
    assert sink.send(event()).outcome == "accepted"
    sink.close()
    sink.close()
    assert sink.send(event()).outcome == "accepted"
    assert len(server.requests) == 2


@pytest.mark.parametrize("form", ["largest", "minimal", "hostile"])
def test_every_form_of_an_event_is_one_request_that_is_json(
    kind: Kind, opened: Callable[[str], Sink], serve: Serve, form: str
) -> None:
    whole = event(summary="\x1b[31m\u202e\0\n" * 100 if form == "hostile" else "s" * 1024)
    body = json.loads(whole.body)
    if form == "largest":
        body["payload"]["custom_details"]["evidence"] = ["x" * 4096] * 110
    sent = SinkEvent("money", encode(minimal(body) if form == "minimal" else body), whole.id)
    server = serve(answer(kind.accepted))
    assert opened(server.url).send(sent).outcome == "accepted"
    assert len(server.requests) == 1
    raw = server.requests[0]
    sent_json = json.loads(raw[min(at for at in (raw.find(b"{"), raw.find(b"[")) if at > 0) :])
    assert "opsctl" in json.dumps(sent_json)


def test_a_channel_is_no_secret(opened: Callable[[str], Sink]) -> None:
    channel = opened("http://127.0.0.1:1").channel("money")
    assert not [secret for secret in SECRETS if secret in channel]


def test_nothing_is_written_to_the_terminal(
    opened: Callable[[str], Sink], serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    for behave in (answer("503 Down"), reset, answer("400 Bad Request")):
        opened(serve(behave).url).send(event(), 2.0)
    assert capfd.readouterr() == ("", "")


def test_what_a_sink_cannot_say_is_refused_without_a_request(
    kind: Kind, opened: Callable[[str], Sink], serve: Serve
) -> None:
    """A note: Alertmanager has none, PagerDuty's needs the REST API; nobody is alarmed, no page depends on it."""
    server = serve(answer(kind.accepted))
    delivery = opened(server.url).send(event("note"))
    takes = kind.name in {"opsgenie", "webhook"}
    assert delivery.outcome == ("accepted" if takes else "permanent")
    assert len(server.requests) == takes
    check_words(delivery)


# -- far sides that keep what they are told

FARS = ("pagerduty", "opsgenie", "alertmanager 0.31", "alertmanager 0.25", "webhook")


@pytest.fixture(params=FARS)
def far(request: pytest.FixtureRequest, start_alertmanager: StartAlertmanager, tmp_path: Path) -> Iterator[Far]:
    """Each far side with nothing in it."""
    name, _, version = request.param.partition(" ")
    if name == "pagerduty":
        local = start_local_pagerduty(tmp_path / "pd.sqlite3", {"money": SECRET})
        made: Far = FarPagerDuty(local.address, PagerDuty({"default": lambda: SECRET}, local.address))
        stop: Callable[[], object] = local.stop
    elif name == "opsgenie":
        og = start_local_opsgenie(tmp_path / "og.sqlite3", {"money": OPSGENIE_KEY}, options=["--lag", "0"])
        made = FarOpsgenie(LocalAlerts(og), Opsgenie(Account({"default": lambda: OPSGENIE_KEY}, og.address)))
        stop = og.stop
    elif name == "alertmanager":
        server, namespace = start_alertmanager(version=version), f"sinks-{uuid.uuid4().hex}"
        sink = Alertmanager(Server(Endpoint(server.url)), namespace, FarSide(now))
        made, stop = FarAlertmanager(server, sink, namespace), lambda: None
    else:
        receiver = Receiver()
        made, stop = FarWebhook(receiver, Webhook("chat", Endpoint(receiver.url), now)), receiver.stop
    yield made
    made.sink.close()
    stop()


def settled(far: Far, keys: set[str]) -> None:
    """Wait until these keys are open: one of them carries out what it accepted a moment later."""
    until = time.monotonic() + 5
    while far.open() != keys and time.monotonic() < until:
        time.sleep(0.02)
    assert far.open() == keys


def test_a_trigger_opens_its_key_and_a_resolve_closes_that_one_only(far: Far) -> None:
    for key in ("opsctl/1", "opsctl/2"):
        assert far.sink.send(event(key=key)).outcome == "accepted"
    settled(far, {"opsctl/1", "opsctl/2"})
    assert far.sink.send(event("resolve", "opsctl/1")).outcome == "accepted"
    settled(far, {"opsctl/2"})


@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
def test_the_same_event_twice_changes_nothing(far: Far, action: str) -> None:
    """A lost reply: the outbox sends the event again, and nobody is told twice."""
    assert far.sink.send(event(key="opsctl/3")).outcome == "accepted"
    settled(far, {"opsctl/3"})
    sent = event(action, "opsctl/3")
    assert far.sink.send(sent).outcome == "accepted"
    settled(far, set() if action == "resolve" else {"opsctl/3"})
    time.sleep(0.05)
    before = far.kept()
    assert far.sink.send(sent).outcome == "accepted"
    time.sleep(0.1)
    assert far.kept() == before


def test_a_repeat_of_an_open_incident_is_the_same_incident(far: Far) -> None:
    for number in range(3):
        assert far.sink.send(event(number=number)).outcome == "accepted"
        settled(far, {"opsctl/1"})


def test_a_resolve_of_what_was_never_open_is_accepted_and_opens_nothing(far: Far) -> None:
    assert far.sink.send(event("resolve", "opsctl/none")).outcome == "accepted"
    time.sleep(0.05)
    assert far.open() == set()


def test_a_trigger_that_comes_again_after_its_resolve_opens_the_key_again(far: Far) -> None:
    """A person or a repeat: the incident that is closed does not swallow the next one."""
    for action, keys in (("trigger", {"opsctl/1"}), ("resolve", set()), ("trigger", {"opsctl/1"})):
        assert far.sink.send(event(action, number=len(keys) + 1)).outcome == "accepted"
        if not isinstance(far, FarWebhook):
            settled(far, set(keys))


# -- the console


def test_the_console_says_one_line_an_event_and_takes_every_one() -> None:
    said: list[str] = []
    sink = Console(said.append)
    for action in ("trigger", "acknowledge", "resolve", "note"):
        assert sink.send(event(action)).outcome == "accepted"
    sink.close()
    sink.close()
    summary = "payments burn 9× their budget"
    assert said == [
        f"console/money: trigger opsctl/1 (critical): {summary}",
        f"console/money: acknowledge opsctl/1 (critical): {summary}",
        f"console/money: resolve opsctl/1 (critical): {summary}",
        "console/money: note opsctl/1: somebody looks at it",
    ]
    assert sink.channel("money") == ""


def test_a_console_that_cannot_print_has_not_delivered() -> None:
    def broken(_: str) -> None:
        raise BrokenPipeError

    assert Console(broken).send(event()).outcome == "retry"


def test_the_console_of_a_context_prints_hostile_text_harmlessly_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    from opsctl.app import _say

    Console(_say).send(event(summary="\x1b]0;owned\x07\n\u202epage"))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "\\x1b]0;owned\\x07\\x0a\\u202epage" in told.err
