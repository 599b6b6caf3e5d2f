"""Traces and logs of the platform: whole, in proportion, correlated, and without anything that must not be logged."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from itertools import pairwise

import msgspec
import pytest

from opsctl.core.traces import Span, Trace
from opsctl.demo.faults import FAULTS
from opsctl.demo.telemetry.draw import minute_of
from opsctl.demo.telemetry.shapes import SHAPES, Step
from opsctl.demo.topology import GRPC, HTTP, NODE, SERVICES
from tests.unit.demo.minutes import FIRST, records, telemetry, traces

DOCUMENTATION = [ip_network(name) for name in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
WORLDS = ("", *FAULTS)


def _name(fault: str) -> str:
    return fault or "healthy"


def test_same_seed_same_bytes_in_any_order_and_another_seed_others() -> None:
    """A minute is a function of seed and minute: asked alone, again or backwards it has the same bytes."""
    one, two, other = telemetry(), telemetry(), telemetry(seed=8)
    forwards = [(one.traces(FIRST + at), one.records(FIRST + at)) for at in range(3)]
    backwards = [(two.traces(FIRST + at), two.records(FIRST + at)) for at in (2, 1, 0)][::-1]
    assert msgspec.json.encode(forwards) == msgspec.json.encode(backwards)
    assert {t.trace_id for t in other.traces(FIRST)} & {t.trace_id for t in forwards[0][0]} == set()
    assert msgspec.json.encode(other.records(FIRST)) != msgspec.json.encode(forwards[0][1])


@pytest.mark.parametrize("fault", WORLDS, ids=_name)
def test_every_id_is_used_once_and_tells_the_minute(fault: str) -> None:
    """Trace and span ids are unique, lower-case hex of the right length; a trace id names the minute it began in."""
    found = traces(fault)
    spans = [span for trace in found for span in trace.spans]
    assert len({trace.trace_id for trace in found}) == len(found)
    assert len({span.span_id for span in spans}) == len(spans)
    for span in spans:
        assert re.fullmatch(r"[0-9a-f]{32}", span.trace_id)
        assert re.fullmatch(r"[0-9a-f]{16}", span.span_id)
    for trace in found:
        assert minute_of(trace.trace_id) == FIRST + 10
        assert (FIRST + 9) * 60_000_000 <= trace.root.start_us < (FIRST + 10) * 60_000_000


@pytest.mark.parametrize("fault", WORLDS, ids=_name)
def test_every_child_lies_inside_its_parent(fault: str) -> None:
    """One root a trace; children are of known parents and inside them; siblings do not overlap, as calls are made in
    turn. Only a consumer of a message begins later than its producer ends."""
    for trace in traces(fault):
        assert [span for span in trace.spans if span.parent_id is None] == [trace.root]
        assert all(span.trace_id == trace.trace_id for span in trace.spans)
        assert list(trace.spans) == sorted(trace.spans, key=lambda span: span.start_us)
        for span in trace.spans:
            if span.parent_id is None:
                continue
            parent = trace.by_id[span.parent_id]
            if span.kind == "consumer":
                assert span.start_us >= parent.end_us
                assert span.links == ((trace.trace_id, parent.span_id),)
                continue
            assert parent.start_us <= span.start_us
            assert span.end_us <= parent.end_us, (parent.name, span.name)
        for below in trace.children.values():
            for one, next_one in pairwise(below):
                assert one.end_us <= next_one.start_us, (one.name, next_one.name)


def _calls(step: Step) -> set[tuple[str, str]]:
    """Caller and callee of every call that a shape can make."""
    found: set[tuple[str, str]] = set()
    for below in step.steps:
        callee = below.node or below.service
        if callee != step.service:
            found.add((step.service, callee))
        found |= _calls(below)
    return found


def test_shapes_make_the_calls_of_the_topology_and_no_other() -> None:
    """Every call of the call graph is in some trace, and no trace has one that the graph does not have."""
    graph = {(node.name, call.to) for node in NODE.values() for call in node.calls}
    assert set().union(*(_calls(shape.root) for shape in SHAPES)) == graph


def test_who_calls_whom_in_traces_is_what_the_topology_says() -> None:
    """Calls per request are those of the model, within the noise of a few hundred requests."""
    calls: Counter[tuple[str, str]] = Counter()
    served: Counter[str] = Counter()
    for trace in traces("", count=5):
        for span in trace.spans:
            if span.kind == "server":
                served[span.service] += 1
                parent = trace.by_id.get(span.parent_id or "")
                calls[parent.service if parent else "", span.service] += 1
    for name in ("promo", "payments", "market", "matchmaking"):
        for call in NODE[name].calls:
            if not NODE[call.to].third_party:
                share = calls[name, call.to] / served[name]
                assert share == pytest.approx(call.per_request, abs=0.09), (name, call.to)


def test_redemption_has_its_stages_in_order() -> None:
    """validate, account, fraud, wallet below promo.redeem, the event's producer below account; nobody is paid without
    a score, and one request has one idempotency key."""
    redemptions = [t for t in traces("", count=3) if t.root.name == "POST /promo" and len(t.spans) > 1]
    assert len(redemptions) > 300
    paid = 0
    for trace in redemptions:
        redeem = next(span for span in trace.spans if span.name == "promo.redeem")
        below = [span.name for span in trace.children[redeem.span_id]]
        assert below[:3] == ["validate", "account", "fraud.score"]
        assert below[3:] in ([], ["wallet.credit"], ["inventory.grant"], ["wallet.credit", "inventory.grant"])
        stages = [s.attributes.get("gaming.stage") for s in trace.children[redeem.span_id]]
        assert stages[:3] == ["validation", "accounting", "fraud"]
        keys = {s.attributes["gaming.idempotency_key"] for s in trace.spans if "gaming.idempotency_key" in s.attributes}
        assert len(keys) == 1
        paid += "wallet.credit" in below
    assert paid / len(redemptions) == pytest.approx(0.9, abs=0.04)


def test_kinds_and_attributes_are_opentelemetrys() -> None:
    """Every span has a region; HTTP, RPC, database and messaging spans have what the conventions want of them."""
    for trace in traces():
        for span in trace.spans:
            has = span.attributes.keys()
            assert span.attributes["gaming.region"] == span.resource["cloud.region"]
            assert span.resource["service.name"] == span.service
            assert len({s.attributes["gaming.region"] for s in trace.spans}) == 1
            match span.kind:
                case "server" if span.service in ("gateway", *HTTP):
                    assert {"http.request.method", "http.route", "http.response.status_code"} <= has
                case "server" if span.service in GRPC:
                    assert {"rpc.system", "rpc.service", "rpc.method", "rpc.grpc.status_code"} <= has
                case "client":
                    assert {"db.system.name", "db.operation.name"} <= has or {"peer.service", "server.address"} <= has
                case "producer" | "consumer":
                    assert {"messaging.system", "messaging.destination.name"} <= has


def test_promised_rates() -> None:
    """About 20 traces and 50 lines a second on a healthy platform, by day and by night, half of them a region's."""
    made = telemetry()
    for hour in (0, 6, 12, 18):
        found = made.traces(FIRST + hour * 60)
        assert len(found) / 60 == pytest.approx(20, rel=0.1)
        assert len(made.records(FIRST + hour * 60)) / 60 == pytest.approx(53, rel=0.1)
        assert sum(t.root.attributes["gaming.region"] == "eu-1" for t in found) / len(found) == pytest.approx(
            0.5, abs=0.05
        )


