"""The two dashboards: all services with their objectives, and one service from its objectives down to its traces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from opsctl.core.catalogue import Catalogue
from opsctl.core.slo import Slo
from opsctl.core.windows import format_duration
from opsctl.render.grafana import queries
from opsctl.render.grafana.panels import (
    CALM,
    ERRORS,
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

SCHEMA_VERSION = 41  # Grafana 11.6 and later read it
OVERVIEW, SERVICE = "opsctl-overview", "opsctl-service"
_HOUR = timedelta(hours=1)
_WORST = 10  # lines of a chart that has one for each objective

_LOGS = (
    "${logs_url}/app/discover#/?_g=(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
    "&_a=(query:(language:kuery,query:'service.name:%22{service}%22'))"
)
_TRACES = "${traces_url}/search?service={service}&lookback=custom&start=${__from}000&end=${__to}000"
_SERVICE = f"/d/{SERVICE}?var-service={{service}}&var-datasource=${{datasource}}&${{__url_time_range}}"
_ALL_REGIONS = "Over all regions, as the objective is judged: the variable `region` does not change it."


def overview(catalogue: Catalogue, slos: Sequence[Slo], logs_url: str, traces_url: str) -> Json:
    """Every service: budgets, burn rates and requests; a service's name leads to its own dashboard."""
    variables = [
        _datasource(),
        _region(),
        _services(catalogue, slos, many=True),
        *_addresses(logs_url, traces_url),
    ]
    rows = [_overview_objectives(slos)] if slos else []
    rows.append(_overview_requests())
    description = "Every service of the catalogue: what is left of the error budgets, what burns, and the requests."
    dashboard = _dashboard(OVERVIEW, "opsctl / overview", description, variables, rows)
    dashboard["links"] = [_dashboards_link()]
    return dashboard


def service(catalogue: Catalogue, slos: Sequence[Slo], logs_url: str, traces_url: str) -> Json:
    """One service: its objectives, its requests, those of what it depends on, its logs and its traces."""
    edges = queries.edges(catalogue)
    variables = [
        _datasource(),
        _region(),
        _services(catalogue, slos, many=False),
        *([_dependency(edges)] if edges else []),
        *_addresses(logs_url, traces_url),
    ]
    rows = [_service_objectives(slos)] if slos else []
    rows.append(_service_requests())
    if edges:
        rows.append(_dependencies())
    rows.append(_logs_and_traces())
    description = "One service of the catalogue, from its objectives down to its logs and traces."
    dashboard = _dashboard(SERVICE, "opsctl / service", description, variables, rows)
    dashboard["links"] = [
        _dashboards_link(),
        _link("Logs", _LOGS.replace("{service}", "${service}")),
        _link("Traces", _TRACES.replace("{service}", "${service}")),
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
                    _data_links([("Open the service", _SERVICE)], "${__value.text}"),
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


def _overview_requests() -> Row:
    links = _service_links("${__field.labels.service}", itself=True)
    quantile = [Ask(queries.duration(0.99, "service"), "{{service}}", exemplar=True)]
    return Row(
        "Golden signals",
        (
            (
                lines(
                    "Requests",
                    "Requests a second: HTTP, gRPC and chat messages, of the chosen regions together.",
                    "reqps",
                    [Ask(queries.request_rate("service"), "{{service}}")],
                    links=links,
                ),
                8,
                10,
            ),
            (
                lines(
                    "Errors",
                    "The share of requests that failed by the server's fault: HTTP 5xx, gRPC's own codes, chat errors.",
                    "percentunit",
                    [Ask(queries.error_ratio("service"), "{{service}}")],
                    links=links,
                ),
                8,
                10,
            ),
            (
                lines("Duration, 99 %", "Ninety-nine of a hundred requests are quicker.", "s", quantile, links=links),
                8,
                10,
            ),
        ),
    )


def _service_requests() -> Row:
    links = _service_links("${service}")
    quantiles = [
        Ask(queries.duration(q), f"{{{{protocol}}}} p{q * 100:g}", exemplar=q == 0.99) for q in (0.5, 0.95, 0.99)
    ]
    return Row(
        "Golden signals",
        (
            (
                lines(
                    "Rate",
                    "Requests a second by region.",
                    "reqps",
                    [Ask(queries.request_rate("region"), "{{region}} {{protocol}}")],
                    links=links,
                ),
                8,
                9,
            ),
            (
                lines(
                    "Errors",
                    "The share of requests that failed by the server's fault, by region.",
                    "percentunit",
                    [Ask(queries.error_ratio("region"), "{{region}} {{protocol}}")],
                    steps=ERRORS,
                    links=links,
                ),
                8,
                9,
            ),
            (
                lines(
                    "Duration",
                    "Half, 95 % and 99 % of the requests are quicker; a dot is a request with a trace.",
                    "s",
                    quantiles,
                    links=links,
                ),
                8,
                9,
            ),
        ),
    )


def _dependencies() -> Row:
    links = _service_links("${__field.labels.service}", itself=True)
    none = "Empty for a service that depends on third parties and stores only."
    return Row(
        "Dependencies",
        (
            (
                lines(
                    "Rate of dependencies",
                    f"Requests a second that each service which this one depends on gets, from all callers. {none}",
                    "reqps",
                    [Ask(queries.request_rate("service", dependencies=True), "{{service}}")],
                    links=links,
                ),
                8,
                9,
            ),
            (
                lines(
                    "Errors of dependencies",
                    f"The share of all their requests that failed. {none}",
                    "percentunit",
                    [Ask(queries.error_ratio("service", dependencies=True), "{{service}}")],
                    steps=ERRORS,
                    links=links,
                ),
                8,
                9,
            ),
            (
                lines(
                    "Duration of dependencies, 99 %",
                    f"Ninety-nine of a hundred of their requests are quicker. {none}",
                    "s",
                    [Ask(queries.duration(0.99, "service", dependencies=True), "{{service}}", exemplar=True)],
                    links=links,
                ),
                8,
                9,
            ),
        ),
    )


def _logs_and_traces() -> Row:
    logs, traces = (url.replace("{service}", "${service}") for url in (_LOGS, _TRACES))
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


# -- links -------------------------------------------------------------------------------------------------------------


def _link(title: str, url: str) -> Json:
    return {"title": title, "url": url, "targetBlank": True, "type": "link", "icon": "external link"}


def _dashboards_link() -> Json:
    return {
        "title": "opsctl",
        "type": "dashboards",
        "tags": ["opsctl"],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
        "icon": "dashboard",
    }


def _service_links(name: str, *, itself: bool = False) -> list[Json]:
    """Data links of a service: its dashboard, logs and traces."""
    links = [("Open the service", _SERVICE)] if itself else []
    return _data_links([*links, ("Logs", _LOGS), ("Traces", _TRACES)], name)


def _data_links(links: Sequence[tuple[str, str]], name: str) -> list[Json]:
    return [{"title": title, "url": url.replace("{service}", name), "targetBlank": True} for title, url in links]


# -- variables ---------------------------------------------------------------------------------------------------------


def _datasource() -> Json:
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


def _region() -> Json:
    return _asked("region", "Region", "Requests of these regions only.", "label_values(up, region)", 1, many=True)


def _dependency(edges: str) -> Json:
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


def _services(catalogue: Catalogue, slos: Sequence[Slo], *, many: bool) -> Json:
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


def _addresses(logs_url: str, traces_url: str) -> list[Json]:
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
