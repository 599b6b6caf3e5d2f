"""The plan with a look at the far side: seen, taken, closed, missing, adopted, swept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from opsctl.core.alerts import Alert
from opsctl.core.commands import Closing, Cycle, JournalAlert, Note, Plan, Resolve, Trigger, Watched
from opsctl.core.keys import key_of
from opsctl.core.planning import plan
from opsctl.core.routing import Routing
from opsctl.core.seen import Seen, SeenIncident, SeenOrigin, SeenStatus
from opsctl.core.slo import Severity
from tests.unit.paging.world import T0, alert, cycle, minutes

NAMESPACE = "prod-eu"
KEY = key_of(NAMESPACE, alert())


def there(
    status: SeenStatus = "triggered", *, created: float = 0, changed: float = 0, person: bool = False, id_: str = "Q1"
) -> SeenIncident:
    at = T0 + minutes(created)
    return SeenIncident(KEY, id_, status, at, T0 + minutes(changed), "ann" if person else "", person)


def looked(
    minute: float, *incidents: SeenIncident, absent: Iterable[str] = (), complete: bool = True, **more: object
) -> dict[str, Seen]:
    by_key = {one.key: one for one in incidents}
    return {"pagerduty": Seen(T0 + minutes(minute), by_key, frozenset(absent), complete, **more)}  # type: ignore[arg-type]


def at(minute: float, alerts: Iterable[Alert] = (), seen: dict[str, Seen] | None = None, **more: object) -> Cycle:
    made = cycle(T0 + minutes(minute), alerts, **more)  # type: ignore[arg-type]
    return replace(made, seen=seen or {}, routing=Routing(NAMESPACE))


def told(**changes: object) -> JournalAlert:
    """An episode that was told at T0."""
    known = JournalAlert(KEY, alert(), "pagerduty/money", episode=1, opened=T0, triggers=1, triggered=T0, accepted=T0)
    return replace(known, **changes)  # type: ignore[arg-type]


def planned(known: JournalAlert | None, now: Cycle, closings: tuple[Closing, ...] = ()) -> Plan:
    before = {known.key: known} if known else {}
    return plan(before, now, namespace=NAMESPACE, next_episode=7, closings=closings)


def test_seen_open_and_taken_is_noted_once_and_nothing_is_sent() -> None:
    made = planned(told(), at(1, [alert()], looked(1, there("acknowledged", changed=0.5, person=True))))
    assert made.commands == ()
    assert [(one.status, one.who) for one in made.sightings] == [("triggered", "ann"), ("acknowledged", "ann")]
    assert [change.kind for change in made.changes] == ["acknowledged"]
    again = planned(made.after[KEY], at(90, [alert()], looked(90, there("acknowledged", changed=0.5, person=True))))
    assert (again.commands, again.sightings, again.changes) == ((), (), ()), "seen open: no hourly repeat"


def test_what_a_person_closed_comes_back_after_a_rest_only() -> None:
    closed = there("resolved", changed=50, person=True)
    made = planned(told(visible=T0, remote_id="Q1"), at(51, [alert()], looked(51, closed)))
    assert made.commands == ()
    assert [(one.kind, one.text) for one in made.changes] == [("resolved", "closed by ann as Q1")]
    after = made.after[KEY]
    assert after.episode is None
    for minute, count in ((60, 0), (64.9, 0), (65, 1)):
        later = planned(after, at(minute, [alert()], looked(minute, closed)))
        assert len(later.commands) == count, minute


def test_what_an_event_closed_comes_back_once_an_hour() -> None:
    """Another runner, or PagerDuty's own timer: nobody said that it is well."""
    closed = there("resolved", changed=20)
    after = planned(told(visible=T0, remote_id="Q1"), at(21, [alert()], looked(21, closed))).after[KEY]
    assert not planned(after, at(59, [alert()], looked(59, closed))).commands
    [again] = planned(after, at(60, [alert()], looked(60, closed))).commands
    assert isinstance(again, Trigger)
    assert again.episode == 7