def test_nobody_is_missing() -> None:
    """Every service has spans and lines within two minutes."""
    assert {span.service for trace in traces("", count=2) for span in trace.spans} == set(SERVICES)
    assert {record.service for record in records("", count=2)} == set(SERVICES)


def test_times_follow_the_model() -> None:
    """Mean request times of single services are the model's, within what a few hundred log-normal draws allow."""
    found = [span for trace in traces("", count=6) for span in trace.spans if span.kind == "server"]
    for service, mean in (("wallet", 0.026), ("fraud", 0.018), ("auth", 0.051), ("payments", 0.49), ("promo", 0.08)):
        times = [span.duration_us / 1e6 for span in found if span.service == service]
        if service == "wallet":
            times = [s.duration_us / 1e6 for s in found if s.service == service and s.name != "wallet.balance"]
        assert sum(times) / len(times) == pytest.approx(mean, rel=0.12), service


@pytest.mark.parametrize("fault", WORLDS, ids=_name)
def test_lines_belong_to_spans(fault: str) -> None:
    """Each line names a span of its service in a trace of that minute, at that span's end, and every answered request
    of a service has exactly one line."""
    spans = {span.span_id: span for trace in traces(fault) for span in trace.spans}
    lines = records(fault)
    for record in lines:
        span = spans[record.span_id]
        assert (record.trace_id, record.service) == (span.trace_id, span.service)
        assert round(record.at.timestamp() * 1e6) == span.end_us
        assert (record.severity == "ERROR") == span.failed
    answered = [span for span in spans.values() if span.kind in ("server", "consumer")]
    assert len(lines) == len({record.id for record in lines}) == len(answered)
    assert [record.at for record in lines] == sorted(record.at for record in lines)


REQUIRED = {
    "event.dataset": str,
    "event.action": str,
    "event.outcome": str,
    "user.id": str,
    "source.ip": str,
    "source.geo.country_iso_code": str,
    "source.as.number": int,
    "device.id": str,
}


