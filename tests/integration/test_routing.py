"""Who is told, end to end: routes, groups, silences and hours, with the local PagerDuty and a webhook that is ours."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.cli.main import main
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from tests.integration.test_bad_prometheus import ok
from tests.servers.misbehaving import Exchange, Misbehaving

KEY = "r0utingr0utingr0utingr0utingr0u7"
RULES = """\
groups:
  - name: g
    rules:
      - {alert: Broken, expr: broken == 1, labels: {severity: page}, annotations: {summary: "{{ $labels.service }} {{ $labels.part }} is broken"}}
      - {alert: Worn, expr: worn == 1, labels: {severity: ticket}, annotations: {summary: "{{ $labels.service }} is worn"}}
"""
CATALOGUE = """\
services:
  - {name: wallet, tier: 1, team: money}
  - {name: chat, tier: 2, team: social}
  - {name: promo, tier: 1, team: growth}
"""
CONFIG = """\
default_context = "t"
[contexts.t]
namespace = "t"
state_dir = "state"
catalogue = "services.yaml"
rules = ["rules/"]
silences = "silences.yaml"
[contexts.t.paging]
hold_open = "0s"
[contexts.t.prometheus]
url = "PROMETHEUS"
[contexts.t.pagerduty]
routing_keys = { default = { token_file = "key" } }
events_url = "PAGERDUTY"
[contexts.t.webhooks.chat]
url = "WEBHOOK/hooks/team"
"""


class World:
    """A folder, a Prometheus with what is broken now, a pager and a webhook."""

    def __init__(self, home: Path, pager: LocalPagerDuty) -> None:
        self.home, self.pager = home, pager
        self.broken: list[dict[str, str]] = []
        self.worn: list[dict[str, str]] = []
        self.hooked: list[dict[str, Any]] = []
        self.prometheus = Misbehaving(self._answer)
        self.webhook = Misbehaving(self._take)
        (home / "rules").mkdir()
        (home / "rules" / "a.rules.yaml").write_text(RULES)
        (home / "services.yaml").write_text(CATALOGUE)
        (home / "key").write_text(KEY)
        (home / "key").chmod(0o600)
        self.configure()
        self.silences()

    def configure(self, routes: str = "") -> None:
        text = CONFIG.replace("PROMETHEUS", self.prometheus.url).replace("PAGERDUTY", self.pager.address)
        (self.home / "opsctl.toml").write_text(text.replace("WEBHOOK", self.webhook.url) + routes)

    def silences(self, *entries: str) -> None:
        (self.home / "silences.yaml").write_text("silences:" + "".join(entries) + ("\n" if entries else " []\n"))

    def _answer(self, exchange: Exchange) -> None:
        if b"query_range" in exchange.head:
            exchange.answer(ok([], "matrix"))
            return
        name = "broken" if b"broken" in exchange.body else "worn"
        series = self.broken if name == "broken" else self.worn
        if b"%3D%3D" not in exchange.body:  # whether there is such a series at all
            series = [{"__name__": "broken"}, {"__name__": "worn"}]
        exchange.answer(ok([{"metric": {"__name__": name, **one}, "value": [1, "1"]} for one in series]))

    def _take(self, exchange: Exchange) -> None:
        self.hooked.append(json.loads(exchange.body))
        exchange.answer(b"{}")

    def incidents(self) -> list[tuple[str, str]]:
        """Title and status of each on the local PagerDuty, oldest first."""
        with urllib.request.urlopen(f"{self.pager.address}/_incidents", timeout=5) as answer:
            found = json.loads(answer.read())["incidents"]
        return sorted((one["title"], one["status"]) for one in found)


@pytest.fixture(scope="module")
def pagers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LocalPagerDuty]]:
    made: list[LocalPagerDuty] = []
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def world(fixed_home: Path, monkeypatch: pytest.MonkeyPatch, pagers: list[LocalPagerDuty]) -> Iterator[World]:
    pagers.append(start_local_pagerduty(fixed_home / "pd" / "pd.sqlite3", {"default": KEY}))
    made = World(fixed_home, pagers[-1])
    monkeypatch.chdir(fixed_home)
    yield made
    made.prometheus.stop()
    made.webhook.stop()
    pagers.pop().stop()


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said since the last look, both streams."""
    captured = capsys.readouterr()
    return captured.out + captured.err


