"""A far side that shows what was: an incident that is closed already shown open, clocks that jumped, other runners."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from opsctl.core.commands import Closing, JournalAlert, Resolve, Trigger, Watched
from opsctl.core.keys import key_of
from opsctl.core.planning import plan
from opsctl.core.routing import Routing
from opsctl.core.seen import Seen
from tests.unit.paging.test_reconcile import KEY, NAMESPACE, at, looked, planned, there, told
from tests.unit.paging.world import T0, alert, cycle, minutes


def closing(**changes: object) -> Closing:
    """Episode 3, opened ten minutes before T0 and resolved half a minute before it."""
    opened = T0 - minutes(10)
    known = Closing(KEY, 3, "pagerduty/money", "RedeemBudgetBurn", T0 - minutes(0.5), 1, "Q1", opened=opened)
    return replace(known, **changes)  # type: ignore[arg-type]


def test_the_incident_that_we_just_closed_is_not_taken_for_the_new_page() -> None:
    """The list lags: it shows the old incident open, and the request for the new one was lost on its way."""
    for before in (closing(), closing(remote_id="")):
        first = planned(None, at(0, [alert()], looked(0, there(created=-10))), (before,))
        assert [type(one) for one in first.commands] == [Trigger]
        for known in (first.after[KEY], replace(first.after[KEY], accepted=T0 + minutes(0.5))):
            lagging = planned(known, at(1, [alert()], looked(1, there(created=-10))), (before,))
            assert lagging.sightings == ()
            assert lagging.after[KEY].visible is None
        lost = planned(first.after[KEY], at(2, [alert()], looked(2, there("resolved", created=-10))), (before,))
        assert lost.after[KEY].episode == 7, "nobody closed the incident of this episode"


def test_an_old_incident_that_stays_open_is_where_the_new_page_went() -> None:
    """Our resolve was dropped there: the trigger has joined what was open."""
    known = told(opened=T0, accepted=T0)
    made = planned(known, at(2, [alert()], looked(2, there(created=-10))), (closing(),))
    assert made.after[KEY].remote_id == "Q1"
    assert made.problems == ()


def test_what_another_runner_told_of_an_earlier_burn_and_closes_now_is_no_reason_to_wait() -> None:
    """It burns again since a moment ago; we joined the incident, and its resolve was on its way."""
    again = alert(since=T0 - minutes(0.5))
    joined = planned(None, at(0, [again], looked(0, there(created=-30)))).after[KEY]
    assert joined.remote_id == "Q1"
    made = planned(joined, at(1, [again], looked(1, there("resolved", created=-30, changed=0.2))))
    assert [type(one) for one in made.commands] == [Trigger]
    same = alert(since=T0 - minutes(31))
    joined = planned(None, at(0, [same], looked(0, there(created=-30)))).after[KEY]
    made = planned(joined, at(1, [same], looked(1, there("resolved", created=-30, changed=0.2))))
    assert made.commands == (), "another runner says it is well, we say it burns: once an hour"


def test_what_a_person_closed_before_it_burned_again_is_another_alert() -> None:
    again = alert(since=T0 - minutes(0.5))
    joined = planned(None, at(0, [again], looked(0, there(created=-30)))).after[KEY]
    for changed, count in ((-1, 1), (0, 0)):
        shown = looked(1, there("resolved", created=-30, changed=changed, person=True))
        made = planned(joined, at(1, [again], shown))
        assert len(made.commands) == count, changed


def test_a_clock_that_went_back_does_not_keep_an_inhibition_or_a_lost_page_alive() -> None:
    ahead = T0 + minutes(300)
    wallet = told(
        alert=alert("wallet-db", service="wallet"), key="opsctl/wallet", opened=ahead, accepted=ahead,
        visible=ahead, seen_at=ahead, remote_id="Q1",
    )  # fmt: skip
    needs = Routing(NAMESPACE, dependencies={"promo": frozenset({"wallet"})})
    known: dict[str, JournalAlert] = {wallet.key: wallet}
    sent = []
    for minute in (0, 16):
        blind = {"pagerduty": Seen(T0 + minutes(minute), problem="HTTP 503")}
        now = replace(at(minute, [alert()], blind, fresh=("redeem",), loaded=("redeem", "wallet-db")), routing=needs)
        made = plan(known, now, namespace=NAMESPACE, next_episode=7)
        known = dict(made.after)
        sent.append([one.key for one in made.commands if isinstance(one, Trigger)])
    assert sent == [[], [KEY]], "seen open a quarter of an hour ago at most"
    unseen = told(opened=ahead, triggered=ahead, accepted=ahead)
    known = {KEY: unseen}
    problems = []
    for minute in (0, 2):
        made = plan(known, at(minute, [alert()], looked(minute, absent=[KEY])), namespace=NAMESPACE, next_episode=7)
        known = {KEY: replace(made.after[KEY], accepted=ahead)}  # as the outbox has it
        problems.append(len(made.problems))
    assert problems == [0, 1]


def test_a_journal_that_remembers_nothing_closes_what_is_healthy_at_once() -> None:
    """Held open against flapping, it would be held by every run anew."""
    healthy = (Watched("redeem", "RedeemBudgetBurn", "money", ()),)
    now = at(0, (), looked(0, there(created=-60)), healthy=healthy)
    made = plan({}, now, namespace=NAMESPACE, next_episode=1, sweep=True, forgetful=True)
    assert [(type(one), one.key, one.episode) for one in made.commands] == [(Resolve, KEY, 0)]


def test_a_group_that_was_pending_or_silenced_tells_of_who_joins_it() -> None:
    from opsctl.core.alerts import AlertState
    from opsctl.core.routing import Matcher, Route, Silence

    routes = (Route("pagerduty", (), "money", group_by=("service",)),)
    pay = Silence("s1", "ann", "known", (Matcher("rule_uid", "=", "pay"),), T0, T0 + minutes(2))
    both = ("redeem", "pay")
    pending = alert("pay", state=AlertState.PENDING)
    for silences, steps in (
        ((), [[alert("redeem", state=AlertState.PENDING), pending], [alert(), pending], [alert(), alert("pay")]]),
        ((pay, replace(pay, id="s2", matchers=(), ends=T0 + minutes(1))), [[alert(), alert("pay")]] * 3),
    ):
        known: dict[str, JournalAlert] = {}
        said = []
        for minute, alerts in enumerate(steps):
            now = cycle(T0 + timedelta(minutes=minute), alerts, fresh=both)
            now = replace(now, routing=Routing(NAMESPACE, routes, silences))
            made = plan(known, now, namespace=NAMESPACE, next_episode=1)
            known = dict(made.after)
            said.append([one.alert.summary.count("burns") for one in made.commands if isinstance(one, Trigger)])
        assert said == [[], [1], [2]]


def test_what_joins_a_group_in_a_silence_or_a_maintenance_window_is_told_after_it() -> None:
    from opsctl.core.routing import Route

    routes = (Route("pagerduty", (), "money", group_by=("service",)),)
    window = {"money": "PagerDuty maintenance window"}
    both = ("redeem", "pay")
    known: dict[str, JournalAlert] = {}
    said = []
    for minute, alerts, why in (
        (0, ["redeem"], {}),
        (1, both, window),
        (2, both, window),
        (3, both, {}),
        (4, both, {}),
    ):
        now = cycle(T0 + minutes(minute), [alert(uid) for uid in alerts], fresh=both)
        group = {one.key: there() for one in known.values()}
        shown = {key: replace(one, key=key) for key, one in group.items()}
        now = replace(now, routing=Routing(NAMESPACE, routes), seen=looked(minute, *shown.values(), maintenance=why))
        made = plan(known, now, namespace=NAMESPACE, next_episode=1)
        known = dict(made.after)
        said.append(len(made.commands))
    assert said == [1, 0, 0, 1, 0]
    assert key_of(NAMESPACE, alert()) not in known


def test_the_hour_after_which_it_may_wake_again_begins_when_it_woke_and_not_when_it_was_decided() -> None:
    """The run that decided was killed; its page went out a quarter of an hour later."""
    known = told(visible=T0 + minutes(16), remote_id="Q1", accepted=T0 + minutes(16))
    shut = there("resolved", created=16, changed=20, person=True)
    after = planned(known, at(21, [alert()], looked(21, shut))).after[KEY]
    assert [len(planned(after, at(m, [alert()], looked(m, shut))).commands) for m in (75, 76)] == [0, 1]


def test_the_incident_of_the_episode_before_is_not_this_ones_though_it_shows_open() -> None:
    known = told(last_remote_id="Q1")
    for minute, problems in ((1, 0), (2, 1)):
        made = planned(known, at(minute, [alert()], looked(minute, there(created=-1))))
        assert (made.after[KEY].visible, len(made.problems)) == (None, problems)
