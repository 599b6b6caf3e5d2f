"""The composition root: the only module that names concrete classes. Everything is opened on first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsctl.adapters.clock import SystemClock
from opsctl.core.catalogue import Catalogue
from opsctl.core.signals import Signal
from opsctl.errors import ConfigError, UsageError
from opsctl.files.context import Backend, ContextSettings
from opsctl.files.endpoints import endpoint
from opsctl.files.settings import Settings, flags_of, here, load_settings

if TYPE_CHECKING:
    from datetime import datetime

    from opsctl.actions import Desk
    from opsctl.adapters.journal import SqliteJournal
    from opsctl.adapters.journal.page_times import PageTimes
    from opsctl.adapters.listener import Listener, Page
    from opsctl.adapters.service_manager import ServiceManager
    from opsctl.adapters.sinks.observed import OnDelivery
    from opsctl.adapters.telemetry import Telemetry
    from opsctl.core.routing import Routing
    from opsctl.core.runbooks import Runbook
    from opsctl.files.rules import RuleSet
    from opsctl.http import Endpoint
    from opsctl.ports import Clock, MetricsSource, Sinks
    from opsctl.ports.account import Account, ChangeEvents
    from opsctl.ports.logs import LogSource
    from opsctl.ports.runbooks import Person
    from opsctl.ports.traces import TraceSource
    from opsctl.promql.store import SeriesStore
    from opsctl.runner import World as RunbookWorld
    from opsctl.schedule import World
    from opsctl.series.routing import OnUse


_CLIENTS = ("metrics", "logs", "traces")


@dataclass
class Composition:
    """One opened configuration; `source` replaces the backend that it names (the demo's world, a test's)."""

    settings: Settings
    clock: Clock
    source: MetricsSource | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    telemetry: Telemetry | None = None  # of opsctl itself: it sees what sources are asked
    log_source: LogSource | None = None  # replaces Elasticsearch as `source` does Prometheus
    trace_source: TraceSource | None = None  # replaces Jaeger or Zipkin
    rehearsing: bool = False  # nothing is written and nobody is told
    on_delivery: OnDelivery | None = None  # is told what became of each request to a sink
    flags: tuple[str, ...] = ()  # the global ones that lead here, for commands that are named

    @property
    def context(self) -> ContextSettings:
        """The context that this run works in."""
        return self.settings.chosen

    @cached_property
    def catalogue(self) -> Catalogue:
        """Every service."""
        from opsctl.files.catalogue import load_catalogue

        return load_catalogue(self.context.catalogue, self.context.base)

    @cached_property
    def rules(self) -> RuleSet:
        """Every rule of the context."""
        from opsctl.files.rules import load_rules

        return load_rules(self.context.rules, self.context.base, self.catalogue)

    @cached_property
    def runbooks(self) -> tuple[Runbook, ...]:
        """Every runbook of the context."""
        from opsctl.files.runbooks import load_runbooks

        return load_runbooks(self.context.runbooks, self.context.base)

    @cached_property
    def metrics(self) -> MetricsSource:
        """Who answers PromQL: the source that was given, or the context's Prometheus."""
        if self.source is not None:
            return self.source
        kind, backend = self._backend("prometheus")
        source: MetricsSource = self._collector(kind, endpoint(backend, self.env), series=self.context.limits.series)
        return source

    @cached_property
    def sources(self) -> OnUse:
        """Who answers the rules of each signal, opened on use; for one without a backend, who says so."""
        from opsctl.series.routing import OnUse

        return OnUse(
            {
                Signal.METRICS: lambda: self.metrics,
                Signal.LOGS: self._log_series,
                Signal.TRACES: self._span_series,
            }
        )

    @cached_property
    def promql(self) -> MetricsSource:
        """Who answers any expression: the backend that its series are of."""
        from opsctl.series.routing import by_signal

        return by_signal(self.sources)

    def _log_series(self) -> MetricsSource:
        if self.context.series.logs == "prometheus":
            return self.metrics
        if self.log_source is None and self.context.elasticsearch is None:
            return self._missing(Signal.LOGS, "elasticsearch")
        from opsctl.series.logs import LogSeries

        return LogSeries(self.logs)

    def _span_series(self) -> MetricsSource:
        if self.context.series.traces != "prometheus":
            return self._counted_spans()
        from opsctl.series.routing import prometheus_first

        return prometheus_first(lambda: self.metrics, self._counted_spans)

    def _counted_spans(self) -> MetricsSource:
        if self.trace_source is None and self.context.jaeger is None and self.context.zipkin is None:
            return self._missing(Signal.TRACES, "jaeger", "zipkin")
        from opsctl.series.spans import SpanSeries

        return SpanSeries(self.traces)

    def _missing(self, signal: Signal, *kinds: str) -> MetricsSource:
        from opsctl.engine.missing import Missing

        sections = " or ".join(f"[contexts.{self.context.name}.{kind}]" for kind in kinds)
        where = self.settings.path or "the configuration"
        return Missing(str(signal), f"{where} has no {sections}: series of {signal} are counted from there")

    @cached_property
    def logs(self) -> LogSource:
        """Who answers for logs: the source that was given, or the context's Elasticsearch."""
        if self.log_source is not None:
            return self.log_source
        kind, backend = self._backend("elasticsearch")
        where, own = endpoint(backend, self.env, token="ApiKey"), {"index": backend.index, "fields": backend.fields}
        source: LogSource = self._collector(kind, where, series=self.context.limits.series, **own)
        return source

    @cached_property
    def traces(self) -> TraceSource:
        """Who answers for traces: the source that was given, or the context's Jaeger or Zipkin."""
        if self.trace_source is not None:
            return self.trace_source
        kind, backend = self._backend("jaeger", "zipkin")
        source: TraceSource = self._collector(kind, endpoint(backend, self.env))
        return source

    def _collector(self, kind: str, where: Endpoint, **own: Any) -> Any:
        """The client of a backend under the context's limits, seen by our telemetry; `own` is what its kind takes."""
        from collectors import load

        limits = self.context.limits
        source = load(kind)(
            where,
            connect_seconds=limits.connect.total_seconds(),
            request_seconds=limits.request.total_seconds(),
            max_body=limits.body,
            concurrency=limits.concurrency,
            **own,
        )
        return source if self.telemetry is None else self.telemetry.watch(source)

    def _backend(self, *kinds: str) -> tuple[str, Backend]:
        """The first of these that is configured; `ConfigError` where none is."""
        for kind in kinds:
            backend = self.context.backends().get(kind)
            if backend is not None:
                return kind, backend
        name = self.context.name
        sections = " and no ".join(f"[contexts.{name}.{kind}]" for kind in kinds)
        where = str(self.settings.path or "the configuration")
        raise ConfigError(where, None, f"context {name} has no {sections}", hint='add url = "https://…"')

    @cached_property
    def _journal(self) -> SqliteJournal:
        from opsctl.adapters.journal import open_journal

        return open_journal(self.context.state_dir, self.context.namespace, self.clock)

    def journal(self) -> SqliteJournal:
        """The journal of the context, opened once."""
        return self._journal

    @cached_property
    def sinks(self) -> Sinks:
        """Where pages go, and what can be read back of them; none where the context names no sink."""
        from opsctl.adapters.sinks import open_sinks

        sinks = open_sinks(self.context, self.env, self.clock.now, lambda backend: endpoint(backend, self.env), _say)
        if self.on_delivery is None:
            return sinks
        from opsctl.adapters.sinks.observed import observed

        return observed(sinks, self.on_delivery, self.clock.monotonic)

    def account(self) -> Account | None:
        """Whom to ask who is on call; None where no token says that we may."""
        from opsctl.adapters.sinks import open_account

        return open_account(self.context, self.env)

    def change_events(self) -> ChangeEvents | None:
        """Who takes news of deployments; None where the context has no such sink."""
        from opsctl.adapters.sinks import open_change_events

        return open_change_events(self.context, self.env)

    def rehearse(self, say: Callable[[str], None]) -> None:
        """From here on act on a copy of the journal in memory, and say what would be sent in place of sending it."""
        from opsctl.adapters.journal.rehearsal import Rehearsal
        from opsctl.adapters.sinks.console import Console
        from opsctl.ports import Sinks

        real = self.sinks
        self._journal = Rehearsal(self.context.state_dir, self.context.namespace, self.clock.now)
        self.sinks = Sinks({name: Console(say, name) for name in real.by_name}, real.fallbacks, real.readers)
        self.rehearsing = True

    @property
    def routing(self) -> Routing:
        """Who is told of what, as the configuration says and its silences say now: they are read each time."""
        from opsctl.files.routing import load_routing

        return load_routing(self.context, self.catalogue)

    def world(self) -> World:
        """What a run of the checks works with."""
        from opsctl.core.policy import Policy
        from opsctl.engine import Limits
        from opsctl.schedule import World

        limits, paging = self.context.limits, self.context.paging
        return World(
            rules=self.rules.rules,
            catalogue=self.catalogue,
            sources=self.sources,
            journal=self.journal(),
            sinks=lambda: self.sinks,
            routing=lambda: self.routing,
            clock=self.clock,
            limits=Limits(limits.request, limits.cycle, paging.stale_after),
            policy=Policy(paging.hold_open, paging.reopen_after, paging.repeat_interval, paging.not_after),
            offsets={Signal(one): getattr(self.context.offsets, one) for one in Signal},
            send=limits.send,
            runner=0 if self.rehearsing else paging.runner,  # who writes nothing waits for nobody
        )

    def runbook_world(self, person: Person, book: Runbook) -> RunbookWorld:
        """What a run of that runbook acts through; its secrets are read when a step needs them."""
        from opsctl.adapters.steps import Steps
        from opsctl.files.endpoints import runbook_secret
        from opsctl.runner import World as RunbookWorld

        steps = Steps(lambda: self.promql, self.clock, lambda name: runbook_secret(book, name, self.env))
        return RunbookWorld(steps, person, self.journal().runbooks, self.clock)

    def desk(self, *, read_only: bool = False) -> Desk:
        """Where whatever changes something is planned, done, or refused."""
        from opsctl.actions import READ_ONLY, Desk

        return Desk(self, read_only=READ_ONLY if read_only else "", flags=self.flags)

    def sibling(self) -> Composition:
        """The same again with connections of its own, on the same journal: one that is hung up on costs no other."""
        other = replace(self)
        other.__dict__["_journal"] = self.journal()
        return other

    def close(self) -> None:
        """Drop connections and close the journal, where they were opened."""
        self._close_connections()
        if "_journal" in self.__dict__:
            self._journal.close()

    def _close_connections(self) -> None:
        opened = self.__dict__
        for name in (*_CLIENTS, "sinks"):
            if name in opened:
                opened[name].close()

    # -- for what runs again and again

    def renew(self) -> None:
        """Make ready for another cycle: a backend that the last one hung up on is opened anew, the others stay."""
        opened = self.__dict__
        for name in _CLIENTS:
            if name in opened and getattr(opened[name], "closed", False):
                opened.pop(name).close()
        for name in ("sources", "promql"):  # they keep what a run learned, and no connections
            opened.pop(name, None)

    def succeed(self, before: Composition) -> None:
        """Go on in the place of another one, whose connections are closed; a journal of the same place stays open."""
        mine, theirs = self.context, before.context
        same = (mine.state_dir, mine.namespace) == (theirs.state_dir, theirs.namespace)
        if same and "_journal" in before.__dict__:
            self.__dict__["_journal"] = before.__dict__.pop("_journal")
        elif not same:
            self.journal()
        before.close()

    def mend_journal(self) -> bool:
        """Open the journal's file again, whatever is said of it; false, and nothing changes, where there is none."""
        from opsctl.adapters.journal import open_journal

        fresh = open_journal(self.context.state_dir, self.context.namespace, self.clock)
        if fresh.path == ":memory:":
            fresh.close()
            return False
        self._journal.close()
        self.__dict__["_journal"] = fresh
        return True

    def page_times(self, since: datetime) -> tuple[PageTimes, ...]:
        """When each page that is open, or ended after `since`, was decided, accepted and seen."""
        from opsctl.adapters.journal.page_times import page_times

        return page_times(self._journal, since)


