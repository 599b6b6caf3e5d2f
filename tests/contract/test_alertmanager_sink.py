"""The Alertmanager sink against real ones, 0.31 and 0.25: labels, resending, resolves that are seen, wrong clocks."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from opsctl.adapters.sinks.alertmanager import LASTS, Alertmanager, FarSide, label_name, labels_of
from opsctl.adapters.sinks.alertmanager_reader import AlertmanagerReader
from opsctl.adapters.sinks.posting import Server
from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.commands import Resolve, Trigger
from opsctl.core.events import encode, event_of, minimal
from opsctl.core.reconcile import VISIBLE_WITHIN
from opsctl.core.seen import Seen, SeenOrigin
from opsctl.core.slo import Severity
from opsctl.http import Endpoint
from opsctl.ports import SinkEvent
from tests.contract.sink_world import answer, event
from tests.servers.alertmanager import Alertmanager as Real
from tests.servers.misbehaving import Behaviour, Misbehaving

Serve = Callable[[Behaviour], Misbehaving]
SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TIMEOUT = 5.0


@dataclass
class Pair:
    """A sink and the reader beside it, with a clock that may be wrong by `off`."""

    server: Real
    namespace: str = field(default_factory=lambda: f"am-{uuid.uuid4().hex}")
    lasts: timedelta = LASTS
    off: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        far = FarSide(lambda: datetime.now(UTC) + self.off)
        self.sink = Alertmanager(Server(Endpoint(self.server.url)), self.namespace, far, self.lasts)
        self.reader = AlertmanagerReader(Server(Endpoint(self.server.url)), self.namespace, far)

    def send(self, one: SinkEvent) -> None:
        """Send what must be accepted."""
        delivery = self.sink.send(one, TIMEOUT)
        assert delivery.outcome == "accepted", delivery

    def look(self, *keys: str) -> Seen:
        """A look that must work."""
        seen = self.reader.look(keys, {}, TIMEOUT)
        assert seen.problem is None
        assert seen.complete
        return seen

    def close(self) -> None:
        self.sink.close()
        self.reader.close()


@pytest.fixture
def pair(alertmanager: Real) -> Iterator[Pair]:
    made = Pair(alertmanager)
    yield made
    made.close()


def shown(pair: Pair) -> list[dict[str, Any]]:
    """Everything of ours that the real API shows, asked without our reader."""
    found = http(pair.server.url + "/api/v2/alerts")
    return [one for one in found if one["labels"].get("namespace") == pair.namespace]


def http(url: str, body: Any = None) -> Any:
    """JSON in, JSON out."""
    raw = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, raw, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as found:
        return json.loads(found.read() or b"null")


def alert(identity: tuple[tuple[str, str], ...] = (), **changes: Any) -> Alert:
    """An alert of the core."""
    given: dict[str, Any] = {
        "rule_uid": "slo:pay",
        "rule_name": "PaymentsBurn",
        "service": "payments",
        "team": "money",
        "severity": Severity.PAGE,
        "identity": identity,
        "labels": (),
        "state": AlertState.FIRING,
        "cause": Cause.BURN,
        "since": SINCE,
        "summary": "payments burn 9× their budget",
        "description": "people cannot pay",
        "evidence": ("10 % bad", "the line is 1.4 %"),
        "runbook": "https://runbooks.example/pay",
    }
    return Alert(**(given | changes))


def trigger(one: Alert, key: str = "opsctl/1", episode: int = 7, links: dict[str, str] | None = None) -> SinkEvent:
    """The event that opens an incident for it, as the journal writes it."""
    return SinkEvent(one.team, event_of(Trigger(key, episode, "alertmanager/", one), "prod", links or {}), "id")


def resolve(opened: SinkEvent, episode: int = 7) -> SinkEvent:
    """The event that ends it, as the journal writes it."""
    body = json.loads(opened.body)
    command = Resolve(body["dedup_key"], episode, "alertmanager/", "PaymentsBurn", "over")
    return SinkEvent(opened.key, event_of(command, "prod", {}, body), "id2")


# -- what an event becomes


def test_a_trigger_becomes_one_alert_with_the_words_of_the_rule(pair: Pair) -> None:
    before = datetime.now(UTC)
    pair.send(trigger(alert((("region", "eu"),)), links={"dashboard": "https://g.example/d/1?var-a=b%20c"}))
    (one,) = shown(pair)
    assert one["labels"] == {
        "alertname": "PaymentsBurn",
        "severity": "page",
        "service": "payments",
        "team": "money",
        "namespace": pair.namespace,
        "rule_uid": "slo:pay",
        "region": "eu",
        "opsctl_key": "opsctl/1",
    }
    assert one["annotations"] == {
        "summary": "payments burn 9× their budget",
        "description": "people cannot pay",
        "evidence": "10 % bad\nthe line is 1.4 %",
        "runbook_url": "https://runbooks.example/pay",
        "link": "https://g.example/d/1?var-a=b%20c",
        "incident": "#7",
        "look": "opsctl incident show '#7'",
    }
    assert one["generatorURL"] == "https://g.example/d/1?var-a=b%20c"
    assert datetime.fromisoformat(one["startsAt"]) == SINCE
    lasts = datetime.fromisoformat(one["endsAt"]) - before
    assert timedelta(milliseconds=-1) <= lasts - LASTS < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("severity", "word"), [(Severity.PAGE, "page"), (Severity.TICKET, "ticket"), (Severity.SHOW, "show")]
)
def test_the_severity_is_our_own_word_as_in_routes_and_rules(pair: Pair, severity: Severity, word: str) -> None:
    pair.send(trigger(alert(severity=severity)))
    assert shown(pair)[0]["labels"]["severity"] == word


HOSTILE = {
    "names": (
        ("a.b", "1"),
        ("a_b", "2"),
        ("a-b", "3"),
        ("1x", "4"),
        ("", "5"),
        ("é", "6"),
        ("__name__", "7"),
        (" ", "8"),
    ),
    "own names": (("alertname", "x"), ("service", "y"), ("severity", "z"), ("opsctl_key", "k"), ("namespace", "n")),
    "values": (
        ("nul", "\0"),
        ("esc", "\x1b[31m"),
        ("line", "a\nb"),
        ("bidi", "\u202e"),
        ("json", '"}],{'),
        ("s", "\ud800"),
    ),
    "empty and blank": (("empty", ""), ("blank", " ")),
    "long": (("x" * 3000, "y" * 100_000),),
    "many": tuple((f"label{n}", str(n)) for n in range(150)),
    "reserved": (("{{ .Labels }}", "{{ template }}"), ("$(id)", "`id`"), ("%s", "%n")),
}


@pytest.mark.parametrize("identity", HOSTILE.values(), ids=list(HOSTILE))
def test_no_label_of_a_rule_makes_alertmanager_refuse_the_page(
    pair: Pair, identity: tuple[tuple[str, str], ...]
) -> None:
    opened = trigger(alert(identity))
    pair.send(opened)
    (one,) = shown(pair)
    assert set(pair.look("opsctl/1").incidents) == {"opsctl/1"}
    kept = [value for name, value in identity if value]
    values = [value for name, value in one["labels"].items()]
    assert len([value for value in kept if value.isprintable() and len(value) < 99 and value not in values]) == 0
    pair.send(resolve(opened))
    assert shown(pair) == []


@pytest.mark.parametrize(
    "link",
    [
        "https://x/%zz",
        "https://x/a b",
        "https://[::1",
        "https://",
        "http://x:99999999/",
        "https://x/\u202e",
        "https://x/{}",
    ],
)
def test_no_link_makes_alertmanager_refuse_the_page(pair: Pair, link: str) -> None:
    pair.send(trigger(alert(runbook=link), links={"dashboard": link}))
    assert [one["annotations"]["link"] for one in shown(pair)] == [link]


@pytest.mark.parametrize("text", ["\0\x1b[31m\u202e", "s" * 100_000, "{{ .Labels }}", "\ud800", ""])
def test_no_text_of_a_rule_makes_alertmanager_refuse_the_page(pair: Pair, text: str) -> None:
    changed = alert(summary=text, description=text, evidence=(text,) * 60, rule_name=text, service=text, team=text)
    pair.send(trigger(changed))
    assert len(shown(pair)) == 1


def test_two_rules_whose_labels_read_the_same_are_two_alerts(pair: Pair) -> None:
    """What differs beyond what a label holds differs in the key."""
    for number, tail in enumerate("ab"):
        pair.send(trigger(alert((("long", "x" * 5000 + tail),)), key=f"opsctl/{number}"))
    assert set(pair.look().incidents) == {"opsctl/0", "opsctl/1"}


def test_names_are_mapped_to_what_every_version_takes() -> None:
    assert [label_name(name) for name in ("a.b", "1x", "", "é", "ok_9")] == ["a_b", "_1x", "_", "_", "ok_9"]


def test_a_group_keeps_its_labels_while_members_come_and_go() -> None:
    """Else each new member would be a new alert, and page again."""
    one = alert((("team", "money"),), rule_uid="group/alertmanager/")
    more = alert((("team", "money"),), rule_uid="group/alertmanager/", rule_name="Group of money", service="chat")
    first, second = (labels_of(json.loads(trigger(each).body), "prod") for each in (one, more))
    assert first == second
    assert (first["alertname"], first["team"]) == ("Group of money", "money")
    assert "service" not in first


# -- it lives as long as somebody says it


def test_an_alert_stays_while_it_is_said_again_and_goes_when_it_is_not(alertmanager: Real) -> None:
    pair = Pair(alertmanager, lasts=timedelta(seconds=2))
    for _ in range(5):
        pair.send(event())
        time.sleep(0.8)
        assert set(pair.look("opsctl/1").incidents) == {"opsctl/1"}
    time.sleep(2.2)
    assert pair.look("opsctl/1").absent == {"opsctl/1"}
    pair.close()


def test_saying_it_again_changes_no_start_and_moves_the_end(pair: Pair) -> None:
    pair.send(event())
    (before,) = shown(pair)
    time.sleep(0.05)
    pair.send(event(number=1))
    (after,) = shown(pair)
    assert (before["startsAt"], before["fingerprint"]) == (after["startsAt"], after["fingerprint"])
    assert before["endsAt"] < after["endsAt"]


def test_a_new_member_in_the_words_changes_the_annotations_only(pair: Pair) -> None:
    pair.send(trigger(alert()))
    pair.send(trigger(alert(summary="payments burn 12× their budget")))
    (one,) = shown(pair)
    assert one["annotations"]["summary"] == "payments burn 12× their budget"


# -- resolves, and that they are seen


def test_a_resolve_is_seen_in_the_next_look(pair: Pair) -> None:
    for key in ("opsctl/1", "opsctl/2"):
        pair.send(trigger(alert(), key))
    assert pair.look("opsctl/1", "opsctl/3").absent == {"opsctl/3"}
    pair.send(resolve(trigger(alert(), "opsctl/1")))
    seen = pair.look("opsctl/1", "opsctl/2")
    assert (set(seen.incidents), seen.absent) == ({"opsctl/2"}, {"opsctl/1"})


def test_a_resolve_ends_what_was_told_under_other_words(pair: Pair) -> None:
    """The rule was renamed or moved to another team, or its full event was refused and the minimal one taken."""
    renamed = trigger(alert(rule_name="PaymentsSlow", team="checkout"))
    small = SinkEvent("money", encode(minimal(json.loads(trigger(alert()).body))))
    for one in (trigger(alert()), renamed, small):
        pair.send(one)
    assert len(shown(pair)) == 3
    pair.look("opsctl/1")
    pair.send(resolve(trigger(alert())))
    assert shown(pair) == []


def test_a_resolve_that_knows_no_trigger_ends_what_a_look_showed(pair: Pair) -> None:
    """The sweep of a new journal: the host before it opened the incident."""
    bare = SinkEvent("money", encode({"event_action": "resolve", "dedup_key": "opsctl/1"}))
    pair.send(trigger(alert()))
    assert "nothing was sent" in pair.sink.send(bare).message
    pair.look()
    pair.send(bare)
    assert pair.look("opsctl/1").absent == {"opsctl/1"}


def test_the_next_incident_of_a_key_is_another_one(pair: Pair) -> None:
    """Its labels and so its fingerprint are the same: taken for the old one, it would never be seen."""
    first = trigger(alert(), episode=7)
    pair.send(first)
    old = pair.look().incidents["opsctl/1"]
    pair.send(resolve(first))
    pair.send(trigger(alert(since=datetime.now(UTC)), episode=8))
    new = pair.look().incidents["opsctl/1"]
    assert (old.id != new.id, new.open) == (True, True)


def test_an_incident_says_whose_it_is_so_that_a_lost_journal_can_close_it(pair: Pair) -> None:
    """A group's members are in its words; cut off, they name a rule that does not exist, and nothing is closed."""
    members = (("slo:pay", "k1"), ("rule:chat slow", "k2"))
    pair.send(trigger(alert()))
    pair.send(trigger(alert(rule_uid="group/alertmanager/", members=members), "opsctl/2"))
    one, group = (pair.look().incidents[key].origin for key in ("opsctl/1", "opsctl/2"))
    assert one == SeenOrigin(pair.namespace, ("slo:pay",), "PaymentsBurn", "money")
    assert group is not None
    assert group.rule_uids == ("slo:pay", "rule:chat slow")


