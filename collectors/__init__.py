"""How each signal is fetched: one module per backend, none knows another."""

from __future__ import annotations

from importlib import import_module
from typing import Any

KINDS = {
    "memory": "collectors.memory:MemorySource",
    "prometheus": "collectors.prometheus:PrometheusSource",
}


def load(kind: str) -> Any:
    """The class that speaks to backends of that kind, imported on demand."""
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name)