def test_an_accepted_page_that_nobody_can_see_is_said_and_sent_again() -> None:
    for minute, problems, sent in ((1, 0, 0), (2, 1, 0), (6, 1, 1)):
        made = planned(told(), at(minute, [alert()], looked(minute, absent=[KEY])))
        assert (len(made.problems), len(made.commands)) == (problems, sent), minute
    made = planned(told(), at(6, [alert()], looked(6)))
    assert (made.problems, made.commands) == ((), ()), "not asked is not missing"
    earlier = there("resolved", created=-60, changed=-30)
    made = planned(told(last_remote_id="Q1"), at(6, [alert()], looked(6, earlier)))
    assert len(made.commands) == 1, "the incident of the episode before is not this one's"


def test_a_maintenance_window_withholds_and_gives_free() -> None:
    window = {"money": "PagerDuty maintenance window until 04:00"}
    held = planned(None, at(0, [alert()], looked(0, absent=[KEY], maintenance=window)))
    assert held.commands == ()
    assert held.after[KEY].withheld == window["money"]
    [page] = planned(held.after[KEY], at(1, [alert()], looked(1, absent=[KEY]))).commands
    assert isinstance(page, Trigger)


def test_what_another_runner_told_is_joined_not_told_again() -> None:
    made = planned(None, at(1, [alert()], looked(1, there(id_="Q9"))))
    assert made.commands == ()
    assert made.after[KEY].episode == 7
    assert [change.kind for change in made.changes] == ["opened", "joined"]
    over = planned(made.after[KEY], at(10, (), looked(10, there(id_="Q9"))))
    [end] = planned(over.after[KEY], at(16, (), looked(16, there(id_="Q9")))).commands
    assert isinstance(end, Resolve)


def test_what_a_person_closed_before_this_journal_rests_too() -> None:
    closed = there("resolved", created=-20, changed=-5, person=True)
    older = alert(since=T0 - minutes(30))
    made = planned(None, at(0, [older], looked(0, closed)))
    assert made.commands == ()
    assert [len(planned(made.after[KEY], at(m, [older], looked(m, closed))).commands) for m in (9, 39, 40)] == [0, 0, 1]
    newer = planned(None, at(0, [alert(since=T0 - minutes(1))], looked(0, closed)))
    assert len(newer.commands) == 1, "that was another alert"


def test_what_was_closed_before_an_episode_began_is_not_its_own_unless_its_page_was_taken() -> None:
    """A run without a journal, or another host, opened and closed it a minute ago; the far side's clock may be behind."""
    seen = looked(0, there("resolved", created=-1.5, changed=-0.5))
    assert planned(told(accepted=None), at(0, [alert()], seen)).after[KEY].episode == 1
    assert planned(told(), at(0, [alert()], seen)).after[KEY].episode is None


def test_our_own_incident_that_is_still_closing_is_not_joined() -> None:
    """The resolve of the episode before is on its way: joining its incident would end as a lost page."""
    before = Closing(KEY, 3, "pagerduty/money", "x", T0, 1, "Q1")
    made = planned(None, at(1, [alert()], looked(1, there(created=-60))), (before,))
    assert [type(one) for one in made.commands] == [Trigger]


def test_a_resolve_is_believed_when_it_is_seen() -> None:
    closing = Closing(KEY, 3, "pagerduty/money", "RedeemBudgetBurn", T0, 1, "Q1")
    for minute, incident, seen, again in (
        (1, there("resolved", created=-60), 1, 0),
        (1, there(created=-60), 0, 0),
        (2, there(created=-60), 0, 1),
        (3, there(created=1, id_="Q2"), 1, 0),
    ):
        made = planned(None, at(minute, (), looked(minute, incident)), (closing,))
        assert (len(made.sightings), len(made.commands)) == (seen, again), (minute, incident)
        assert all(isinstance(one, Resolve) and one.repeat == 1 for one in made.commands)
    assert planned(None, at(5, (), looked(5)), (closing,)).sightings == (), "not asked is not gone"
    assert len(planned(None, at(5, (), looked(5, absent=[KEY])), (closing,)).sightings) == 1


