"""Where one thing leads to another: a service's dashboard, its logs in Kibana, its traces in Jaeger.

`{service}` stands for the service's name in a URL until `at` or `data_links` puts a variable there.
"""

from __future__ import annotations

from collections.abc import Sequence

from opsctl.render.grafana.panels import Json

OVERVIEW, SERVICE = "opsctl-overview", "opsctl-service"

LOGS_URL = (
    "${logs_url}/app/discover#/?_g=(time:(from:'${__from:date:iso}',to:'${__to:date:iso}'))"
    "&_a=(query:(language:kuery,query:'service.name:%22{service}%22'))"
)
TRACES_URL = "${traces_url}/search?service={service}&lookback=custom&start=${__from}000&end=${__to}000"
SERVICE_URL = f"/d/{SERVICE}?var-service={{service}}&var-datasource=${{datasource}}&${{__url_time_range}}"


def at(url: str, name: str = "${service}") -> str:
    """A URL of one service."""
    return url.replace("{service}", name)


def link(title: str, url: str) -> Json:
    """A link at the top of a dashboard."""
    return {"title": title, "url": url, "targetBlank": True, "type": "link", "icon": "external link"}


def dashboards_link() -> Json:
    """Links to all dashboards of ours, which keep the time."""
    return {
        "title": "opsctl",
        "type": "dashboards",
        "tags": ["opsctl"],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
        "icon": "dashboard",
    }


def service_links(name: str, *, itself: bool = False) -> list[Json]:
    """Data links of a service: its dashboard, logs and traces."""
    links = [("Open the service", SERVICE_URL)] if itself else []
    return data_links([*links, ("Logs", LOGS_URL), ("Traces", TRACES_URL)], name)


def data_links(links: Sequence[tuple[str, str]], name: str) -> list[Json]:
    """Links of a value: title and URL of each, with what stands for the service there."""
    return [{"title": title, "url": url.replace("{service}", name), "targetBlank": True} for title, url in links]
