"""A storm of 500 alerts: through the real schedule, journal and sender to the local PagerDuty, which takes 120 a minute.

`opsctl check --notify` once a minute as cron runs it, on a clock that both sides share, so that ten minutes take
seconds; and once, smaller, in real time. The figures are those of docs/reliability.md.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.adapters.journal import open_journal
from opsctl.adapters.sinks.pagerduty import PagerDuty
from opsctl.cli.main import main
from opsctl.demo.clock import StoryClock
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from opsctl.ports import Sinks
from opsctl.sender import drain
from tests.integration.test_bad_prometheus import ok
from tests.servers.misbehaving import Exchange, Misbehaving
from tests.unit.paging.world import alert, cycle, run_record

KEYS = {"money": "m0neym0neym0neym0neym0neym0ney00", "chat": "chatchatchatchatchatchatchatch00"}
MINUTE = timedelta(minutes=1)
RULES = """\
groups:
  - name: storm
    rules:
      - {alert: Down, expr: down == 1, labels: {severity: page}, annotations: {summary: "{{ $labels.part }} is down"}}
      - {alert: Slow, expr: slow == 1, labels: {severity: ticket}, annotations: {summary: "{{ $labels.part }} is slow"}}
"""
CATALOGUE = """\
services:
  - {name: wallet, tier: 1, team: money}
  - {name: promo, tier: 1, team: money}
  - {name: chat, tier: 1, team: chat}
