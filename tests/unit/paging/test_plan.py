"""The plan: one incident a key, one page an episode, a resolve only for what was seen healthy."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.core.alerts import AlertState
from opsctl.core.commands import Closing, Cycle, JournalAlert, Plan, Resolve, Trigger, Watched
from opsctl.core.keys import dedup_key, key_of, short
from opsctl.core.planning import plan
from opsctl.core.policy import Policy
from opsctl.core.slo import Severity
from tests.unit.paging.world import T0, alert, cycle, minutes

NAMESPACE = "prod-eu"


def play(*cycles: Cycle) -> list[Plan]:
    """Run cycles one after the other, as the journal would."""
    before: dict[str, JournalAlert] = {}
    number, made = 1, []
    for one in cycles:
        done = plan(before, one, namespace=NAMESPACE, next_episode=number)
        number += sum(change.kind == "opened" for change in done.changes)
        before = dict(done.after)
        made.append(done)
    return made


def commands(*cycles: Cycle) -> list[list[tuple[str, int]]]:
    return [[(type(c).__name__, c.episode) for c in made.commands] for made in play(*cycles)]


def test_the_key_is_what_the_page_says_and_never_changes() -> None:
    key = dedup_key("prod-eu", "redeem", Severity.PAGE, (("region", "eu"), ("dc", "1")))
    assert key == "opsctl/a5efe736d9d720288ac56c928f9fb56e35484765"
    assert key == dedup_key("prod-eu", "redeem", Severity.PAGE, (("dc", "1"), ("region", "eu")))
    assert len({key_of(NAMESPACE, alert(severity=severity)) for severity in Severity}) == 3
    assert key_of("prod-eu", alert()) != key_of("prod-us", alert())
    assert len(short(key)) == 8


def test_identity_pairs_cannot_be_shifted_into_each_other() -> None:
    one = dedup_key(NAMESPACE, "r", Severity.PAGE, (("a", "b,c"),))
    two = dedup_key(NAMESPACE, "r", Severity.PAGE, (("a,b", "c"),))
    assert one != two


def test_a_firing_alert_pages_once_and_is_repeated_after_the_interval() -> None:
    at = [T0 + minutes(m) for m in (0, 1, 59, 60, 61, 120)]
    assert commands(*(cycle(t, [alert()]) for t in at)) == [
        [("Trigger", 1)], [], [], [("Trigger", 1)], [], [("Trigger", 1)],
    ]  # fmt: skip
    repeats = [c.repeat for made in play(*(cycle(t, [alert()]) for t in at)) for c in made.commands]  # type: ignore[union-attr]
    assert repeats == [0, 1, 2]


def test_a_resolve_waits_for_hold_open() -> None:
    steps = [cycle(T0, [alert()]), *(cycle(T0 + minutes(m)) for m in (1, 5, 6, 7))]
    assert commands(*steps) == [[("Trigger", 1)], [], [], [("Resolve", 1)], []]


def test_flapping_keeps_one_incident() -> None:
    steps = [cycle(T0 + minutes(m), [alert()] if m % 4 == 0 else []) for m in range(40)]
    assert [c for made in commands(*steps) for c in made] == [("Trigger", 1)]


def test_a_new_episode_has_a_new_number() -> None:
    steps = [cycle(T0, [alert()]), cycle(T0 + minutes(1)), cycle(T0 + minutes(6)), cycle(T0 + minutes(9), [alert()])]
    assert commands(*steps)[2:] == [[("Resolve", 1)], [("Trigger", 2)]]


def test_no_data_is_not_ok() -> None:
    steps = [cycle(T0, [alert()]), *(cycle(T0 + minutes(m), fresh=(), loaded=("redeem",)) for m in range(1, 50))]
    assert [c for made in commands(*steps) for c in made] == [("Trigger", 1)]


def test_a_run_of_another_rule_resolves_nothing() -> None:
    other = [cycle(T0 + minutes(m), fresh=("pay",), loaded=("pay", "redeem"), full=False) for m in range(1, 50)]
    assert [c for made in commands(cycle(T0, [alert()]), *other) for c in made] == [("Trigger", 1)]


def test_an_orphan_is_resolved_by_the_third_full_run_in_a_row() -> None:
    gone = [cycle(T0 + minutes(m), fresh=("pay",)) for m in (1, 2, 3)]
    made = play(cycle(T0, [alert()]), *gone)
    assert [len(one.commands) for one in made] == [1, 0, 0, 1]
    resolve = made[3].commands[0]
    assert isinstance(resolve, Resolve)
    assert "in no loaded file" in resolve.reason


def test_a_scoped_run_and_a_reappearing_rule_do_not_count_for_the_orphan() -> None:
    steps = [
        cycle(T0, [alert()]),
        cycle(T0 + minutes(1), fresh=("pay",)),
        cycle(T0 + minutes(2), fresh=("pay",), full=False),
        cycle(T0 + minutes(3), fresh=("pay",), loaded=("pay", "redeem")),
        cycle(T0 + minutes(4), fresh=("pay",)),
        cycle(T0 + minutes(5), fresh=("pay",)),
    ]
    assert commands(*steps)[1:] == [[], [], [], [], []]


def test_a_renamed_rule_closes_the_incident_of_its_old_name_once_it_is_fresh() -> None:
    steps = [
        cycle(T0, [alert("old")], fresh=("old",)),
        cycle(T0 + minutes(1), fresh=(), loaded=("new",), formerly={"old": "new"}),
        cycle(T0 + minutes(2), [alert("new")], fresh=("new",), formerly={"old": "new"}),
    ]
    assert commands(*steps) == [[("Trigger", 1)], [], [("Trigger", 2), ("Resolve", 1)]]


def test_tickets_are_rows_and_never_events() -> None:
    ticket = alert(severity=Severity.TICKET)
    made = play(
        cycle(T0, [ticket]), cycle(T0 + minutes(90), [ticket]), cycle(T0 + minutes(91)), cycle(T0 + minutes(99))
    )
    assert not [c for one in made for c in one.commands]
    assert [change.kind for one in made for change in one.changes] == ["opened", "under", "resolved"]


def test_pending_is_remembered_and_dropped_without_a_word() -> None:
    made = play(cycle(T0, [alert(state=AlertState.PENDING)]), cycle(T0 + minutes(1)))
    assert [len(one.after) for one in made] == [1, 0]
    assert not [c for one in made for c in (*one.commands, *one.changes)]


def test_a_pending_element_of_an_open_incident_is_not_under() -> None:
    pending = alert(state=AlertState.PENDING)
    steps = [cycle(T0, [alert()]), cycle(T0 + minutes(1)), *(cycle(T0 + minutes(m), [pending]) for m in range(2, 20))]
    assert [c for made in commands(*steps) for c in made] == [("Trigger", 1)]


def test_after_a_person_closed_it_the_alert_opens_another_only_when_rested() -> None:
    first = play(cycle(T0, [alert()]))[0]
    key, known = next(iter(first.after.items()))
    closed = {key: replace(known, episode=None, closed=T0 + minutes(2))}

    def at(m: float, policy: Policy) -> Plan:
        return plan(closed, cycle(T0 + minutes(m), [alert()], policy=policy), namespace=NAMESPACE, next_episode=2)

    quick = Policy(repeat_interval=minutes(1))
    assert not at(16, quick).commands  # reopen_after counts from when it was closed
    assert [c.episode for c in at(17, quick).commands] == [2]
    assert not at(59, Policy()).commands  # at most once per repeat_interval
    assert [c.episode for c in at(60, Policy()).commands] == [2]


def test_two_alerts_of_one_key_are_one_incident_and_firing_wins() -> None:
    made = play(cycle(T0, [alert(state=AlertState.PENDING), alert(), alert(summary="no data")]))[0]
    assert len(made.after) == 1
    assert [type(c) for c in made.commands] == [Trigger]


def test_the_resolve_takes_the_way_of_its_trigger_though_the_team_changed() -> None:
    moved = alert(team="platform")
    made = play(cycle(T0, [alert()]), cycle(T0 + minutes(1), [moved]), cycle(T0 + minutes(2)), cycle(T0 + minutes(8)))
    assert [c.route for c in made[3].commands] == ["pagerduty/money"]


def test_a_new_journal_closes_what_is_healthy_and_nothing_else() -> None:
    healthy = (Watched("pay", "PayBudgetBurn", "money", ()), Watched("chat", "ChatBudgetBurn", "social", ()))
    now = cycle(T0, [alert()], fresh=("redeem", "pay"), loaded=("redeem", "pay", "chat"), healthy=healthy)
    made = plan({}, now, namespace=NAMESPACE, next_episode=1, sweep=True)
    assert [(type(c).__name__, c.episode) for c in made.commands] == [("Trigger", 1), ("Resolve", 0)]
    assert made.commands[1].key == dedup_key(NAMESPACE, "pay", Severity.PAGE, ())
    assert len(plan({}, now, namespace=NAMESPACE, next_episode=1, sweep=False).commands) == 1


def test_a_sweep_does_not_trust_a_resolve_that_went_before_it_and_waits_for_one_that_did_not() -> None:
    """After a run without a journal there may be another incident under the key; what is unsent will close it."""
    now = cycle(T0 + minutes(9), healthy=(Watched("redeem", "RedeemBudgetBurn", "money", ()),))
    key = dedup_key(NAMESPACE, "redeem", Severity.PAGE, ())
    sent = Closing(key, 3, "pagerduty/money", "RedeemBudgetBurn", T0, 1)
    made = plan({}, now, namespace=NAMESPACE, next_episode=4, sweep=True, closings=(sent,))
    assert [type(c) for c in made.commands] == [Resolve]
    made = plan({}, now, namespace=NAMESPACE, next_episode=4, sweep=True, closings=(sent,), leaving=frozenset({key}))
    assert made.commands == ()


STEP = st.tuples(
    st.sampled_from(["firing", "pending", "absent", "unknown", "frozen", "unloaded"]),
    st.integers(min_value=0, max_value=20),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=40))
def test_over_any_history_no_trigger_is_lost_none_is_doubled_and_only_fresh_runs_resolve(
    steps: list[tuple[str, int]],
) -> None:
    before: dict[str, JournalAlert] = {}
    number, at = 1, T0
    open_episode: int | None = None
    seen: set[tuple[str, int, type, int]] = set()
    under: datetime | None = None
    for what, gap in steps:
        at += minutes(gap)
        listed = {"firing": [alert()], "pending": [alert(state=AlertState.PENDING)], "frozen": [alert(frozen="x")]}
        fresh = ("redeem",) if what in ("firing", "pending", "absent") else ()
        loaded = ("pay",) if what == "unloaded" else ("redeem", "pay")
        now = cycle(at, listed.get(what, []), fresh=fresh, loaded=loaded)
        made = plan(before, now, namespace=NAMESPACE, next_episode=number)
        first = [c.episode for c in made.commands if isinstance(c, Trigger) and c.repeat == 0]
        resolved = [c.episode for c in made.commands if isinstance(c, Resolve)]
        identities = [(c.key, c.episode, type(c), getattr(c, "repeat", 0)) for c in made.commands]
        assert not seen & set(identities), "the outbox's unique index would drop an event"
        seen |= set(identities)
        if what in ("firing", "frozen"):
            assert first == ([number] if open_episode is None else []), "one page for each episode"
            open_episode = open_episode or number
        else:
            assert not first
        if resolved:
            assert resolved == [open_episode]
            missing = before[next(iter(before))].missing_runs
            waited = under is not None and at - under >= minutes(5)
            assert (what == "absent" and waited) or (what == "unloaded" and missing == 2)
            open_episode = None
        under = (under or at) if what == "absent" else None if what in ("firing", "pending", "frozen") else under
        number += sum(change.kind == "opened" for change in made.changes)
        before = dict(made.after)
        held = next(iter(before.values())).episode if before else None
        assert held == open_episode, "an open incident is never forgotten"
