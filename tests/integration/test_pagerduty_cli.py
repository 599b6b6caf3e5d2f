"""`incident note|ls|show`, `oncall show`, `change send` and `doctor` on the local PagerDuty, by the real command line."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.adapters.journal import open_journal
from opsctl.views.changes import changes_of
from tests.contract.pagerduty_world import KEYS, TOKEN, pagerduty_world
from tests.integration.reconcile_world import Story, story_of

ON_CALL = [
    {"user": "ben@example.com", "level": 2},
    {"user": "ana@example.com", "level": 1, "schedule": "Primary", "start": "2026-05-01T00:00:00Z"}
    | {"end": "2026-06-01T08:00:00Z"},
]


@pytest.fixture
def story(fixed_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Story]:
    account = {"account": {"on_call": ON_CALL, "services": {"Ledger": ["money", "default"]}}}
    with pagerduty_world(tmp_path / "pd", **account) as pagerduty, story_of(fixed_home, pagerduty, capsys) as made:
        yield made


@pytest.fixture
def burning(story: Story) -> Story:
    """One open page, seen at PagerDuty; its number is #1."""
    story.platform.bad = {"wallet"}
    for minute in (1, 2):
        story.minute(minute)
    story.capsys.readouterr()
    return story


def without_rest(story: Story) -> None:
    text = story.host.config.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("rest = ")]
    story.host.config.write_text("\n".join(lines) + "\n")


def page(story: Story) -> dict[str, Any]:
    [one] = story.pages("--all")
    return one


# -- incident note


def test_a_note_is_in_the_journal_and_at_pagerduty(burning: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    number = page(burning)["incident"]
    assert burning.host.run("incident", "note", number, "restarted the wallet") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("and it\nhelped \x1b[31m\n"))
    assert burning.host.run("incident", "note", number, "-") == 0
    first, second = burning.notes()
    assert "restarted the wallet [opsctl " in first
    assert "and it\nhelped" in second
    lines = [line["text"] for line in burning.shown("incident", "show", number)["timeline"] if line["kind"] == "note"]
    assert lines == ["restarted the wallet", "and it\nhelped \x1b[31m"]
    assert burning.host.run("incident", "show", number) == 0
    assert "\x1b" not in burning.capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "the note is empty"), ("  \n", "the note is empty"), ("x" * 2001, "characters: at most 1,9")],
)
def test_a_note_that_is_none_or_too_long_is_exit_2(burning: Story, text: str, words: str) -> None:
    assert burning.host.run("incident", "note", page(burning)["incident"], text) == 2
    assert words in burning.err()
    assert burning.notes() == []


def test_a_note_without_a_token_is_exit_2_and_names_the_setting(burning: Story) -> None:
    without_rest(burning)
    assert burning.host.run("incident", "note", page(burning)["incident"], "hello") == 2
    assert "contexts.t.pagerduty.rest is not set" in burning.err()
    kinds = [line["kind"] for line in burning.shown("incident", "show", page(burning)["incident"])["timeline"]]
    assert "note" not in kinds


def test_a_refused_note_is_exit_5_and_stays_in_the_journal(burning: Story) -> None:
    burning.pagerduty.faults({"match": {"method": "POST", "path": "/incidents/*"}, "do": "status", "status": 403})
    number = page(burning)["incident"]
    assert burning.host.run("incident", "note", number, "hello") == 5
    told = burning.err()
    assert "refused it: HTTP 403" in told
    assert "pagerduty.rest" in told
    assert TOKEN not in told
    assert "note" in [line["kind"] for line in burning.shown("incident", "show", number)["timeline"]]


def test_a_note_that_got_lost_goes_out_with_the_next_run_once(burning: Story) -> None:
    number = page(burning)["incident"]
    burning.pagerduty.faults({"match": {"method": "POST", "path": "/incidents/*"}, "do": "lose_reply"})
    assert burning.host.run("incident", "note", number, "its answer is lost") == 0  # found when tried again
    assert len(burning.notes()) == 1
    burning.pagerduty.faults({"match": {"method": "POST", "path": "/incidents/*"}, "do": "lose_request"})
    assert burning.host.run("incident", "note", number, "the request is lost") == 5
    assert "check --notify" in burning.err()
    burning.pagerduty.faults()
    for minute in (4, 6):
        burning.minute(minute)
    assert len(burning.notes()) == 2


# -- incident ls and show


