"""`opsctl watch`: the checks again and again in one process, with metrics and health of its own."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from opsctl.cli.confirming import changing
from opsctl.cli.frame import Frame, frame
from opsctl.cli.options import duration
from opsctl.core.frozen import dataclass
from opsctl.core.windows import format_duration
from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.adapters.listener import Page
    from opsctl.app import Composition
    from opsctl.daemon.configuration import Configuration
    from opsctl.daemon.health import Patience
    from opsctl.daemon.log import Log
    from opsctl.daemon.metrics import Numbers
    from opsctl.daemon.turn import WatchTurn
    from opsctl.loop import Pulse

SHORTEST = timedelta(seconds=5)
LONGEST = timedelta(hours=1)
NO_LISTENER = "off"
_MARGIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Flags:
    """What was asked for; `address` is None where nothing is served."""

    interval: timedelta
    address: tuple[str, int] | None
    notify: bool


def watch(
    interval: str = typer.Option("1m", "--interval", help="How often to judge: 5s to 1h."),
    listen: str = typer.Option(
        "127.0.0.1:9469",
        "--listen",
        metavar="HOST:PORT",
        help="Where /metrics, /healthz and /readyz are; off: nowhere.",
    ),
    no_notify: bool = typer.Option(False, "--no-notify", help="Judge and record only: nobody is paged."),
) -> None:
    """Judge every rule at every interval and page, until SIGTERM or Ctrl-C."""
    flags = Flags(_interval(interval), _address(listen), not no_notify)
    run = frame()
    if flags.notify:
        changing(run, "watch, which pages; --no-notify judges and records only")
    serve(run, flags)


def _interval(text: str) -> timedelta:
    found = duration("--interval", text)
    if not SHORTEST <= found <= LONGEST:
        shortest, longest = format_duration(SHORTEST), format_duration(LONGEST)
        raise UsageError(f"--interval {text}: expected {shortest} to {longest}")
    return found


def _address(text: str) -> tuple[str, int] | None:
    if text == NO_LISTENER:
        return None
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--listen {text}: expected HOST:PORT such as 127.0.0.1:9469, [::1]:9469, or off")
    return host, int(port)


class _Stop:
    """Whether a signal asked us to end. The handler raises too, but an exception can be lost in a destructor."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.signal: int | None = None
        self._wake = wake
        self._before: dict[int, Any] = {}

    def install(self, reload_: Callable[[], None]) -> None:
        """SIGTERM and SIGINT end, SIGHUP reads the configuration again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) != signal.SIG_IGN:  # a shell's background job is not to be interrupted
                self._before[number] = signal.signal(number, self._end)

        def again(number: int, stack: FrameType | None) -> None:
            reload_()
            self._wake()

        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, again)

    def restore(self) -> None:
        """The handlers as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _end(self, number: int, stack: FrameType | None) -> None:
        self.signal = number
        self._wake()
        self._before[number](number, stack)

    def raise_again(self) -> None:
        """End as the signal asked, where its exception was lost."""
        if self.signal is not None:
            self._before[self.signal](self.signal, None)


def serve(run: Frame, flags: Flags) -> None:
    """Work until a signal ends it."""
    from opsctl.app import listen, service_manager
    from opsctl.loop import Grid, Loop, Waiter, splay_of

    gc.set_threshold(700, 10, 10)  # the entry point spares short commands the collector; this one lives long
    manager, waiter = service_manager(os.environ), Waiter()
    daemon, stop = _daemon(run, flags), _Stop(waiter.wake)
    context, clock = run.composition.context, run.composition.clock
    listener = None if flags.address is None else listen(*flags.address, daemon.pages)
    grid = Grid(flags.interval, splay_of(f"{context.namespace}/{context.name}", flags.interval))
    loop = Loop(grid, clock, daemon.turn, daemon.pulse, waiter.wait, lambda: stop.signal is not None)
    stop.install(daemon.configuration.force)
    try:
        daemon.log.info(
            "watching",
            context=context.name,
            namespace=context.namespace,
            rules=len(run.composition.rules.rules),
            interval=format_duration(flags.interval),
            listen=listener.address if listener is not None else NO_LISTENER,
            notify="yes" if flags.notify else "no",
        )
        manager.say("READY=1", f"STATUS=watching context {context.name}", f"MAINPID={os.getpid()}")
        manager.reassure(daemon.alive)
        loop.go()
        stop.raise_again()
    finally:
        stop.restore()
        manager.stopping()
        daemon.log.info("stopping", signal=signal.Signals(stop.signal).name if stop.signal is not None else None)
        if listener is not None:
            listener.close()
        daemon.configuration.now.close()


@dataclass(frozen=True, slots=True)
class _Daemon:
    """What works, and what tells of it."""

    log: Log
    pulse: Pulse
    configuration: Configuration
    turn: WatchTurn
    pages: Mapping[str, Page]
    alive: Callable[[], bool]


def _daemon(run: Frame, flags: Flags) -> _Daemon:
    """Read everything that a run needs; raises what is wrong with it."""
    from importlib.metadata import version

    from prometheus_client import disable_created_metrics

    from opsctl.daemon.configuration import Configuration
    from opsctl.daemon.health import dead
    from opsctl.daemon.log import Log
    from opsctl.daemon.metrics import Numbers
    from opsctl.daemon.pages import pages
    from opsctl.daemon.turn import WatchTurn
    from opsctl.loop import Pulse

    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody asks for
    first = run.composition
    clock, context = first.clock, first.context
    log, pulse = Log(clock, quiet=run.quiet, debug=run.debug), Pulse(clock.monotonic())
    numbers = Numbers(context.name, context.namespace, version("opsctl-cli"), flags.interval, pulse, clock.now)
    first.on_delivery = numbers.delivery
    configuration = Configuration(first, _reopen(run, first, numbers), notify=flags.notify)
    turn = WatchTurn(configuration, numbers, log, notify=flags.notify)

    def patience() -> Patience:
        return _patience(configuration.now, flags.interval)

    def alive() -> bool:
        return not any(dead(pulse, patience(), clock.monotonic()))

    return _Daemon(log, pulse, configuration, turn, pages(turn, numbers, pulse, patience, clock), alive)


def _reopen(run: Frame, first: Composition, numbers: Numbers) -> Callable[[], Composition]:
    """Read the file that was read at the start, and its context: a default that changes later is not for us."""
    from opsctl.app import compose

    path, name = first.settings.path, first.context.name

    def again() -> Composition:
        fresh = compose(path, name, clock=run.clock)
        fresh.telemetry, fresh.on_delivery = first.telemetry, numbers.delivery
        return fresh

    return again


def _patience(composition: Composition, interval: timedelta) -> Patience:
    """How long a run may take: its limits, waiting for the lock and for its turn among runners, and some more."""
    from opsctl.daemon.health import Patience
    from opsctl.schedule import LOCK_SECONDS, RUNNER_SECONDS

    limits, runner = composition.context.limits, composition.context.paging.runner
    within = (limits.cycle + limits.send).total_seconds() + LOCK_SECONDS + runner * RUNNER_SECONDS
    return Patience(interval, within + _MARGIN_SECONDS)
