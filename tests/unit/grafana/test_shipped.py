"""The shipped dashboards are the command's output, and keep to what Grafana's dashboard linter asks for."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import load_rules
from opsctl.promql import parse
from opsctl.promql.ast import Call, Range, walk
from opsctl.render.grafana import Places, files
from tests.unit.grafana.dashboards import FOLDER, SHIPPED, asked_of_the_server, panels, substituted, variables

# Grafana's unit ids that are in use here.
UNITS = {"percentunit", "short", "none", "reqps", "s"}
CATALOGUE = load_catalogue("bundled:", FOLDER)
SLOS = load_rules(("bundled:",), FOLDER, CATALOGUE).slos

every = pytest.mark.parametrize("dashboard", SHIPPED.values(), ids=list(SHIPPED))


def test_the_shipped_files_are_what_the_command_writes() -> None:
    """Changed rules or catalogue? `opsctl grafana build` on the bundled ones, and commit what it writes."""
    made = files(CATALOGUE, SLOS, Places())
    shipped = {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
    assert made.keys() == shipped.keys()
    assert [path for path in made if made[path] != shipped[path]] == []
    assert files(CATALOGUE, SLOS, Places()) == made


def test_uids_are_unique_and_those_that_links_use() -> None:
    """The catalogue's links and the overview's lead to `opsctl-service`."""
    uids = [dashboard["uid"] for dashboard in SHIPPED.values()]
    assert sorted(uids) == ["opsctl-overview", "opsctl-service"] == sorted(SHIPPED)
    linked = set(re.findall(r'/d/([^?"]+)\?', "".join(str(dashboard) for dashboard in SHIPPED.values())))
    assert linked == {"opsctl-service"}


@every
def test_head(dashboard: Any) -> None:
    """New enough a schema, not editable, tagged, and described."""
    assert dashboard["schemaVersion"] >= 41
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["opsctl"]
    assert dashboard["title"]
    assert dashboard["description"]
    assert "id" not in dashboard


@every
def test_variables(dashboard: Any) -> None:
    """`datasource` is labelled as the linter wants, and what the server is asked for is asked again on a new time."""
    found = variables(dashboard)
    assert {"datasource", "region", "service"} <= found.keys()
    assert len(found) == len(dashboard["templating"]["list"])
    assert (found["datasource"]["type"], found["datasource"]["query"]) == ("datasource", "prometheus")
    assert found["datasource"]["label"] == "Data Source"
    for variable in found.values():
        assert variable["label"], variable["name"]
        if variable["type"] == "query":
            assert variable["refresh"] == 2, variable["name"]
            assert variable["datasource"]["uid"] == "${datasource}"
    # Exception to the linter: no `job` and `instance`. An objective and a golden signal are of a service over all of its
    # instances, and `service` and `region` are what the platform's metrics are told apart by.
    assert not {"job", "instance"} & found.keys()


@every
def test_panels(dashboard: Any) -> None:
    """Ids are unique; every panel has title and description; what draws values has a unit and the data source."""
    ids = [panel["id"] for panel in panels(dashboard)]
    assert len(ids) == len(set(ids))
    for panel in panels(dashboard):
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        if panel["type"] == "text":
            assert "targets" not in panel
            continue
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        for override in panel["fieldConfig"]["overrides"]:
            units = [each["value"] for each in override["properties"] if each["id"] == "unit"]
            assert set(units) <= UNITS
    titles = Counter(panel["title"] for panel in panels(dashboard))
    assert titles.most_common(1)[0][1] == 1


@every
def test_panels_do_not_overlap(dashboard: Any) -> None:
    """Each cell of the grid belongs to one panel, and nothing is wider than the grid."""
    taken: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@every
def test_targets(dashboard: Any) -> None:
    """Reference ids are A, B, … in each panel, and each target asks the templated data source something."""
    for panel in panels(dashboard):
        asked = panel.get("targets", [])
        assert [target["refId"] for target in asked] == [chr(65 + i) for i in range(len(asked))]
        for target in asked:
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["expr"]
            assert target["instant"] is not target["range"]


@every
def test_expressions_parse(dashboard: Any) -> None:
    """With any service, those behind variables too."""
    expressions = [target["expr"] for panel in panels(dashboard) for target in panel.get("targets", ())]
    assert len(expressions) > 5
    for expression in (*expressions, *asked_of_the_server(dashboard).values()):
        parse(substituted(expression, "payments", "wallet|fraud"))


@every
def test_rates_take_grafanas_interval_and_objectives_their_own_windows(dashboard: Any) -> None:
    """`rate` of requests over `$__rate_interval`; `increase` over the windows that the rules are judged over."""
    windows = {window for slo in SLOS for window in slo.queries}
    seconds = {round(window.total_seconds() * 1000) for window in windows}
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            assert "rate(" not in target["expr"] or "$__rate_interval" in target["expr"]
            for node in walk(parse(substituted(target["expr"], "payments"))):
                if isinstance(node, Call) and node.function == "increase":
                    assert isinstance(node.args[0], Range)
                    assert node.args[0].range_ms in seconds


@every
def test_durations_show_exemplars(dashboard: Any) -> None:
    """A dot on a duration panel is a request with a trace."""
    shown = [p["title"] for p in panels(dashboard) if any(t.get("exemplar") for t in p.get("targets", ()))]
    assert shown == [p["title"] for p in panels(dashboard) if "uration" in p["title"]] != []


@every
def test_every_chart_of_requests_leads_to_logs_and_traces(dashboard: Any) -> None:
    """Under the addresses that the variables name."""
    for panel in panels(dashboard):
        if panel["type"] == "timeseries" and "urn rate" not in panel["title"]:
            urls = {link["title"]: link["url"] for link in panel["fieldConfig"]["defaults"]["links"]}
            assert urls["Logs"].startswith("${logs_url}/app/discover#/")
            assert urls["Traces"].startswith("${traces_url}/search?service=$")
            assert all("{service}" not in url.replace("${service}", "") for url in urls.values())


def test_every_objective_is_on_both_dashboards() -> None:
    """By service and name."""
    for dashboard in SHIPPED.values():
        text = "".join(target["expr"] for panel in panels(dashboard) for target in panel.get("targets", ()))
        for slo in SLOS:
            assert f'"slo", "{slo.name}"' in text
            assert f'"service", "{slo.service}"' in text


def test_the_service_list_is_the_catalogues() -> None:
    """A service that fell silent stays in the list; third parties are not in it."""
    ours = [service.name for service in CATALOGUE.services.values() if service.kind == "internal"]
    for dashboard in SHIPPED.values():
        service = variables(dashboard)["service"]
        assert service["query"].split(",") == ours
        assert [option["value"] for option in service["options"] if option["value"] != "$__all"] == ours


def test_provisioning_names_what_is_there() -> None:
    """Data sources under uids of their own, traces for exemplars, and no credential."""
    sources = yaml.safe_load((FOLDER / "provisioning/datasources/opsctl.yaml").read_text())
    uids = [source["uid"] for source in sources["datasources"]]
    assert len(uids) == len(set(uids)) == 3
    for target in sources["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]:
        assert target["datasourceUid"] in uids
    assert "secureJsonData" not in str(sources)
    providers = yaml.safe_load((FOLDER / "provisioning/dashboards/opsctl.yaml").read_text())
    assert providers["apiVersion"] == sources["apiVersion"] == 1
    (provider,) = providers["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)


def test_no_code_and_no_machine_path_is_in_the_folder() -> None:
    """Data only."""
    assert not list(FOLDER.rglob("*.py"))
    for path in FOLDER.rglob("*"):
        assert not path.is_file() or str(Path.home()) not in path.read_text() or Path.home() == Path("/")


@every
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
def test_grafanas_own_types_know_every_key(dashboard: Any) -> None:
    """Read into the typed model of Grafana 12 and written again, nothing is lost or changed."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    again = json.loads(JSONEncoder(sort_keys=False).encode(Dashboard.from_json(dashboard)))

    def kept(ours: Any, theirs: Any) -> Any:
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return {key: kept(value, theirs.get(key)) for key, value in ours.items()}
        if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
            return [kept(*pair) for pair in zip(ours, theirs, strict=True)]
        return theirs

    assert kept(dashboard, again) == dashboard
