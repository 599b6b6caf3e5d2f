"""Events: what PagerDuty is told, within its limits, whatever the labels hold."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opsctl.core.commands import Acknowledge, Resolve, Trigger
from opsctl.core.events import BODY_BYTES, event_of, minimal
from opsctl.demo.servers.events_v2 import errors_of
from tests.unit.paging.world import alert

KEY = "opsctl/" + "0" * 40


def trigger(links: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    return json.loads(event_of(Trigger(KEY, 12, "money", alert(**changes)), "prod-eu", links))  # type: ignore[no-any-return]


def problems(event: dict[str, Any]) -> list[str]:
    return errors_of(event | {"routing_key": "R" * 32})


def test_a_trigger_says_rule_numbers_incident_and_runbook() -> None:
    event = trigger(
        {"dashboard": "https://grafana.example.net/d/1", "bad": "javascript:alert(1)"},
        value=14.9,
        evidence=("1h: 144 of 9,650 bad (14.9)",),
        runbook="promo-surge",
    )
    assert problems(event) == []
    details = event["payload"]["custom_details"]
    assert details["incident"] == "#12"
    assert details["value"] == 14.9
    assert details["evidence"] == ["1h: 144 of 9,650 bad (14.9)"]
    assert details["runbook"] == "opsctl runbook plan promo-surge"
    assert event["links"] == [{"href": "https://grafana.example.net/d/1", "text": "dashboard"}]
    assert event["client"] == "opsctl"
    assert "routing_key" not in event


def test_resolve_and_acknowledge_name_only_the_key() -> None:
    for command, action in (
        (Resolve(KEY, 12, "money", "R", "over"), "resolve"),
        (Acknowledge(KEY, 12, "money", "R"), "acknowledge"),
    ):
        event = json.loads(event_of(command, "prod-eu"))
        assert event == {"event_action": action, "dedup_key": KEY}
        assert problems(event) == []


def test_a_number_that_is_not_json_becomes_text() -> None:
    assert trigger(value=float("nan"))["payload"]["custom_details"]["value"] == "nan"


def test_an_event_too_large_is_sent_in_its_minimal_form() -> None:
    huge = tuple((f"label_{n}", "x" * 4000) for n in range(200))
    event = trigger(labels=huge, identity=huge)
    assert set(event["payload"]) == {"summary", "source", "severity"}
    assert event == minimal(event)
    assert problems(event) == []


@given(st.text(max_size=3000), st.text(max_size=50), st.lists(st.text(), max_size=4), st.text(max_size=300))
def test_any_text_gives_an_event_that_pagerduty_takes(summary: str, service: str, lines: list[str], label: str) -> None:
    changes: dict[str, Any] = {
        "summary": summary + "\ud800",
        "service": service,
        "evidence": tuple(lines),
        "labels": ((label, label),),
    }
    raw = event_of(Trigger(KEY, 1, "money", alert(**changes)), "prod-eu")
    assert len(raw.encode()) <= BODY_BYTES
    assert problems(json.loads(raw)) == []
