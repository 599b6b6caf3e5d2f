"""Who is told: matchers, hours over midnight and over the change of the clocks, groups, silences, and why."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opsctl.core.alerts import Alert, AlertState
from opsctl.core.keys import key_of
from opsctl.core.route_choice import choose, never_reached
from opsctl.core.routing import (
    Matcher,
    Route,
    Routing,
    Silence,
    ends_soon,
    labels_of,
    route_of,
    routed,
    silence_of,
    split_target,
    target,
)
from opsctl.core.slo import Severity
from opsctl.files.hours import parse_hours
from opsctl.files.matchers import excludes, parse_matchers, takes_everything
from tests.unit.paging.world import T0, alert, minutes


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def match(matchers: str, labels: dict[str, str]) -> bool:
    return all(one.holds(labels) for one in parse_matchers(matchers))


@pytest.mark.parametrize(
    ("text", "labels", "holds"),
    [
        ('team="money"', {"team": "money"}, True),
        ("team=money", {"team": "money"}, True),
        ("team=money", {"team": "money2"}, False),
        ("team=money", {}, False),
        ('team=""', {}, True),
        ("team=", {"team": "x"}, False),
        ("team!=money", {}, True),
        ("team!=money", {"team": "money"}, False),
        ("service=~wallet|payments", {"service": "payments"}, True),
        ("service=~wallet|payments", {"service": "payments-eu"}, False),
        ('service=~"wallet.*"', {"service": "wallet-eu"}, True),
        ('service!~"wallet.*"', {"service": "wallet-eu"}, False),
        ('service!~"wallet.*"', {}, True),
        ('service=~".*"', {}, True),
        ('service=~".+"', {}, False),
        ('text=~"a.b"', {"text": "a\nb"}, False),
        ('text=~"(?s)a.b"', {"text": "a\nb"}, True),
        ('text=~"\\\\d+"', {"text": "٣"}, False),
        ('text=~"(?i)ABC"', {"text": "abc"}, True),
        ('{team="a", service="b"}', {"team": "a", "service": "b"}, True),
        ("team=a,service=b,", {"team": "a", "service": "c"}, False),
        ('text="say \\"x\\", {y}"', {"text": 'say "x", {y}'}, True),
        ('"service.name"="x"', {"service.name": "x"}, True),
        ("service.name=x", {"service.name": "x"}, True),
        (' team =~ "a" ', {"team": "a"}, True),
    ],
)
def test_matchers_are_those_of_alertmanager(text: str, labels: dict[str, str], holds: bool) -> None:
    assert match(text, labels) is holds


@pytest.mark.parametrize(
    "text", ["", "{}", "team", "team==a", "team=~=a", "=a", "team=a b", 'team="a" b', 'team="a', "a=b,,c=d", 'team=~"("', 'a=~"(a+)+"', "x" * 2000 + "=a"],
)  # fmt: skip
def test_what_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a matcher|pattern|longer"):
        parse_matchers(text)


@pytest.mark.parametrize(
    "pattern",
    ["(a|a)*b", "(a+)+b", "(?:a|aa)+b", "(.*a){12}b", ".*a.*a.*a.*a.*a.*b", "(a|b){2,}", "a{2,}b{3,}c*d*e*f*"],
)
def test_an_expression_that_may_take_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"for ever|repetition inside a repetition"):
        parse_matchers(f'service=~"{pattern}"')


@pytest.mark.parametrize(
    "pattern", ["(wallet|pay.*)-eu", "[*+)]*x", "a\\\\)*", ".*x.*y.*z.*", "(a|b)?c", "\\\\Q(*+)*\\\\E.*"]
)
def test_usual_expressions_are_not(pattern: str) -> None:
    assert len(parse_matchers(f'service=~"{pattern}"')) == 1


@pytest.mark.parametrize("value", ["money", 'a"b', "a\\b", "a\nb", "", "a, b}"])
def test_a_matcher_reads_what_it_writes(value: str) -> None:
    made = Matcher("team", "=", value)
    assert parse_matchers(str(made)) == (made,)


@pytest.mark.parametrize(
    ("text", "severities", "everything"),
    [
        ('service=~".*"', Severity, True),
        ('service=~".+", team!=""', Severity, True),
        ('service!="wallet"', Severity, True),
        ('team!~"a|b"', Severity, True),
        ('severity="page"', [Severity.PAGE], True),
        ('severity=~"page|ticket"', [Severity.PAGE], True),
        ('namespace="prod"', Severity, True),
        ('region=""', Severity, True),
        ('namespace="stage"', Severity, False),
        ('severity="ticket"', [Severity.PAGE], False),
        ('severity="page"', Severity, False),
        ('service="wallet"', Severity, False),
        ('region="eu"', Severity, False),
        ('alertname=~"Disk.*"', Severity, False),
    ],
)
def test_what_takes_everything_is_known(text: str, severities: list[Severity], everything: bool) -> None:
    """Asked with names that nothing has, so that leaving a few out is no way round."""
    assert takes_everything(parse_matchers(text), "prod", severities) is everything


@pytest.mark.parametrize(
    ("text", "does"),
    [("severity=ticket", True), ("severity!=page", True), ('severity=~"ticket|show"', True), ("team=a", False), ('severity=~".*"', False)],
)  # fmt: skip
def test_only_a_matcher_of_the_severity_excludes_pages(text: str, does: bool) -> None:
    assert excludes(parse_matchers(text), Severity.PAGE) is does


# -- hours


@pytest.mark.parametrize(
    ("hours", "when", "holds"),
    [
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-01-05T08:00:00Z", True),  # Monday, 09:00
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-01-05T07:59:00Z", False),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-01-05T15:59:59Z", True),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-01-05T16:00:00Z", False),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-01-03T10:00:00Z", False),  # Saturday
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-07-06T07:00:00Z", True),  # summer: an hour earlier
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-07-06T15:30:00Z", False),
        ("Fri 22:00-06:00 UTC", "2026-01-02T23:00:00Z", True),
        ("Fri 22:00-06:00 UTC", "2026-01-03T05:59:00Z", True),  # Saturday morning is Friday's night
        ("Fri 22:00-06:00 UTC", "2026-01-02T05:00:00Z", False),  # Friday morning is Thursday's
        ("Fri 22:00-06:00 UTC", "2026-01-03T22:30:00Z", False),
        ("Sun 22:00-06:00 UTC", "2026-01-05T01:00:00Z", True),  # over the end of the week
        ("Fri-Mon 10:00-11:00 UTC", "2026-01-04T10:30:00Z", True),  # days over the end of the week
        ("Fri-Mon 10:00-11:00 UTC", "2026-01-06T10:30:00Z", False),
        ("Sat,Sun UTC", "2026-01-03T00:00:00Z", True),
        ("Sat,Sun UTC", "2026-01-05T00:00:00Z", False),
        ("08:00-12:00,13:00-17:00 UTC", "2026-01-05T12:30:00Z", False),
        ("08:00-12:00,13:00-17:00 UTC", "2026-01-05T13:00:00Z", True),
        ("20:00-00:00 UTC", "2026-01-05T23:59:00Z", True),
        ("20:00-24:00 UTC", "2026-01-05T00:00:00Z", False),
        ("Mon 23:00-01:00 America/New_York", "2026-01-06T05:30:00Z", True),  # Tuesday, 00:30 there
        # The night in which the clocks go forward (02:00 is 03:00) and back (03:00 is 02:00) in Berlin.
        ("Sat 22:00-06:00 Europe/Berlin", "2026-03-29T03:59:00Z", True),
        ("Sat 22:00-06:00 Europe/Berlin", "2026-03-29T04:00:00Z", False),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", False),  # there is no such hour
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", True),  # there are two
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", True),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T02:00:00Z", False),
    ],
)
def test_hours_are_those_of_their_zone(hours: str, when: str, holds: bool) -> None:
    assert parse_hours(hours).holds(at(when)) is holds


def test_spans_over_midnight_and_their_rest_are_the_whole_week() -> None:
    """No minute is in both or in neither."""
    night, day = parse_hours("22:00-06:00 Europe/Berlin"), parse_hours("06:00-22:00 Europe/Berlin")
    begin = at("2026-03-27T00:00:00Z")
    times = [begin + timedelta(minutes=17 * step) for step in range(5 * 24 * 4)]
    assert all(night.holds(one) != day.holds(one) for one in times)


# -- routes

TICKET = alert("slow", service="chat", team="social", severity=Severity.TICKET)
PAGE = alert("redeem", labels=(("region", "eu"),))


def test_the_first_route_that_takes_an_alert_has_it() -> None:
    routes = (
        Route("webhook/chat", parse_matchers('severity="ticket"')),
        Route("pagerduty", parse_matchers("region=eu"), key="europe"),
        Route("opsgenie"),
    )
    routing = Routing("prod", routes)
    assert route_of(TICKET, routing, T0) == ("webhook/chat/social", routes[0])
    assert route_of(PAGE, routing, T0) == ("pagerduty/europe", routes[1])
    assert route_of(alert("pay"), routing, T0) == ("opsgenie/money", routes[2])


def test_without_a_route_only_pages_are_told() -> None:
    routing = Routing("prod", (Route("none", parse_matchers("team=social, severity!=page")),), default="opsgenie")
    assert route_of(PAGE, routing, T0) == ("opsgenie/money", None)
    assert route_of(TICKET, routing, T0)[0] == ""
    assert route_of(replace(TICKET, team="x"), routing, T0) == ("", None)


def test_targets_keep_their_parts() -> None:
    for sink, key in itertools.product(("pagerduty", "webhook/chat", "console"), ("", "money", "a/b")):
        assert split_target(target(sink, key)) == (sink, key)


def test_why_an_alert_goes_there_agrees_with_where_it_goes() -> None:
    """The explanation and the decision are the same for every alert, time and list of routes."""
    pool = [
        Route("none", parse_matchers("severity=show")),
        Route("webhook/chat", parse_matchers("severity=ticket"), hours=parse_hours("Fri 02:00-04:00 UTC")),
        Route("pagerduty", parse_matchers("team=money, service!=promo"), key="m"),
        Route("opsgenie", parse_matchers('region=~"e.*"')),
        Route("console", hours=parse_hours("03:30-05:00 UTC")),
    ]
    alerts = [PAGE, TICKET, alert("x", severity=Severity.SHOW), alert("y", service="wallet")]
    for count in range(4):
        for routes in itertools.permutations(pool, count):
            for one, when in itertools.product(alerts, (T0, T0 + timedelta(hours=1), T0 + timedelta(days=1))):
                routing = Routing("prod", routes)
                choice = choose(labels_of(one, "prod"), routing, when)
                assert (choice.to, choice.route) == route_of(one, routing, when)
                asked = [passed.route for passed in choice.passed] + ([choice.route] if choice.route else [])
                assert asked == list(routes[: len(asked)])


def test_what_a_route_lacks_is_said_matcher_by_matcher() -> None:
    route = Route("console", parse_matchers("team=social, region=eu, service=x"), hours=parse_hours("Sat UTC"))
    (passed,) = choose(labels_of(PAGE), Routing(routes=(route,)), T0).passed
    words = passed.words(labels_of(PAGE))
    assert words == "team=\"social\": it is 'money'; service=\"x\": it is 'promo'; outside Sat UTC"


@pytest.mark.parametrize(
    ("texts", "unreached"),
    [
        (["", "team=a"], [1]),
        (["team=a", "team=a, region=eu"], [1]),
        (["team=a", "team=b", ""], []),
        (["severity=page", "severity=ticket", "severity=show", "team=a"], [3]),
        (["severity=page", "severity=ticket", "team=a"], []),
        (['service=~"a|b"', "service=a"], [1]),
        (['service=~"a|b"', "service=c"], []),
        (['service=~".*"', "team=a"], [1]),
        (["team=a, region=eu", "team=a"], []),
    ],
)
def test_a_route_that_nothing_reaches_is_known(texts: list[str], unreached: list[int]) -> None:
    routes = [Route(f"webhook/{n}", parse_matchers(text) if text else ()) for n, text in enumerate(texts)]
    assert [routes.index(route) for route, _ in never_reached(routes)] == unreached


def test_a_route_with_hours_leaves_the_rest_of_the_week() -> None:
    hours = parse_hours("Mon UTC")
    assert never_reached([Route("console", hours=hours), Route("opsgenie")]) == []
    both = [Route("console", hours=hours), Route("opsgenie", hours=parse_hours("Mon UTC"))]
    assert never_reached(both) == [(both[1], (both[0],))]


# -- silences


def silence(matchers: str, *, starts: float = -60, ends: float = 60, hours: str = "", name: str = "s") -> Silence:
    spans = parse_hours(hours) if hours else None
    texts = parse_matchers(matchers)
    return Silence(name, "ana", "CHG-7", texts, T0 + minutes(starts), T0 + minutes(ends), spans)


def test_a_silence_holds_from_its_start_until_before_its_end() -> None:
    one = silence("team=money", starts=0, ends=10)
    assert [one.active(T0 + minutes(m)) for m in (-0.1, 0, 9.9, 10)] == [False, True, True, False]
    assert one.silences(labels_of(PAGE), T0)
    assert not one.silences(labels_of(TICKET), T0)


def test_of_several_silences_the_one_that_ends_last_is_named() -> None:
    first, last = silence("team=money", ends=5, name="a"), silence("service=promo", ends=50, name="b")
    assert silence_of(PAGE, Routing(silences=(last, first)), T0) == last
    assert silence_of(TICKET, Routing(silences=(last, first)), T0) is None


def test_a_window_that_comes_back_holds_in_its_hours() -> None:
    one = silence("team=money", starts=-60 * 24 * 10, ends=60 * 24 * 10, hours="Fri 02:00-04:00 UTC")
    assert one.active(T0)  # a Friday, 03:00
    assert not one.active(T0 + timedelta(hours=1))
    assert one.active(T0 + timedelta(days=7))
    assert not one.active(T0 + timedelta(days=14))


def test_silences_that_end_soon_are_the_active_ones() -> None:
    found = [silence("team=a", ends=m, name=str(m)) for m in (50, 5, 70, -5)]
    assert [one.id for one in ends_soon(found, T0, timedelta(hours=1))] == ["5", "50"]


# -- groups


def grouped(*alerts: Alert, silences: tuple[Silence, ...] = (), by: tuple[str, ...] = ("service",)) -> dict[str, Alert]:
    routing = Routing("prod", (Route("pagerduty", group_by=by),), silences)
    return {key: one.alert for key, one in routed(alerts, "prod", routing, T0).items()}


def test_alerts_with_equal_labels_are_one_with_a_key_of_its_own() -> None:
    one, two, other = alert("a"), alert("b"), alert("c", service="wallet")
    found = grouped(one, two, other)
    assert sorted(len(each.members) for each in found.values()) == [1, 2]
    assert not {key_of("prod", each) for each in (one, two, other)} & found.keys()
    assert found.keys() == grouped(two, one, other).keys()
    assert found.keys() == grouped(one, other).keys()


def test_pages_and_tickets_are_never_one_group() -> None:
    found = grouped(alert("a"), alert("b", severity=Severity.TICKET))
    assert len(found) == 2


def test_a_group_says_what_fires_and_is_not_silenced() -> None:
    """A pending member and a silenced one are not spoken of: when that changes, they are new."""
    fires, pends, silenced = alert("a"), alert("b", state=AlertState.PENDING), alert("c")
    (group,) = grouped(fires, pends, silenced, silences=(silence("rule_uid=c"),)).values()
    assert group.state is AlertState.FIRING
    assert [uid for uid, _ in group.members] == ["a"]
    assert "c burns" not in group.summary
    (group,) = grouped(fires, replace(pends, state=AlertState.FIRING), silenced).values()
    assert {uid for uid, _ in group.members} == {"a", "b", "c"}
    assert group.summary.startswith("3 alerts: ")


def test_a_group_is_silenced_when_all_that_fire_are() -> None:
    routing = Routing("prod", (Route("pagerduty", group_by=("service",)),), (silence("rule_uid=a"),))
    (both,) = routed([alert("a"), alert("b")], "prod", routing, T0).values()
    (alone,) = routed([alert("a"), alert("b", state=AlertState.PENDING)], "prod", routing, T0).values()
    assert both.silence == ""
    assert alone.silence.startswith("silenced by ana until ")
    assert alone.alert.state is AlertState.FIRING


def test_a_label_that_is_not_there_groups_as_empty() -> None:
    found = grouped(alert("a"), alert("b", labels=(("region", ""),)), by=("region",))
    assert len(found) == 1


def test_silences_end_in_utc() -> None:
    one = silence("team=a", ends=60)
    assert str(one) == "silenced by ana until 2026-05-01 04:00Z: CHG-7"
    assert one.ends.tzinfo is UTC


def test_a_group_stays_one_incident_when_hours_change_where_it_goes() -> None:
    """Nobody is paged again because the office closed."""
    day = parse_hours("Mon-Fri 09:00-17:00 UTC")
    routes = (Route("webhook/chat", hours=day, group_by=("service",)), Route("pagerduty", group_by=("service",)))
    routing = Routing(routes=routes)
    monday = datetime(2026, 5, 4, 10, tzinfo=UTC)
    alerts = [alert("redeem"), alert("pay")]
    [by_day] = routed(alerts, "prod-eu", routing, monday).values()
    [by_night] = routed(alerts, "prod-eu", routing, monday + timedelta(hours=10)).values()
    assert (by_day.to, by_night.to) == ("webhook/chat/money", "pagerduty/money")
    assert by_day.key == by_night.key
    assert by_day.alert.rule_uid == "group/service,team"


def test_a_group_is_of_one_team_where_the_team_chooses_the_key() -> None:
    alerts = [alert("redeem"), alert("chat", team="social")]
    one_key = routed(alerts, "prod-eu", Routing(routes=(Route("pagerduty", key="all", group_by=("service",)),)), T0)
    by_team = routed(alerts, "prod-eu", Routing(routes=(Route("pagerduty", group_by=("service",)),)), T0)
    assert sorted(one.to for one in one_key.values()) == ["pagerduty/all"]
    assert sorted(one.to for one in by_team.values()) == ["pagerduty/money", "pagerduty/social"]
