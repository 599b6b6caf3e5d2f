"""`make demo-real`: the story of `make demo` on a real Prometheus, Jaeger and Elasticsearch, on loopback.

The metrics are a recording that ends now; the clock steps through it. Spans and lines of the minutes around the fault
are sent with their own times. With STAY=1 everything stays up afterwards, and the platform lives on the wall clock.
Every server that it starts is ended by it, by pid.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import signal
import sys
import tempfile
import textwrap
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from opsctl.app import compose
from opsctl.cli.demo import Story, say
from opsctl.cli.demo_live import RECENT_MINUTES, live_until_interrupted, wall
from opsctl.cli.demo_world import ADMIN_VARIABLE, ROUTING_KEY, Stage
from opsctl.cli.main import main as opsctl
from opsctl.demo.clock import StoryClock
from opsctl.demo.emit.bulk import LogSender, open_log_sender
from opsctl.demo.emit.exposition import Exposition
from opsctl.demo.emit.live import LivePlatform
from opsctl.demo.emit.otlp import SpanSender
from opsctl.demo.emit.page import MetricsPages
from opsctl.demo.faults import ACTIONS, FAULTS, Fault
from opsctl.demo.platform import Platform
from opsctl.demo.recording import Recording, Relay, plan_recording, record, writer
from opsctl.demo.servers.admin import AdminServer
from opsctl.demo.servers.pagerduty import start_local_pagerduty
from opsctl.demo.telemetry.minutes import Telemetry
from opsctl.errors import ActionError
from tests.servers.build import Missing, server
from tests.servers.elasticsearch import start_elasticsearch
from tests.servers.jaeger import Jaeger, start_jaeger
from tests.servers.prometheus import Prometheus
from tests.servers.prometheus import start as start_prometheus
from tests.servers.running import Running

NEEDED = (("prometheus", "3.16"), ("jaeger", "2.13"), ("elasticsearch", "9.2.0"))
HEALTHY_MINUTES = 3  # of spans and lines before the fault
AFTER_MINUTES = 2  # and after its mitigation
CONTEXTS = {"story": '["bundled:slo", "bundled:platform"]', "live": '["bundled:"]'}


@dataclass(frozen=True)
class Look:
    """What of a fault is seen in each signal: a chart, arguments of `trace search`, and what is counted from spans."""

    chart: str
    search: tuple[str, ...]
    spans: str


_SLOW = "histogram_quantile(0.95, sum by (le) (rate({}_bucket{}[5m])))"
_PAIRS = 'sum by (client, server) (increase(traces_service_graph_request_failed_total{server="wallet"}[1m]))'
_CALLS = "sum by (span_name, status_code) (increase(traces_span_metrics_calls_total{%s}[1m]))"
LOG_RULE = "LoginAttackInLogs"  # judged from log lines: an attack, or none
LOOKS: Mapping[str, Look] = {
    "promo-surge": Look(
        _SLOW.format("gaming_redemption_duration_seconds", '{stage="e2e"}'),
        ("promo", "--operation", "promo.redeem", "--min-duration", "1s", "--error"),
        _PAIRS,
    ),
    "wallet-db-slow": Look(
        _SLOW.format("gaming_payment_duration_seconds", ""),
        ("payments", "--operation", "payment.authorize", "--min-duration", "2s"),
        _PAIRS,
    ),
    "matchmaking-backlog": Look(
        'sum(rate(gaming_matchmaking_tickets_total{outcome="expired"}[5m]))',
        ("matchmaking", "--operation", "process matchmaking-tickets", "-a", "gaming.ticket.outcome=expired"),
        _CALLS % 'service_name="matchmaking",span_kind="SPAN_KIND_CONSUMER"',
    ),
    "region-lost": Look(
        'sum(rate(gaming_session_join_total{result!="ok"}[5m]))',
        ("gateway", "--error", "-a", "gaming.home_region=eu-1"),
        _CALLS % 'service_name="gateway",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR"',
    ),
    "service-silent": Look(
        'sum(rate(http_server_request_duration_seconds_count{service="gateway",http_route="/chat",'
        'http_response_status_code="503"}[5m]))',
        ("gateway", "--operation", "egress chat", "--error"),
        _CALLS % 'service_name="gateway",span_name="egress chat"',
    ),
    "login-attack": Look(
        'sum(rate(gaming_auth_attempts_total{reason="bad_password"}[5m]))',
        ("auth", "--operation", "user.login"),
        _CALLS % 'service_name="auth",span_kind="SPAN_KIND_SERVER"',
    ),
}


@dataclass
class RealStage(Stage):
    """The world of a story that was recorded."""

    recording: Recording | None = None
    config: Path = Path()
    sending: threading.Thread | None = None
    alive: threading.Event = field(default_factory=threading.Event)

    def begin(self, fault: Fault) -> None:
        """It began when it was recorded."""

    def opsctl(self, *argv: str, context: str = "story") -> int:
        """Run one command as somebody would type it, at the story's time."""
        sys.stdout.flush()
        os.environ |= {"OPSCTL_CONFIG": str(self.config), "OPSCTL_CONTEXT": context}
        return opsctl(["--utc", *argv], clock=self.clock)

    def answer(self, *argv: str) -> dict[str, object]:
        """The JSON of one command."""
        out = io.StringIO()
        with redirect_stdout(out):
            self.opsctl(*argv, "--json")
        found: dict[str, object] = json.loads(out.getvalue())
        return found