def test_an_alert_that_alertmanager_silences_is_still_open(pair: Pair) -> None:
    pair.send(trigger(alert()))
    matcher = {"name": "namespace", "value": pair.namespace, "isRegex": False, "isEqual": True}
    until = datetime.now(UTC) + timedelta(minutes=5)
    silence = {
        "matchers": [matcher],
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": until.isoformat(),
        "createdBy": "ana",
        "comment": "known",
    }
    http(pair.server.url + "/api/v2/silences", silence)
    deadline = time.monotonic() + 10
    while shown(pair)[0]["status"]["state"] != "suppressed" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shown(pair)[0]["status"]["state"] == "suppressed"
    assert pair.look("opsctl/1").incidents["opsctl/1"].status == "triggered"


def test_the_reader_sees_its_own_namespace_only_and_its_link_leads_to_the_alert(alertmanager: Real) -> None:
    hostile = f'pr"od\\\n{{}} é {uuid.uuid4().hex}'
    pairs = [Pair(alertmanager, hostile), Pair(alertmanager)]
    pairs[0].send(trigger(alert()))
    assert pairs[1].look("opsctl/1").absent == {"opsctl/1"}
    seen = pairs[0].look("opsctl/1").incidents["opsctl/1"]
    query = urllib.parse.unquote(urllib.parse.urlsplit(seen.url).fragment)
    assert query == '/alerts?filter={opsctl_key="opsctl/1"}'
    for pair in pairs:
        pair.close()