def test_ls_shows_what_pagerduty_has_and_marks_what_differs(burning: Story) -> None:
    assert (page(burning)["source"], page(burning)["remote"]["status"]) == ("pagerduty", "triggered")
    burning.pagerduty.person("acknowledge", burning.key(), "ben@example.com")
    shown = page(burning)["remote"]
    assert (shown["status"], shown["who"], shown["mismatch"]) == ("acknowledged", "Ben Okafor", None)
    burning.pagerduty.person("resolve", burning.key())
    assert page(burning)["remote"]["mismatch"] == "open here"
    burning.host.run("incident", "ls", "-o", "table")
    out = burning.capsys.readouterr().out
    assert "! resolved by Ana Novak" in out
    burning.host.run("incident", "ls", "-o", "table", "--offline")
    assert "Ana Novak" not in burning.capsys.readouterr().out
    assert burning.shown("incident", "ls", "--offline")["source"] == "journal"


def test_resolved_here_and_open_there_is_marked(burning: Story) -> None:
    burning.pagerduty.faults({"match": {"action": "resolve"}, "do": "accept_invisible"})
    number = page(burning)["incident"]
    assert burning.host.run("incident", "resolve", number) == 0
    assert page(burning)["remote"]["mismatch"] is None  # it may take PagerDuty a moment
    burning.at(6)
    assert page(burning)["remote"]["mismatch"] == "resolved here"
    assert burning.host.run("incident", "show", number) == 0
    assert "! triggered, resolved here" in burning.capsys.readouterr().out


def test_ls_without_an_answer_is_the_journals_word_in_time_and_says_so(burning: Story) -> None:
    burning.pagerduty.faults({"match": {"path": "/[a-z]*"}, "do": "slow", "seconds": 8})
    body = burning.shown("incident", "ls")
    assert body["source"] == "journal"
    assert body["unread"]
    assert body["incidents"][0]["remote"] is None
    without_rest(burning)
    body = burning.shown("incident", "ls")
    assert (body["source"], body["unread"]) == ("journal", [])


# -- oncall


def test_oncall_says_who_is_called_first_until_when_and_where(story: Story) -> None:
    body = story.shown("oncall", "show", "wallet")
    assert body["schema"] == "opsctl/oncall/show/v1"
    [duty] = body["duties"]
    assert (duty["routing_key"], duty["asked_for"], duty["service"]) == ("money", ["wallet"], "Ledger")
    first, second = duty["on_call"]
    assert (first["level"], first["name"], first["until"]) == (1, "Ana Novak", "2026-06-01T08:00:00Z")
    assert (second["level"], second["name"], second["until"]) == (2, "Ben Okafor", None)
    assert "/users/" in first["url"]
    assert story.host.run("oncall", "show", "-o", "table") == 0
    told = story.capsys.readouterr().out
    assert "2026-06-01 08:00:00Z" in told
    assert "always" in told
    assert "no service of PagerDuty has this routing key" in told  # social's


def test_nobody_on_call_is_exit_1_and_said(story: Story) -> None:
    assert story.host.run("oncall", "show", "money", "--at", "2026-06-01T08:00:00Z") == 1
    told = story.capsys.readouterr()
    assert "✖ nobody" in told.out
    assert "nobody is on call at level 1 for routing key money" in told.err


def test_oncall_says_what_is_missing(story: Story) -> None:
    assert story.host.run("oncall", "show", "wallt") == 2
    assert "did you mean wallet?" in story.err()
    story.pagerduty.faults({"match": {"path": "/oncalls"}, "do": "status", "status": 500})
    assert story.host.run("oncall", "show") == 3
    assert "HTTP 500" in story.err()
    (story.home / "rest.token").write_text(TOKEN[::-1])
    assert story.host.run("oncall", "show") == 4
    assert TOKEN[::-1] not in story.err()
    without_rest(story)
    assert story.host.run("oncall", "show") == 2
    assert "contexts.t.pagerduty.rest is not set" in story.err()


# -- change


def test_a_change_goes_to_its_services_team_and_opens_nothing(story: Story) -> None:
    words = ["change", "send", "Deploy \x1b[31m wallet\n1.2.3", "-s", "wallet", "--link", "https://ci.example.com/7"]
    assert story.host.run(*words) == 0
    assert "\x1b" not in story.capsys.readouterr().out
    [made] = story.pagerduty.get("/_changes")["changes"]
    assert made["integration"] == "money"
    assert made["event"]["payload"]["summary"] == "Deploy \x1b[31m wallet 1.2.3"
    assert made["event"]["links"] == [{"href": "https://ci.example.com/7"}]
    assert story.incidents() == []


