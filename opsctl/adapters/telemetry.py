"""opsctl's own spans and metrics over OTLP/HTTP, as the standard OTEL_* variables say; off unless an endpoint is set.

Must never fail a run, change its result, delay its end by more than half a second whatever the collector does, or send
a secret: expressions go out without their literals, backends by address.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from opsctl.core.signals import Absent, Failed, Matrix, Measured, Vector

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

T = TypeVar("T")
Attributes = Mapping[str, str | int | float | bool]

EXIT_SECONDS = 0.5
EXPORT_SECONDS = 1.0
SIGNALS = ("TRACES", "METRICS")
QUESTIONS = (
    *("instant", "range", "series", "label_names", "label_values", "exemplars", "rules", "alerts", "metadata"),
    *("services", "operations", "search", "trace", "dependencies", "span_metrics", "count", "fields"),
)
"""The methods of sources that ask a backend."""
_EXPRESSIONS = frozenset({"instant", "range", "exemplars"})
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')


def refused(env: Mapping[str, str], signal: str) -> str | None:
    """Why a signal that has an endpoint is not sent; "" where it is not wanted, None where it is sent."""
    exporter = env.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() or "otlp"
    if exporter == "none" or not _endpoint(env, signal):
        return ""
    if "otlp" not in [part.strip() for part in exporter.split(",")]:
        return f"OTEL_{signal}_EXPORTER={exporter[:40]}: expected otlp or none"
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = env.get(name, "").strip().lower()
        if protocol and protocol != "http/protobuf":
            return f"{name}={protocol[:40]}: expected http/protobuf (a collector's port 4318)"
        if protocol:
            break
    if not _is_url(_endpoint(env, signal)):
        return f"the endpoint for {signal.lower()} is not a URL: expected http://HOST:4318 or https://…"
    return None


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _endpoint(env: Mapping[str, str], signal: str) -> str:
    return (env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")).strip()


def start(env: Mapping[str, str]) -> tuple[Telemetry | None, str | None]:
    """What the variables ask for, and one line where they ask for what is not to be had."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None, None
    why = {signal: refused(env, signal) for signal in SIGNALS}
    lines = [line for line in dict.fromkeys(why.values()) if line]
    said = f"telemetry is off: {'; '.join(lines)}" if lines else None
    wanted = [signal for signal in SIGNALS if why[signal] is None]
    if not wanted:
        return None, said
    try:
        return Telemetry(env, wanted), said
    except Exception as wrong:  # noqa: BLE001  whatever the SDK makes of its variables is no reason not to judge
        return None, f"telemetry is off: {type(wrong).__name__} while it was set up; check the OTEL_* variables"


