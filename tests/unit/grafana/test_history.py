"""Every expression of the shipped dashboards gives series on the platform's healthy history, for every service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from opsctl.demo.platform import Platform
from opsctl.demo.topology import SERVICES
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import load_rules
from opsctl.promql.engine import Engine
from opsctl.promql.store import SeriesStore
from opsctl.render.grafana import queries
from tests.unit.grafana.dashboards import FOLDER, SHIPPED, asked_of_the_server, panels, substituted

START = datetime(2026, 5, 14, 12, tzinfo=UTC)
END = START + timedelta(hours=2)
END_MS = round(END.timestamp() * 1000)
CATALOGUE = load_catalogue("bundled:", FOLDER)
SLOS = load_rules(("bundled:",), FOLDER, CATALOGUE).slos

# What these depend on has no series of ours: stores and third parties are seen through their callers only.
NO_DEPENDENCY_OF_OURS = {"auth", "sessions", "leaderboard", "inventory", "wallet", "fraud", "vault", "kyc"}


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Two healthy hours."""
    store = SeriesStore()
    Platform(7, START, store).advance(END)
    return Engine(store)


def dependencies(service: str) -> str:
    """The services of ours that one depends on, as Grafana joins them."""
    names = CATALOGUE.services[service].depends_on
    return "|".join(name for name in names if CATALOGUE.services[name].kind == "internal")


def expressions(name: str) -> dict[str, str]:
    """By panel and reference id."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels(SHIPPED[name])
        for target in panel.get("targets", ())
    }


def finite(engine: Engine, expression: str) -> int:
    """How many series have a number now."""
    result = engine.instant(expression, END_MS)
    return int((result.present[:, 0] & np.isfinite(result.values[:, 0])).sum())


@pytest.mark.parametrize("service", SERVICES)
def test_the_service_dashboard_is_never_empty(engine: Engine, service: str) -> None:
    """Every panel of every service has a number, but for dependencies where there are none of ours."""
    wanted = dependencies(service)
    assert bool(wanted) is (service not in NO_DEPENDENCY_OF_OURS)
    for where, expression in expressions("opsctl-service").items():
        if "$dependency" in expression and service in NO_DEPENDENCY_OF_OURS:
            continue
        if "burn" in where.lower() and not finite(engine, substituted(expression, service)):
            # A service whose objectives are all judged over the slow windows has no burn over the quick ones.
            assert service == "leaderboard"
            continue
        assert finite(engine, substituted(expression, service, wanted)) > 0, (service, where)


def test_the_overview_shows_every_service_and_objective(engine: Engine) -> None:
    """With `All` and with two services chosen."""
    for where, expression in expressions("opsctl-overview").items():
        every = "|".join(SERVICES)
        count = finite(engine, substituted(expression, f"({every})"))
        assert count > 0, where
        if where in {"Error budgets and burn rates A", "Error budgets and burn rates D"}:
            assert count == len(SLOS), where
        if where in {"Requests A", "Errors A", "Duration, 99 % A"}:
            assert count == len(SERVICES), where
        labels = engine.instant(substituted(expression, "(wallet|chat)"), END_MS).labels
        assert {dict(each).get("service", "wallet") for each in labels} <= {"wallet", "chat"}, where


def test_one_region_is_half_of_the_requests(engine: Engine) -> None:
    """The variable region reaches the requests and not the objectives."""
    rows = expressions("opsctl-service")
    assert finite(engine, substituted(rows["Rate A"], "promo")) == 2
    assert finite(engine, substituted(rows["Rate A"], "promo", region="eu-1")) == 1
    assert "$region" not in rows["Error budget left A"]


@pytest.mark.parametrize("name", SHIPPED)
def test_variables_have_values(engine: Engine, name: str) -> None:
    """Regions, and the dependencies that the catalogue names, for each service that has some of ours."""
    asked = asked_of_the_server(SHIPPED[name])
    assert finite(engine, asked["region"]) > 0
    if "dependency" in asked:
        for service in SERVICES:
            found = engine.instant(substituted(asked["dependency"], service), END_MS).labels
            assert {dict(each)["dependency"] for each in found} == set(dependencies(service).split("|")) - {""}


def test_budgets_and_burns_are_those_that_are_judged(engine: Engine) -> None:
    """The union's numbers are the rules' own counts, put together as docs/slo.md says."""
    everything = "|".join(SERVICES)

    def by_slo(expression: str) -> dict[str, float]:
        result = engine.instant(substituted(expression, everything), END_MS)
        return {dict(labels)["slo"]: float(row[0]) for labels, row in zip(result.labels, result.values, strict=True)}

    def counted(text: str) -> float | None:
        result = engine.instant(text, END_MS)
        return float(result.values[0, 0]) if len(result.labels) and result.present[0, 0] else None

    left, hour = by_slo(queries.budgets(SLOS)), timedelta(hours=1)
    burnt = by_slo(queries.burns(SLOS, hour))
    for slo in SLOS:
        part, total = (counted(text) for text in (slo.queries[slo.period].part, slo.queries[slo.period].total))
        assert total
        assert left[slo.name] == pytest.approx(1 - (part or 0.0) / total / slo.budget)
        if hour in slo.queries:
            part, total = (counted(text) for text in (slo.queries[hour].part, slo.queries[hour].total))
            assert total
            assert burnt[slo.name] == pytest.approx((part or 0.0) / total / slo.budget)


def test_an_objective_without_data_is_not_shown_as_good(engine: Engine) -> None:
    """A union over series that are not there has no row for it, and the count of objectives says so."""
    alien: Any = SeriesStore()
    other = Engine(alien)
    assert len(other.instant(substituted(queries.budgets(SLOS), ".*"), END_MS).labels) == 0
    count = expressions("opsctl-overview")["Objectives with data A"]
    assert len(other.instant(substituted(count, ".*"), END_MS).labels) == 0
