"""Reports made by hand, of any size and with any text in every field that comes from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from opsctl.core.alerts import Alert, AlertState, Cause
from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.commands import JournalAlert
from opsctl.core.evidence import sealed
from opsctl.core.replay import BackendRecord
from opsctl.core.routing import Routing
from opsctl.core.rules import AlertingRule, Asked, BudgetEvidence, Evidence, Outcome, Verdict, WindowEvidence
from opsctl.core.signals import Reason, Sample, Signal
from opsctl.core.slo import BurnRow, BurnTable, Origin, Severity, Slo, WindowQueries
from opsctl.ports import Incident
from opsctl.ports.runbooks import RunbookRun
from opsctl.tui.report import Report
from opsctl.views.alerts import alert_rows
from opsctl.views.changes import Change
from opsctl.views.rates import Rates

AT = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)
HOUR, MINUTES = timedelta(hours=1), timedelta(minutes=5)
WINDOWS = (MINUTES, HOUR, timedelta(days=30))
BURN = BurnTable("two", (BurnRow(Severity.PAGE, HOUR, MINUTES, 14.4),))
OUTCOMES = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.WARN, Outcome.NO_DATA, *(Outcome.PASS,) * 12)

Say = Callable[[str], str]
"""What a field says that would usually say this."""


def plainly(text: str) -> str:
    """As it usually is."""
    return text


@dataclass(frozen=True)
class Maker:
    """Makes the parts of a report; every text from outside goes through `say`."""

    say: Say = plainly

    def slo(self, service: str) -> Slo:
        """An objective on a service."""
        queries = {w: WindowQueries(self.say(f"bad[{w}]"), self.say(f"all[{w}]")) for w in WINDOWS}
        return Slo(
            name=self.say(f"{service}-success"),
            uid=f"slo-{service}",
            service=service,
            team=self.say("money"),
            target=0.999,
            period=WINDOWS[-1],
            severity=Severity.PAGE,
            burn=BURN,
            part="bad",
            queries=MappingProxyType(queries),
            missing_part="zero",
            on_no_data=Severity.PAGE,
            on_no_events="unknown",
            confidence=0.95,
            origin=Origin("slo.yaml", 1),
            display_name=self.say("it works"),
            runbook="PromoSurge",
        )

    def alerting(self, service: str) -> AlertingRule:
        """An alert rule on a service."""
        return AlertingRule(
            name=self.say("HighLatency"),
            uid=f"rule-{service}",
            expr=self.say("latency > 1"),
            for_=MINUTES,
            keep_firing_for=timedelta(0),
            labels=MappingProxyType({"severity": "page", "zone": self.say("eu-1")}),
            annotations=MappingProxyType({"summary": self.say("it is slow")}),
            group="g",
            interval=timedelta(minutes=1),
            limit=0,
            query_offset=timedelta(0),
            severity=Severity.TICKET,
            origin=Origin("rules.yaml", 1),
            service=service,
            team=self.say("money"),
        )

    def alert(self, service: str, state: AlertState, at: datetime, uid: str = "") -> Alert:
        """An alert of it."""
        return Alert(
            rule_uid=uid or f"slo-{service}",
            rule_name=self.say("SuccessBudgetBurn"),
            service=service,
            team=self.say("money"),
            severity=Severity.PAGE,
            identity=(("slo", self.say(f"{service}-success")),),
            labels=(("zone", self.say("eu-1")),),
            state=state,
            cause=Cause.BURN,
            since=at - timedelta(minutes=12),
            summary=self.say("it burns 37× its budget"),
            value=37.0,
            description=self.say("a longer text"),
            runbook="PromoSurge",
            evidence=(self.say("bad events: 12 of 100"),),
            frozen=self.say("no answer") if state is AlertState.PENDING else None,
        )

    def verdict(self, service: str, outcome: Outcome, at: datetime, *, rule: bool = False) -> Verdict:
        """What a rule came to."""
        failed = outcome in (Outcome.UNKNOWN, Outcome.NO_DATA)
        asked = Asked(
            self.say("sum(increase(bad[5m]))"),
            at,
            "failed" if failed else "measured",
            self.say("prometheus http://127.0.0.1:9090"),
            None if failed else 12.0,
            1,
            self.say("connection refused") if failed else None,
            (self.say("a warning"),),
            Reason.UNREACHABLE if failed else None,
            (Sample((("zone", self.say("eu-1")),), 2.0),),
        )
        windows = tuple(
            WindowEvidence(w, *((None,) * 4 if failed else (37.0, 1000.0, 0.037, 37.0)), threshold=0.0144)  # type: ignore[arg-type]
            for w in (MINUTES, HOUR)
        )
        budget = None if failed else BudgetEvidence(at - timedelta(minutes=3), 10.0, 100_000.0, 0.9)
        evidence = _sealed(Evidence(at, (asked,), windows, budget, (self.say("a warning of the whole"),)))
        state = {Outcome.FAIL: AlertState.FIRING, Outcome.WARN: AlertState.PENDING}.get(outcome)
        made = self.alerting(service) if rule else self.slo(service)
        alerts = (self.alert(service, state, at, made.uid),) if state else ()
        return Verdict(
            made, outcome, self.say(f"burns 37× its budget of {service}"), evidence, alerts, fresh=not failed
        )

    def incident(self, number: int, service: str, at: datetime) -> Incident:
        """An incident."""
        return Incident(
            episode=number,
            key=f"opsctl/{number:040x}",
            rule_uid=f"slo-{service}",
            rule_name=self.say("SuccessBudgetBurn"),
            service=service,
            team=self.say("money"),
            severity="page",
            cause="burn",
            summary=self.say("it burns"),
            runbook="PromoSurge",
            opened=at - timedelta(minutes=11),
            state="firing" if number % 3 else "resolved",
            delivery="accepted",
            acknowledged=at if number % 2 else None,
            resolved=None if number % 3 else at,
            reason=self.say("fresh data"),
            last_error=self.say("HTTP 503"),
            route="pagerduty/money",
            withheld=self.say("silenced by ana"),
            remote_id="Q1",
            remote_url="https://pd.example/incidents/Q1",
        )

    def catalogue(self, names: list[str]) -> Catalogue:
        """The services, each needing the next."""
        services = {
            name: Service(
                name,
                1,
                self.say("money"),
                depends_on=(names[(i + 1) % len(names)],),
                links={"runbook": self.say("https://wiki.example")},
            )
            for i, name in enumerate(names)
        }
        return Catalogue(MappingProxyType(services))

    def report(self, names: list[str], number: int = 1, at: datetime = AT) -> Report:
        """A whole report on these services."""
        verdicts = [self.verdict(one, OUTCOMES[i % len(OUTCOMES)], at) for i, one in enumerate(names)]
        verdicts += [
            self.verdict(one, OUTCOMES[(i + 3) % len(OUTCOMES)], at, rule=True) for i, one in enumerate(names[:50])
        ]
        alerts = {
            f"opsctl/{i:040x}": JournalAlert(
                f"opsctl/{i:040x}", alert, "pagerduty/money", i + 1, at, 1, at, withheld=self.say("silenced by ana")
            )
            for i, alert in enumerate(a for v in verdicts[:40] for a in v.alerts)
        }
        start = at.timestamp() - 3600
        points = tuple((start + 60 * i, 100.0 + (i * 7 + number) % 31) for i in range(60))
        some = Rates(points, tuple((t, v / 1e5) for t, v in points), tuple((t, v / 1e3) for t, v in points))
        return Report(
            number=number,
            at=at,
            made=at,
            live=True,
            verdicts=tuple(verdicts),
            stale=(self.alert("", AlertState.FIRING, at, "opsctl/stale"),),
            backends=(
                BackendRecord(self.say("prometheus http://127.0.0.1:9090"), "ok", None, 0.2, 20),
                BackendRecord(
                    self.say("elasticsearch http://127.0.0.1:9200"),
                    "failed",
                    self.say("refused"),
                    1.0,
                    3,
                    signal=Signal.LOGS,
                ),
                BackendRecord(
                    self.say("jaeger http://127.0.0.1:16686"), "partial", self.say("cut"), 1.0, 3, signal=Signal.TRACES
                ),
            ),
            took_seconds=0.3,
            incidents=tuple(self.incident(i + 1, one, at) for i, one in enumerate(names[:30])),
            alerts=tuple(alert_rows(alerts, Routing("prod"), at)),
            problems=(self.say("journal: a problem"),),
            rates=dict.fromkeys(names, some),
            rates_problem=self.say("prometheus: slow"),
            rates_at=at,
            changes=tuple(
                Change(at - timedelta(minutes=9), one, self.say("deploy 1.2.3"), self.say("ana")) for one in names[:20]
            ),
            runs=tuple(
                RunbookRun(
                    f"2026{i}",
                    "PromoSurge",
                    "d",
                    {"p": self.say("1")},
                    at,
                    who=self.say("ana"),
                    note=self.say("waits"),
                    state="waiting",
                )
                for i in range(3)
            ),
        )


def _sealed(evidence: Evidence) -> Evidence:
    """With its digest, where its texts have one: no backend's answer comes in with half a surrogate pair."""
    try:
        return sealed(evidence)
    except UnicodeEncodeError:
        return evidence


def services(count: int) -> list[str]:
    """Names of services."""
    return [f"service-{i:04d}" for i in range(count)]
