"""What the local PagerDuty never answers: incidents of several alerts, resources that make no sense, odd services."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from opsctl.adapters.sinks.pagerduty import RoutingKeys
from opsctl.adapters.sinks.pagerduty_account import PagerDutyAccount
from opsctl.adapters.sinks.pagerduty_notes import RestNotes
from opsctl.adapters.sinks.pagerduty_reader import PagerDutyReader
from opsctl.adapters.sinks.pagerduty_rest import Rest
from opsctl.adapters.sinks.pagerduty_services import Services
from opsctl.adapters.sinks.pagerduty_transport import Reply
from tests.contract.pagerduty_world import ANA, KEYS, TOKEN, key_of
from tests.servers.misbehaving import Exchange, Misbehaving


def incident(**changes: Any) -> dict[str, Any]:
    whole = {
        "id": "Q1",
        "status": "triggered",
        "created_at": "2026-05-01T03:00:00Z",
        "last_status_change_at": "2026-05-01T05:00:00+02:00",
        "last_status_change_by": {"type": "service_reference", "summary": "Money"},
        "alert_counts": {"all": 1},
        "html_url": "https://x/incidents/Q1",
    }
    return whole | changes


@contextlib.contextmanager
def scripted(answers: dict[str, Any]) -> Iterator[tuple[PagerDutyReader, Misbehaving]]:
    """A PagerDuty that answers each path with one document."""

    def behave(exchange: Exchange) -> None:
        path = exchange.head.split()[1].decode().partition("?")[0]
        exchange.answer(json.dumps(answers.get(path, {path.rpartition("/")[2]: []})).encode())

    server = Misbehaving(behave)
    rest = Rest(lambda: TOKEN, ANA, server.url)
    try:
        yield PagerDutyReader(rest, Services(rest, RoutingKeys({"default": lambda: KEYS["default"]}))), server
    finally:
        rest.close()
        server.stop()


def alert(name: str, status: str = "triggered", **changes: Any) -> dict[str, Any]:
    return {"id": f"A{name}", "alert_key": key_of(name), "status": status, "resolved_at": None} | changes


def test_each_alert_of_a_merged_incident_is_told_and_a_closed_one_is_closed() -> None:
    """Its incident stays open for the others' sake: without this its resolve would be sent for ever."""
    merged = incident(alert_counts={"all": 3})
    alerts = [
        alert("a"),
        alert("b", "resolved", resolved_at="2026-05-01T04:00:00Z"),
        alert("c") | {"alert_key": "other"},
    ]
    answers = {"/incidents": {"incidents": [merged]}, "/incidents/Q1/alerts": {"alerts": alerts}}
    with scripted(answers) as (reader, _):
        seen = reader.look([key_of("b")], {"Q1": key_of("a")})
    assert seen.complete
    assert seen.problem is None
    assert {key: (one.status, one.id) for key, one in seen.incidents.items()} == {
        key_of("a"): ("triggered", "Q1"),
        key_of("b"): ("resolved", "Q1"),
    }
    assert f"{seen.incidents[key_of('b')].changed:%H:%M}" == "04:00"
    assert f"{seen.incidents[key_of('a')].changed:%H:%M}" == "03:00"


def test_a_service_without_alerts_shows_the_key_on_the_incident() -> None:
    answers = {"/incidents": {"incidents": [incident(incident_key=key_of("a")), incident(id="Q2", incident_key="x")]}}
    with scripted(answers) as (reader, server):
        seen = reader.look([], {})
    assert list(seen.incidents) == [key_of("a")]
    assert seen.others == {"Q2"}
    assert not any(b"/alerts" in one for one in server.requests)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "odd"},
        {"created_at": "yesterday"},
        {"created_at": None},
        {"created_at": "0001-01-01T00:00:00+14:00"},
        {"id": 7},
        {"id": ""},
    ],
    ids=str,
)
def test_an_incident_that_makes_no_sense_is_left_out_and_the_list_is_not_whole(changes: dict[str, Any]) -> None:
    answers = {"/incidents": {"incidents": [incident(**changes)]}, "/incidents/Q1/alerts": {"alerts": [alert("a")]}}
    with scripted(answers) as (reader, _):
        seen = reader.look([], {})
    assert dict(seen.incidents) == {}
    assert not seen.complete


