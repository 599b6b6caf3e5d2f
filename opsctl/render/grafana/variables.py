"""The variables of the dashboards: what a person chooses above the panels."""

from __future__ import annotations

from collections.abc import Sequence

from opsctl.core.catalogue import Catalogue
from opsctl.core.slo import Slo
from opsctl.render.grafana import queries
from opsctl.render.grafana.panels import Json


def datasource() -> Json:
    """Which Prometheus; the linter asks for this name and label."""
    return {
        "name": "datasource",
        "label": "Data Source",
        "description": "The Prometheus that has the platform's metrics.",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
    }


def region() -> Json:
    """The regions that the platform has now."""
    return _asked("region", "Region", "Requests of these regions only.", "label_values(up, region)", 1, many=True)


def dependency(edges: str) -> Json:
    """What the chosen service depends on, by the catalogue; asked of the server so that it follows `service`."""
    variable = _asked(
        "dependency",
        "Dependency",
        "What the service depends on, by the catalogue.",
        f"query_result({edges})",
        3,
        many=True,
    )
    variable["regex"] = '/dependency="([^"]+)"/'
    return variable


def _asked(name: str, label: str, description: str, query: str, kind: int, *, many: bool) -> Json:
    """A variable whose values come from the server, asked again when the time changes."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "definition": query,
        "query": {"qryType": kind, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "regex": "",
        "sort": 1,
        "refresh": 2,
        "hide": 0,
        "multi": many,
        "includeAll": many,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]} if many else {},
        "options": [],
    }


def services(catalogue: Catalogue, slos: Sequence[Slo], *, many: bool) -> Json:
    """From the catalogue, not from the server: a service that fell silent must stay in the list."""
    names = queries.service_names(catalogue, slos)
    first = names[0] if names else ""
    every = {"selected": True, "text": ["All"], "value": ["$__all"]}
    options: list[Json] = [{"selected": many, "text": "All", "value": "$__all"}] if many else []
    options += [{"selected": not many and name == first, "text": name, "value": name} for name in names]
    return {
        "name": "service",
        "label": "Service",
        "description": "Services of the catalogue.",
        "type": "custom",
        "query": ",".join(names),
        "hide": 0,
        "multi": many,
        "includeAll": many,
        "current": every if many else {"selected": True, "text": first, "value": first},
        "options": options,
    }


def addresses(logs_url: str, traces_url: str) -> list[Json]:
    """Where Kibana and Jaeger are; a person may type another address."""
    rows = (
        ("logs_url", "Logs at", "Kibana's address.", logs_url),
        ("traces_url", "Traces at", "Jaeger's.", traces_url),
    )
    return [
        {
            "name": name,
            "label": label,
            "description": description,
            "type": "textbox",
            "query": url,
            "hide": 0,
            "current": {"selected": True, "text": url, "value": url},
            "options": [{"selected": True, "text": url, "value": url}],
        }
        for name, label, description, url in rows
    ]
