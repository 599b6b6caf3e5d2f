"""Starts a real OpenTelemetry Collector; its Prometheus exporter is the oracle for how OTLP becomes series.

A configuration of a test's own uses `${env:OTLP_HTTP}` for the OTLP receiver (waited for) and may use
`${env:PROMETHEUS}` for an exporter; both are `127.0.0.1:port`. Receivers: otlp; processors: batch, deltatocumulative;
connectors: count, spanmetrics; exporters: prometheus, debug, otlphttp.

A count carries the time of what was counted, and one that is not later than the last is dropped: send records in the
order of their times, no two requests with the same. Exemplars are those of the last flush (1 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.servers.build import server
from tests.servers.running import Launch, Running, free_ports, listens, start

# Merged below every configuration: without it the collector's own metrics take a fixed port.
_SELF = """service:
  telemetry:
    logs: {level: warn}
    metrics:
      level: normal
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: "${env:SELF_PORT}"}}}}]
"""

# The connectors emit deltas: unless they are summed, the exporter shows the last one.
DEFAULT = """receivers: {otlp: {protocols: {http: {endpoint: "${env:OTLP_HTTP}"}}}}
processors:
  batch: {timeout: 200ms}
  deltatocumulative: {}
connectors:
  count: {}
  spanmetrics: {metrics_flush_interval: 1s, exemplars: {enabled: true}}
exporters:
  prometheus: {endpoint: "${env:PROMETHEUS}", enable_open_metrics: true}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [count, spanmetrics]}
    logs: {receivers: [otlp], processors: [batch], exporters: [count]}
    metrics: {receivers: [otlp], processors: [batch], exporters: [prometheus]}
    metrics/counts: {receivers: [count, spanmetrics], processors: [deltatocumulative, batch], exporters: [prometheus]}
"""


@dataclass
class Collector(Running):
    """OTLP over HTTP goes to `otlp` (the same as `url`), e.g. `<otlp>/v1/logs`."""

    @property
    def otlp(self) -> str:
        """The base URL of OTLP over HTTP."""
        return f"http://127.0.0.1:{self.ports['otlp']}"

    @property
    def prometheus(self) -> str:
        """Host and port of the Prometheus exporter, to scrape."""
        return f"127.0.0.1:{self.ports['prometheus']}"

    @property
    def own_metrics(self) -> str:
        """Host and port of the collector's metrics about itself, to scrape."""
        return f"127.0.0.1:{self.ports['self']}"


def start_otelcol(configuration: str = DEFAULT, version: str = "0.155.0") -> Collector:
    """Start one with a YAML text; may raise `Missing`."""
    program = server("otelcol", version).program("otelcol")
    return start(Collector, f"otelcol {version}", partial(_plan, program=program, configuration=configuration))


def _plan(folder: Path, program: Path, configuration: str) -> Launch:
    ports = free_ports("otlp", "prometheus", "self")
    (folder / "self.yaml").write_text(_SELF)
    (folder / "otelcol.yaml").write_text(configuration)
    env = {
        "OTLP_HTTP": f"127.0.0.1:{ports['otlp']}",
        "PROMETHEUS": f"127.0.0.1:{ports['prometheus']}",
        "SELF_PORT": str(ports["self"]),
    }
    command = [str(program), f"--config=file:{folder / 'self.yaml'}", f"--config=file:{folder / 'otelcol.yaml'}"]
    return Launch(command, f"http://127.0.0.1:{ports['otlp']}", partial(listens, ports["otlp"]), ports, env)