@pytest.mark.parametrize("document", [[], {}, {"incidents": {}}, {"incidents": 3}, "x", None], ids=str)
def test_an_answer_of_another_shape_is_a_problem_and_no_absence(document: Any) -> None:
    with scripted({"/incidents": document}) as (reader, _):
        seen = reader.look([key_of("a")], {})
    assert seen.problem
    assert seen.absent == frozenset()
    assert not seen.complete


def test_an_id_is_text_from_outside_and_cannot_leave_its_path() -> None:
    odd = "../services?x=%2e%2e#y z"
    with scripted({"/incidents": {"incidents": [incident(id=odd)]}}) as (reader, server):
        reader.look([], {})
    asked = [one.split()[1] for one in server.requests if b"alerts" in one.split()[1]]
    assert asked == [b"/incidents/..%2Fservices%3Fx%3D%252e%252e%23y%20z/alerts?limit=100&offset=0"]


def test_doctors_question_names_services_that_open_nothing_or_late() -> None:
    integrations = [{"id": f"I{name}", "integration_key": KEYS[name]} for name in ("default", "money")]
    services = [
        {"id": "P1", "name": "Core", "status": "disabled", "integrations": integrations[:1]},
        {"id": "P2", "name": "Money", "status": "active", "integrations": integrations[1:]}
        | {"auto_pause_notifications_parameters": {"enabled": True, "timeout": 300}},
    ]
    documents = {"/services": {"services": services}, "/users": {"users": [{"name": "Ana", "email": ANA.upper()}]}}
    with scripted(documents) as (reader, _):
        keys = RoutingKeys({name: (lambda name=name: KEYS[name]) for name in ("default", "money")})
        state = PagerDutyAccount(reader._rest, keys).examine(5.0)
    assert (state.problem, state.sender, dict(state.services)) == (None, "Ana", {"default": "Core", "money": "Money"})
    assert [one.partition(":")[0] for one in state.warnings] == [
        "Core is disabled",
        "Money holds back what may end by itself for 300 s (auto-pause)",
    ]


def test_half_characters_cost_no_look_and_can_be_written_down() -> None:
    """JSON may hold them; a URL and a journal cannot."""
    half = "\ud800"
    by = {"type": "user_reference", "summary": f"Ann{half}\n\x1b[31m"}
    odd = incident(id=f"Q{half}", html_url=f"https://x/{half}", last_status_change_by=by)
    alerts = {"alerts": [alert("a") | {"body": {"details": {"namespace": half, "rule_uid": half, "rule": half}}}]}
    answers = {"/incidents": {"incidents": [odd]}, "/incidents/Q%3F/alerts": alerts}
    with scripted(answers) as (reader, _):
        seen = reader.look([], {})
    assert seen.problem is None
    one = seen.incidents[key_of("a")]
    assert (one.id, one.url, one.who) == ("Q?", "https://x/?", "Ann? \x1b[31m")
    assert one.origin is not None
    assert (one.origin.namespace, one.origin.rule_uids) == ("?", ("?",))


def test_a_search_that_lags_behind_the_list_does_not_make_an_open_incident_absent() -> None:
    def behave(exchange: Exchange) -> None:
        target = exchange.head.split()[1].decode()
        found = [] if "incident_key" in target else [incident()]
        document = {"alerts": [alert("a")]} if "/alerts" in target else {"incidents": found, "services": []}
        exchange.answer(json.dumps(document).encode())

    server = Misbehaving(behave)
    rest = Rest(lambda: TOKEN, ANA, server.url)
    seen = PagerDutyReader(rest, Services(rest, RoutingKeys({}))).look([key_of("a")], {})
    rest.close()
    server.stop()
    assert (list(seen.incidents), seen.absent) == ([key_of("a")], frozenset())