def test_with_a_look_only_what_is_open_is_taken_over_and_closed_after_hold_open() -> None:
    """Not at once: another runner may be holding it open against flapping."""
    healthy = (Watched("redeem", "RedeemBudgetBurn", "money", ()), Watched("pay", "PayBudgetBurn", "money", ()))

    def now(minute: float) -> Cycle:
        return at(minute, (), looked(minute, there(created=-60)), fresh=("redeem", "pay"), healthy=healthy)

    first = plan({}, now(0), namespace=NAMESPACE, next_episode=1, sweep=True)
    assert first.commands == ()
    assert [change.kind for change in first.changes] == ["opened", "joined", "under"]
    held = plan(first.after, now(4), namespace=NAMESPACE, next_episode=2)
    assert held.commands == ()
    made = plan(held.after, now(5), namespace=NAMESPACE, next_episode=2)
    assert [(type(one), one.key, one.route) for one in made.commands] == [(Resolve, KEY, "pagerduty/money")]


def test_a_resolve_that_was_refused_is_sent_again_also_where_nobody_can_look() -> None:
    closing = Closing(KEY, 3, "pagerduty/money", "RedeemBudgetBurn", T0, 1, "Q1", refused=True)
    assert planned(None, at(4, ()), (closing,)).commands == ()
    [again] = planned(None, at(5, ()), (closing,)).commands
    assert isinstance(again, Resolve)
    assert again.repeat == 1
    assert len(planned(None, at(5, (), looked(5, there(created=-60))), (closing,)).commands) == 1
    gone = planned(None, at(5, (), looked(5, there("resolved", created=-60))), (closing,))
    assert (gone.commands, len(gone.sightings)) == ((), 1)


def test_what_was_accepted_never_seen_and_is_over_is_said() -> None:
    closing = Closing(KEY, 3, "pagerduty/money", "RedeemBudgetBurn", T0, 1, opened=T0, visible=False)
    lost = looked(1, absent=[KEY])
    older = looked(1, there("resolved", created=-60))
    mine = looked(1, there("resolved", created=0))
    said = [len(planned(None, at(1, (), seen), (closing,)).problems) for seen in (lost, older, mine)]
    assert said == [1, 1, 0]
    assert planned(None, at(1, (), lost), (replace(closing, visible=True),)).problems == ()


def test_a_resolve_that_waits_is_not_sent_where_another_runner_opened_the_next_incident() -> None:
    """Its reply was lost; sent again it would close what is not its own."""
    closing = Closing(KEY, 3, "pagerduty/money", "RedeemBudgetBurn", T0, 1, "Q1", opened=T0, waiting=True)
    now = at(9, [alert()], looked(9, there(created=8, id_="Q2")))
    made = plan({}, now, namespace=NAMESPACE, next_episode=7, closings=(closing,), leaving=frozenset({KEY}))
    assert [(one.status, one.episode) for one in made.sightings if one.episode == 3] == [("resolved", 3)]
    assert made.commands == (), "the other runner's is joined"
    assert made.after[KEY].remote_id == "Q2"
    never_seen = replace(closing, remote_id="", told=T0 + minutes(1))
    made = plan({}, now, namespace=NAMESPACE, next_episode=7, closings=(never_seen,), leaving=frozenset({KEY}))
    assert made.commands == (), "its page was taken long before: what is open now is another's"
    unsure = replace(never_seen, told=T0 + minutes(7))
    made = plan({}, now, namespace=NAMESPACE, next_episode=7, closings=(unsure,), leaving=frozenset({KEY}))
    assert [type(one) for one in made.commands] == [Trigger]
    still = at(9, [alert()], looked(9, there(created=0, id_="Q1")))
    made = plan({}, still, namespace=NAMESPACE, next_episode=7, closings=(closing,), leaving=frozenset({KEY}))
    assert (made.sightings, [type(one) for one in made.commands]) == ((), [Trigger]), "its own is about to be closed"