@pytest.mark.parametrize("fault", WORLDS, ids=_name)
def test_every_line_has_what_ecs_and_the_platform_want(fault: str) -> None:
    """All required fields, ECS's own words for kind, outcome and category, addresses of documentation ranges only."""
    for record in records(fault):
        for name, kind in REQUIRED.items():
            assert isinstance(record.fields[name], kind), name
            assert record.fields[name] != ""
        assert record.fields["event.outcome"] in ("success", "failure")
        assert record.fields["event.category"] in (["authentication"], ["api"])
        assert record.severity in ("INFO", "WARN", "ERROR")
        assert record.at.tzinfo is UTC
        assert record.message
        assert any(ip_address(str(record.fields["source.ip"])) in net for net in DOCUMENTATION)
        assert 64496 <= int(str(record.fields["source.as.number"])) <= 64511


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        double = int(digit) * 2 if place % 2 else int(digit)
        total += double - 9 if double > 9 else double
    return total % 10 == 0


@pytest.mark.parametrize("fault", WORLDS, ids=_name)
def test_nothing_looks_like_a_card_number_or_a_secret(fault: str) -> None:
    """Not a run of 13 to 19 digits anywhere in spans or lines, and so none that Luhn's sum takes; no word for secrets."""
    assert _luhn("4111111111111111")
    text = msgspec.json.encode(
        [[[span.trace_id, span.span_id, span.attributes] for span in trace.spans] for trace in traces(fault)]
    )
    text += msgspec.json.encode([[r.message, r.trace_id, r.span_id, r.id, r.fields] for r in records(fault)])
    runs = re.findall(rb"[0-9](?:[ -]?[0-9]){12,18}", text)
    assert [run for run in runs if _luhn(re.sub(rb"[ -]", b"", run).decode())] == []
    assert [run for run in runs if b" " not in run and b"-" not in run] == []
    assert re.findall(rb"(?i)bearer|api[_-]?key|cvv|password=|authorization:", text) == []


def test_a_minute_is_made_quickly() -> None:
    """1,200 traces and 3,000 lines in well under the second of computing that a slow machine may take."""
    made = telemetry()
    made.traces(FIRST)
    begun = time.process_time()
    made.traces(FIRST + 1)
    made.records(FIRST + 1)
    assert time.process_time() - begun < 1.0


# What each fault leaves behind


def _share_failed(found: tuple[Trace, ...], service: str, kind: str = "server") -> float:
    spans = [s for trace in found for s in trace.spans if s.service == service and s.kind == kind]
    return sum(span.failed for span in spans) / max(len(spans), 1)


def _slowest(trace: Trace) -> Span:
    """The span with most time of its own."""

    def own(span: Span) -> int:
        return span.duration_us - sum(below.duration_us for below in trace.children.get(span.span_id, ()))

    return max((span for span in trace.spans if span.kind != "consumer"), key=own)


def test_healthy_minutes_have_next_to_no_errors() -> None:
    """Fewer than one trace in two thousand fails."""
    found = traces("", count=6)
    assert sum(trace.errors > 0 for trace in found) / len(found) < 5e-4


def test_surge_is_redemptions_that_the_wallet_refuses() -> None:
    """Redemptions are most of the traces, a good part fails in the wallet, whose queue is where the time goes."""
    found = traces("promo-surge")
    redemptions = [t for t in found if t.root.name == "POST /promo"]
    assert len(redemptions) > len(found) / 2
    assert len(redemptions) > 6 * sum(t.root.name == "POST /promo" for t in traces())
    assert _share_failed(found, "wallet") > 0.1
    refused = [s for t in redemptions for s in t.spans if s.attributes.get("error.type") == "overloaded"]
    assert {span.service for span in refused} == {"wallet"}
    slowest = Counter((s.service, s.name) for s in map(_slowest, redemptions))
    assert slowest.most_common(1)[0][0] == ("wallet", "wallet.credit")
    lines = [r for r in records("promo-surge") if r.fields["event.action"] == "promo-redeem"]
    assert len(lines) > 6 * sum(r.fields["event.action"] == "promo-redeem" for r in records())
    assert sum(r.severity == "ERROR" for r in lines) / len(lines) > 0.1


