"""The shipped dashboards for tests: their panels, their expressions, and what stands for a variable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "grafana"
PATHS = sorted((FOLDER / "dashboards").glob("*.json"))
SHIPPED: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in PATHS}
RATE_INTERVAL = "4m"  # Grafana's: four scrapes


def panels(dashboard: Any) -> Iterator[Any]:
    """Every panel, those in rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def variables(dashboard: Any) -> dict[str, Any]:
    """The variables by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def substituted(expression: str, service: str, dependencies: str = "none", region: str = ".*") -> str:
    """An expression as Grafana sends it."""
    values = {"$service": service, "$region": region, "$dependency": dependencies, "$__rate_interval": RATE_INTERVAL}
    for name, value in values.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def asked_of_the_server(dashboard: Any) -> dict[str, str]:
    """The expressions behind the variables."""
    out = {}
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query":
            kind, _, rest = variable["query"]["query"].partition("(")
            inside = rest.rpartition(")")[0]
            out[name] = inside if kind == "query_result" else inside.rpartition(",")[0]
    return out
