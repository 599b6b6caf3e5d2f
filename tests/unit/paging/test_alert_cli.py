"""`opsctl alert`: what is shown, what is refused, and who may silence; `doctor` and `config validate` on routes."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.adapters.journal import open_journal
from opsctl.app import compose
from opsctl.cli.main import main
from opsctl.core.routing import Route, Routing
from opsctl.core.slo import Severity
from opsctl.files.matchers import parse_matchers
from tests.unit.paging.world import T0, SteppedClock, alert, cycle, minutes, run_record

CONFIG = """\
default_context = "prod"
[contexts.prod]
namespace = "prod-eu"
state_dir = "state"
catalogue = "services.yaml"
rules = ["a.rules.yaml"]
silences = "silences.yaml"
[contexts.prod.pagerduty]
routing_keys = { default = { token_env = "A" }, money = { token_env = "B" } }
[contexts.prod.webhooks.chat]
url = "https://chat.example.net/hooks/T0PSECRET"
[[contexts.prod.routes]]
matchers = ['severity="ticket"', 'team="social"']
sink = "webhook/chat"
[[contexts.prod.routes]]
matchers = ['service="promo"']
hours = "Mon-Thu 00:00-24:00 UTC"
sink = "webhook/chat"
[[contexts.prod.routes]]
matchers = ['service=~"promo|wallet"']
sink = "pagerduty"
key = "money"
"""
CATALOGUE = "services:\n" + "".join(
    f"  - {{name: {name}, tier: 1, team: {team}}}\n"
    for name, team in (("promo", "growth"), ("wallet", "money"), ("chat", "social"))
)
RULES = (
    "groups:\n  - name: g\n    rules:\n"
    "      - {alert: DiskFull, expr: disk > 1, labels: {severity: page, service: wallet, zone: '{{ $labels.z }}'}}\n"
)
EMPTY = "silences: []\n"


class World:
    """A folder with a journal that knows three alerts, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, SteppedClock()
        self.write("opsctl.toml", CONFIG)
        self.write("services.yaml", CATALOGUE)
        self.write("a.rules.yaml", RULES)
        self.write("silences.yaml", EMPTY)
        journal = open_journal(folder / "state", "prod-eu", self.clock)
        ticket = alert("slow", service="chat", team="social", severity=Severity.TICKET, summary="slow \x1b[31mred")
        held = alert("pay", service="wallet")
        routing = Routing("prod-eu", (Route("webhook/chat", parse_matchers("severity=ticket")),))
        known = ("redeem", "slow", "pay")
        for alerts in ([alert("redeem"), ticket, held], [alert("redeem"), ticket]):
            now = cycle(self.clock.at, alerts, fresh=known)
            journal.commit(run_record(self.clock.at), (), replace(now, routing=routing))
            self.clock.at += minutes(2)
        journal.close()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def text(self) -> str:
        return (self.folder / "silences.yaml").read_text()

    def protect(self) -> None:
        self.write("opsctl.toml", CONFIG.replace("namespace =", "protected = true\nnamespace ="))

    def run(self, *argv: str) -> int:
        return main(["--utc", *argv], clock=self.clock)


