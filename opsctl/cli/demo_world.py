"""The world of the demo: the platform, the servers around it and the composition that looks at it, in one folder.

Everything is in this process and on loopback, but the local PagerDuty, which is a process of its own. `opsctl demo`
tells its story in it, `opsctl demo --tui` and the tests of the board live in it. Must never read the user's own
configuration or environment.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from opsctl.core.signals import Signal
from opsctl.demo.clock import FastClock, StoryClock
from opsctl.demo.faults import FAULTS, Fault
from opsctl.errors import ActionError

if TYPE_CHECKING:
    from collectors.memory import MemorySource
    from opsctl.app import Composition
    from opsctl.core.rules import Rule
    from opsctl.demo.platform import Platform
    from opsctl.demo.servers.pagerduty import LocalPagerDuty
    from opsctl.ports.logs import LogSource
    from opsctl.ports.traces import TraceSource
    from opsctl.schedule import Once

START = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)  # a Thursday evening: the platform is busy
HISTORY = timedelta(days=3)
PATIENCE = timedelta(minutes=60)
MINUTE = timedelta(minutes=1)
ROUTING_KEY = "0123456789abcdef0123456789abcdef"  # of the local PagerDuty; it opens nothing else
REST_TOKEN = "rest-token-of-the-demo"
FROM = "ana@example.com"  # a person whom the local PagerDuty knows
ADMIN_VARIABLE = "OPSCTL_ADMIN_URL"  # where the bundled runbooks take the address of the admin API from
STORY_RULES = ("bundled:slo", "bundled:platform")
WORLD_RULES = (*STORY_RULES, "bundled:logs")  # those of traces take a second a cycle in this process: the board waits

DEPLOYED_BEFORE = timedelta(minutes=7)  # the fault
AFTERWARDS = timedelta(minutes=3)  # the world is opened so long after the first page
_LASTS = timedelta(hours=12)  # a fault that nobody repairs
_LOOK_SECONDS = 0.05  # of the wall: so often a live world looks whether a minute is over
_TIMEOUT_SECONDS = 5.0

DEPLOYED = {
    "promo": "promo 2.31.0: codes of the spring campaign",
    "wallet": "wallet 5.8.2: a new index on entries",
    "matchmaking": "matchmaking 1.90.0: skill bands are narrower",
    "gateway": "gateway 7.4.1: edge configuration of eu-1",
    "chat": "chat 3.12.0: longer history",
    "auth": "auth 4.0.3: log-in form without a captcha",
}


@dataclass
class Stage:
    """A simulated world: who looks at it, and what a crontab does in it."""

    platform: Platform
    clock: StoryClock
    composition: Composition
    pagerduty: LocalPagerDuty
    admin_url: str
    runs: list[Once] = field(default_factory=list)
    busy: threading.Lock = field(default_factory=threading.Lock)

    def cron(self, at: datetime) -> None:
        """What a crontab does every minute: `opsctl check --notify`; a run that waits makes the next one late."""
        self.advance(at)
        if at.second or at.microsecond or not self.busy.acquire(blocking=False):
            return
        try:
            self.check()
        finally:
            self.busy.release()

    def advance(self, at: datetime) -> None:
        """Let the platform do what it does until then."""
        self.platform.advance(at)

    def check(self) -> None:
        """One run that notifies."""
        from opsctl.schedule import run_once

        self.runs.append(run_once(self.composition.world(), self.composition.rules.rules, full=True, notify=True))

    def begin(self, fault: Fault) -> None:
        """Let the fault begin now."""
        self.platform.inject(fault.name, self.clock.now())

    def incidents(self) -> list[dict[str, Any]]:
        """The incidents as PagerDuty knows them."""
        with urlopen(f"{self.pagerduty.address}/_incidents", timeout=_TIMEOUT_SECONDS) as answer:
            found: list[dict[str, Any]] = json.load(answer)["incidents"]
        return found


@dataclass
class DemoWorld(Stage):
    """A world that a person or a test lives in; cron has a composition of its own, as another process would.

    On a `StoryClock` cron comes as the clock is stepped; on a `FastClock` that runs, in a thread.
    """

    fault: Fault = FAULTS["promo-surge"]
    source: MemorySource | None = None
    own: Composition | None = None  # cron's
    problems: list[str] = field(default_factory=list)  # what broke in cron's thread; nobody must ever see one
    rules: Sequence[Rule] | None = None  # that cron evaluates; None: all

    def advance(self, at: datetime) -> None:
        """Let the platform go on while nobody evaluates."""
        assert self.source is not None
        with self.source.filling():
            self.platform.advance(at)

    def check(self) -> None:
        """`opsctl check --notify`, as cron runs it, on PagerDuty's clock as well."""
        from opsctl.errors import worst
        from opsctl.schedule import finish, heard, run_once
        from opsctl.views.check import usual_conditions

        assert self.own is not None
        self._tell_time()
        world, rules = self.own.world(), self.rules
        try:
            full = rules is None
            once = run_once(world, world.rules if rules is None else rules, full=full, notify=True)
            finish(world, once, worst(usual_conditions(once.report)))
            heard(world.journal, once)
        finally:
            self.own.renew()
        self.runs[:] = [*self.runs[-1:], once]

    def open(self) -> None:
        """Live through the minutes before: healthy ones, a deployment, the fault, and its first pages."""
        at = self.clock.now()
        self.rules = [rule for rule in self.composition.rules.rules if rule.signal is Signal.METRICS]
        for _ in range(2):
            self.clock.step(MINUTE)
        service = self.fault.service
        self.note_change(service, DEPLOYED[service], at - DEPLOYED_BEFORE)
        self.begin(self.fault)
        while not self._paged():
            if self.clock.now() - at > PATIENCE:
                raise ActionError(f"nothing fired within {PATIENCE}: the demo is broken")
            self.clock.step(MINUTE)
        self.clock.step(AFTERWARDS - MINUTE)
        self.rules = None
        self.clock.step(MINUTE)

    def begin(self, fault: Fault) -> None:
        """Let a fault begin now, and last until it is repaired."""
        self.platform.inject(fault.name, self.clock.now(), _LASTS)

    def note_change(self, service: str, summary: str, at: datetime) -> None:
        """Remember a deployment, as `opsctl change send` does."""
        from opsctl.views.changes import Change, fact_of

        self.composition.journal().remember([fact_of(Change(at, service, summary, "deploy"))])

    def step(self, by: timedelta) -> None:
        """Let time pass, with cron, on a clock that stands; blocks."""
        self.clock.step(by)

    def live(self, stop: threading.Event) -> None:
        """Let the platform and cron follow a clock that runs, until told to stop."""
        last = self.clock.now().replace(second=0, microsecond=0)
        while not stop.wait(_LOOK_SECONDS):
            minute = self.clock.now().replace(second=0, microsecond=0)
            if minute <= last:
                continue
            last = minute
            try:
                self.cron(minute)
            except Exception as wrong:  # noqa: BLE001  one run is lost, as cron's would be; the terminal is the board's
                self.problems.append(f"{minute:%H:%M}Z {type(wrong).__name__}: {wrong}")

    def _paged(self) -> bool:
        """Whether the first rule that the fault must ring has an open incident."""
        return bool(self.runs) and self.fault.must_fire[0].rule in self.runs[-1].incidents

    def _tell_time(self) -> None:
        """PagerDuty lives at the same time."""
        body = json.dumps({"at": self.clock.now().isoformat()}).encode()
        urlopen(Request(f"{self.pagerduty.address}/_clock", body, method="POST"), timeout=_TIMEOUT_SECONDS).close()


