"""What the board asks of all services together: by the labels of selectors, once a minute, kept while it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Reason, Series
from opsctl.tui.rates import RatesReader
from tests.tui.reports import AT

HOUR = timedelta(hours=1)


@dataclass
class Source:
    """Answers with one point at the end for each series; `down` questions fail."""

    series: dict[str, tuple[tuple[tuple[tuple[str, str], ...], float], ...]]
    down: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def range(
        self, expression: str, start: datetime, end: datetime, step: timedelta, timeout: float
    ) -> Reading[Matrix]:
        """By what the question is about."""
        what = "p99" if "quantile" in expression else "failed" if "5.." in expression else "total"
        self.asked.append(expression)
        if what in self.down:
            return Failed(Reason.UNREACHABLE, "refused", "prometheus")
        found = self.series.get(what, ())
        if not found:
            return Absent("prometheus")
        return Measured(Matrix(tuple(Series(who, ((end.timestamp(), value),)) for who, value in found)), "prometheus")


def composition(source: Source, *services: Service) -> Any:
    """What the reader needs of one."""
    limits = SimpleNamespace(request=timedelta(seconds=1))
    catalogue = Catalogue({one.name: one for one in services})
    return SimpleNamespace(metrics=source, catalogue=catalogue, context=SimpleNamespace(limits=limits))


WALLET = Service("wallet", 1, "money", selectors={"prometheus": {"job": "wallet-api", "zone": "eu"}})
PROMO = Service("promo", 1, "growth", selectors={"prometheus": "promotions"})


def test_services_are_found_by_their_selectors_whatever_labels_those_have() -> None:
    source = Source({"total": (((("service", "promotions"),), 5.0), ((("job", "wallet-api"), ("zone", "eu")), 9.0))})
    found = RatesReader().read(composition(source, WALLET, PROMO), AT - HOUR, AT)
    assert {name: rates.requests[-1][1] for name, rates in found.by_service.items()} == {"promo": 5.0, "wallet": 9.0}
    assert len(source.asked) == 6, "three questions for each set of labels"
    assert found.problem == ""


def test_no_failures_are_zero_errors_and_a_question_that_failed_is_not() -> None:
    source = Source({"total": (((("service", "chat"),), 5.0),)})
    reader = RatesReader()
    assert reader.read(composition(source), AT - HOUR, AT).by_service["chat"].errors == ((AT.timestamp(), 0.0),)
    other = Source(source.series, down={"failed"})
    found = RatesReader().read(composition(other), AT - HOUR, AT)
    assert found.by_service["chat"].errors == ()
    assert found.problem == "prometheus: refused"


def test_a_window_is_asked_once_and_after_a_failure_only_what_failed() -> None:
    source = Source({"total": (((("service", "chat"),), 5.0),)}, down={"p99"})
    reader = RatesReader()
    reader.read(composition(source), AT - HOUR, AT)
    assert len(source.asked) == 3
    source.down.clear()
    reader.read(composition(source), AT - HOUR, AT)
    assert len(source.asked) == 4
    reader.read(composition(source), AT - HOUR, AT)
    assert len(source.asked) == 4


def test_what_was_known_is_kept_at_its_time_while_nothing_is_answered() -> None:
    source = Source({"total": (((("service", "chat"),), 5.0),)})
    reader = RatesReader()
    reader.read(composition(source), AT - HOUR, AT)
    source.down = {"total", "failed", "p99"}
    later = AT + timedelta(minutes=5)
    found = reader.read(composition(source), later - HOUR, later)
    assert found.by_service["chat"].requests == ((AT.timestamp(), 5.0),)
    assert found.at == AT
    gone = AT + timedelta(hours=3)
    assert reader.read(composition(source), gone - HOUR, gone).by_service == {}, "it is of no part of this window"
