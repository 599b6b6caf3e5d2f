"""Alerts of a cycle beside the journal's: joined by key, of another run said to be so, nothing joined across time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from opsctl.core.alert_rows import AlertRow, alert_rows
from opsctl.core.alerts import Alert, AlertState
from opsctl.core.commands import JournalAlert
from opsctl.core.keys import key_of
from opsctl.core.routing import Matcher, Route, Routing
from opsctl.core.rules import Outcome, Verdict
from opsctl.ports import Incident
from opsctl.views.active_alerts import ActiveAlert, active_alerts, counted
from tests.tui.reports import AT, Maker

MAKER = Maker()
NAMESPACE = "prod"
ROUTING = Routing(NAMESPACE)


def journal(alert: Alert, *, under: bool = False, route: str = "pagerduty/money") -> AlertRow:
    """What the journal has of it."""
    key = key_of(NAMESPACE, alert)
    held = AT if under else None
    one = JournalAlert(key, alert, route, 7, AT, 1, AT, under_since=held)
    return alert_rows({key: one}, ROUTING, AT)[0]


def incident(alert: Alert, number: int = 7) -> Incident:
    """Its open incident."""
    return replace(MAKER.incident(number, alert.service, AT), key=key_of(NAMESPACE, alert), resolved=None)


def joined(
    verdicts: list[Verdict],
    rows: list[AlertRow],
    incidents: list[Incident] | None = None,
    *,
    live: bool = True,
    routing: Routing | None = None,
) -> list[ActiveAlert]:
    """Of this cycle."""
    return active_alerts(verdicts, (), rows, incidents or [], NAMESPACE, AT, live=live, routing=routing)


def failing(service: str = "wallet") -> Verdict:
    """A rule that fires."""
    return MAKER.verdict(service, Outcome.FAIL, AT)


def test_an_alert_has_the_journals_word_on_who_is_told_and_its_incident() -> None:
    """Joined by its dedup key."""
    verdict = failing()
    alert = verdict.alerts[0]
    (one,) = joined([verdict], [journal(alert)], [incident(alert)])
    assert (one.state, one.to, one.number, one.judged) == ("firing", "pagerduty/money", "#7", True)


def test_an_alert_that_no_run_wrote_down_says_where_it_would_go() -> None:
    """By the routes of now; without them nothing is said."""
    routing = Routing(NAMESPACE, (Route("webhook/chat", (Matcher("service", "=", "wallet"),)),))
    (one,) = joined([failing()], [], routing=routing)
    assert one.to == "webhook/chat/money"
    assert one.row is not None
    assert not one.row.told
    assert joined([failing()], [])[0].to == ""


def test_what_only_the_journal_has_is_said_to_be_of_another_run() -> None:
    """No rule of that uid was judged; or it was, and is over; or nobody could say."""
    alert = failing().alerts[0]
    for verdicts, words in (
        ([], "of another run"),
        ([MAKER.verdict("wallet", Outcome.PASS, AT)], "judged just now it is over"),
        ([MAKER.verdict("wallet", Outcome.UNKNOWN, AT)], "nobody could judge"),
    ):
        (one,) = joined(verdicts, [journal(alert)])
        assert words in one.aside
        assert not one.judged


def test_an_incident_that_is_held_open_is_no_firing_alert() -> None:
    """Under its line: held, after what fires and before what is pending."""
    pending, alert = MAKER.verdict("chat", Outcome.WARN, AT), failing("gateway").alerts[0]
    found = joined([failing("wallet"), pending], [journal(alert, under=True)])
    assert [(one.state, one.alert.service) for one in found] == [
        ("firing", "wallet"),
        ("held", "gateway"),
        ("pending", "chat"),
    ]
    assert counted(found) == {"firing": 1, "pending": 1, "held": 1}


def test_a_group_stands_for_its_members() -> None:
    """A member has the group's word and incident, and the group is no row of its own."""
    verdict = failing()
    alert = verdict.alerts[0]
    group = replace(alert, rule_uid="group/team", identity=(), members=((alert.rule_uid, key_of(NAMESPACE, alert)),))
    (one,) = joined([verdict], [journal(group)], [incident(group, 9)])
    assert one.alert is alert
    assert (one.to, one.number) == ("pagerduty/money", "#9")


def test_at_another_time_the_journals_word_of_now_is_left_out() -> None:
    """But for the incident that was open then."""
    verdict = failing()
    alert = verdict.alerts[0]
    old = replace(incident(alert, 3), opened=AT - timedelta(hours=1), resolved=AT + timedelta(minutes=1))
    new = replace(incident(alert, 8), opened=AT + timedelta(hours=1))
    (one,) = joined([verdict], [journal(alert)], [new, old], live=False)
    assert (one.row, one.number, one.to) == (None, "#3", "pagerduty/money")


def test_a_firing_alert_hides_a_pending_one_of_the_same_key() -> None:
    """As the router has it."""
    verdict = failing()
    both = replace(verdict, alerts=(replace(verdict.alerts[0], state=AlertState.PENDING), verdict.alerts[0]))
    (one,) = joined([both], [])
    assert one.state == "firing"
