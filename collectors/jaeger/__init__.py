"""Asks servers that speak Jaeger's HTTP API: Jaeger 1.x and 2.x, VictoriaTraces.

`source` asks for traces and span metrics; `wire` is what a trace looks like on the wire.
"""

from collectors.jaeger.source import JaegerSource

__all__ = ["JaegerSource"]