class Telemetry:
    """The spans and metrics of this process; safe to use from several threads."""

    def __init__(self, env: Mapping[str, str], signals: list[str]) -> None:
        _silence()
        self._count = _Count()
        resource = _resource()
        self._tracers = _tracers(resource, self._count, env) if "TRACES" in signals else None
        self._meters = _meters(resource, self._count, env) if "METRICS" in signals else None
        self._tracer = self._tracers.get_tracer("opsctl") if self._tracers is not None else None
        self._instruments = _Instruments(self._meters.get_meter("opsctl")) if self._meters is not None else None
        self._parents: list[Any] = [_outer(env)]

    @contextmanager
    def span(
        self, name: str, attributes: Attributes | None = None, *, alone: bool = False
    ) -> Iterator[Callable[[Attributes], None]]:
        """A span of the main thread; questions asked meanwhile are its children. Yields what adds attributes.

        `alone` begins a trace of its own: one run of a process that goes on for months.
        """
        if self._tracer is None:
            yield lambda more: None
            return
        from opentelemetry import trace
        from opentelemetry.context import Context

        above = Context() if alone else self._parents[-1]
        span = self._tracer.start_span(name, context=above, attributes=dict(attributes or {}))
        self._parents.append(trace.set_span_in_context(span, self._parents[-1]))
        try:
            yield lambda more: span.set_attributes(dict(more))
        finally:
            self._parents.pop()
            span.end()

    def watch(self, source: T) -> T:
        """The same source; each question that it is asked becomes a span and is counted."""
        about = _about(str(getattr(source, "name", "")))
        for name in QUESTIONS:
            method = getattr(source, name, None)
            if callable(method):
                with suppress(AttributeError):  # one that cannot be watched is asked all the same
                    setattr(source, name, self._asked(method, name, about))
        return source

    def _asked(self, method: Callable[..., Any], name: str, about: dict[str, str | int]) -> Callable[..., Any]:
        def ask(*args: Any, **options: Any) -> Any:
            attributes: dict[str, Any] = {**about, "db.operation.name": name}
            if name in _EXPRESSIONS and args and isinstance(args[0], str):
                attributes["db.query.text"] = _LITERAL.sub('"?"', args[0])[:1000]
            begun_ns = time.time_ns()
            reading = method(*args, **options)
            with suppress(Exception):  # of the SDK: an answer is worth more than its span
                self._record(attributes, reading, begun_ns)
            return reading

        return ask

    def _record(self, attributes: dict[str, Any], reading: object, begun_ns: int) -> None:
        outcome = _outcome(reading)
        took = (time.time_ns() - begun_ns) / 1e9
        if self._instruments is not None:
            shown = {k: v for k, v in {**attributes, **outcome}.items() if k not in _ONLY_SPANS}
            self._instruments.question(took, shown)
        if self._tracer is None:
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode

        name = f"{attributes['db.operation.name']} {attributes.get('server.address') or attributes['db.system.name']}"
        span = self._tracer.start_span(
            name,
            context=self._parents[-1],
            kind=SpanKind.CLIENT,
            attributes={**attributes, **outcome},
            start_time=begun_ns,
        )
        if isinstance(reading, Failed):
            span.set_status(Status(StatusCode.ERROR, reading.reason.value))
        span.end()

    def command(self, name: str, begun: float, code: int) -> None:
        """How long the command took, and how it ended."""
        if self._instruments is not None:
            shown = {"opsctl.command": name, "process.exit.code": code}
            self._instruments.command.record(time.monotonic() - begun, shown)

    def cycle(self, seconds: float, verdicts: Mapping[str, int], events: Mapping[str, int]) -> None:
        """One cycle: how long it took, how many rules are in each state, what became of the events to sinks."""
        if self._instruments is not None:
            self._instruments.cycle(seconds, verdicts, events)

    def finish(self) -> str | None:
        """Send what is left, for half a second at most; one line where something did not arrive."""
        threads = [
            threading.Thread(target=provider.shutdown, name="telemetry", daemon=True)
            for provider in (self._tracers, self._meters)
            if provider is not None
        ]
        until = time.monotonic() + EXIT_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        late = any(thread.is_alive() for thread in threads)
        return self._count.said(late)


_ONLY_SPANS = frozenset({"db.query.text", "db.response.returned_rows"})


class _Count:
    """What was to be sent and what arrived."""

    def __init__(self) -> None:
        self.ended = 0
        self.sent = 0
        self.metrics_sent = True
        self.status: int | None = None
        self._lock = threading.Lock()

    def end(self) -> None:
        """A span ended."""
        with self._lock:
            self.ended += 1

    def arrived(self, spans: int) -> None:
        """The collector took so many spans."""
        with self._lock:
            self.sent += spans

    def said(self, late: bool) -> str | None:
        """One line where something did not arrive."""
        lost = self.ended - self.sent
        what = [f"{lost} {'span' if lost == 1 else 'spans'}"] if lost else []
        if not self.metrics_sent:
            what.append("the metrics")
        if not what:
            return None
        why = (
            f"it answered {self.status}" if self.status else "it did not answer in time" if late else "it is not there"
        )
        return f"telemetry: {' and '.join(what)} did not reach the OTLP endpoint: {why}"


