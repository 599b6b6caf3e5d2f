"""Asks servers that speak Prometheus' HTTP API: Prometheus 2 and 3, Thanos, Mimir, VictoriaMetrics.

`source` asks for values, which is all that a check needs; `explore` (names, exemplars, the server's own rules and
alerts) is imported when somebody looks around.
"""

from collectors.prometheus.source import PrometheusSource

__all__ = ["PrometheusSource"]
