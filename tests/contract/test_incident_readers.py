"""The port `IncidentReader`, held by every reader: what was not shown is not known, and trouble is said, not raised."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from opsctl.adapters.sinks.alertmanager import Alertmanager, FarSide
from opsctl.adapters.sinks.alertmanager_reader import AlertmanagerReader
from opsctl.adapters.sinks.opsgenie import Account, Opsgenie
from opsctl.adapters.sinks.opsgenie_reader import OpsgenieReader
from opsctl.adapters.sinks.pagerduty import PagerDuty, RoutingKeys
from opsctl.adapters.sinks.pagerduty_reader import PagerDutyReader
from opsctl.adapters.sinks.pagerduty_rest import Rest
from opsctl.adapters.sinks.pagerduty_services import Services
from opsctl.adapters.sinks.posting import Server
from opsctl.core.seen import Seen
from opsctl.demo.servers.opsgenie import start_local_opsgenie
from opsctl.demo.servers.pagerduty import start_local_pagerduty
from opsctl.errors import AuthError
from opsctl.http import Endpoint
from opsctl.ports import IncidentReader, Sink
from tests.contract.opsgenie_world import KEY as OPSGENIE_KEY
from tests.contract.sink_world import SECRET, Credential, answer, cut_off, drip, event, flood, garbage, hang, now, reset
from tests.servers.fixtures import StartAlertmanager
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

Serve = Callable[[Behaviour], Misbehaving]
Open = Callable[[str, Credential], IncidentReader]
SOME = ("opsctl/1", "opsctl/2")


def _pagerduty(url: str, credential: Credential) -> IncidentReader:
    rest = Rest(credential, "ana@example.com", url)
    return PagerDutyReader(rest, Services(rest, RoutingKeys({"default": lambda: "d" * 32})), now)


def _opsgenie(url: str, credential: Credential) -> IncidentReader:
    return OpsgenieReader(Account({"default": credential}, url), now)


def _alertmanager(url: str, credential: Credential) -> IncidentReader:
    endpoint = Endpoint(url, authorization=lambda: f"Bearer {credential()}")
    return AlertmanagerReader(Server(endpoint), "prod", FarSide(now))


READERS: dict[str, Open] = {"pagerduty": _pagerduty, "opsgenie": _opsgenie, "alertmanager": _alertmanager}


@pytest.fixture(params=READERS.values(), ids=list(READERS))
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[[str], IncidentReader]]:
    """Open a reader at an address; closed with the test."""
    made: list[IncidentReader] = []

    def start(url: str) -> IncidentReader:
        made.append(request.param(url, lambda: SECRET))
        return made[-1]

    yield start
    for one in made:
        one.close()


def claims_nothing(seen: Seen) -> None:
    """A look that failed: a problem in one line without a secret, and nothing that a plan could act on."""
    assert seen.problem
    assert "\n" not in seen.problem
    assert SECRET not in seen.problem
    assert (dict(seen.incidents), seen.absent, seen.complete) == ({}, frozenset(), False)


# -- a far side in trouble

STATUSES = ("302 Found", "400 Bad Request", "401 Unauthorized", "403 Forbidden", "500 Internal", "503 Down")
BODIES = {
    "nothing": b"",
    "html": b"<html>please log in</html>",
    "text": b"\xff\xfe\x00",
    "number": b"7",
    "null": b"null",
    "string": b'"x"',
    "deep": b"[" * 100_000,
    "other object": b'{"status":"ok"}',
    "rows that are none": b'[1,"x",null]',
}
TROUBLES = {one.__name__: one for one in (hang, drip, reset, flood, garbage, cut_off)}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_no_whole_answer_is_a_problem_within_the_time(
    opened: Callable[[str], IncidentReader], serve: Serve, trouble: Behaviour
) -> None:
    reader = opened(serve(trouble).url)
    began = time.monotonic()
    claims_nothing(reader.look(SOME, {}, 0.7))
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize("status", STATUSES)
def test_a_refusal_is_a_problem_and_shows_no_credential(
    opened: Callable[[str], IncidentReader], serve: Serve, status: str
) -> None:
    def echo(exchange: Exchange) -> None:
        body = b'{"message":"' + exchange.head.replace(b"\r\n", b" ").replace(b'"', b"'") + b'"}'
        exchange.answer(body, status, "application/json", "Location: http://127.0.0.1:1/")

    claims_nothing(opened(serve(echo).url).look(SOME, {}, 2.0))


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_an_answer_that_is_none_is_a_problem_and_nothing_is_concluded(
    opened: Callable[[str], IncidentReader], serve: Serve, body: bytes
) -> None:
    claims_nothing(opened(serve(answer("200 OK", body)).url).look(SOME, {}, 2.0))


def test_nobody_there_is_a_problem(opened: Callable[[str], IncidentReader], serve: Serve) -> None:
    server = serve(hang)
    server.stop()
    claims_nothing(opened(server.url).look(SOME, {}, 2.0))


@pytest.mark.parametrize("open_", READERS.values(), ids=list(READERS))
def test_a_credential_that_cannot_be_read_is_a_problem_and_makes_no_request(open_: Open, serve: Serve) -> None:
    def unreadable() -> str:
        raise AuthError("secret file /run/x cannot be read: no such file")

    server = serve(answer("200 OK", b"[]"))
    reader = open_(server.url, unreadable)
    claims_nothing(reader.look(SOME, {}, 2.0))
    assert server.requests == []
    reader.close()


def test_the_time_limit_holds_for_everything_together(opened: Callable[[str], IncidentReader], serve: Serve) -> None:
    """Each answer comes in time and all of them together do not."""

    def slow(exchange: Exchange) -> None:
        exchange.hold(0.3)
        answer("500 Internal")(exchange)

    reader = opened(serve(slow).url)
    began = time.monotonic()
    claims_nothing(reader.look([f"opsctl/{number}" for number in range(500)], {}, 1.0))
    assert time.monotonic() - began < 2.5


def test_a_reader_that_was_closed_twice_raises_nothing(opened: Callable[[str], IncidentReader], serve: Serve) -> None:
    reader = opened(serve(answer("500 Internal")).url)
    reader.look(SOME, {}, 2.0)
    reader.close()
    reader.close()


# -- a far side that answers

FARS = ("pagerduty", "opsgenie", "alertmanager 0.31", "alertmanager 0.25")


@dataclass
class Both:
    """A sink and the reader beside it."""

    sink: Sink
    reader: IncidentReader

    def send(self, action: str, key: str, number: int = 0) -> None:
        """An event that must be taken."""
        assert self.sink.send(event(action, key, number)).outcome == "accepted"

    def until(self, wanted: Callable[[Seen], bool], *keys: str) -> Seen:
        """Look until it shows; the last look."""
        deadline = time.monotonic() + 5
        while True:
            seen = self.reader.look(keys, {}, 5.0)
            if wanted(seen) or time.monotonic() > deadline:
                return seen
            time.sleep(0.05)


@pytest.fixture(params=FARS)
def both(request: pytest.FixtureRequest, start_alertmanager: StartAlertmanager, tmp_path: Path) -> Iterator[Both]:
    """Each far side with nothing in it."""
    name, _, version = request.param.partition(" ")
    stop: Callable[[], object] = lambda: None  # noqa: E731
    if name == "pagerduty":
        local = start_local_pagerduty(tmp_path / "pd.sqlite3", {"money": SECRET}, tokens={"rest": "t0ken-of-rest"})
        rest, keys = Rest(lambda: "t0ken-of-rest", "", local.address), RoutingKeys({"default": lambda: SECRET})
        made, stop = Both(PagerDuty(keys, local.address), PagerDutyReader(rest, Services(rest, keys), now)), local.stop
    elif name == "opsgenie":
        og = start_local_opsgenie(tmp_path / "og.sqlite3", {"money": OPSGENIE_KEY}, options=["--lag", "0"])
        account = Account({"default": lambda: OPSGENIE_KEY}, og.address)
        made, stop = Both(Opsgenie(account), OpsgenieReader(account, now)), og.stop
    else:
        server, namespace, far = start_alertmanager(version=version), f"readers-{uuid.uuid4().hex}", FarSide(now)
        sink = Alertmanager(Server(Endpoint(server.url)), namespace, far)
        made = Both(sink, AlertmanagerReader(Server(Endpoint(server.url)), namespace, far))
    yield made
    made.sink.close()
    made.reader.close()
    stop()


def test_an_empty_far_side_is_a_whole_look_in_which_every_key_is_absent(both: Both) -> None:
    seen = both.reader.look(SOME, {}, 5.0)
    assert (dict(seen.incidents), seen.absent, seen.complete, seen.problem) == ({}, set(SOME), True, None)
    assert both.reader.look((), {}, 5.0).complete


def test_what_was_told_is_shown_open_without_being_asked_for(both: Both) -> None:
    both.send("trigger", "opsctl/1")
    seen = both.until(lambda look: "opsctl/1" in look.incidents)
    one = seen.incidents["opsctl/1"]
    assert (one.key, one.open, bool(one.id), seen.complete) == ("opsctl/1", True, True, True)
    assert one.url.startswith("http") or not one.url
    assert one.created <= now()


def test_every_key_is_open_or_closed_or_absent_and_in_one_place_only(both: Both) -> None:
    for key in ("opsctl/open", "opsctl/over"):
        both.send("trigger", key)
    both.until(lambda look: len(look.incidents) == 2)
    both.send("resolve", "opsctl/over")
    keys = ("opsctl/open", "opsctl/over", "opsctl/never", "opsctl/open")
    seen = both.until(lambda look: "opsctl/over" not in look.incidents or not look.incidents["opsctl/over"].open, *keys)
    assert seen.problem is None
    assert set(keys) == seen.incidents.keys() | seen.absent
    assert not seen.incidents.keys() & seen.absent
    assert {key for key, one in seen.incidents.items() if one.open} == {"opsctl/open"}
    assert "opsctl/never" in seen.absent


def test_the_next_incident_of_a_key_has_an_id_of_its_own(both: Both) -> None:
    """Else the plan would take it for the one before, and call the new page invisible."""
    ids = []
    for number in range(2):
        one = event("trigger", "opsctl/1", number)
        body = one.body.replace("#7", f"#{7 + number}")
        assert both.sink.send(type(one)(one.key, body, one.id)).outcome == "accepted"
        seen = both.until(lambda look: "opsctl/1" in look.incidents and look.incidents["opsctl/1"].open, "opsctl/1")
        ids.append(seen.incidents["opsctl/1"].id)
        both.send("resolve", "opsctl/1", number)
        both.until(lambda look: "opsctl/1" not in look.incidents or not look.incidents["opsctl/1"].open, "opsctl/1")
    assert ids[0] != ids[1]


def test_a_look_changes_nothing(both: Both) -> None:
    both.send("trigger", "opsctl/1")
    first = both.until(lambda look: "opsctl/1" in look.incidents, *SOME)
    second = both.reader.look(SOME, {}, 5.0)
    assert (first.incidents, first.absent) == (second.incidents, second.absent)