def test_an_incident_whose_resolve_is_still_on_its_way_is_not_joined() -> None:
    now = at(0, [alert()], looked(0, there(created=-60)))
    made = plan({}, now, namespace=NAMESPACE, next_episode=7, leaving=frozenset({KEY}))
    assert [type(one) for one in made.commands] == [Trigger]


def test_an_open_incident_of_a_lost_journal_is_closed_by_what_it_says_of_itself() -> None:
    """An element of a Prometheus rule, or a group: its key cannot be guessed while it is healthy."""

    def stranger(namespace: str = NAMESPACE, uids: tuple[str, ...] = ("redeem", "pay")) -> Seen:
        origin = SeenOrigin(namespace, uids, "Group of promo", "money")
        one = SeenIncident("opsctl/element", "Q5", "triggered", T0, T0, origin=origin)
        return Seen(T0, {one.key: one}, complete=True)

    def made(look: Seen, fresh: tuple[str, ...]) -> list[tuple[str, str]]:
        before: Mapping[str, JournalAlert] = {}
        for minute in (0, 5):
            now = at(minute, (), {"pagerduty": look}, fresh=fresh, loaded=("redeem", "pay"))
            done = plan(before, now, namespace=NAMESPACE, next_episode=1)
            before = done.after
        return [(one.key, one.route) for one in done.commands]

    assert made(stranger(), ("redeem", "pay")) == [("opsctl/element", "pagerduty/money")]
    assert made(stranger(), ("redeem",)) == [], "one of its rules was not seen"
    assert made(stranger("prod-us"), ("redeem", "pay")) == [], "another environment's"
    assert made(stranger(uids=("gone",)), ("redeem", "pay")) == [], (
        "a rule that is not loaded here may be another host's"
    )


def test_a_dependency_that_somebody_looks_at_stands_for_the_page() -> None:
    wallet = told(
        alert=alert("wallet-db", service="wallet"), key="opsctl/wallet", visible=T0, seen_at=T0, remote_id="Q1"
    )
    shown = replace(there(), key="opsctl/wallet")
    needs = Routing(NAMESPACE, dependencies={"promo": frozenset({"wallet"})})

    def made(before: JournalAlert, minute: float, look: dict[str, Seen], routing: Routing = needs) -> Plan:
        known = {wallet.key: wallet, **({before.key: before} if before.alert.rule_uid == "redeem" else {})}
        alerts = [alert(), alert("wallet-db", service="wallet")]
        now = replace(at(minute, (), look, fresh=("redeem", "wallet-db")), alerts=tuple(alerts[:1]), routing=routing)
        return plan(known, now, namespace=NAMESPACE, next_episode=7)

    held = made(wallet, 1, looked(1, shown))
    [note] = held.commands
    assert isinstance(note, Note)
    assert (note.key, note.episode) == ("opsctl/wallet", 7)
    assert held.after[KEY].withheld == "inhibited by #1: WalletDbBudgetBurn on wallet, which it depends on"
    still = made(held.after[KEY], 2, looked(2, shown))
    assert still.commands == (), "one note"
    blind = {"pagerduty": Seen(T0 + minutes(14), problem="HTTP 503")}
    assert made(held.after[KEY], 14, blind).commands == (), "seen a quarter of an hour ago"
    for minute, look in ((16, blind), (2, looked(2, replace(shown, status="resolved"))), (2, {})):
        sent = [one for one in made(held.after[KEY], minute, look).commands if isinstance(one, Trigger)]
        assert [one.key for one in sent] == [KEY], (minute, look)
    off = made(wallet, 1, looked(1, shown), replace(needs, inhibit=False))
    assert [type(one) for one in off.commands] == [Trigger]


def test_a_ticket_inhibits_nothing() -> None:
    low = told(
        alert=alert("wallet-db", service="wallet", severity=Severity.TICKET),
        key="opsctl/wallet",
        seen_at=T0,
        visible=T0,
    )
    now = at(1, [alert()], looked(1, replace(there(), key="opsctl/wallet")), fresh=("redeem", "wallet-db"))
    now = replace(now, routing=Routing(NAMESPACE, dependencies={"promo": frozenset({"wallet"})}))
    made = plan({low.key: low}, now, namespace=NAMESPACE, next_episode=7)
    assert [type(one) for one in made.commands] == [Trigger]