# -- clocks


@pytest.mark.parametrize("minutes", [-600, -30, -3, 3, 30, 600])
def test_a_wrong_clock_of_ours_hides_no_page_and_keeps_no_incident_open(alertmanager: Real, minutes: int) -> None:
    """The first look tells how far apart the clocks are; every run looks before it sends."""
    pair = Pair(alertmanager, off=timedelta(minutes=minutes))
    pair.look()
    opened = trigger(alert(since=datetime.now(UTC) + pair.off))
    pair.send(opened)
    assert set(pair.look("opsctl/1").incidents) == {"opsctl/1"}
    pair.send(resolve(opened))
    assert pair.look("opsctl/1").absent == {"opsctl/1"}
    pair.close()


@pytest.mark.parametrize("minutes", [-600, -30, 30, 600])
def test_a_wrong_clock_is_found_out_by_the_first_answer_and_the_event_said_again(
    alertmanager: Real, minutes: int
) -> None:
    """`opsctl incident resolve` does not look first; the outbox repeats what was said by the wrong clock."""
    namespace, off = f"am-{uuid.uuid4().hex}", timedelta(minutes=minutes)
    opened = trigger(alert(since=datetime.now(UTC) + off))
    for one, opens in ((opened, True), (resolve(opened), False)):
        pair = Pair(alertmanager, namespace, off=off)  # another process
        outcomes = [pair.sink.send(one).outcome for _ in range(3)]
        assert outcomes[1:] == ["accepted", "accepted"]
        assert outcomes[0] == ("retry" if (minutes < 0) == opens else "accepted")
        assert bool(shown(pair)) is opens
        pair.close()


