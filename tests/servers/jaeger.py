"""Starts a real Jaeger 2 with its memory store; spans go to `<otlp>/v1/traces`, span metrics come from a port."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.servers.build import server
from tests.servers.running import Launch, Running, answers, free_ports, start

MAX_TRACES = 100_000


@dataclass
class Jaeger(Running):
    """Its query API is at `url`; all of its addresses are loopback."""

    @property
    def otlp(self) -> str:
        """The base URL of OTLP over HTTP."""
        return f"http://127.0.0.1:{self.ports['otlp']}"

    @property
    def grpc(self) -> str:
        """Host and port of the query API over gRPC."""
        return f"127.0.0.1:{self.ports['grpc']}"

    @property
    def spanmetrics(self) -> str:
        """Host and port that a Prometheus scrapes for `traces_span_metrics_*`."""
        return f"127.0.0.1:{self.ports['spanmetrics']}"


def start_jaeger(spm_prometheus: str = "", version: str = "2.13") -> Jaeger:
    """Start one; `spm_prometheus` is the URL of a Prometheus that `/api/metrics` asks; may raise `Missing`."""
    program = server("jaeger", version).program("jaeger")
    return start(Jaeger, f"jaeger {version}", partial(_plan, program=program, spm_prometheus=spm_prometheus))


def _plan(folder: Path, program: Path, spm_prometheus: str) -> Launch:
    ports = free_ports("query", "grpc", "health", "otlp", "spanmetrics")
    (folder / "jaeger.yaml").write_text(json.dumps(_configuration(ports, spm_prometheus)))
    url = f"http://127.0.0.1:{ports['query']}"
    health = f"http://127.0.0.1:{ports['health']}/status"

    def ready() -> bool:
        return answers(health) and answers(f"{url}/api/services")

    env = {"OTEL_TRACES_SAMPLER": "always_off"}  # it would send its own spans to a port that is not ours
    return Launch([str(program), "--config", str(folder / "jaeger.yaml")], url, ready, ports, env)


def _configuration(ports: dict[str, int], spm_prometheus: str) -> dict[str, Any]:
    at = {name: {"endpoint": f"127.0.0.1:{port}"} for name, port in ports.items()}
    query: dict[str, Any] = {"http": at["query"], "grpc": at["grpc"], "storage": {"traces": "mem"}}
    storage: dict[str, Any] = {"backends": {"mem": {"memory": {"max_traces": MAX_TRACES}}}}
    if spm_prometheus:
        source = {"endpoint": spm_prometheus, "normalize_calls": True, "normalize_duration": True}
        query["storage"]["metrics"] = "prom"
        storage["metric_backends"] = {"prom": {"prometheus": source}}
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["batch"],
                    "exporters": ["jaeger_storage_exporter", "spanmetrics"],
                },
                "metrics/spanmetrics": {"receivers": ["spanmetrics"], "exporters": ["prometheus"]},
            },
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
        },
        "extensions": {
            "jaeger_query": query,
            "jaeger_storage": storage,
            "healthcheckv2": {"use_v2": True, "http": at["health"]},
        },
        "connectors": {"spanmetrics": {"metrics_flush_interval": "1s", "exemplars": {"enabled": True}}},
        "receivers": {"otlp": {"protocols": {"http": at["otlp"]}}},
        "processors": {"batch": {"timeout": "200ms"}},
        "exporters": {
            "jaeger_storage_exporter": {"trace_storage": "mem"},
            "prometheus": {**at["spanmetrics"], "enable_open_metrics": True},
        },
    }