@dataclass
class RealStory(Story):
    """The five acts, and between the verdict and the page what each signal shows."""

    stage: RealStage
    recording: Recording
    look: Look

    def tell(self) -> None:
        """Play all acts."""
        say(f"opsctl demo on real servers: {self.fault.name} (seed {self.seed})")
        self.healthy()
        self.breaks()
        self.verdict()
        self.paged()
        self.signals()
        self.repaired()

    def signals(self) -> None:
        """What metrics, traces and logs show, two minutes into the fault's page."""
        stage = self.stage
        stage.clock.step(self.recording.mitigated - stage.clock.now())
        if stage.sending is not None:
            stage.sending.join()
        self.act(5, "What the signals show")
        self.type_in("metric", "range", self.look.chart, "--since", "30m", "--chart", "-o", "table")
        since = f"{self.recording.begin + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
        to = f"{stage.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        search = ("trace", "search", *self.look.search, "--since", since, "--to", to, "--limit")
        self.type_in(*search, "3", "-o", "table")
        trace_id = self.slowest(stage.answer(*search, "20"))
        self.type_in("trace", "show", trace_id, "-o", "table")
        around = ("--since", since, "--to", f"{stage.clock.now() + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}")
        self.type_in("log", "search", "--trace", trace_id, *around, "--oldest-first", "-o", "table")
        minute = f"{stage.clock.now() - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
        self.type_in("metric", "query", self.look.spans, "--at", minute, "-o", "table")
        self.type_in("rule", "eval", LOG_RULE, "-o", "table", context="live")

    def act(self, number: int, title: str) -> None:
        """A heading; the runbook comes after the signals."""
        super().act(6 if title.startswith("Runbook") else number, title)

    def type_in(self, *argv: str, context: str = "story") -> None:
        """Show a command and what it prints."""
        shown = shlex.join(argv)
        say("", *textwrap.wrap(f"$ opsctl {shown}", 78, initial_indent="  ", subsequent_indent="      "))
        self.stage.opsctl(*argv, context=context)

    @staticmethod
    def slowest(found: Mapping[str, object]) -> str:
        """The slowest trace that a search found."""
        traces = found.get("traces")
        if not isinstance(traces, list) or not traces:
            raise ActionError("no trace was found: the demo is broken")
        return str(max(traces, key=lambda one: one["duration_us"])["trace_id"])


# The world


