"""What was told against what PagerDuty shows: the real command line every minute, the local PagerDuty over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.pagerduty_world import pagerduty_world
from tests.integration.reconcile_world import Host, Story, story_of


@pytest.fixture
def story(fixed_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Story]:
    with pagerduty_world(tmp_path / "pd") as pagerduty, story_of(fixed_home, pagerduty, capsys) as made:
        yield made


def test_a_page_is_accepted_visible_acknowledged_and_resolved_each_at_its_time(story: Story) -> None:
    story.platform.bad = {"wallet"}
    assert story.minute(1) == 1
    assert story.minute(2) == 1
    story.at(2.5)
    story.pagerduty.person("acknowledge", story.key())
    assert story.minute(3) == 1
    story.platform.bad = set()
    for minute in range(4, 12):
        story.minute(minute)
    assert story.told() == [("wallet", "resolved")]
    columns = "accepted, visible, acknowledged, resolved"
    [(accepted, visible, taken, resolved)] = story.host.rows(f"SELECT {columns} FROM outbox WHERE action = 'trigger'")
    assert accepted < visible < taken < resolved
    kinds = [line["kind"] for line in story.shown("incident", "show", "#1")["timeline"]]
    wanted = ["opened", "trigger accepted", "visible", "acknowledged", "resolve accepted", "seen resolved"]
    places = [kinds.index(kind) for kind in wanted]
    assert places == sorted(places)
    assert story.err() == ""


def test_a_person_closes_it_there_and_the_alert_goes_on(story: Story) -> None:
    """Not opened again before `reopen_after` and `repeat_interval` are over, and then once."""
    story.platform.bad = {"wallet"}
    story.minute(1)
    story.minute(2)
    story.pagerduty.person("resolve", story.key())
    for minute in (3, 10, 30, 59):
        assert story.minute(minute) == 1
        assert story.told() == [("wallet", "resolved")], minute
    for minute in (61, 62, 90):
        story.minute(minute)
    assert story.told() == [("wallet", "resolved"), ("wallet", "triggered")]
    assert len(story.events("trigger")) == 2
    reasons = [one["reason"] for one in story.pages("--all")]
    assert reasons[1].startswith("closed by Ana Novak as Q")


def test_a_resolve_that_got_lost_on_the_far_side_is_said_again(story: Story) -> None:
    story.platform.bad = {"wallet"}
    story.minute(1)
    story.minute(2)
    story.platform.bad = set()
    story.pagerduty.faults({"match": {"action": "resolve", "nth": 1}, "do": "accept_invisible"})
    for minute in range(3, 9):
        story.minute(minute)
    assert story.told() == [("wallet", "triggered")]  # accepted, and nothing happened
    for minute in range(9, 20):
        story.minute(minute)
    assert story.told() == [("wallet", "resolved")]
    assert len(story.events("resolve")) == 2
    [(confirmed,)] = story.host.rows("SELECT confirmed IS NOT NULL FROM episodes WHERE route != ''")
    assert confirmed == 1


def test_accepted_and_never_visible_is_said_exit_5_and_sent_again(story: Story) -> None:
    story.platform.bad = {"wallet"}
    story.pagerduty.faults({"match": {"action": "trigger", "nth": 1}, "do": "accept_invisible"})
    assert story.minute(1) == 1
    assert story.minute(2) == 1
    assert story.err() == ""
    assert story.minute(3) == 5
    told = story.err()
    assert "NOT VISIBLE: #1" in told
    assert "accepted 2 min ago" in told
    for minute in (4, 5, 6):
        story.minute(minute)
    assert story.told() == [("wallet", "triggered")]
    story.err()
    assert story.minute(7) == 1
    assert story.err() == ""


def test_a_maintenance_window_withholds_a_page_and_it_is_told_after_it(story: Story) -> None:
    made = story.pagerduty.window("money", 0.5, "moving racks", at=story.clock.now())
    assert made["description"] == "moving racks"
    story.platform.bad = {"wallet"}
    for minute in (1, 15, 29):
        story.minute(minute)
    assert story.events() == []
    [one] = story.pages()
    [line] = [
        line for line in story.shown("incident", "show", one["incident"])["timeline"] if line["kind"] == "withheld"
    ]
    assert line["text"] == "PagerDuty maintenance window until 2026-05-14 18:30Z: moving racks"
    assert one["state"] == "firing"
    story.minute(31)
    assert story.told() == [("wallet", "triggered")]


def test_a_new_journal_takes_over_an_open_incident_and_pages_nobody_again(story: Story) -> None:
    story.platform.bad = {"wallet"}
    story.minute(1)
    story.host.forget()
    for minute in (2, 3, 4):
        assert story.minute(minute) == 1
    assert story.told() == [("wallet", "triggered")]
    assert len(story.events("trigger")) == 1
    [one] = story.pages()
    assert one["state"] == "firing"
    story.platform.bad = set()
    for minute in range(5, 13):
        story.minute(minute)
    assert story.told() == [("wallet", "resolved")]


def test_a_new_journal_closes_exactly_what_is_open_and_healthy(story: Story) -> None:
    story.platform.bad = {"wallet"}
    story.minute(1)
    story.pagerduty.event("trigger", "grafana/1")
    story.pagerduty.event("trigger", "opsctl/" + "0" * 40)  # of another namespace
    story.host.forget()
    story.platform.bad = set()
    for minute in range(2, 9):  # held open first: another runner may be holding it
        story.minute(minute)
    status = {one["dedup_key"]: one["status"] for one in story.incidents()}
    assert status.pop(story.key()) == "resolved"
    assert set(status.values()) == {"triggered"}
    assert [one["dedup_key"] for one in story.events("resolve")] == [story.key()]  # promo's was not open


def test_a_visible_dependency_has_a_note_in_place_of_a_second_page(story: Story) -> None:
    story.platform.bad = {"wallet"}
    story.minute(1)
    story.minute(2)
    story.platform.bad = {"wallet", "promo"}
    for minute in (3, 4, 5):
        story.minute(minute)
    assert story.told() == [("wallet", "triggered")]
    [note] = story.notes()
    assert "on promo depends on this" in note
    story.platform.bad = {"promo"}
    for minute in range(6, 14):
        story.minute(minute)
    assert sorted(story.told()) == [("promo", "triggered"), ("wallet", "resolved")]
    assert len(story.notes()) == 1


def test_a_second_host_with_a_journal_of_its_own_pages_nobody_twice(story: Story) -> None:
    other = Host(story, "b")
    story.platform.bad = {"wallet"}
    for minute in (1, 2, 3, 61, 62, 121, 122):
        story.minute(minute, story.host, other)
    assert story.told() == [("wallet", "triggered")]
    assert len(story.events("trigger")) == 1  # the second host saw it open
    story.platform.bad = set()
    for minute in range(123, 132):
        story.minute(minute, story.host, other)
    assert story.told() == [("wallet", "resolved")]
    assert story.err() == ""


def test_rest_that_does_not_answer_stops_no_page(story: Story) -> None:
    story.pagerduty.faults({"match": {"path": "/[sim]*"}, "do": "status", "status": 503})
    story.platform.bad = {"wallet"}
    assert story.minute(1) == 1
    assert story.told() == [("wallet", "triggered")]
    assert "503" in story.err()


def test_a_resolve_that_a_maintenance_window_swallowed_is_said_again_after_it(story: Story) -> None:
    """PagerDuty: while a service is in a window its incidents stay open and cannot be resolved by events."""
    story.platform.bad = {"wallet"}
    for minute in (1, 2):
        story.minute(minute)
    story.pagerduty.window("money", 0.5, at=story.clock.now())  # to 18:32
    story.platform.bad = set()
    for minute in range(3, 30, 3):
        story.minute(minute)
    assert story.told() == [("wallet", "triggered")]
    assert {one["effect"] for one in story.events("resolve")} == {"maintenance"}
    for minute in range(33, 46, 3):
        story.minute(minute)
    assert story.told() == [("wallet", "resolved")]
    assert story.host.rows("SELECT confirmed IS NOT NULL FROM episodes WHERE route != ''") == [(1,)]


def test_what_the_fallback_key_took_is_seen_there_and_closed_there(story: Story) -> None:
    """The team's key is refused: the incident is on another service, under another key of ours."""
    text = story.host.config.read_text()
    story.host.config.write_text(
        text.replace("routing_keys = { ", 'routing_keys = { fallback = { token_file = "../social.key" }, ')
    )
    (story.home / "money.key").write_text("k" * 32)
    story.platform.bad = {"wallet"}
    for minute in (1, 2, 3, 30):
        story.minute(minute)
    assert [(one["integration"], one["status"]) for one in story.incidents()] == [("social", "triggered")]
    [one] = story.pages()
    assert one["remote"]["status"] == "triggered"
    story.err()
    story.platform.bad = set()
    for minute in range(31, 40):
        story.minute(minute)
    assert [(one["integration"], one["status"]) for one in story.incidents()] == [("social", "resolved")]
    assert "NOT" not in story.err()


def test_rest_limits_stop_no_page_and_no_resolve(story: Story) -> None:
    """429 with and without Retry-After for every question: pages and resolves go on, and it is said."""
    story.pagerduty.faults(
        {"match": {"path": "/incidents"}, "do": "status", "status": 429, "retry_after": 60},
        {"match": {"path": "/[sm]*"}, "do": "status", "status": 429},
    )
    story.platform.bad = {"wallet"}
    assert story.minute(1) == 1
    assert story.told() == [("wallet", "triggered")]
    assert "429" in story.err()
    story.platform.bad = set()
    for minute in range(2, 9):
        story.minute(minute)
    assert story.told() == [("wallet", "resolved")]