def _say(line: str) -> None:
    """One line of any text on stderr, safe for a terminal."""
    from opsctl.render.text import clean

    sys.stderr.write(clean(line) + "\n")


def telemetry(env: Mapping[str, str]) -> tuple[Telemetry | None, str | None]:
    """opsctl's own telemetry as the OTEL_* variables ask for it, and why what they ask for is not to be had."""
    from opsctl.adapters.telemetry import start

    return start(env)


def listen(host: str, port: int, pages: Mapping[str, Page]) -> Listener:
    """Serve pages on an address; UsageError where it is not to be had."""
    from opsctl.adapters.listener import Listener

    try:
        return Listener(host, port, pages)
    except OSError as wrong:
        why = wrong.strerror or str(wrong)
        raise UsageError(f"cannot listen on {host}:{port}: {why}", hint="--listen takes another address") from wrong


def service_manager(env: MutableMapping[str, str]) -> ServiceManager:
    """Who started us and wants to hear how it goes, by its variables, which are taken out."""
    from opsctl.adapters.service_manager import ServiceManager

    return ServiceManager(env)


def memory_source(store: SeriesStore) -> MetricsSource:
    """Series in this process behind the contract of a server."""
    from collectors import load

    source: MetricsSource = load("memory")(store)
    return source


def memory_signals(max_spans: int, max_records: int) -> tuple[Any, Any]:
    """A trace source and a log source in this process, both empty."""
    from collectors import load

    return load("memory_traces")(max_spans=max_spans), load("memory_logs")(max_records)


def compose(config: Path | None, context: str | None, *, clock: Clock | None = None) -> Composition:
    """Read the configuration of this run; the rest is opened on use."""
    settings = load_settings(config, context, env=os.environ, cwd=here(config))
    return Composition(settings, clock or SystemClock(), flags=flags_of(config, context))
