"""Matchers against a real Alertmanager: what holds there holds here, and what it does not read is refused here."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from opsctl.files.matchers import parse_matchers
from tests.servers.alertmanager import Alertmanager

ALERTS = [
    {"alertname": "A", "team": "money", "service": "wallet"},
    {"alertname": "B", "team": "money", "service": "wallet-eu", "text": "a b, {c}"},
    {"alertname": "C", "team": "social", "text": 'say "x"'},
    {"alertname": "D", "service": "payments", "text": "back\\slash"},
    {"alertname": "E", "text": "two\nlines"},
    {"alertname": "F", "text": "Größe"},
]
TEXTS = [
    'team="money"',
    "team=money",
    'team!="money"',
    'team=""',
    "team=",
    'team!=""',
    'service=~"wallet"',
    'service=~"wallet.*"',
    'service!~"wallet.*"',
    'service=~"wallet|payments"',
    "service=~wallet|payments",
    'service=~".*"',
    'service=~".+"',
    'service=~""',
    'text="a b, {c}"',
    'text="say \\"x\\""',
    'text="back\\\\slash"',
    'text="two\\nlines"',
    'text=~"two.lines"',
    'text=~"(?i)TWO.LINES"',
    'text=~"Gr.ße"',
    'text=~"Gr\\\\w+"',
    ' team = "money" ',
    'nobody=""',
    'alertname=~"[A-C]"',
    'alertname=~"(A|B)"',
    'alertname!~"[^AB]"',
]
REFUSED = ["team", "=money", 'team="a" b', 'team=~"("', 'team="']


def filtered(server: Alertmanager, text: str) -> set[str] | None:
    """The names of the alerts that fulfil it there; None where it is refused."""
    query = urllib.parse.urlencode({"filter": text})
    try:
        with urllib.request.urlopen(f"{server.url}/api/v2/alerts?{query}", timeout=5) as answer:
            return {one["labels"]["alertname"] for one in json.loads(answer.read())} & {a["alertname"] for a in ALERTS}
    except urllib.error.HTTPError:
        return None


@pytest.fixture
def server(alertmanager: Alertmanager) -> Alertmanager:
    """One that knows the alerts."""
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = json.dumps([{"labels": labels, "endsAt": ends} for labels in ALERTS]).encode()
    request = urllib.request.Request(
        f"{alertmanager.url}/api/v2/alerts", body, {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=5).close()
    return alertmanager


def test_the_same_alerts_fulfil_the_same_texts(server: Alertmanager) -> None:
    there = {text: filtered(server, text) for text in TEXTS}
    here = {
        text: {one["alertname"] for one in ALERTS if all(m.holds(one) for m in parse_matchers(text))} for text in TEXTS
    }
    assert here == there
    assert len({frozenset(found) for found in here.values()}) > 10


def test_what_it_does_not_read_is_refused_here(server: Alertmanager) -> None:
    for text in REFUSED:
        assert filtered(server, text) is None, text
        with pytest.raises(ValueError, match=r"expected a matcher|pattern"):
            parse_matchers(text)