@dataclass
class World:
    """Servers, platform and configuration."""

    prometheus: Prometheus
    jaeger: Jaeger
    elasticsearch: Running
    live: LivePlatform
    pages: MetricsPages
    stage: RealStage
    recording: Recording
    senders: list[SpanSender | LogSender] = field(default_factory=list)
    alive: threading.Event = field(default_factory=threading.Event)


@contextmanager
def built(asked: argparse.Namespace, folder: Path) -> Iterator[World]:
    """Everything up; ended when left, whatever happened."""
    end = wall().replace(second=0, microsecond=0) - timedelta(minutes=1)
    recording = plan_recording(asked.fault, end)
    with ExitStack() as cleanup, ThreadPoolExecutor(2) as pool:
        searching = pool.submit(start_elasticsearch, NEEDED[2][1])
        tracing = pool.submit(start_jaeger, "", NEEDED[1][1])
        cleanup.callback(lambda: [one.result().stop() for one in (searching, tracing) if not one.exception()])
        exposition, history = Exposition(), writer()
        relay = Relay(history, exposition)
        platform = record(recording, asked.seed, relay)
        relay.stores = (exposition,)
        progress(f"recorded {history.series} series over {recording.end - recording.start}; loading them …")
        text = io.StringIO()
        history.write(text)
        telemetry = Telemetry(asked.seed, platform.state)
        jaeger, elastic = tracing.result(), searching.result()
        spans, logs = SpanSender(jaeger.otlp, progress), open_log_sender(elastic.url, progress)
        cleanup.callback(spans.close)
        cleanup.callback(logs.close)
        live = LivePlatform(platform, telemetry, exposition, spans, logs, wall)
        sending = threading.Thread(target=live.send_minutes, args=(minutes_sent(recording),), daemon=True)
        sending.start()
        pages = cleanup.enter_context(MetricsPages(exposition))
        prometheus = start_prometheus(text.getvalue(), NEEDED[0][1], scrape=pages.scrape(), exemplars=True)
        cleanup.callback(prometheus.stop)
        stage = cleanup.enter_context(staged(folder, recording, platform, prometheus.url, jaeger.url, elastic.url))
        stage.sending = sending
        yield World(prometheus, jaeger, elastic, live, pages, stage, recording, [spans, logs], stage.alive)


