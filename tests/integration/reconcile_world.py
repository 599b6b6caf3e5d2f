"""A platform, a PagerDuty with REST and hosts that check every minute: for tests of what is told against what is seen."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.cli.main import main
from opsctl.demo.clock import StoryClock
from tests.contract.pagerduty_world import ANA, KEYS, TOKEN, PagerDutyWorld
from tests.integration.test_bad_prometheus import ok
from tests.integration.test_bad_prometheus_check import SLO
from tests.servers.misbehaving import Exchange, Misbehaving

CATALOGUE = """services:
  - {name: wallet, tier: 1, team: money}
  - {name: promo, tier: 1, team: social, depends_on: [wallet]}
"""
START = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)


class Platform:
    """A Prometheus of two services; those in `bad` fail one operation in ten, in every window."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.server = Misbehaving(self._behave)

    def _behave(self, exchange: Exchange) -> None:
        if b"query_range" in exchange.head:
            exchange.answer(ok([], "matrix"))
            return
        failing = any(f"gaming_{name}_".encode() in exchange.body for name in self.bad)
        count = "10000" if b"error" not in exchange.body else "1000" if failing else "0"
        exchange.answer(ok([{"metric": {}, "value": [1, count]}]))


class Host:
    """One machine with a state directory of its own."""

    def __init__(self, story: Story, name: str) -> None:
        self.story = story
        self.folder = story.home / name
        self.folder.mkdir()
        self.config = self.folder / "opsctl.toml"
        address = story.pagerduty.server.address
        keys = ", ".join(f'{name} = {{ token_file = "../{name}.key" }}' for name in KEYS)
        self.config.write_text(
            'default_context = "t"\n[contexts.t]\nnamespace = "t"\nstate_dir = "state"\n'
            'catalogue = "../services.yaml"\nrules = ["../rules/"]\nrunbooks = []\n'
            f'[contexts.t.prometheus]\nurl = "{story.platform.server.url}"\n'
            f'[contexts.t.pagerduty]\nrouting_keys = {{ {keys} }}\nevents_url = "{address}"\nrest_url = "{address}"\n'
            f'rest = {{ token_file = "../rest.token", from = "{ANA}" }}\n'
        )

    def run(self, *words: str) -> int:
        return main(["--config", str(self.config), "--utc", *words], clock=self.story.clock)

    def check(self) -> int:
        """What cron does."""
        return self.run("check", "--notify")

    def forget(self) -> None:
        """A new journal, as in a new container."""
        for file in (self.folder / "state").iterdir():
            file.unlink()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.folder / "state" / "journal.sqlite3") as db:
            return db.execute(query).fetchall()


class Story:
    """Everything, at one time."""

    def __init__(self, home: Path, pagerduty: PagerDutyWorld, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.pagerduty = pagerduty
        self.capsys = capsys
        self.platform = Platform()
        self.clock = StoryClock(START)
        self._files()
        self.at(0)
        self.host = Host(self, "a")

    def _files(self) -> None:
        (self.home / "rules").mkdir()
        for name in ("wallet", "promo"):
            text = SLO.replace("wallet", name).replace("Wallet", name.title())
            (self.home / "rules" / f"{name}.slo.yaml").write_text(text)
        (self.home / "services.yaml").write_text(CATALOGUE)
        for name, value in {**{f"{name}.key": key for name, key in KEYS.items()}, "rest.token": TOKEN}.items():
            (self.home / name).write_text(value)
            (self.home / name).chmod(0o600)

    def at(self, minute: float) -> None:
        """Be so many minutes after the start, here and at PagerDuty."""
        self.clock.step(START + timedelta(minutes=minute) - self.clock.now())
        self.pagerduty.post("/_clock", {"at": self.clock.now().isoformat()})

    def minute(self, minute: float, *hosts: Host) -> int:
        """Check at that minute; the exit code of the last host."""
        self.at(minute)
        return [host.check() for host in hosts or (self.host,)][-1]

    def err(self) -> str:
        return self.capsys.readouterr().err

    def incidents(self) -> list[dict[str, Any]]:
        return self.pagerduty.get("/_incidents")["incidents"]  # type: ignore[no-any-return]

    def told(self) -> list[tuple[str, str]]:
        """Every incident at PagerDuty, oldest first: service and status."""
        return [(one["event"]["payload"]["component"], one["status"]) for one in self.incidents()]

    def events(self, action: str = "") -> list[Mapping[str, Any]]:
        log = self.pagerduty.get("/_log")["log"]
        return [one for one in log if action in ("", one["action"])]

    def key(self, service: str = "wallet") -> str:
        return next(
            str(one["dedup_key"]) for one in self.incidents() if one["event"]["payload"]["component"] == service
        )

    def notes(self, service: str = "wallet") -> list[str]:
        ids = [one["id"] for one in self.incidents() if one["event"]["payload"]["component"] == service]
        return [one["content"] for id_ in ids for one in self.pagerduty.get(f"/incidents/{id_}/notes")["notes"]]

    def pages(self, *words: str) -> list[dict[str, Any]]:
        """The pages of `incident ls`; its tickets are told to nobody."""
        found = self.shown("incident", "ls", *words)["incidents"]
        return [one for one in found if one["severity"] == "page"]

    def shown(self, *words: str) -> dict[str, Any]:
        """The JSON document of a command."""
        self.capsys.readouterr()
        self.host.run(*words, "--json")
        return json.loads(self.capsys.readouterr().out)  # type: ignore[no-any-return]


@contextmanager
def story_of(home: Path, pagerduty: PagerDutyWorld, capsys: pytest.CaptureFixture[str]) -> Iterator[Story]:
    """Begin one."""
    story = Story(home, pagerduty, capsys)
    try:
        yield story
    finally:
        story.platform.server.stop()