def changes(story: Story) -> list[tuple[str, str]]:
    """What the journal remembers, as the board reads it."""
    journal = open_journal(story.host.folder / "state", "t", story.clock)
    try:
        return [(one.service, one.summary) for one in changes_of(journal, story.clock.now() - timedelta(days=1))]
    finally:
        journal.close()


def test_the_journal_remembers_the_last_change_of_a_service_also_one_that_was_not_taken(story: Story) -> None:
    assert story.host.run("change", "send", "Deploy 1.2", "-s", "wallet", "--dry-run") == 0
    assert changes(story) == [], "a dry run leaves no trace"
    assert story.host.run("change", "send", "Deploy 1.2", "-s", "wallet") == 0
    story.pagerduty.faults({"match": {"action": "change"}, "do": "status", "status": 503})
    assert story.host.run("change", "send", "Deploy 1.3", "-s", "wallet") == 5
    assert changes(story) == [("wallet", "Deploy 1.3")]


def test_a_change_that_is_not_accepted_is_exit_5_after_one_request(story: Story) -> None:
    story.pagerduty.faults({"match": {"action": "change"}, "do": "status", "status": 503})
    assert story.host.run("change", "send", "Deploy", "-s", "wallet") == 5
    assert len(story.pagerduty.requests("/v2/change")) == 1
    (story.home / "money.key").write_text("k" * 32)
    story.pagerduty.faults()
    assert story.host.run("change", "send", "Deploy", "-s", "wallet") == 5
    told = story.err()
    assert "Invalid routing key" in told
    assert "k" * 32 not in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "-s", "walet"], "did you mean wallet?"),
        (["  ", "-s", "wallet"], "SUMMARY is empty"),
        (["x", "-s", "wallet", "--link", "javascript:alert(1)"], "expected an address like"),
        (["x", "-s", "wallet", "--link", "https://[::1"], "expected an address like"),
    ],
)
def test_a_change_that_makes_no_sense_is_exit_2(story: Story, words: list[str], said: str) -> None:
    assert story.host.run("change", "send", *words) == 2
    assert said in story.err()
    assert story.pagerduty.requests() == []


# -- doctor


def doctor(story: Story) -> dict[str, dict[str, Any]]:
    checks = story.shown("doctor")["checks"]
    return {f"{one['name']} {one['state']}": one for one in checks if one["name"].startswith("pagerduty")}


def test_doctor_says_where_keys_lead_who_writes_notes_and_what_is_in_maintenance(story: Story) -> None:
    story.pagerduty.window("Ledger", description="moving racks", at=story.clock.now())
    found = doctor(story)
    assert "Ana Novak" in found["pagerduty notes OK"]["what"]
    assert "money leads to Ledger" in found["pagerduty services OK"]["what"]
    windows = [one["what"] for one in story.shown("doctor")["checks"] if "moving racks" in one["what"]]
    assert len(windows) == 2  # of default and money
    missing = [
        one["what"] for one in story.shown("doctor")["checks"] if "no service has the routing key" in one["what"]
    ]
    assert missing == ["no service has the routing key of social: maintenance windows are not seen for it"]


def test_doctor_says_that_a_token_is_refused_and_that_a_sender_is_unknown(story: Story) -> None:
    text = story.host.config.read_text()
    story.host.config.write_text(text.replace("ana@example.com", "gone@example.com"))
    assert "gone@example.com" in doctor(story)["pagerduty notes WARN"]["what"]
    (story.home / "rest.token").write_text("wr0ng" * 4)
    refused = doctor(story)["pagerduty rest FAIL"]
    assert refused["exit_code"] == 4
    assert "wr0ng" not in refused["what"]
    assert story.host.run("doctor") == 4


def test_no_secret_is_in_any_file_or_word(burning: Story) -> None:
    burning.host.run("incident", "note", page(burning)["incident"], "hello")
    for words in (["incident", "ls"], ["oncall", "show"], ["doctor"], ["change", "send", "x", "-s", "wallet"]):
        burning.host.run(*words)
    told = burning.capsys.readouterr()
    state = [file.read_bytes() for file in (burning.host.folder / "state").iterdir()]
    assert state
    for secret in (TOKEN, *KEYS.values()):
        assert secret not in told.out + told.err
        assert not any(secret.encode() in raw for raw in state)
