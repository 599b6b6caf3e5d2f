"""The rows about requests: golden signals of all services, of one, and of what it depends on."""

from __future__ import annotations

from opsctl.render.grafana import queries
from opsctl.render.grafana.links import service_links
from opsctl.render.grafana.panels import ERRORS, Ask, Row, lines


def overview_requests() -> Row:
    """Rate, errors and duration by service."""
    links = service_links("${__field.labels.service}", itself=True)
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


def service_requests() -> Row:
    """Rate and errors of one service by region, and its duration."""
    links = service_links("${service}")
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


def dependencies() -> Row:
    """The same of each service that it depends on; empty where it has none of ours."""
    links = service_links("${__field.labels.service}", itself=True)
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