@contextmanager
def demo_world(
    fault: str,
    seed: int,
    clock: StoryClock,
    *,
    folder: Path,
    speed: float = 1.0,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[DemoWorld]:
    """The world some minutes into a fault, with its pages sent; on a `FastClock` it then lives, `speed` times as fast.

    `clock` stands at the end of three days of history, such as START; `folder` takes everything that is written.
    """
    with ExitStack() as cleanup:
        say(f"computing {HISTORY.days} days of history …")
        stage = cleanup.enter_context(_servers(folder, seed, clock, WORLD_RULES, speed))
        own = replace(stage.composition)
        cleanup.callback(own.close)
        source: Any = stage.composition.source
        world = DemoWorld(
            **{name: getattr(stage, name) for name in ("platform", "clock", "composition", "pagerduty", "admin_url")},
            fault=FAULTS[fault],
            source=source,
            own=own,
        )
        clock.on_step = world.cron
        say(f"{FAULTS[fault].title}: waiting for its pages …")
        world.open()
        if isinstance(clock, FastClock):
            clock.go(speed)
            cleanup.enter_context(_living(world))
        yield world


@contextmanager
def _living(world: DemoWorld) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=world.live, args=(stop,), daemon=True, name="cron")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


@contextmanager
def story_stage(folder: Path, seed: int) -> Iterator[Stage]:
    """The world of `opsctl demo`: healthy, and stepped by its story."""
    clock = StoryClock(START)
    with _servers(folder, seed, clock, STORY_RULES, lived_in=False) as stage:
        clock.on_step = stage.cron
        yield stage


