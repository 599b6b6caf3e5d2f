"""`opsctl grafana build` on catalogues of other shapes, and what it says and answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opsctl.cli.main import main
from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.signals import Signal
from opsctl.core.slo import Slo
from opsctl.files.rules import load_rules
from opsctl.promql import parse
from opsctl.render.grafana import Places, files
from opsctl.render.grafana.queries import bad_ratio, service_names
from tests.unit.grafana.dashboards import panels, substituted, variables

SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: wallet
  indicator:
    metadata: {{name: {name}}}
    spec:
      ratioMetric:
        counter: true
        {side}: {{metricSource: {{type: Prometheus, spec: {{query: '{part}'}}}}}}
        total: {{metricSource: {{type: Prometheus, spec: {{query: 'sum(increase(all_total[{{{{.window}}}}]))'}}}}}}
  timeWindow: [{{duration: 28d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{displayName: Wallet, target: 0.999}}]
"""
FILES = {
    "dashboards/opsctl-overview.json",
    "dashboards/opsctl-service.json",
    "provisioning/dashboards/opsctl.yaml",
    "provisioning/datasources/opsctl.yaml",
}


def catalogue(*services: Service) -> Catalogue:
    """A catalogue of these."""
    return Catalogue({service.name: service for service in services})


def slo(folder: Path, side: str, part: str, name: str = "wallet-ok") -> Slo:
    """One objective, as the loader makes it."""
    (folder / "one.slo.yaml").write_text(SLO.format(name=name, side=side, part=part))
    services = catalogue(Service("wallet", 1, "money"))
    (found,) = load_rules((str(folder / "one.slo.yaml"),), folder, services).slos
    return found


def dashboards(services: Catalogue, *slos: Slo) -> dict[str, Any]:
    """Both, by uid."""
    made = files(services, slos, Places())
    assert made.keys() == FILES
    return {path.split("/")[1][:-5]: json.loads(text) for path, text in made.items() if path.endswith(".json")}


def test_without_objectives_and_dependencies_there_are_requests_only() -> None:
    """No empty row, no panel that asks nothing, and no variable without a question."""
    made = dashboards(catalogue(Service("wallet", 1, "money")))
    for dashboard in made.values():
        rows = {panel["title"] for panel in panels(dashboard) if panel["type"] == "row"}
        assert rows <= {"Golden signals", "Logs and traces"}
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                parse(substituted(target["expr"], "wallet"))
    assert "dependency" not in variables(made["opsctl-service"])


def test_an_empty_catalogue_is_no_error() -> None:
    """There is nobody to choose."""
    made = dashboards(catalogue())
    assert variables(made["opsctl-service"])["service"]["options"] == []


def test_good_events_are_turned_into_bad_ones(tmp_path: Path) -> None:
    """Where the first query counts what was good."""
    good = slo(tmp_path, "good", 'sum(increase(all_total{code!="500"}[{{.window}}]))')
    ratio = bad_ratio(good, good.period)
    assert ratio.startswith("1 - (sum(increase(all_total{code!=")
    parse(ratio)


def test_what_a_missing_count_means_is_kept(tmp_path: Path) -> None:
    """Bad events that were never counted are zero of the total; a missing difference stays missing."""
    zero = slo(tmp_path, "bad", 'sum(increase(all_total{code="500"}[{{.window}}]))')
    assert " or 0 * sum(increase(all_total[28d]))" in bad_ratio(zero, zero.period)
    assert " or " not in bad_ratio(replace(zero, missing_part="no-data"), zero.period)


def test_comments_and_line_ends_of_a_query_do_not_break_the_union(tmp_path: Path) -> None:
    """A query is put into another by its tree."""
    one = slo(tmp_path, "bad", 'sum(increase(all_total{code="500"}[{{.window}}])) # why')
    two = replace(one, name="second", service="")
    for dashboard in dashboards(catalogue(Service("wallet", 1, "money")), one, two).values():
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                assert "#" not in target["expr"]
                parse(substituted(target["expr"], "wallet"))


def test_objectives_on_logs_are_not_asked_of_prometheus(tmp_path: Path) -> None:
    """They would be empty for ever."""
    one = replace(slo(tmp_path, "bad", "sum(increase(all_total[{{.window}}]))"), signal=Signal.LOGS)
    assert "wallet-ok" not in json.dumps(dashboards(catalogue(Service("wallet", 1, "money")), one))


def test_a_service_that_only_objectives_name_can_be_chosen(tmp_path: Path) -> None:
    """After those of the catalogue; third parties cannot."""
    one = replace(slo(tmp_path, "bad", "sum(increase(all_total[{{.window}}]))"), service="stray")
    services = catalogue(Service("b", 1, "t"), Service("a", 1, "t"), Service("psp", 1, "t", "third_party"))
    assert service_names(services, [one]) == ("b", "a", "stray")


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(fixed_home: Path) -> Path:
    """A context on the bundled catalogue and rules, with backends."""
    (fixed_home / "opsctl.toml").write_text(
        'default_context = "t"\n[contexts.t]\nnamespace = "t"\nrules = ["bundled:slo"]\n'
        '[contexts.t.prometheus]\nurl = "https://prometheus.example/prefix"\ntoken_env = "SECRET"\n'
        '[contexts.t.jaeger]\nurl = "https://jaeger.example"\n'
    )
    return fixed_home


def test_it_writes_checks_and_writes_only_what_differs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` writes nothing and exits 1 until the files are those that it would write."""
    assert main(["grafana", "build", "--check"]) == 1
    assert not (home / "grafana").exists()
    assert "opsctl grafana build" in capsys.readouterr().err
    assert main(["grafana", "build"]) == 0
    assert {str(p.relative_to(home / "grafana")) for p in (home / "grafana").rglob("*") if p.is_file()} == FILES
    assert capsys.readouterr().out.count("written") == 4
    assert main(["grafana", "build", "--check"]) == 0
    path = home / "grafana/dashboards/opsctl-service.json"
    path.write_text(path.read_text().replace("now-6h", "now-1h"))
    capsys.readouterr()
    assert main(["grafana", "build", "--check", "--json"]) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["schema"] == "opsctl/grafana/build/v1"
    assert [row["file"] for row in body["files"] if row["state"] == "differs"] == ["dashboards/opsctl-service.json"]
    assert main(["grafana", "build"]) == 0
    assert capsys.readouterr().out.count("written") == 1


def test_the_contexts_backends_are_provisioned_without_their_credentials(home: Path) -> None:
    """URLs, never a token, nor where it is."""
    assert main(["grafana", "build", "--logs-url", "https://kibana.example/", "--output", "out"]) == 0
    text = (home / "out/provisioning/datasources/opsctl.yaml").read_text()
    assert "url: https://prometheus.example/prefix" in text
    assert "url: https://jaeger.example" in text
    everything = text + (home / "out/dashboards/opsctl-service.json").read_text()
    assert "SECRET" not in everything
    assert "https://kibana.example" in everything
    assert "https://kibana.example/" not in everything


@pytest.mark.parametrize("argv", [["--logs-url", "kibana"], ["--output", "opsctl.toml"], ["--output", "opsctl.toml/x"]])
def test_what_cannot_be_done_is_one_line(home: Path, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong address, and a folder that is a file."""
    assert main(["grafana", "build", *argv]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert argv[1].split("/")[0] in said.err