def test_slow_database_is_seen_in_the_wallets_client_span() -> None:
    """In payments, redemptions and trades the slowest span is the wallet's request to postgres; callers inherit it."""
    found = [t for t in traces("wallet-db-slow") if t.root.name in ("POST /payments", "POST /promo", "POST /market")]
    touched = [t for t in found if any(s.service == "wallet" for s in t.spans)]
    slowest = Counter((s.service, s.kind, s.attributes.get("db.system.name")) for s in map(_slowest, touched))
    assert slowest.most_common(1)[0][0] == ("wallet", "client", "postgresql")
    assert slowest["wallet", "client", "postgresql"] / len(touched) > 0.95
    failed = [s for t in touched for s in t.spans if s.attributes.get("error.type") == "pool_timeout"]
    assert {(span.service, span.kind) for span in failed} == {("wallet", "client")}
    for trace in touched:
        if trace.errors:
            assert trace.root.failed, "errors spread from callee to caller"
    for service in ("auth", "matchmaking", "chat"):
        assert _share_failed(traces("wallet-db-slow"), service) < 1e-3


def test_backlog_is_seen_behind_the_queue() -> None:
    """Tickets are taken a minute late and most have expired; creating them does not fail."""

    def lags(fault: str) -> list[float]:
        return [
            (span.start_us - trace.by_id[span.parent_id or ""].end_us) / 1e6
            for trace in traces(fault)
            for span in trace.spans
            if span.kind == "consumer"
        ]

    assert sorted(lags(""))[len(lags("")) // 2] < 1.0
    assert sorted(lags("matchmaking-backlog"))[len(lags("matchmaking-backlog")) // 2] > 30.0
    outcomes = Counter(r.fields["event.action"] for r in records("matchmaking-backlog"))
    assert outcomes["ticket-expire"] > 9 * outcomes["ticket-match"]
    assert _share_failed(traces("matchmaking-backlog"), "matchmaking") < 1e-3


def test_lost_region_falls_silent_and_its_players_fail_elsewhere() -> None:
    """No span and no line of eu-1; the surviving gateway answers its players with 503 and says whose they are."""
    found, lines = traces("region-lost"), records("region-lost")
    assert {span.attributes["gaming.region"] for trace in found for span in trace.spans} == {"us-1"}
    assert {record.fields["cloud.region"] for record in lines} == {"us-1"}
    orphans = [t for t in found if t.root.attributes.get("error.type") == "no_home_region"]
    assert len(orphans) > 200
    assert {len(trace.spans) for trace in orphans} == {1}
    assert {trace.root.attributes["gaming.home_region"] for trace in orphans} == {"eu-1"}
    assert _share_failed(found, "wallet") < 1e-3


def test_silent_chat_stops_saying_anything() -> None:
    """No span and no line of chat; its callers' requests to it fail, and say that it does not answer."""
    found, lines = traces("service-silent"), records("service-silent")
    assert not [span for trace in found for span in trace.spans if span.service == "chat"]
    assert not [record for record in lines if record.service == "chat"]
    calls = [s for t in found for s in t.spans if s.name == "egress chat"]
    assert len(calls) > 100
    assert all(span.failed for span in calls)
    assert {span.attributes["error.type"] for span in calls} == {"timeout"}
    assert _share_failed(found, "wallet") < 1e-3


def test_attack_is_thirty_times_the_wrong_passwords_from_two_networks() -> None:
    """Failed log-ins grow thirty-fold, all of the growth from the two networks; nothing else changes."""

    def wrong(fault: str) -> Counter[int]:
        return Counter(
            int(str(record.fields["source.as.number"]))
            for record in records(fault, count=10)
            if record.fields["event.action"] == "user-login" and record.fields.get("event.reason") == "bad_password"
        )

    calm, attacked = wrong(""), wrong("login-attack")
    attackers = {64506, 64507}
    assert sum(attacked.values()) / sum(calm.values()) == pytest.approx(30, rel=0.3)
    assert sum(n for number, n in attacked.items() if number not in attackers) < 2 * sum(calm.values())
    tried = [r for r in records("login-attack") if r.fields["source.as.number"] in attackers and r.service == "auth"]
    assert len({r.fields["user.id"] for r in tried}) > 0.9 * len(tried)
    assert len({r.fields["source.ip"] for r in tried}) <= 24
    assert not [r for r in records("login-attack") if r.severity == "ERROR"]


@pytest.mark.parametrize("fault", FAULTS)
def test_before_the_fault_nothing_shows(fault: str) -> None:
    """The minute before it begins has the bytes of a healthy platform."""
    assert telemetry(fault).records(FIRST - 1) == telemetry().records(FIRST - 1)
    assert telemetry(fault).traces(FIRST - 1) == telemetry().traces(FIRST - 1)


def test_times_are_of_the_minute() -> None:
    """The minute that ends at 18:00:00 holds what began from 17:59:00 on."""
    first = traces()[0].root.start_us / 1e6
    assert datetime.fromtimestamp(first, UTC).replace(second=0, microsecond=0).timestamp() == (FIRST + 9) * 60
