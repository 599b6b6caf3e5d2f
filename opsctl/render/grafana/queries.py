"""The expressions of the dashboards.

Objectives measure different metrics, so one panel for any service is a union: each objective's ratio gets the labels
`service` and `slo`, all are joined by `or`, and the dashboard's variable picks by the label `service`. Ratios are
those that `opsctl check` judges: the same queries, over all regions, and nothing where there is no total.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from opsctl.core.catalogue import Catalogue
from opsctl.core.requests import PROTOCOLS, Protocol
from opsctl.core.slo import Slo
from opsctl.promql import parse, render
from opsctl.promql.ast import Aggregate, Call, Paren, Selector

_CHOSEN = 'label_replace(vector(1), "chosen", "yes", "", "")'
_WHERE = 'service=~"$service", region=~"$region"'
_OF_DEPENDENCIES = 'service=~"$dependency", region=~"$region"'


# -- objectives --------------------------------------------------------------------------------------------------------


def bad_ratio(slo: Slo, window: timedelta) -> str:
    """The share of bad events in a window, in [0, 1]; nothing where there were no events."""
    part, total = (render(parse(text)) for text in (slo.queries[window].part, slo.queries[window].total))
    if slo.missing_part == "zero":
        part = f"{_grouped(part)} or 0 * {_grouped(total)}"
    ratio = f"{_grouped(part)} / ({_grouped(total)} > 0)"
    return f"1 - {ratio}" if slo.part == "good" else ratio


def budget_left(slo: Slo) -> str:
    """What is left of the period's error budget: 1 untouched, 0 spent, below overspent."""
    return f"1 - {_grouped(bad_ratio(slo, slo.period))} / {_budget(slo)}"


def burn(slo: Slo, window: timedelta) -> str:
    """Error budgets a period that are spent at the window's pace."""
    return f"{_grouped(bad_ratio(slo, window))} / {_budget(slo)}"


def budgets(slos: Iterable[Slo]) -> str:
    """What is left of each chosen budget, by service and slo."""
    return _picked("min", (_named(slo, budget_left(slo)) for slo in slos))


def burns(slos: Iterable[Slo], window: timedelta) -> str:
    """The burn rate of each chosen objective that is judged over that window."""
    return _picked("max", (_named(slo, burn(slo, window)) for slo in slos if window in slo.queries))


def windows(slos: Iterable[Slo]) -> tuple[timedelta, ...]:
    """Every window that an objective is judged over, ascending."""
    return tuple(sorted({window for slo in slos for window in slo.burn.windows()}))


def long_windows(slos: Iterable[Slo]) -> tuple[timedelta, ...]:
    """The long windows of all rows, ascending."""
    return tuple(sorted({row.long for slo in slos for row in slo.burn.rows}))


def factor(slos: Iterable[Slo], window: timedelta) -> float | None:
    """The lowest burn rate at which a row with that window fires; None where no row has it."""
    rows = (row.factor for slo in slos for row in slo.burn.rows if window in (row.long, row.short))
    return min(rows, default=None)


def _named(slo: Slo, expression: str) -> str:
    return _labelled(_labelled(expression, "slo", slo.name), "service", slo.service or "-")


def _labelled(expression: str, label: str, value: str) -> str:
    """With one label more; a dollar would stand for a part of a pattern."""
    return f'label_replace({expression}, "{label}", {json.dumps(value.replace("$", "$$"), ensure_ascii=False)}, "", "")'


def _picked(worst: str, terms: Iterable[str]) -> str:
    """Those of the union whose service the variable names: a regular expression that must fit all of it."""
    union = " or ".join(terms)
    return (
        f'{worst} by (service, slo) (label_replace({union}, "chosen", "yes", "service", "$service")'
        f" and on (chosen) {_CHOSEN})"
    )


def _grouped(expression: str) -> str:
    """In parentheses, unless it is one call already."""
    return expression if isinstance(parse(expression), (Aggregate, Call, Paren, Selector)) else f"({expression})"


def _budget(slo: Slo) -> str:
    return f"{slo.budget:.10g}"


# -- requests ----------------------------------------------------------------------------------------------------------


def request_rate(by: str, *, dependencies: bool = False) -> str:
    """Requests a second, by a label and protocol."""
    where = _OF_DEPENDENCIES if dependencies else _WHERE
    return _any(lambda each: f"sum by ({by}) (rate({each.total}{{{where}}}[$__rate_interval]))")


def error_ratio(by: str, *, dependencies: bool = False) -> str:
    """The share of requests that failed, by a label and protocol; zero where none of them did."""
    where = _OF_DEPENDENCIES if dependencies else _WHERE

    def of(each: Protocol) -> str:
        total = f"sum by ({by}) (rate({each.total}{{{where}}}[$__rate_interval]))"
        bad = f"sum by ({by}) (rate({each.total}{{{where}, {each.bad}}}[$__rate_interval]))"
        return f"({bad} or 0 * {total}) / ({total} > 0)"

    return _any(of)


def duration(quantile: float, by: str = "", *, dependencies: bool = False) -> str:
    """A quantile of the request time in seconds, by a label (or none) and protocol."""
    where = _OF_DEPENDENCIES if dependencies else _WHERE
    labels = f"le, {by}" if by else "le"

    def of(each: Protocol) -> str:
        rate = f"rate({each.buckets}{{{where}}}[$__rate_interval])"
        return f"histogram_quantile({quantile:g}, sum by ({labels}) ({rate}))"

    return _any(of)


def _any(of: Callable[[Protocol], str]) -> str:
    """The union over the protocols, each with its name as a label."""
    return " or ".join(_labelled(of(each), "protocol", each.name) for each in PROTOCOLS)


# -- dependencies ------------------------------------------------------------------------------------------------------


def edges(catalogue: Catalogue) -> str | None:
    """One element for each dependency of the chosen service that is a service of ours; None where there are none."""
    found: list[str] = []
    for service in catalogue.services.values():
        for name in service.depends_on:
            other = catalogue.get(name)
            if other is not None and other.kind == "internal":
                callee = _labelled("vector(1)", "dependency", name)
                found.append(_labelled(callee, "service", service.name))
    if not found:
        return None
    union = " or ".join(found)
    return (
        f'max by (dependency) (label_replace({union}, "chosen", "yes", "service", "$service")'
        f" and on (chosen) {_CHOSEN})"
    )


def service_names(catalogue: Catalogue, slos: Sequence[Slo]) -> tuple[str, ...]:
    """Our services in the catalogue's order, and those that only objectives name."""
    ours = [service.name for service in catalogue.services.values() if service.kind == "internal"]
    return tuple(dict.fromkeys([*ours, *sorted({slo.service for slo in slos if slo.service})]))