@pytest.mark.parametrize("seconds", [-3, -0.3, 0, 0.3, 1, 3])
def test_a_clock_that_is_a_little_off_loses_no_resolve_and_costs_no_second_request(
    alertmanager: Real, seconds: float
) -> None:
    """Alertmanager keeps the later of two ends that lie ahead: a resolve that is early by a moment would be lost."""
    namespace, off = f"am-{uuid.uuid4().hex}", timedelta(seconds=seconds)
    opened = trigger(alert(since=datetime.now(UTC) + off))
    for one, opens in ((opened, True), (resolve(opened), False)):
        pair = Pair(alertmanager, namespace, off=off)
        pair.send(one)
        assert bool(shown(pair)) is opens
        pair.close()


def test_a_start_to_come_is_no_reason_to_refuse_the_page(pair: Pair) -> None:
    """Somebody set the clock back while the alert was on."""
    opened = trigger(alert(since=datetime.now(UTC) + timedelta(hours=3)))
    pair.send(opened)
    assert len(shown(pair)) == 1
    pair.send(resolve(opened))
    assert shown(pair) == []


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "yesterday", "Fri, 31 Dec 9999 23:59:59 GMT", ""])
def test_a_date_that_is_none_is_not_believed(serve: Serve, date: str) -> None:
    server = serve(answer("200 OK", b"", f"Date: {date}"))
    sink = Alertmanager(Server(Endpoint(server.url)), "prod", FarSide(lambda: SINCE))
    for _ in range(2):
        assert sink.send(event()).outcome == "accepted"
    bodies = [one[one.index(b"[{") :] for one in server.requests]
    assert [json.loads(body)[0]["endsAt"] for body in bodies] == ["2026-03-01T12:04:00.000Z"] * 2


