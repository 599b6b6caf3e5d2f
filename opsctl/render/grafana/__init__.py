"""Grafana's files from a catalogue and its objectives: two dashboards, and YAML that provisions them.

The same input gives the same bytes. Must never hold a credential, nor a query that `opsctl.promql` does not parse.
"""

from opsctl.render.grafana.build import Places, files

__all__ = ["Places", "files"]
