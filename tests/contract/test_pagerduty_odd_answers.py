"""What the local PagerDuty never answers: incidents of several alerts, resources that make no sense, odd services."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from opsctl.adapters.sinks.pagerduty import RoutingKeys
from opsctl.adapters.sinks.pagerduty_account import PagerDutyAccount
from opsctl.adapters.sinks.pagerduty_reader import PagerDutyReader
from opsctl.adapters.sinks.pagerduty_rest import Rest
from opsctl.adapters.sinks.pagerduty_services import Services
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