def test_times_of_a_clock_that_went_back_count_as_now() -> None:
    ahead: datetime = T0 + minutes(300)
    known = told(triggered=ahead, opened=ahead)
    after = planned(known, at(0, [alert()])).after[KEY]
    assert after.triggered == T0
    assert len(planned(after, at(60, [alert()])).commands) == 1


def test_what_an_event_closed_while_it_was_under_the_line_is_over_and_the_next_burn_is_told_at_once() -> None:
    """A run without a journal, or another host, closed what this one held open."""
    held = told(under_since=T0 + minutes(2), remote_id="Q1", visible=T0)
    for person, commands in ((False, [Trigger]), (True, [])):
        seen = looked(4, there("resolved", changed=3, person=person))
        made = planned(held, at(4, [alert()], seen))
        assert [type(one) for one in made.commands] == commands, person
    still_under = planned(held, at(4, (), looked(4, there("resolved", changed=3))))
    assert KEY not in still_under.after


def test_a_resolve_that_a_clock_ahead_saw_refused_does_not_wait_for_that_time() -> None:
    """Found by the soak: an hour ahead, refused, and the incident stayed open for that hour."""
    for ahead, sent in ((1, 0), (60, 1)):
        refused = Closing(KEY, 3, "pagerduty/money", "RedeemBudgetBurn", T0 + minutes(ahead), 1, "Q1", refused=True)
        assert len(planned(None, at(0), (refused,)).commands) == sent, "nobody can look"
        shown = there(created=-60)
        assert len(planned(None, at(0, (), looked(0, shown)), (refused,)).commands) == sent
        assert len(planned(None, at(0, (), looked(0, shown)), (replace(refused, refused=False),)).commands) == sent


def test_what_is_open_under_another_routing_key_says_nothing_of_ours() -> None:
    """Found by the soak: a route changed, the page of the next episode was taken for the end of the one before."""
    waits = Closing(KEY, 3, "pagerduty/money", "x", T0, 1, opened=T0, waiting=True, told=T0 + minutes(1))
    for to, taken_back in (("night", False), ("money", True), ("default", True)):
        later = replace(there(created=6, id_="Q2"), origin=SeenOrigin(NAMESPACE, ("redeem",), to=to))
        made = planned(None, at(9, (), looked(9, later)), (waits,))
        assert bool(made.sightings) == taken_back, to


def test_an_open_page_stands_for_the_next_episode_where_nobody_took_it_or_was_asked_to_close_it() -> None:
    """Found by the soak: two hosts after an outage; the late resolve of one closed the new page of the other."""
    waits = Closing(KEY, 3, "pagerduty/money", "x", T0, 1, opened=T0, waiting=True, begun=False)
    shown = there(created=6, id_="Q2")

    def made(closing: Closing, incident: SeenIncident, alerts: list[Alert]) -> tuple[list[str], list[str]]:
        now = at(9, alerts, looked(9, incident))
        done = plan({}, now, namespace=NAMESPACE, next_episode=7, closings=(closing,), leaving=frozenset({KEY}))
        taken_back = [one.status for one in done.sightings if one.episode == 3]
        return taken_back, [type(one).__name__ for one in done.commands]

    assert made(waits, shown, [alert()]) == (["resolved"], [])
    assert made(waits, shown, []) == ([], []), "nothing fires: it is closed"
    kept = ([], ["Trigger"])
    assert made(replace(waits, begun=True), shown, [alert()]) == kept, "it may be closed at this moment"
    assert made(replace(waits, told=T0 + minutes(6)), shown, [alert()]) == kept, "a person may be done with it"
    assert made(waits, replace(shown, status="acknowledged"), [alert()]) == kept, "it wakes nobody any more"
