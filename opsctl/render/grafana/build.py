"""All files by their path below the output folder, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.signals import Signal
from opsctl.core.slo import Slo
from opsctl.render.grafana import dashboards
from opsctl.render.grafana.links import OVERVIEW, SERVICE
from opsctl.render.grafana.provisioning import dashboard_provider, datasources


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses as Grafana and a browser reach them, and the folder that Grafana reads the dashboards from."""

    prometheus: str = "http://localhost:9090"
    jaeger: str = "http://localhost:16686"
    elasticsearch: str = "http://localhost:9200"
    logs: str = "http://localhost:5601"  # Kibana, for people
    traces: str = "http://localhost:16686"  # Jaeger, for people
    dashboards: str = "/var/lib/grafana/dashboards/opsctl"


def files(catalogue: Catalogue, slos: Sequence[Slo], places: Places) -> Mapping[str, str]:
    """Path and text of each; objectives on logs and traces are left out, for Grafana asks Prometheus."""
    asked = [slo for slo in slos if slo.signal is Signal.METRICS]
    made = {
        OVERVIEW: dashboards.overview(catalogue, asked, places.logs, places.traces),
        SERVICE: dashboards.service(catalogue, asked, places.logs, places.traces),
    }
    out = {f"dashboards/{uid}.json": _json(dashboard) for uid, dashboard in made.items()}
    out["provisioning/dashboards/opsctl.yaml"] = dashboard_provider(places.dashboards)
    out["provisioning/datasources/opsctl.yaml"] = datasources(places.prometheus, places.jaeger, places.elasticsearch)
    return out


def _json(dashboard: object) -> str:
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
