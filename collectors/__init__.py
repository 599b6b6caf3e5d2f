"""How each signal is fetched: one module per backend, none knows another."""

from __future__ import annotations

from importlib import import_module
from typing import Any

KINDS = {
    "elasticsearch": "collectors.elasticsearch:ElasticsearchSource",
    "jaeger": "collectors.jaeger:JaegerSource",
    "memory": "collectors.memory:MemorySource",
    "memory_logs": "collectors.memory_logs:MemoryLogs",
    "memory_traces": "collectors.memory_traces:MemoryTraceSource",
    "prometheus": "collectors.prometheus:PrometheusSource",
    "zipkin": "collectors.zipkin:ZipkinSource",
}


def load(kind: str) -> Any:
    """The class that speaks to backends of that kind, imported on demand."""
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name)
