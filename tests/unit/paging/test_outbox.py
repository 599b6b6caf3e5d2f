"""The outbox's rules: order, age, patience and the rate limit."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opsctl.core.outbox import (
    BURST,
    Bucket,
    OutboxRow,
    Priority,
    RowState,
    heads,
    next_row,
    triage,
    wait_seconds,
)
from tests.unit.paging.world import T0, minutes


def row(number: int, action: str = "trigger", **changes: Any) -> OutboxRow:
    fields: dict[str, Any] = {
        "id": number,
        "key": "k",
        "episode": 1,
        "action": action,
        "repeat": 0,
        "route": "money",
        "priority": Priority.FIRST,
        "rule_name": "Redeem",
        "body": "{}",
        "created": T0,
        "not_after": T0 + minutes(60),
        "due": T0,
        "on": True,
    }
    return OutboxRow(**fields | changes)


def never(_row: OutboxRow) -> bool:
    return False


def ends(rows: list[OutboxRow], at_minutes: float) -> list[tuple[int, RowState]]:
    return [(drop.row.id, drop.state) for drop in triage(rows, T0 + minutes(at_minutes))]


def test_nothing_overtakes_within_a_key_and_urgent_keys_go_first() -> None:
    rows = [
        row(1, "resolve", key="sweep", priority=Priority.SWEEP),
        row(2, key="a", due=T0 + minutes(9)),
        row(3, "resolve", key="a"),
        row(4, key="b", repeat=1, priority=Priority.REPEAT),
        row(5, "resolve", key="c"),
    ]
    firsts = heads(rows)
    assert [head.row.id for head in firsts] == [1, 2, 4, 5], "the resolve of key a must wait for its trigger"
    assert next_row([head for head in firsts if head.due <= T0], never).id == 5


def test_a_new_page_goes_before_resolves_and_never_waits_behind_a_sweep_of_its_own_key() -> None:
    rows = [
        row(1, "resolve", key="a"),
        row(2, "resolve", key="b"),
        row(3, "resolve", key="c", episode=0, priority=Priority.SWEEP),
        row(4, key="c"),
        row(5, key="d", priority=Priority.TICKET),
        row(6, key="e"),
    ]
    sent = []
    while rows:
        sent.append(next_row(heads(rows), never).id)
        rows = [one for one in rows if one.id != sent[-1]]
    assert sent == [3, 4, 6, 1, 2, 5]


def test_of_equal_rows_the_one_that_failed_last_comes_last() -> None:
    rows = [row(1, key="a"), row(2, key="b"), row(3, key="c", priority=Priority.TICKET)]
    assert next_row(heads(rows), lambda one: one.id == 1).id == 2
    assert next_row(heads(rows), lambda one: one.id < 3).id == 1


def test_a_trigger_never_attempted_whose_alert_is_over_is_reported_and_not_sent() -> None:
    assert ends([row(1, on=False), row(2, "resolve", on=False)], 1) == [
        (1, RowState.NEVER_DELIVERED),
        (2, RowState.SUPERSEDED),
    ]


def test_an_attempt_of_unknown_outcome_sends_trigger_and_resolve() -> None:
    assert ends([row(1, attempts=1, on=False), row(2, "resolve", on=False)], 1) == []


def test_after_its_hour_an_unaccepted_trigger_of_a_past_alert_is_dead_and_its_resolve_still_goes() -> None:
    assert ends([row(1, attempts=7, on=False), row(2, "resolve", on=False)], 61) == [(1, RowState.DEAD)]


def test_a_late_trigger_whose_alert_is_on_is_sent_however_late() -> None:
    assert ends([row(1)], 300) == []
    assert ends([row(1, on=False)], 300) == [(1, RowState.NEVER_DELIVERED)]


def test_a_held_open_alert_within_its_hour_still_pages() -> None:
    assert ends([row(1, on=False)], 3) == []


def test_a_repeat_behind_a_trigger_that_did_not_leave_is_superseded() -> None:
    assert ends([row(1, attempts=3), row(2, repeat=1)], 61) == [(2, RowState.SUPERSEDED)]
    assert ends([row(2, repeat=1)], 61) == []


def test_an_old_acknowledgement_is_reported() -> None:
    assert ends([row(1, "acknowledge")], 61) == [(1, RowState.NEVER_DELIVERED)]


def test_a_sweep_waits_as_long_as_it_must_also_before_a_new_page_of_its_key() -> None:
    """What it closes is another journal's: should the page be over before its first attempt, nobody else closes it."""
    sweep = row(1, "resolve", episode=0, priority=Priority.SWEEP)
    assert triage([sweep, row(2)], T0 + minutes(60 * 24)) == ()


def test_a_resolve_of_a_real_incident_never_lapses() -> None:
    assert ends([row(1, "resolve", on=False)], 60 * 24) == []


def test_an_earlier_episode_does_not_silence_a_later_one() -> None:
    rows = [row(1, on=False), row(2, "resolve", on=False), row(3, episode=2)]
    assert [number for number, _ in ends(rows, 1)] == [1, 2]


def test_waits_are_jittered_between_two_and_sixty_seconds_and_obey_retry_after() -> None:
    assert [wait_seconds(n, 1.0, None) for n in (1, 2, 3, 6, 60)] == [2, 4, 8, 60, 60]
    assert wait_seconds(3, 0.0, None) == 0
    assert wait_seconds(1, 0.5, 30.0) == 30


@given(st.lists(st.floats(min_value=0, max_value=5), max_size=400))
def test_no_minute_holds_more_than_120_requests(gaps: list[float]) -> None:
    bucket, now = Bucket(BURST, T0), T0
    sent: deque[float] = deque()
    for gap in gaps:
        now += timedelta(seconds=gap)
        bucket, wait = bucket.take(now)
        if wait == 0:
            seconds = (now - T0).total_seconds()
            sent.append(seconds)
            while sent[0] <= seconds - 60:
                sent.popleft()
            assert len(sent) <= 120


def test_the_bucket_survives_a_clock_that_goes_back() -> None:
    empty, _ = replace(Bucket(1.0, T0)).take(T0)
    again, wait = empty.take(T0 - minutes(5))
    assert wait > 0
    assert again.tokens < 1