# -- what it has no word for


def test_an_acknowledgement_is_accepted_with_the_reason_why_nothing_is_sent(pair: Pair) -> None:
    pair.send(event())
    before = shown(pair)
    delivery = pair.sink.send(event("acknowledge"))
    assert (delivery.outcome, delivery.status) == ("accepted", None)
    assert "no acknowledgements, nothing was sent" in delivery.message
    assert shown(pair) == before


@pytest.mark.parametrize("body", [b"<html>please log in</html>", b"<!doctype html>"])
def test_a_login_page_that_says_200_is_not_a_delivery(serve: Serve, body: bytes) -> None:
    server = serve(answer("200 OK", body, kind="text/html"))
    delivery = Alertmanager(Server(Endpoint(server.url)), "prod", FarSide(lambda: SINCE)).send(event())
    assert delivery.outcome == "retry"
    assert "is there a login in front?" in delivery.message


def test_a_path_prefix_of_the_url_is_kept(serve: Serve) -> None:
    server = serve(answer("200 OK", b""))
    Alertmanager(Server(Endpoint(server.url + "/am/")), "prod", FarSide(lambda: SINCE)).send(event())
    assert server.requests[0].startswith(b"POST /am/api/v2/alerts HTTP/1.1")


def test_an_accepted_page_is_visible_long_before_anybody_is_alarmed(pair: Pair) -> None:
    began = time.monotonic()
    pair.send(event())
    assert set(pair.look().incidents) == {"opsctl/1"}
    assert time.monotonic() - began < VISIBLE_WITHIN.total_seconds() / 10
