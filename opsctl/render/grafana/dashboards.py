"""The two dashboards: all services with their objectives, and one service from its objectives down to its traces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from opsctl.core.catalogue import Catalogue
from opsctl.core.slo import Slo
from opsctl.core.windows import format_duration
from opsctl.render.grafana import queries
from opsctl.render.grafana import variables as choose
from opsctl.render.grafana.links import (
    LOGS_URL,
    OVERVIEW,
    SERVICE,
    SERVICE_URL,
    TRACES_URL,
    at,
    dashboards_link,
    data_links,
    link,
)
from opsctl.render.grafana.panels import (
    CALM,
    LOW_BUDGET,
    Ask,
    Json,
    Row,
    Step,
    bars,
    lines,
    number,
    placed,
    table,
    text,
)
from opsctl.render.grafana.requests import dependencies, overview_requests, service_requests

SCHEMA_VERSION = 41  # Grafana 11.6 and later read it
_HOUR = timedelta(hours=1)
_WORST = 10  # lines of a chart that has one for each objective

_ALL_REGIONS = "Over all regions, as the objective is judged: the variable `region` does not change it."


def overview(catalogue: Catalogue, slos: Sequence[Slo], logs_url: str, traces_url: str) -> Json:
    """Every service: budgets, burn rates and requests; a service's name leads to its own dashboard."""
    variables = [
        choose.datasource(),
        choose.region(),
        choose.services(catalogue, slos, many=True),
        *choose.addresses(logs_url, traces_url),
    ]
    rows = [_overview_objectives(slos)] if slos else []
    rows.append(overview_requests())
    description = "Every service of the catalogue: what is left of the error budgets, what burns, and the requests."
    dashboard = _dashboard(OVERVIEW, "opsctl / overview", description, variables, rows)
    dashboard["links"] = [dashboards_link()]
    return dashboard


def service(catalogue: Catalogue, slos: Sequence[Slo], logs_url: str, traces_url: str) -> Json:
    """One service: its objectives, its requests, those of what it depends on, its logs and its traces."""
    edges = queries.edges(catalogue)
    variables = [
        choose.datasource(),
        choose.region(),
        choose.services(catalogue, slos, many=False),
        *([choose.dependency(edges)] if edges else []),
        *choose.addresses(logs_url, traces_url),
    ]
    rows = [_service_objectives(slos)] if slos else []
    rows.append(service_requests())
    if edges:
        rows.append(dependencies())
    rows.append(_logs_and_traces())
    description = "One service of the catalogue, from its objectives down to its logs and traces."
    dashboard = _dashboard(SERVICE, "opsctl / service", description, variables, rows)
    dashboard["links"] = [
        dashboards_link(),
        link("Logs", at(LOGS_URL)),
        link("Traces", at(TRACES_URL)),
    ]
    return dashboard


# -- rows --------------------------------------------------------------------------------------------------------------


def _overview_objectives(slos: Sequence[Slo]) -> Row:
    budgets = queries.budgets(slos)
    spent = Ask(f"count({budgets} < 0) or vector(0)", instant=True)
    lowest = Ask(f"min({budgets})", instant=True)
    measured = Ask(f"count({budgets})", instant=True)
    columns: list[tuple[str, Ask, str, Sequence[Step]]] = [
        ("budget left", Ask(budgets, instant=True), "percentunit", LOW_BUDGET)
    ]
    columns += _burn_columns(slos, queries.long_windows(slos))
    some = f"{len(slos)} objectives are in the catalogue's rules; fewer means that some have no data."
    return Row(
        "Objectives",
        (
            (
                number(
                    "Budgets overspent", f"How many error budgets are spent. {_ALL_REGIONS}", "short", spent, _over(0)
                ),
                4,
                4,
            ),
            (
                number(
                    "Lowest budget left", f"Of all chosen services. {_ALL_REGIONS}", "percentunit", lowest, LOW_BUDGET
                ),
                4,
                4,
            ),
            (number("Objectives with data", some, "short", measured, CALM), 4, 4),
            (_burn_lines(slos, worst=True), 12, 12),
            (
                table(
                    "Error budgets and burn rates",
                    f"Budget left of the period, and how many budgets a period each window burns. {_ALL_REGIONS}",
                    "short",
                    columns,
                    data_links([("Open the service", SERVICE_URL)], "${__value.text}"),
                ),
                24,
                14,
            ),
        ),
    )


def _service_objectives(slos: Sequence[Slo]) -> Row:
    budgets = Ask(queries.budgets(slos), "{{slo}}", instant=True)
    return Row(
        "SLO",
        (
            (
                bars(
                    "Error budget left",
                    f"Of each objective's period. {_ALL_REGIONS}",
                    "percentunit",
                    budgets,
                    LOW_BUDGET,
                ),
                8,
                9,
            ),
            (_burn_lines(slos, worst=False), 16, 9),
            (
                table(
                    "Burn rate by window",
                    f"How many budgets a period each window burns; a page needs two of them. {_ALL_REGIONS}",
                    "short",
                    _burn_columns(slos, queries.windows(slos)),
                    [],
                ),
                24,
                6,
            ),
        ),
    )


def _burn_columns(slos: Sequence[Slo], windows: Sequence[timedelta]) -> list[tuple[str, Ask, str, Sequence[Step]]]:
    """A column for each window, red from the rate at which its row fires."""
    out: list[tuple[str, Ask, str, Sequence[Step]]] = []
    for window in windows:
        ask = Ask(queries.burns(slos, window), instant=True)
        out.append((f"burn {format_duration(window)}", ask, "short", _over(queries.factor(slos, window) or 1.0)))
    return out


def _burn_lines(slos: Sequence[Slo], *, worst: bool) -> Json:
    """Burn over an hour, or over the shortest window that the rules have."""
    known = queries.windows(slos)
    window = _HOUR if _HOUR in known else known[0]
    expression = queries.burns(slos, window)
    factor = queries.factor(slos, window) or 1.0
    what = f"the worst {_WORST}" if worst else "each objective"
    return lines(
        f"Burn rate over {format_duration(window)}",
        f"Budgets a period that are burnt, {what}; the line is where it pages. {_ALL_REGIONS}",
        "none",
        [Ask(f"topk({_WORST}, {expression})" if worst else expression, "{{service}} {{slo}}", every="1m")],
        steps=((None, "green"), (factor, "red")),
        drawn=True,
    )


def _logs_and_traces() -> Row:
    logs, traces = at(LOGS_URL), at(TRACES_URL)
    words = (
        f"[Logs of ${{service}}](<{logs}>) in Kibana and [its traces](<{traces}>) in Jaeger, of the time above.\n\n"
        "In a terminal: `opsctl check ${service}`, `opsctl status ${service}`.\n"
    )
    return Row(
        "Logs and traces",
        ((text("Where to look next", "Deep links to Kibana and Jaeger, and commands.", words), 24, 4),),
    )


def _over(limit: float) -> tuple[Step, ...]:
    """Red from just above a limit that is zero, else from the limit on."""
    return ((None, "green"), (limit or 1.0, "red"))


def _dashboard(
    uid: str, title: str, description: str, variables: Sequence[Json], rows: Sequence[Row]
) -> dict[str, Any]:
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["opsctl"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "annotations": {
            "list": [
                {
                    "builtIn": 1,
                    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
                    "enable": True,
                    "hide": True,
                    "iconColor": "rgba(0, 211, 255, 1)",
                    "name": "Annotations & Alerts",
                    "type": "dashboard",
                }
            ]
        },
        "templating": {"list": list(variables)},
        "links": [],
        "panels": placed(rows),
    }
