"""The local Opsgenie is what a client that we did not write takes for Opsgenie: Alertmanager's own notifier."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.demo.servers.opsgenie import start_local_opsgenie
from tests.contract.opsgenie_world import KEY, Opsgenie
from tests.servers.alertmanager import VERSIONS, Alertmanager
from tests.servers.fixtures import StartAlertmanager

CONFIGURATION = """
route: {{receiver: og, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: og
    opsgenie_configs:
      - api_key: {key}
        api_url: {url}/
        priority: P2
        tags: real,client
        details: {{region: eu}}
        responders: [{{name: money, type: team}}]
"""


def tell(server: Alertmanager, name: str, ends: datetime) -> None:
    """An alert, as Prometheus sends it."""
    now = datetime.now(UTC)
    alert = {
        "labels": {"alertname": name, "service": "payments"},
        "annotations": {"summary": "people cannot pay"},
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        "endsAt": ends.isoformat(),
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/v2/alerts", json.dumps([alert]).encode(), headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


def until(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """What is seen when it is as wanted, within 20 s."""
    ends = time.monotonic() + 20
    while not wanted(seen := look()) and time.monotonic() < ends:
        time.sleep(0.1)
    assert wanted(seen), seen
    return seen


@pytest.mark.parametrize("version", VERSIONS)
def test_alertmanager_opens_an_alert_through_a_429_and_closes_it(
    version: str, start_alertmanager: StartAlertmanager, tmp_path: Path
) -> None:
    local = start_local_opsgenie(tmp_path / "og.sqlite3", {"default": KEY})
    og = Opsgenie(local)
    server = start_alertmanager(CONFIGURATION.format(key=KEY, url=local.address), version)

    def alerts() -> list[dict[str, Any]]:
        return og.call("GET", "/_alerts").body["alerts"]  # type: ignore[no-any-return]

    try:
        og.faults({"match": {"action": "create", "nth": 1}, "do": "status", "status": 429})
        tell(server, "Burn", datetime.now(UTC) + timedelta(hours=1))
        (alert,) = until(alerts, bool)
        assert (alert["status"], alert["priority"], alert["details"]["region"]) == ("open", "P2", "eu")
        assert alert["tags"] == ["real", "client"]
        assert alert["responders"] == [{"name": "money", "type": "team"}]
        assert "Burn" in alert["message"]
        tell(server, "Burn", datetime.now(UTC))
        until(alerts, lambda seen: [one["status"] for one in seen] == ["closed"])
        assert {line["status"] for line in og.log() if line["action"] in {"create", "close"}} == {429, 202}
    finally:
        server.stop()
        local.stop()