"""
CONFIG = """\
default_context = "t"
[contexts.t]
namespace = "t"
state_dir = "state"
catalogue = "services.yaml"
rules = ["rules/"]
runbooks = []
[contexts.t.prometheus]
url = "PROMETHEUS"
[contexts.t.pagerduty]
routing_keys = { default = { token_file = "money" }, money = { token_file = "money" }, chat = { token_file = "chat" } }
events_url = "PAGERDUTY"
"""
TICKETS = '[[contexts.t.routes]]\nsink = "pagerduty"\nmatchers = [\'severity="ticket"\']\n'
GROUPED = '[[contexts.t.routes]]\nsink = "pagerduty"\ngroup_by = ["service"]\n'
Series = list[dict[str, str]]


def parts(count: int, service: str, name: str) -> Series:
    return [{"service": service, "part": f"{name}-{number}"} for number in range(count)]


class Storm:
    """A folder, a Prometheus with what is down and slow now, and the pager."""

    def __init__(self, home: Path, pager: LocalPagerDuty) -> None:
        self.home, self.pager = home, pager
        self.down: Series = []
        self.slow: Series = []
        self.prometheus = Misbehaving(self._answer)
        self.clock = StoryClock(datetime(2026, 5, 1, 3, 0, tzinfo=UTC), self._tell_time)
        self._tell_time(self.clock.now())
        (home / "rules").mkdir()
        (home / "rules" / "storm.rules.yaml").write_text(RULES)
        (home / "services.yaml").write_text(CATALOGUE)
        for name, key in KEYS.items():
            (home / name).write_text(key)
            (home / name).chmod(0o600)
        self.configure(TICKETS)

    def configure(self, more: str) -> None:
        text = CONFIG.replace("PROMETHEUS", self.prometheus.url).replace("PAGERDUTY", self.pager.address)
        (self.home / "opsctl.toml").write_text(text + more)

    def _answer(self, exchange: Exchange) -> None:
        found = self.down if b"down" in exchange.head + exchange.body else self.slow
        kind = "matrix" if b"query_range" in exchange.head else "vector"
        value = {"values" if kind == "matrix" else "value": [1, "1"] if kind == "vector" else [[1, "1"]]}
        exchange.answer(ok([{"metric": {"__name__": "x", **labels}, **value} for labels in found], kind))

    def _tell_time(self, now: datetime) -> None:
        """The pager counts its minutes by the story's clock."""
        self.ask("/_clock", {"at": now.isoformat()})

    def ask(self, path: str, body: dict[str, Any] | list[Any] | None = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.pager.address + path, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def log(self, *statuses: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("/_log")["log"]
        return [one for one in found if not statuses or one["status"] in statuses]

    def names(self) -> dict[str, str]:
        """What each dedup key stands for."""
        return {one["dedup_key"]: one["title"] for one in self.ask("/_incidents")["incidents"]}

    def run(self) -> tuple[int, float]:
        """One run of cron: its exit code, and the story's seconds that it took."""
        began = self.clock.now()
        code = main(["check", "--notify"], clock=self.clock)
        took = (self.clock.now() - began).total_seconds()
        self.clock.step(max(MINUTE - (self.clock.now() - began), timedelta(seconds=1)))
        return code, took

    def left(self) -> int:
        journal = open_journal(self.home / "state", "t", self.clock)
        try:
            return len(journal.unfinished())
        finally:
            journal.close()

    def drain(self, most_runs: int = 60) -> list[tuple[int, float]]:
        """Runs until nothing is left to send."""
        runs = [self.run()]
        while self.left() and len(runs) < most_runs:
            runs.append(self.run())
        return runs


@pytest.fixture
def pager(tmp_path: Path) -> Iterator[LocalPagerDuty]:
    made = start_local_pagerduty(tmp_path / "pd" / "pd.sqlite3", KEYS)
    yield made
    made.stop()


@pytest.fixture
def storm(fixed_home: Path, pager: LocalPagerDuty) -> Iterator[Storm]:
    made = Storm(fixed_home, pager)
    yield made
    made.prometheus.stop()


def pages_before_tickets(log: list[dict[str, Any]], names: dict[str, str]) -> bool:
    """Whether no ticket was taken before a page that is new."""
    kinds = [names[one["dedup_key"]].split()[-1] for one in log if one["effect"] == "opened"]
    return "down" not in kinds[kinds.index("slow") :] if "slow" in kinds else True


def test_five_hundred_alerts_at_once_are_all_taken_pages_first(
    storm: Storm, capsys: pytest.CaptureFixture[str]
) -> None:
    """Among repeats and resolves that were waiting, under two keys; PagerDuty never says 429."""
    old = parts(40, "wallet", "old")
    storm.down = old
    storm.drain()
    storm.clock.step(timedelta(minutes=52))
    storm.down = old[20:]
    storm.run()  # twenty go under the line, and are resolved when they were for five minutes: in the storm's run
    storm.clock.step(timedelta(minutes=5))
    before = len(storm.log())
    storm.down = old[20:] + parts(240, "wallet", "new") + parts(60, "chat", "new")
    storm.slow = parts(160, "promo", "new") + parts(40, "chat", "new")
    capsys.readouterr()
    began = storm.clock.now()
    runs = storm.drain()
    told = capsys.readouterr().err
    log, names = storm.log()[before:], storm.names()
    took = max(datetime.fromisoformat(one["at"]) for one in log) - began
    last_page = max(
        datetime.fromisoformat(one["at"])
        for one in log
        if one["effect"] == "opened" and names[one["dedup_key"]].endswith("down")
    )
    per_minute = max(
        sum(0 <= (datetime.fromisoformat(b["at"]) - datetime.fromisoformat(a["at"])).total_seconds() < 60 for b in mine)
        for team in KEYS
        for mine in [[one for one in log if one["integration"] == team]]
        for a in mine
    )
    figures = (
        f"{len(log)} events: {len(runs)} runs, {took / MINUTE:.1f} min, the last page after "
        f"{(last_page - began) / MINUTE:.1f} min, at most {per_minute} a minute and key, "
        f"longest run {max(seconds for _, seconds in runs):.1f} s"
    )
    print(figures)
    assert {one["status"] for one in log} == {202}, figures
    effects = Counter(one["effect"] for one in log)
    assert effects == {"opened": 500, "appended": 20, "resolved": 20}, figures
    for team in KEYS:
        assert pages_before_tickets([one for one in log if one["integration"] == team], names), figures
    assert all(count == 1 for count in Counter((one["dedup_key"], one["action"]) for one in log).values())
    assert max(seconds for _, seconds in runs) <= 15.5, figures
    assert per_minute <= 120, figures
    codes = [code for code, _ in runs]
    pages_end = next(number for number, code in enumerate(codes) if code != 5)
    assert set(codes[:pages_end]) == {5}, figures
    assert set(codes[pages_end:]) == {1}, figures
    assert storm.run()[0] == 1
    assert "events are left for the next run" in told
    assert len(runs) <= 12, figures


def test_without_a_pause_between_runs_a_key_takes_a_hundred_a_minute(storm: Storm) -> None:
    """What `opsctl watch` does: 500 events of one key are out in less than five minutes, and none is refused."""
    journal = open_journal(storm.home / "state", "t", storm.clock)
    uids = [f"rule-{number}" for number in range(500)]
    now = cycle(storm.clock.now(), [alert(uid) for uid in uids], fresh=uids)
    begun = time.monotonic()
    journal.commit(run_record(now.at), (), now)
    committed = time.monotonic() - begun
    sinks = Sinks({"pagerduty": PagerDuty({"default": lambda: KEYS["money"]}, storm.pager.address)})
    report = drain(journal, sinks, storm.clock, budget_seconds=600.0)
    took = (storm.clock.now() - now.at).total_seconds()
    figures = f"500 alerts: committed in {committed:.2f} s, out after {took / 60:.1f} min"
    print(figures)
    assert len(report.accepted) == 500, figures
    assert storm.log(429) == [], figures
    assert 285 <= took <= 295, figures
    assert committed < 5, figures


def test_a_key_s_storm_is_nothing_to_another_key(storm: Storm) -> None:
    """Fifteen pages of chat go out in the first run, though three hundred of money were decided first."""
    storm.down = parts(300, "wallet", "new") + parts(15, "chat", "new")
    assert storm.run()[0] == 5
    taken = Counter(one["integration"] for one in storm.log(202))
    assert taken["chat"] == 15
    assert 40 <= taken["money"] <= 46
    assert storm.log(429) == []


def test_a_new_page_does_not_wait_behind_what_the_storm_left(storm: Storm) -> None:
    """Tickets, repeats and resolves of the same key fill several runs; the page goes with the next run's first token."""
    storm.down = parts(100, "wallet", "old")
    storm.drain()
    storm.clock.step(timedelta(minutes=55))
    storm.down = storm.down[:50]
    storm.run()
    storm.clock.step(timedelta(minutes=5))
    storm.slow = parts(350, "promo", "new")
    storm.run()
    assert storm.left() >= 300
    before = len(storm.log())
    storm.down = [*storm.down, {"service": "wallet", "part": "alone"}]
    assert storm.run()[0] in {1, 5}
    log, names = storm.log()[before:], storm.names()
    assert names[log[0]["dedup_key"]] == "alone is down"
    assert len(log) > 1


def test_within_a_key_a_storm_that_ends_and_begins_again_keeps_its_order(storm: Storm) -> None:
    """A hundred resolves are on their way when all of it is down again: each key's resolve goes before its new page."""
    everything = parts(100, "wallet", "new")
    storm.down = everything
    storm.drain()
    storm.down = []
    storm.run()
    storm.clock.step(timedelta(minutes=5))
    storm.run()
    assert 30 < storm.left() < 70, "some of the resolves are out"
    storm.down = everything
    storm.drain()
    effects: dict[str, list[str]] = {}
    for one in storm.log():
        effects.setdefault(one["dedup_key"], []).append(one["effect"])
    assert len(effects) == 100
    assert set(map(tuple, effects.values())) == {("opened", "resolved", "opened")}
    assert storm.log(429) == []


def test_grouping_by_service_makes_a_handful_of_events_of_it(storm: Storm) -> None:
    storm.configure(GROUPED)
    storm.down = parts(240, "wallet", "new") + parts(60, "chat", "new")
    storm.slow = parts(200, "promo", "new")
    assert [code for code, _ in storm.drain()] == [1]
    assert [one["effect"] for one in storm.log()] == ["opened"] * 3
    assert any(name.startswith("240 alerts: Down: ") for name in storm.names().values()), storm.names()


def test_retry_after_is_obeyed_for_the_whole_key(storm: Storm) -> None:
    """One 429 that asks for 100 s: no other of the key's hundred pages is sent into it, in this run or the next."""
    rule = {"match": {"path": "/v2/enqueue", "nth": 5}, "do": "status", "status": 429, "retry_after": 100}
    storm.ask("/_faults", [rule], "PUT")
    storm.down = parts(100, "wallet", "new")
    began = storm.clock.now()
    runs = storm.drain()
    events = storm.log()
    assert [one["status"] for one in events].count(429) == 1
    pause = datetime.fromisoformat(events[5]["at"]) - datetime.fromisoformat(events[4]["at"])
    assert pause >= timedelta(seconds=100), "what came after the 429"
    assert Counter(one["effect"] for one in events)["opened"] == 100
    assert [code for code, _ in runs][:2] == [5, 5]
    assert storm.clock.now() - began < timedelta(minutes=8)


def test_a_pager_that_does_not_answer_leaves_time_for_the_others(storm: Storm) -> None:
    """Pages time out after 5 s each under two keys; the tickets' webhook gets all of them in the same run's 8 s."""
    hooked: list[bytes] = []

    def take(exchange: Exchange) -> None:
        if exchange.head.startswith(b"POST /hooks/team "):  # a server of an earlier test may still scrape this port
            hooked.append(exchange.body)
        exchange.answer(b"{}")

    webhook = Misbehaving(take)
    silent = Misbehaving(lambda exchange: exchange.hold())
    route = '[[contexts.t.routes]]\nsink = "webhook/chat"\nmatchers = [\'severity="ticket"\']\n'
    storm.configure(
        f'[contexts.t.webhooks.chat]\nurl = "{webhook.url}/hooks/team"\n{route}[contexts.t.limits]\nsend = "8s"\n'
    )
    config = storm.home / "opsctl.toml"
    config.write_text(config.read_text().replace(storm.pager.address, silent.url))
    storm.down = parts(20, "wallet", "new") + parts(20, "chat", "new")
    storm.slow = parts(100, "promo", "new")
    try:
        code, _ = storm.run()
        asked = len(silent.requests)
    finally:
        webhook.stop()
        silent.stop()
    assert code == 5
    assert len(hooked) == 100
    assert 1 <= asked <= 2


def test_in_real_time_a_run_keeps_its_time_and_the_next_goes_on(
    storm: Storm, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty alerts, `limits.send` of 2 s and the machine's own clock."""
    now = datetime.now(UTC)
    storm.ask("/_clock", {"at": now.isoformat()})
    storm.configure(TICKETS + '[contexts.t.limits]\nsend = "2s"\n')
    storm.down, storm.slow = parts(25, "wallet", "new"), parts(5, "promo", "new")
    codes: list[int] = []
    for _ in range(8):
        began = time.monotonic()
        codes.append(main(["check", "--notify"]))
        assert time.monotonic() - began < 7.0, "2 s to send, and what the rest of a run takes on a busy machine"
        if len(storm.log(202)) == 30:
            break
    log = storm.log()
    assert {one["status"] for one in log} == {202}
    assert len(log) == 30
    assert pages_before_tickets(log, storm.names())
    assert codes[0] == 5
    assert codes[-1] == 1
