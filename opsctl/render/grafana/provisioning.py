"""The YAML by which Grafana finds the dashboards and their data sources."""

from __future__ import annotations

from typing import Any

from opsctl.core.exploring import TRACE_LABELS

_HEAD = "# Written by `opsctl grafana build`.\n"
_NO_SECRETS = (
    "# Credentials are not written here: add basicAuth or secureJsonData where a backend asks for them.\n"
    "# An exemplar's trace id leads from a duration panel to Jaeger.\n"
)


def dashboard_provider(path: str) -> str:
    """Grafana reads the dashboards of that folder, and nobody edits them in the browser."""
    provider = {
        "name": "opsctl",
        "folder": "opsctl",
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": path},
    }
    return _HEAD + _yaml({"apiVersion": 1, "providers": [provider]})


def datasources(prometheus: str, jaeger: str, elasticsearch: str) -> str:
    """Prometheus, Jaeger and Elasticsearch under uids of their own."""
    traces = [{"name": name, "datasourceUid": "opsctl-jaeger"} for name in TRACE_LABELS]
    rows = [
        {
            "name": "opsctl Prometheus",
            "uid": "opsctl-prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": prometheus,
            "isDefault": True,
            "jsonData": {"httpMethod": "POST", "exemplarTraceIdDestinations": traces},
        },
        {"name": "opsctl Jaeger", "uid": "opsctl-jaeger", "type": "jaeger", "access": "proxy", "url": jaeger},
        {
            "name": "opsctl Elasticsearch",
            "uid": "opsctl-elasticsearch",
            "type": "elasticsearch",
            "access": "proxy",
            "url": elasticsearch,
            "jsonData": {
                "index": "logs-*",
                "timeField": "@timestamp",
                "logMessageField": "message",
                "logLevelField": "log.level",
            },
        },
    ]
    return _HEAD + _NO_SECRETS + _yaml({"apiVersion": 1, "datasources": rows})


def _yaml(document: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return text