@contextmanager
def _servers(
    folder: Path, seed: int, clock: StoryClock, rules: Sequence[str], speed: float = 1.0, *, lived_in: bool = True
) -> Iterator[Stage]:
    """The platform with its history, its admin server, a local PagerDuty, and the composition over all of it."""
    from opsctl.app import Composition, memory_source
    from opsctl.demo.platform import Platform
    from opsctl.demo.servers.admin import AdminServer
    from opsctl.demo.servers.pagerduty import start_local_pagerduty
    from opsctl.files.settings import load_settings
    from opsctl.promql.store import SeriesStore

    store, start = SeriesStore(), clock.now()
    platform = Platform(seed, start - HISTORY, store)
    with ExitStack() as cleanup:
        pagerduty = start_local_pagerduty(
            folder / "pagerduty.db", {"demo": ROUTING_KEY}, tokens={"opsctl": {"token": REST_TOKEN, "user": FROM}}
        )
        cleanup.callback(pagerduty.stop)
        admin = cleanup.enter_context(
            AdminServer(lambda action, params: platform.mitigate(action, clock.now(), params))
        )
        platform.advance(start)
        traces, logs = platform_signals(platform, seed, clock)
        config = write_config(folder, pagerduty.address, rules, speed, lived_in=lived_in)
        composition = Composition(
            load_settings(config, "demo", env={}, cwd=folder),
            clock,
            source=memory_source(store),
            env={ADMIN_VARIABLE: admin.url},
            log_source=logs,
            trace_source=traces,
        )
        cleanup.callback(composition.close)
        yield Stage(platform, clock, composition, pagerduty, admin.url)


def platform_signals(platform: Platform, seed: int, clock: StoryClock) -> tuple[TraceSource, LogSource]:
    """The platform's traces and logs, made when they are asked for."""
    from opsctl.app import memory_signals
    from opsctl.demo.telemetry.filled import MAX_RECORDS, MAX_SPANS, PlatformLogs, PlatformTraces
    from opsctl.demo.telemetry.minutes import Telemetry

    telemetry = Telemetry(seed, platform.state)
    kept_traces, kept_records = memory_signals(MAX_SPANS, MAX_RECORDS)
    traces = PlatformTraces(kept_traces, telemetry, clock.now, platform.start)
    return traces, PlatformLogs(kept_records, telemetry, clock.now, platform.start)


def write_config(
    folder: Path, pagerduty: str, rules: Sequence[str], speed: float = 1.0, *, lived_in: bool = True
) -> Path:
    """A configuration of one context; on a fast clock its patience is as long for a person as on the wall's.

    One that is lived in has silences, and asks PagerDuty what people do there; the story only pages.
    """
    from opsctl.files.silence_file import HEAD

    secrets = {"routing-key": ROUTING_KEY, **({"rest-token": REST_TOKEN} if lived_in else {})}
    for name, secret in secrets.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(secret)
    lines = [
        'default_context = "demo"',
        "",
        "[contexts.demo]",
        'namespace = "demo"',
        'state_dir = "state"',
        'catalogue = "bundled:"',
        f"rules = {json.dumps(list(rules))}",
        'runbooks = ["bundled:"]',
    ]
    sink = [
        "",
        "[contexts.demo.pagerduty]",
        'routing_keys = { default = { token_file = "routing-key" } }',
        f'events_url = "{pagerduty}"',
    ]
    if lived_in:
        (folder / "silences.yaml").write_text(HEAD)
        lines += ['silences = "silences.yaml"', "", "[contexts.demo.limits]"]
        patience = {"request": 10, "cycle": 30, "send": 15}
        lines += [f'{name} = "{round(seconds * max(1.0, speed))}s"' for name, seconds in patience.items()]
        sink += [f'rest = {{ token_file = "rest-token", from = "{FROM}" }}', f'rest_url = "{pagerduty}"']
    config = folder / "opsctl.toml"
    config.write_text("\n".join((*lines, *sink, "")))
    return config