def document(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    capsys.readouterr()
    main([*argv, "--json"])
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def entry(matchers: str, minutes: float = 60, **more: str) -> str:
    """One silence that begins an hour ago."""
    now = datetime.now(UTC)
    fields = {
        "owner": "ana",
        "reason": "CHG-7",
        "matchers": matchers,
        "starts": (now - timedelta(hours=1)).isoformat(),
        "ends": (now + timedelta(minutes=minutes)).isoformat(),
    } | more
    return "\n  - " + "\n    ".join(f"{name}: {text}" for name, text in fields.items())


WALLET = {"service": "wallet", "part": "db"}


def test_a_silence_stops_the_page_and_not_the_verdict(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """FAIL and exit 1 as ever, an incident that says whose silence it is, nobody told; when it is over, one page."""
    world.broken = [WALLET]
    world.silences(entry("['service=\"wallet\"']"))
    assert main(["check", "--notify"]) == 1
    assert "FAIL" in told(capsys)
    assert world.incidents() == []
    (row,) = document(capsys, "alert", "ls")["alerts"]
    assert (row["state"], row["incident"], row["told"]) == ("firing", "#1", False)
    assert row["withheld"].startswith("silenced by ana until ")
    assert row["withheld"].endswith("Z: CHG-7")
    (moment,) = [m for m in document(capsys, "incident", "show", "#1")["timeline"] if m["kind"] == "withheld"]
    assert moment["text"] == row["withheld"]
    world.silences(entry("['service=\"wallet\"']", minutes=-1))
    assert main(["check", "--notify"]) == 1
    assert world.incidents() == [("wallet db is broken", "triggered")]
    assert [row["withheld"] for row in document(capsys, "alert", "ls")["alerts"]] == [None]


def test_a_silence_of_hours_holds_in_its_hours_only(world: World) -> None:
    """A maintenance window that comes back: now is in one of the two, and not in the other."""
    world.broken = [WALLET]
    now = datetime.now(UTC)
    other = (now + timedelta(days=2)).strftime("%a")
    world.silences(entry("[service=wallet]", hours=f"{now:%a} UTC"))
    main(["check", "--notify"])
    assert world.incidents() == []
    world.silences(entry("[service=wallet]", hours=f"{other} UTC"))
    main(["check", "--notify"])
    assert world.incidents() == [("wallet db is broken", "triggered")]


@pytest.mark.parametrize(
    "text",
    [
        "silences:\n  - {owner: ana, reason: x, matchers: ['service=\"wallet\"']}\n",
        "silences: [\n",
        "",
        "\x00\x01",
        "silences:\n  - {owner: a, reason: x, matchers: ['service=~\".*\"'], starts: 2020-01-01T00:00:00Z, ends: 2020-01-02T00:00:00Z}\n",
        None,
    ],
    ids=["incomplete", "not yaml", "empty", "binary", "everything", "missing"],
)
def test_a_broken_file_of_silences_stops_no_page(
    world: World, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everybody is told, the run says why in one line and exits 5; `config validate` exits 2."""
    world.broken = [WALLET]
    path = world.home / "silences.yaml"
    path.unlink()
    if text is not None:
        path.write_text(text)
    assert main(["check", "--notify"]) == 5
    lines = [line for line in capsys.readouterr().err.splitlines() if "NO SILENCE HOLDS" in line]
    assert len(lines) == 1
    assert "silences.yaml" in lines[0]
    assert world.incidents() == [("wallet db is broken", "triggered")]
    assert main(["config", "validate"]) == 2
    assert "silences.yaml" in told(capsys)


def test_a_pipe_as_file_of_silences_is_not_waited_for(world: World) -> None:
    """Nobody writes into it: the page goes out all the same."""
    import os

    world.broken = [WALLET]
    (world.home / "silences.yaml").unlink()
    os.mkfifo(world.home / "silences.yaml")
    assert main(["check", "--notify"]) == 5
    assert world.incidents() == [("wallet db is broken", "triggered")]


TICKETS = """
[[contexts.t.routes]]
matchers = ['severity="ticket"', 'team="social"']
sink = "webhook/chat"
"""


def test_a_ticket_goes_where_its_route_says(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The webhook gets it with its resolve, the pager gets the page; another team's ticket goes nowhere."""
    world.configure(TICKETS)
    world.broken, world.worn = [WALLET], [{"service": "chat"}, {"service": "promo"}]
    assert main(["check", "--notify"]) == 1
    assert world.incidents() == [("wallet db is broken", "triggered")]
    assert [one["action"] for one in world.hooked] == ["trigger"]
    to = {row["service"]: row["to"] for row in document(capsys, "alert", "ls")["alerts"]}
    assert to == {"wallet": "pagerduty/money", "chat": "webhook/chat/social", "promo": None}
    world.broken = world.worn = []
    assert main(["check", "--notify"]) == 0
    assert [one["action"] for one in world.hooked] == ["trigger", "resolve"]
    assert world.incidents() == [("wallet db is broken", "resolved")]


GROUPED = """
[[contexts.t.routes]]
sink = "pagerduty"
group_by = ["service"]
"""


def test_three_alerts_of_a_service_are_one_incident(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Grouped by service: one incident each, resolved when the last of its alerts is over."""
    world.configure(GROUPED)
    parts = [{"service": "wallet", "part": part} for part in ("db", "cache", "queue")]
    world.broken = [*parts, {"service": "promo", "part": "db"}]
    assert main(["check", "--notify"]) == 1
    found = world.incidents()
    assert [status for _, status in found] == ["triggered", "triggered"]
    assert any("3 alerts" in title and all(part in title for part in ("db", "cache", "queue")) for title, _ in found)
    rows = document(capsys, "alert", "ls")["alerts"]
    assert sorted(len(row["members"]) for row in rows) == [1, 3]
    assert {row["to"] for row in rows} == {"pagerduty/money", "pagerduty/growth"}
    world.broken = parts[:1]
    main(["check", "--notify"])
    assert sorted(status for _, status in world.incidents()) == ["resolved", "triggered"]
    world.broken = []
    assert main(["check", "--notify"]) == 0
    assert {status for _, status in world.incidents()} == {"resolved"}


def test_outside_its_hours_the_next_route_takes_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A route of another day is passed over, with the reason; in its hours it takes the alert."""
    other = (datetime.now(UTC) + timedelta(days=2)).strftime("%a")
    route = '\n[[contexts.t.routes]]\nmatchers = ["service=wallet"]\nsink = "webhook/chat"\nhours = "{} UTC"\n'
    world.configure(route.format(other))
    world.broken = [WALLET]
    assert main(["check", "--notify"]) == 1
    assert (world.incidents(), world.hooked) == ([("wallet db is broken", "triggered")], [])
    (row,) = document(capsys, "alert", "show", "Broken")["alerts"]
    assert row["route"]["routes"][0]["outside_hours"] == f"{other} UTC"
    world.configure(route.format(f"{datetime.now(UTC):%a}"))
    world.broken = [{"service": "wallet", "part": "queue"}]
    assert main(["check", "--notify"]) == 1
    assert [one["action"] for one in world.hooked] == ["trigger"]


def test_a_silence_is_written_listed_and_ended(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry is shown with what it withholds, stands in the file beside its comments, and ends at once."""
    path = world.home / "silences.yaml"
    path.write_text("# reviewed by the platform team\nsilences: []  # none so far\n")
    path.chmod(0o640)
    world.worn = [{"service": "chat"}]
    world.configure(TICKETS)
    assert main(["check", "--notify"]) == 0
    world.broken = [WALLET]
    words = ["alert", "silence", "-l", 'service=~"wallet|chat"', "--for", "2h", "--reason", 'it\'s "CHG-9": #1']
    words += ["--owner", "bo", "--from", "1h"]
    capsys.readouterr()
    assert main([*words, "-n"]) == 0
    dry = capsys.readouterr()
    assert "none so far" in path.read_text()
    assert "bo" not in path.read_text()
    assert "1 of 1 alerts would be silenced now:" in dry.err
    assert "#1 Worn on chat: webhook/chat/social was told" in dry.err
    assert main(words) == 0
    text = path.read_text()
    assert text.startswith("# reviewed by the platform team\nsilences:")
    assert "# none so far" in text
    assert path.stat().st_mode & 0o777 == 0o640
    main(["check", "--notify"])
    assert world.incidents() == []
    (row,) = document(capsys, "alert", "silence", "ls")["silences"]
    assert (row["owner"], row["reason"], row["state"]) == ("bo", 'it\'s "CHG-9": #1', "holds")
    assert len(row["alerts"]) == 2
    assert main(["alert", "silence", "end", row["id"]]) == 0
    assert "bo" in path.read_text()
    main(["check", "--notify"])
    assert world.incidents() == [("wallet db is broken", "triggered")]
    assert document(capsys, "alert", "silence", "ls")["silences"] == []
    assert main(["alert", "silence", "end", row["id"]]) == 0
    assert "is over since" in told(capsys)


def test_a_group_is_not_said_to_be_silenced_by_what_fits_one_of_its_alerts(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A silence of one part leaves the group's incident open and told, and `alert silence -n` does not promise more."""
    world.configure(GROUPED)
    world.broken = [{"service": "wallet", "part": part} for part in ("db", "queue")]
    assert main(["check", "--notify"]) == 1
    words = ["--for", "2h", "--reason", "CHG-9", "--from", "1h", "-n"]
    capsys.readouterr()
    assert main(["alert", "silence", "-l", "part=db", *words]) == 0
    assert "0 of 1 alerts would be silenced now" in told(capsys)
    assert main(["alert", "silence", "-l", "service=wallet", *words]) == 0
    assert "stands for 2 alerts" in told(capsys)
    world.silences(entry("[part=db]"))
    assert main(["check", "--notify"]) == 1
    assert [status for _, status in world.incidents()] == ["triggered"]