@pytest.fixture
def world(fixed_home: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(fixed_home)
    monkeypatch.setenv("A", "x")
    monkeypatch.setenv("B", "y")
    return World(fixed_home)


Told = Callable[[], tuple[str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    def look() -> tuple[str, str]:
        found = capsys.readouterr()
        return found.out, found.err

    return look


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()[1:]]


def test_ls_says_state_target_and_incident(world: World, told: Told) -> None:
    assert world.run("alert", "ls") == 0
    out, err = told()
    found = {row[2]: (row[0], row[5], row[6]) for row in rows(out)}
    assert found == {
        "RedeemBudgetBurn": ("✖ firing", "pagerduty/money", "#1"),
        "SlowBudgetBurn": ("✖ firing", "webhook/chat/social", "#2"),
        "PayBudgetBurn": ("~ held", "pagerduty/money", "#3"),
    }
    assert err == ""


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["-l", "service=promo"], ["RedeemBudgetBurn"]),
        (["-l", 'service=~"promo|chat"', "-l", "severity=ticket"], ["SlowBudgetBurn"]),
        (["--firing"], ["RedeemBudgetBurn", "SlowBudgetBurn"]),
        (["--silenced"], []),
        (["-l", "service=none"], []),
    ],
)
def test_ls_lists_what_is_asked_for(world: World, told: Told, flags: list[str], names: list[str]) -> None:
    assert world.run("alert", "ls", *flags) == 0
    out, err = told()
    assert sorted(row[2] for row in rows(out)) == names
    assert ("no such alert" in err) is (names == [])


def test_show_says_which_routes_were_passed_over_and_why(world: World, told: Told) -> None:
    """2026-05-01 is a Friday: the second route's hours are not now."""
    assert world.run("alert", "show", "RedeemBudgetBurn") == 0
    out, _ = told()
    routes = [line.split("\t") for line in out.partition("\n\n")[2].splitlines()[1:]]
    assert [row[1:] for row in routes] == [
        ["webhook/chat", "passed over: severity=\"ticket\": it is 'page'; team=\"social\": it is 'money'"],
        ["webhook/chat", "passed over: outside Mon-Thu 00:00-24:00 UTC"],
        ["pagerduty/money", "takes it"],
    ]


def test_show_cleans_what_comes_from_outside(world: World, told: Told) -> None:
    world.run("alert", "show", "slow")
    assert "\x1b" not in told()[0]


def test_show_takes_an_incident_a_key_a_pattern_and_a_rule_that_is_quiet(world: World, told: Told) -> None:
    world.run("alert", "ls", "--json")
    key = json.loads(told()[0])["alerts"][0]["key"]
    for word, expected in (
        ("#1", ["redeem"]),
        (key, ["redeem"]),
        (key.removeprefix("opsctl/")[:8], ["redeem"]),
        ("*BudgetBurn", ["pay", "redeem", "slow"]),
        ("diskfull", ["DiskFull"]),
    ):
        assert world.run("alert", "show", word, "--json") == 0
        found = json.loads(told()[0])["alerts"]
        assert sorted(one["rule_uid"] for one in found) == expected, word
    (quiet,) = found
    assert (quiet["state"], quiet["since"], quiet["to"]) == ("inactive", None, "pagerduty/money")
    assert "zone" not in quiet["labels"]


@pytest.mark.parametrize(
    ("labels", "at", "to"),
    [
        (["service=promo"], "2026-05-01T12:00:00Z", "pagerduty/money"),
        (["service=promo"], "2026-05-04T12:00:00Z", "webhook/chat/growth"),
        (["service=promo", "severity=ticket"], "2026-05-04T12:00:00Z", "webhook/chat/growth"),
        (["service=chat", "severity=ticket"], None, "webhook/chat/social"),
        (["service=chat"], None, "pagerduty/social"),
        (["service=x", "severity=show"], None, None),
        (["service=x", "team=money"], None, "pagerduty/money"),
    ],
)
def test_route_says_where_labels_would_go_at_a_time(
    world: World, told: Told, labels: list[str], at: str | None, to: str | None
) -> None:
    """The service's team is the catalogue's; a page unless the labels say otherwise."""
    flags = [word for label in labels for word in ("--label", label)] + (["--at", at] if at else [])
    assert world.run("alert", "route", *flags, "--json") == 0
    assert json.loads(told()[0])["to"] == to
    assert world.run("alert", "route", *flags, "--expect", to or "nowhere") == (0 if to else 1)
    assert world.run("alert", "route", *flags, "--expect", "pagerduty/other") == 1
    assert "expected pagerduty/other, got " in told()[1]