def _silence() -> None:
    """The SDK's own complaints: a collector that is down is one line at the end, not forty."""
    for name in ("opentelemetry", "requests"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.handlers[:] = [logging.NullHandler()]


class _Statuses(logging.Handler):
    """Keeps the HTTP status of which the SDK complains."""

    def __init__(self, count: _Count) -> None:
        super().__init__(logging.WARNING)
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        """Look for a status among a message's arguments."""
        args = record.args if isinstance(record.args, tuple) else ()
        for arg in args:
            if isinstance(arg, int) and 300 <= arg < 600:
                self._count.status = arg


def _resource() -> Resource:
    from importlib.metadata import version

    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    ours = Resource({"service.name": "opsctl", "service.version": version("opsctl-cli")})
    sdk = Resource(
        {
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": version("opentelemetry-sdk"),
        }
    )
    return ours.merge(sdk).merge(OTELResourceDetector().detect())


def _timeout(env: Mapping[str, str], signal: str) -> float | None:
    """Seconds; None leaves it to the variable."""
    names = (f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    return None if any(env.get(name) for name in names) else EXPORT_SECONDS


def _session() -> Any:
    """A session that follows no redirect: what is in the headers is for the collector that was named."""
    from requests import Session

    session = Session()
    session.max_redirects = 0
    return session


def _tracers(resource: Resource, count: _Count, env: Mapping[str, str]) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    class Exporter(OTLPSpanExporter):
        def export(self, spans: Any) -> Any:
            result = super().export(spans)
            if result is SpanExportResult.SUCCESS:
                count.arrived(len(spans))
            return result

    class Ended(SpanProcessor):
        def on_end(self, span: Any) -> None:
            if span.context.trace_flags.sampled:
                count.end()

    logging.getLogger("opentelemetry").addHandler(_Statuses(count))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(Ended())
    provider.add_span_processor(BatchSpanProcessor(Exporter(timeout=_timeout(env, "TRACES"), session=_session())))
    return provider


def _meters(resource: Resource, count: _Count, env: Mapping[str, str]) -> Any:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader

    class Exporter(OTLPMetricExporter):
        def export(self, *args: Any, **options: Any) -> Any:
            count.metrics_sent = False
            result = super().export(*args, **options)
            count.metrics_sent = result is MetricExportResult.SUCCESS
            return result

    count.metrics_sent = False
    reader = PeriodicExportingMetricReader(Exporter(timeout=_timeout(env, "METRICS"), session=_session()))
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


class _Instruments:
    """The metrics that docs/cron.md names."""

    def __init__(self, meter: Any) -> None:
        histogram, counter, gauge = meter.create_histogram, meter.create_counter, meter.create_gauge
        self.command = histogram("opsctl.command.duration", "s", "How long a command took.")
        self._question = histogram("opsctl.question.duration", "s", "How long a backend took to answer.")
        self._cycle = histogram("opsctl.cycle.duration", "s", "How long asking and judging took.")
        self._rules = gauge("opsctl.rules", "{rule}", "How many rules are in each state.")
        self._events = counter("opsctl.sink.events", "{event}", "Events to sinks, by what became of them.")

    def question(self, seconds: float, attributes: Attributes) -> None:
        """One question and its outcome."""
        self._question.record(seconds, attributes)

    def cycle(self, seconds: float, verdicts: Mapping[str, int], events: Mapping[str, int]) -> None:
        """One cycle."""
        self._cycle.record(seconds)
        for state, n in verdicts.items():
            self._rules.set(n, {"opsctl.state": state})
        for result, n in events.items():
            self._events.add(n, {"opsctl.result": result})


def _outer(env: Mapping[str, str]) -> Any:
    """The span that a CI job runs us in, by TRACEPARENT; an empty context where there is none."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {name.lower(): env[name] for name in ("TRACEPARENT", "TRACESTATE") if env.get(name)}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _about(name: str) -> dict[str, str | int]:
    """A source's name, `prometheus https://host:port/path`, as semantic conventions have it."""
    system, _, address = name.partition(" ")
    out: dict[str, str | int] = {"db.system.name": system or "unknown"}
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return out
    if host:
        out["server.address"] = host
        out["server.port"] = port or (443 if parts.scheme == "https" else 80)
    return out


def _outcome(reading: object) -> dict[str, str | int]:
    match reading:
        case Measured(data):
            out: dict[str, str | int] = {"opsctl.reading": "measured"}
            if isinstance(data, Vector):
                out["db.response.returned_rows"] = len(data.samples)
            elif isinstance(data, Matrix):
                out["db.response.returned_rows"] = len(data.series)
            return out
        case Absent():
            return {"opsctl.reading": "absent", "db.response.returned_rows": 0}
        case Failed(reason):
            return {"opsctl.reading": "failed", "error.type": reason.value}
        case _:
            return {}