def minutes_sent(recording: Recording) -> list[int]:
    """The epoch minutes whose spans and lines are sent: a healthy tail, the fault, and a little after it."""
    begin, mitigated = (int(at.timestamp() // 60) for at in (recording.begin, recording.mitigated))
    return list(range(begin - HEALTHY_MINUTES + 1, mitigated + AFTER_MINUTES + 1))


@contextmanager
def staged(
    folder: Path, recording: Recording, platform: Platform, prometheus: str, jaeger: str, elasticsearch: str
) -> Iterator[RealStage]:
    """The pager, the admin server and the configuration."""
    clock, alive = StoryClock(recording.begin - timedelta(minutes=2)), threading.Event()

    def order(action: str, params: Mapping[str, str]) -> str:
        return platform.mitigate(action, wall(), params) if alive.is_set() else recording.order(action, params)

    with ExitStack() as cleanup:
        pagerduty = start_local_pagerduty(folder / "pagerduty.db", {"demo": ROUTING_KEY})
        cleanup.callback(pagerduty.stop)
        admin = cleanup.enter_context(AdminServer(order))
        config = write_config(folder, prometheus, jaeger, elasticsearch, pagerduty.address)
        composition = compose(config, "story", clock=clock)
        composition.env = {**os.environ, ADMIN_VARIABLE: admin.url}
        cleanup.callback(composition.close)
        stage = RealStage(platform, clock, composition, pagerduty, admin.url)
        stage.config, stage.recording, stage.alive = config, recording, alive
        clock.on_step = stage.cron
        yield stage


def write_config(folder: Path, prometheus: str, jaeger: str, elasticsearch: str, pagerduty: str) -> Path:
    """A configuration with a context for the recorded time and one for the present."""
    key = folder / "routing-key"
    key.touch(mode=0o600)
    key.write_text(ROUTING_KEY)
    contexts = [
        f"""
[contexts.{name}]
namespace = "demo-{name}"
state_dir = "state-{name}"
catalogue = "bundled:"
rules = {rules}
runbooks = ["bundled:"]
[contexts.{name}.prometheus]
url = "{prometheus}"
[contexts.{name}.jaeger]
url = "{jaeger}"
[contexts.{name}.elasticsearch]
url = "{elasticsearch}"
[contexts.{name}.limits]
request = "30s"
cycle = "1m"
[contexts.{name}.pagerduty]
routing_keys = {{ default = {{ token_file = "routing-key" }} }}
events_url = "{pagerduty}"
"""
        for name, rules in CONTEXTS.items()
    ]
    config = folder / "opsctl.toml"
    config.write_text('default_context = "live"\n' + "".join(contexts))
    return config


# Staying up


def stay(world: World) -> None:
    """The platform lives on until Ctrl-C; a line with a fault's name breaks it."""
    world.stage.alive.set()
    undo(world)
    world.live.catch_up(RECENT_MINUTES)
    config = world.stage.config
    say(
        "",
        "The servers stay up, and the platform lives on: scraped every second, spans and",
        f"lines as they happen. Prometheus {world.prometheus.url}  Jaeger {world.jaeger.url}",
        f"Elasticsearch {world.elasticsearch.url}  admin {world.stage.admin_url}",
        "",
        "In another terminal:",
        f"  export OPSCTL_CONFIG={config}",
        "  opsctl check                             judge the present",
        "  opsctl trace search promo --since 5m     what promo did just now",
        "  opsctl log tail                          lines as they come",
        "  opsctl metric range --exemplars gaming_redemption_duration_seconds_bucket --since 5m",
        "",
        *textwrap.wrap(f"Type a fault and Enter to let it begin: {', '.join(FAULTS)}.", 78),
        "Ctrl-C ends everything.",
    )
    live_until_interrupted(world.live, [partial(follow_targets, world)])


def undo(world: World) -> None:
    """What the story's runbook ordered is taken back: the next fault finds the platform as it usually is."""
    for name in FAULTS[world.recording.fault].actions:
        if ACTIONS[name].undo is not None:
            request = urllib.request.Request(f"{world.stage.admin_url}{ACTIONS[name].path}", method="DELETE")
            urllib.request.urlopen(request, timeout=5).close()


def follow_targets(world: World, stop: threading.Event) -> None:
    """Prometheus scrapes what is there: a lost region is no target any more."""
    known = world.pages.scrape()
    while not stop.wait(2):
        if (now := world.pages.scrape()) != known:
            world.prometheus.reconfigure(scrape=now)
            known = now


def progress(text: str) -> None:
    """One line for the person who waits."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()


def missing() -> str | None:
    """Which servers are not there, if any."""
    found = []
    for name, version in NEEDED:
        try:
            server(name, version).needed()
        except Missing as reason:
            found.append(f"{name} {version} ({reason})")
    return ", ".join(found) or None


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the story; 2 where a server or a fault is not there."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo_real", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fault", default="promo-surge", choices=list(FAULTS))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--stay", action="store_true", default=os.environ.get("STAY") == "1")
    asked = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started is ended
    if lacking := missing():
        print(
            f"demo-real needs real servers that are not there: {lacking}; get them with: make servers", file=sys.stderr
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="opsctl-demo-real-") as folder, built(asked, Path(folder)) as world:
        fault, color = FAULTS[asked.fault], sys.stdout.isatty()
        RealStory(world.stage, fault, asked.seed, color, world.recording, LOOKS[asked.fault]).tell()
        if asked.stay:
            stay(world)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (ActionError, RuntimeError, OSError) as wrong:  # the story is broken, or a server does not start
        print(f"demo-real: {' '.join(str(wrong).split())}", file=sys.stderr)
        sys.exit(5)