SILENCE = ["alert", "silence", "-l", "service=promo", "--for", "2h", "--reason", "CHG-7", "--owner", "ana"]


def test_silence_shows_its_entry_and_what_it_withholds(world: World, told: Told) -> None:
    assert world.run(*SILENCE, "-n") == 0
    dry, err = told()
    assert world.text() == EMPTY
    assert "1 of 3 alerts would be silenced now:\n  #1 RedeemBudgetBurn on promo: pagerduty/money was told;" in err
    assert world.run(*SILENCE) == 0
    assert told()[0] == dry
    assert "  matchers: ['service=\"promo\"']\n  starts: 2026-05-01T03:04:00Z\n  ends: 2026-05-01T05:04:00Z\n" in dry
    assert dry.replace("\n  ", "\n    ").replace("- id", "  - id", 1).rstrip() in world.text()
    assert world.run("alert", "ls", "--silenced") == 0
    (row,) = rows(told()[0])
    assert row[7] == "silenced by ana until 2026-05-01 05:04Z: CHG-7 (from the next run on)"


def test_silence_may_begin_later_and_come_back(world: World, told: Told) -> None:
    flags = ["--from", "2026-05-02T00:00:00+02:00", "--hours", "Sat 02:00-04:00 Europe/Berlin"]
    assert world.run(*SILENCE, *flags) == 0
    assert "would be silenced when it begins" in told()[1]
    assert world.run("alert", "silence", "ls", "--json") == 0
    (one,) = json.loads(told()[0])["silences"]
    assert (one["state"], one["starts"], one["hours"]) == ("to come", "2026-05-01T22:00:00Z", flags[3])
    assert world.run("alert", "silence", "end", one["id"]) == 2
    assert "has not begun (take it out of " in told()[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["-l", "service=~.*"], None),
        (["--for", "91d"], "--for: expected at most 90 days after starts"),
        (["--for", "0s"], "--for: expected a time after starts"),
        (["--for", "soon"], "--for soon: expected a duration like 10s, 5m or 1h30m"),
        (["--for", "9" * 30 + "y"], None),
        (["--reason", "a\nb\x1b"], "--reason: expected one line of printable text"),
        (["--reason", ""], "--reason missing"),
        (["--owner", "\u202e"], "--owner: expected one line of printable text"),
        (["--hours", "Mon"], "--hours Mon: expected days, spans and a zone, like Mon-Fri 09:00-17:00 Europe/Berlin"),
        (["--from", "tomorrow"], "--from tomorrow: expected 2026-05-01T03:00:00Z"),
        (["-l", "severity=critical"], "-l severity=critical: severity is one of page, ticket, show"),
    ],
)
def test_silence_refuses_what_no_silence_may_be(world: World, told: Told, change: list[str], words: str | None) -> None:
    """Exit 2, one line, and the file stays as it was."""
    argv = [*SILENCE, *change]
    if change[0] == "-l":
        argv = ["alert", "silence", *change, *SILENCE[4:]]
    code = world.run(*argv)
    out, err = told()
    assert (code, out, world.text()) == (2, "", EMPTY)
    assert len(err.splitlines()) == 1
    assert words is None or words in err


def test_everything_is_refused_in_the_words_of_the_flag(world: World, told: Told) -> None:
    for text in ("service=~.*", "severity=page", "service!=chat", "namespace=prod-eu", 'service=~"promo|wallet|chat"'):
        assert world.run("alert", "silence", "-l", text, *SILENCE[4:]) == 2
        assert "would silence pages whatever they are about: name a service" in told()[1]
    assert world.text() == EMPTY