WORDS = """id status created_at last_status_change_at last_status_change_by type summary name alert_counts all html_url
incident_key acknowledgements acknowledger alert_key body details namespace rule_uid alerts rule team integration services
integrations integration_key escalation_policy end_time description incidents maintenance_windows users email oncalls
escalation_level user schedule start end more notes content enabled timeout auto_pause_notifications_parameters"""
NAMES = WORDS.split()
TEXTS = ("opsctl/a", "opsctl/b", "triggered", "resolved", "acknowledged", "Q1", "Q\ud800", "2026-05-01T00:00:00Z", "")
TEXTS += ("9999-12-31T23:59:59-14:00", "x" * 300, "user_reference", "d" * 32, "\x1b[31m", "../x")


class Noise:
    """A transport whose answers are of the right shape at best, by chance."""

    url = "https://api.example"

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def request(self, method: str, path: str, secret: str, timeout_seconds: float, **more: Any) -> Reply:
        luck, member = self.dice.random(), path.rpartition("/")[2]
        if luck < 0.05:
            return Reply(None, "no answer")
        if luck < 0.1:
            return Reply(self.dice.choice([400, 401, 403, 404, 429, 500]), "HTTP", {"retry-after": "0.001"})
        make = self.incident if member == "incidents" else self.thing
        page = {member: [make() for _ in range(self.dice.randrange(4))], "more": self.dice.random() < 0.2}
        return Reply(200, "", {}, json.dumps(page if luck < 0.9 else self.value()).encode())

    def close(self) -> None:
        """Nothing to drop."""

    def value(self, depth: int = 0) -> Any:
        luck = self.dice.random()
        if depth > 4 or luck < 0.35:
            return self.dice.choice(TEXTS)
        if luck < 0.45:
            return self.dice.choice([None, True, False, 0, 1, 2, -1, 1e308, 10**30, 0.5])
        return [self.value(depth + 1), self.value(depth + 1)] if luck < 0.65 else self.thing(depth + 1)

    def thing(self, depth: int = 0) -> dict[str, Any]:
        return {self.dice.choice(NAMES): self.value(depth + 1) for _ in range(self.dice.randrange(12))}

    def incident(self) -> dict[str, Any]:
        one = incident(id=self.dice.choice(["Q1", "Q2", "Q3"]), alert_counts={"all": self.dice.choice([1, 2, None])})
        return one | {self.dice.choice(NAMES): self.value(3) for _ in range(self.dice.randrange(4))}


@pytest.mark.parametrize("seed", range(150))
def test_no_answer_whatever_its_shape_ends_a_look_a_note_or_a_question_early(seed: int) -> None:
    rest = Rest(lambda: TOKEN, ANA, "http://127.0.0.1:1")
    rest._transport = Noise(seed)  # type: ignore[assignment]
    keys = RoutingKeys({name: (lambda name=name: KEYS[name]) for name in ("default", "money")})
    seen = PagerDutyReader(rest, Services(rest, keys)).look(list(TEXTS[:2]), {"Q1": TEXTS[0], "Q2": ""}, 1.0)
    assert "ended early" not in str(seen.problem)
    assert not seen.absent & seen.incidents.keys()
    for one in seen.incidents.values():
        assert (one.id + one.who + one.url).encode()
        assert one.created.tzinfo == UTC
    assert all(isinstance(seen.maintenance.get(team, ""), str) for team in ("", "money", "x"))
    assert RestNotes(rest).write(TEXTS[0], "hello", "id", 1.0).outcome in {"accepted", "retry", "permanent"}
    account = PagerDutyAccount(rest, keys)
    assert account.on_call(["default", "money"], datetime(2026, 5, 1, tzinfo=UTC), 1.0).at.year == 2026
    account.examine(1.0)
