"""The main job on a real Prometheus that holds the platform's history: fire, page, runbook, resolve.

The data is recorded; the clock is injected and steps through it. Everything goes through the command line as cron and
an engineer would type it, in this process, so that the clock can be.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from opsctl.cli.main import main
from opsctl.core.windows import grid_point
from opsctl.demo.clock import StoryClock
from opsctl.demo.openmetrics import OpenMetricsWriter
from opsctl.demo.platform import Platform
from opsctl.demo.servers.admin import AdminServer
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty

MINUTE = timedelta(minutes=1)
KEY = "00000000000000000000000000000abc"
SELECT = {
    "gaming_redemption_total": ("result",),
    "gaming_wallet_operations_total": ("result",),
    "gaming_redemption_duration_seconds_count": ("stage",),
    "gaming_redemption_duration_seconds_bucket": ("stage", "le"),
}


@dataclass
class Stage:
    """The recorded platform behind a real server, the pager and the configuration."""

    begin: datetime
    mitigated: datetime
    config: Path
    pagerduty: LocalPagerDuty
    clock: StoryClock

    def opsctl(self, *argv: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr of one command."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["--config", str(self.config), *argv], clock=self.clock)
        return code, out.getvalue(), err.getvalue()

    def incidents(self) -> list[dict[str, Any]]:
        """What PagerDuty has."""
        with urlopen(f"{self.pagerduty.address}/_incidents", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["incidents"]
        return found


@pytest.fixture(scope="module")
def stage(start_prometheus: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Three healthy days, a promo surge, and its mitigation ten minutes in, as a Prometheus recorded them."""
    folder = tmp_path_factory.mktemp("story")
    end = grid_point(datetime.now(UTC)) - MINUTE
    begin = end - timedelta(minutes=60)
    mitigated = begin + timedelta(minutes=10)
    writer = OpenMetricsWriter(SELECT, series_limit=400)
    platform = Platform(7, begin - timedelta(days=3), writer)
    platform.inject("promo-surge", begin)
    platform.advance(mitigated)
    platform.mitigate("promo.shed", mitigated, {"percent": "60", "reason": "test"})
    platform.advance(end)
    history = folder / "history.txt"
    with history.open("w") as out:
        writer.write(out)
    server = start_prometheus(history)
    pagerduty = start_local_pagerduty(folder / "pagerduty.db", {"money": KEY})
    config = folder / "opsctl.toml"
    key = folder / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    config.write_text(
        f"""
default_context = "test"
[contexts.test]
namespace = "story"
state_dir = "state"
catalogue = "bundled:"
rules = ["bundled:slo"]
runbooks = ["bundled:"]
[contexts.test.prometheus]
url = "{server.url}"
[contexts.test.pagerduty]
routing_keys = {{ default = {{ token_file = "key" }} }}
events_url = "{pagerduty.address}"
"""
    )
    yield Stage(begin, mitigated, config, pagerduty, StoryClock(begin - MINUTE))
    pagerduty.stop()


def test_the_story(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Healthy, then a page within the fault table's time, then the runbook, then the incident resolves itself."""
    watch = ("check", "promo", "wallet", "--notify", "--json")
    code, out, err = stage.opsctl(*watch)
    assert (code, err) == (0, ""), out + err
    assert stage.incidents() == []

    fired = None
    while fired is None and stage.clock.now() < stage.mitigated:
        stage.clock.step(MINUTE)
        code, out, _ = stage.opsctl(*watch)
        if code == 1:
            fired = stage.clock.now()
    assert fired is not None
    assert fired - stage.begin <= 3 * MINUTE
    verdicts = {v["rule"]: v for v in json.loads(out)["verdicts"]}
    assert verdicts["redemption-success"]["state"] == "FAIL" or verdicts["wallet-op-success"]["state"] == "FAIL"
    paged = stage.incidents()
    assert paged
    assert {incident["status"] for incident in paged} == {"triggered"}

    code, out, _ = stage.opsctl(*watch)
    assert len(stage.incidents()) == len(paged), "the same minute again pages nobody"

    stage.clock.step(stage.mitigated - stage.clock.now())
    stage.opsctl(*watch)
    handle = json.loads(stage.opsctl("incident", "ls", "--json")[1])["incidents"][0]["episode"]
    asked: list[str] = []

    def mitigate(action: str, params: Mapping[str, str]) -> str:
        asked.append(action)
        return "done"

    monkeypatch.setattr("opsctl.cli.runbook_print.Terminal.answer", lambda self, question: True)  # the person says yes
    with AdminServer(mitigate) as admin:
        code, out, err = stage.opsctl(
            "runbook", "run", "PromoSurge", "--incident", f"#{handle}", "-p", f"admin={admin.url}"
        )
    assert code == 0, out + err
    assert asked == ["promo.shed"]

    while stage.clock.now() < stage.begin + 59 * MINUTE:
        stage.clock.step(MINUTE)
        code, out, _ = stage.opsctl(*watch)
    assert {incident["status"] for incident in stage.incidents()} == {"resolved"}
    assert code == 0, out


def test_dead_prometheus_is_unknown_and_resolves_nothing(stage: Stage, tmp_path: Path) -> None:
    """With the server gone: one line on stderr, exit 3, nothing green."""
    text = stage.config.read_text()
    address = text.split('url = "')[1].split('"')[0]
    config = tmp_path / "dead.toml"
    config.write_text(
        text.replace(address, "http://127.0.0.1:9").replace('state_dir = "state"', f'state_dir = "{tmp_path}/s"')
    )
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["--config", str(config), "check", "wallet", "-o", "table"], clock=stage.clock)
    assert code == 3
    assert len(err.getvalue().splitlines()) == 1
    assert "✔" not in out.getvalue()