def test_a_protected_context_wants_its_name(world: World, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal or with the wrong word nothing is written; --yes and the name are the two ways."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    world.protect()
    assert world.run(*SILENCE) == 6
    assert "--yes says that you mean it" in told()[1]
    monkeypatch.setattr(sys, "stdin", Terminal("stage\n"))
    assert world.run(*SILENCE) == 6
    assert world.text() == EMPTY
    monkeypatch.setattr(sys, "stdin", Terminal("prod\n"))
    assert world.run(*SILENCE) == 0
    assert "CHG-7" in world.text()
    told()
    world.run("alert", "silence", "ls", "--json")
    name = json.loads(told()[0])["silences"][0]["id"]
    world.clock.at += minutes(5)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert world.run("alert", "silence", "end", name) == 6
    assert world.run("alert", "silence", "end", name, "-n") == 0
    assert "05:04:00Z" in world.text()
    assert world.run("alert", "silence", "end", name[:6], "--yes") == 0
    assert "ends: 2026-05-01T03:09:00Z" in world.text()


def test_a_context_without_a_file_says_what_to_add(world: World, told: Told) -> None:
    world.write("opsctl.toml", CONFIG.replace('silences = "silences.yaml"\n', ""))
    for argv in (SILENCE, ["alert", "silence", "ls"], ["alert", "silence", "end", "x"]):
        assert world.run(*argv) == 2
        assert 'names no file of silences (add silences = "silences.yaml" to [contexts.prod])' in told()[1]
    assert world.run("alert", "ls") == 0


def test_a_broken_file_is_said_and_changed_by_nobody(world: World, told: Told) -> None:
    """`alert ls` still shows what fires, as if there were no silence, and exits 2."""
    world.write("silences.yaml", "silences:\n  - {owner: a}\n")
    assert world.run("alert", "ls") == 2
    out, err = told()
    assert len(rows(out)) == 3
    assert "NO SILENCE HOLDS: " in err
    assert world.run(*SILENCE) == 2
    assert world.text() == "silences:\n  - {owner: a}\n"
    assert world.run("alert", "silence", "ls") == 2


def test_the_flags_of_a_silence_are_not_for_its_subcommands(world: World, told: Told) -> None:
    assert world.run("alert", "silence", "-l", "service=promo", "ls") == 2
    assert "takes none of these flags" in told()[1]


@pytest.mark.parametrize(
    "argv",
    [
        ["alert", "ls", "-l", "="],
        ["alert", "show", "RedemBudgetBurn"],
        ["alert", "show", ""],
        ["alert", "show", "[" * 5000],
        ["alert", "route", "--label", "service"],
        ["alert", "route", "--label", "severity=critical"],
        ["alert", "route", "--label", "service=a", "--at", "99999999999999w"],
        ["alert", "silence", "end", "s-nope"],
        ["alert", "silence"],
    ],
)
def test_words_that_mean_nothing(world: World, told: Told, argv: list[str]) -> None:
    """Exit 2 and one line."""
    assert world.run(*argv) == 2
    out, err = told()
    assert out == ""
    assert len(err.splitlines()) == 1


# -- doctor and validate


def doctor(world: World, told: Told) -> list[tuple[str, str]]:
    told()
    world.run("doctor", "--json")
    checks = json.loads(told()[0])["checks"]
    return [(one["state"], f"{one['what']} — {one['todo']}") for one in checks if one["name"] in {"routes", "silences"}]


def entry(name: str, matchers: str, begin: timedelta, end: timedelta) -> str:
    times = f"starts: {(T0 + begin).isoformat()}, ends: {(T0 + end).isoformat()}"
    return f"  - {{id: {name}, owner: ana, reason: x, matchers: [{matchers}], {times}}}\n"


def test_doctor_names_silences_that_somebody_should_look_at(world: World, told: Told) -> None:
    day = timedelta(days=1)
    world.write(
        "silences.yaml",
        "silences:\n"
        + entry("old", "service=promo", -50 * day, -40 * day)
        + entry("recent", "service=promo", -5 * day, -4 * day)
        + entry("typo", "service=prommo", -day, day)
        + entry("zone", "'service=wallet', 'zone=eu'", -day, day)
        + entry("own", "alertname=BackendStale", -day, day)
        + entry("soon", "service=promo", -day, minutes(30))
        + entry("later", "service=chat", -day, day),
    )
    found = doctor(world, told)
    assert found == [
        ("OK", "3, each takes something — None"),
        ("OK", "7, 5 hold now — None"),
        ("WARN", "1 over for more than 30 days: old — take them out of the file"),
        ("WARN", f'typo of ana fits no rule: service="prommo" ({world.folder}/silences.yaml:4) — is a name misspelled? nobody is spared anything'),
        ("WARN", "soon of ana ends in 26m and RedeemBudgetBurn still fires — pagerduty/money is told then: put it right, or write another silence"),
    ]  # fmt: skip


def test_doctor_and_validate_name_a_route_that_nothing_reaches(world: World, told: Told) -> None:
    late = '[[contexts.prod.routes]]\nmatchers = ["service=wallet"]\nsink = "webhook/chat"\n'
    world.write("opsctl.toml", CONFIG + late)
    words = f"no alert reaches this route to webhook/chat: {world.folder}/opsctl.toml:19 takes all of its alerts"
    assert any(state == "WARN" and words in what for state, what in doctor(world, told))
    told()
    assert world.run("config", "validate") == 0
    out, err = told()
    assert words in err
    assert "4 routes, 0 silences" in out


def test_doctor_fails_on_a_broken_file(world: World, told: Told) -> None:
    world.write("silences.yaml", "silences:\n  - {owner: ana}\n")
    found = doctor(world, told)
    assert len(found) == 5
    assert all(state == "FAIL" for state, _ in found[1:])


def test_config_show_keeps_a_hook_to_itself(world: World, told: Told) -> None:
    """The path of a chat's hook is its secret."""
    assert world.run("config", "show") == 0
    out, _ = told()
    assert "https://chat.example.net/…" in out
    assert "T0PSECRET" not in out


def test_a_silence_that_is_over_is_listed_with_all_only(world: World, told: Told) -> None:
    """It says nothing of an alert any more, and its entry is still to be seen."""
    world.write("silences.yaml", "silences:\n" + entry("done", "service=promo", -minutes(60), -minutes(1)))
    assert world.run("alert", "ls", "--silenced") == 0
    assert rows(told()[0]) == []
    assert world.run("alert", "silence", "ls") == 0
    assert rows(told()[0]) == []
    assert world.run("alert", "silence", "ls", "--all") == 0
    (row,) = rows(told()[0])
    assert row[:3] == ["~ over", "done", "ana"]


def test_schemas_are_printed(world: World, told: Told) -> None:
    found: dict[str, Any] = {}
    for flags in ([], ["--silences"]):
        assert world.run("config", "schema", *flags) == 0
        found[" ".join(flags)] = json.loads(told()[0])
    assert "contexts" in found[""]["properties"]
    assert "silences" in found["--silences"]["properties"]


def test_what_fires_is_not_claimed_where_the_journal_cannot_be_read(world: World, told: Told) -> None:
    """A silence can be written all the same: it is for the runs to come."""
    world.write("opsctl.toml", CONFIG.replace('"state"', '"a.rules.yaml"'))
    assert world.run(*SILENCE) == 0
    err = told()[1]
    assert "what fires is not known: " in err
    assert "would be silenced" not in err
    assert "CHG-7" in world.text()
    assert world.run("alert", "ls") == 5


def test_a_process_that_stays_reads_silences_anew(world: World) -> None:
    """`opsctl watch` composes once: each run asks for the routing, and hears of what was written meanwhile."""
    composition = compose(world.folder / "opsctl.toml", None, clock=world.clock)
    assert composition.routing.silences == ()
    world.run(*SILENCE)
    assert [one.reason for one in composition.routing.silences] == ["CHG-7"]
    world.write("silences.yaml", "silences: [")
    routing = composition.routing
    assert (routing.silences, len(routing.problems)) == ((), 1)
