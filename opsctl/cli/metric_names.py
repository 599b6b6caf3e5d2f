"""`opsctl metric ls|labels`, and what a metric that nobody knows was probably meant to be."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from opsctl.cli.frame import Frame, write_json
from opsctl.cli.metric import finish, status
from opsctl.core.exploring import SeriesQuery, family
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason
from opsctl.errors import UsageError
from opsctl.ports.metrics import MetricsExplorer
from opsctl.render.table import Column, write_rows
from opsctl.render.text import clean

if TYPE_CHECKING:
    from opsctl.core.exploring import Metadata
    from opsctl.core.signals import Labels

COUNTED_MAX = 50  # metrics whose series are counted: one question, and no server minds it
SERIES_MAX = 10_000  # that labels are read from
NAMES_MAX = 20_000  # that a misspelt name is compared with
HINT_SECONDS = 2.0
NAMES_BEFORE = timedelta(hours=1)
_SHOWN_VALUES = 4
_HELP_MAX = 200  # characters, in a table


def explorer(run: Frame) -> MetricsExplorer:
    """The context's source, where it can be looked around in."""
    source = run.composition.metrics
    if not isinstance(source, MetricsExplorer):
        raise UsageError(f"{source.name} can be asked for values only")
    return source


# -- metric ls ---------------------------------------------------------------------------------------------------------


def print_metrics(
    run: Frame, pattern: str | None, start: datetime, end: datetime, timeout_seconds: float, form: str
) -> None:
    """Names that have data in the time, with metadata and, where there are few, how many series each has."""
    source = explorer(run)
    wanted = None if pattern is None else _regex(pattern)
    selectors = () if wanted is None else (f"{{__name__=~{json.dumps(wanted, ensure_ascii=False)}}}",)
    reading = source.label_values("__name__", SeriesQuery(selectors, start, end), timeout_seconds)
    names = [name for name in _kept(run, reading) if wanted is None or re.fullmatch(wanted, name)]
    told = source.metadata(None, timeout_seconds) if names else Absent(reading.backend)
    if isinstance(told, Failed) and told.reason is not Reason.UNSUPPORTED:
        run.say(clean(f"no types and units: {told.message}"))
    known = told.data if isinstance(told, Measured) else {}
    counts = _series_counts(run, names, end, timeout_seconds) if 0 < len(names) <= COUNTED_MAX else {}
    rows = [{"name": name, **_about(known, name), "series": counts.get(name)} for name in names]
    if isinstance(reading, Absent) and pattern is not None:
        run.say(clean(f"nothing: no metric fits {pattern}"))
    if form == "json":
        body = {"pattern": pattern, "start": start, "end": end, "backend": reading.backend, **status(reading)}
        write_json("metric/ls/v1", {**body, "metadata": status(told)["status"], "metrics": rows})
    else:
        _print_names(run, rows, form)
    finish(reading)


def _print_names(run: Frame, rows: Sequence[Mapping[str, Any]], form: str) -> None:
    names = ["name", "type", "unit", "series", "help"]
    if form == "table":
        names = [name for name in names if name == "name" or any(row[name] not in (None, "") for row in rows)]
    columns = [Column(name, right=name == "series", wrap=name == "help") for name in names]
    cells = [[_short("" if row[name] is None else str(row[name]), form) for name in names] for row in rows]
    write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))


def _short(text: str, form: str) -> str:
    """A help text that is a page would hide the names."""
    return f"{text[:_HELP_MAX]}…" if form == "table" and len(text) > _HELP_MAX else text


def _regex(pattern: str) -> str:
    """A glob for the whole name, or a plain word for a part of it, as a pattern that RE2 and Python read alike."""
    if not re.search(r"[*?]", pattern):
        pattern = f"*{pattern}*"
    return "".join({"*": ".*", "?": "."}.get(ch) or _literal(ch) for ch in pattern)


def _literal(ch: str) -> str:
    return ch if ch.isalnum() or ch in "_: " or not ch.isascii() else f"\\{ch}"


def _about(known: Mapping[str, tuple[Metadata, ...]], name: str) -> dict[str, str | None]:
    """Type, unit and help; where targets disagree all that they say."""
    told = next((known[each] for each in family(name) if each in known), ())

    def joined(values: Iterable[str]) -> str | None:
        return " / ".join(dict.fromkeys(value for value in values if value)) or None

    return {
        "type": joined(one.type for one in told),
        "unit": joined(one.unit for one in told),
        "help": joined(one.help for one in told),
    }


def _series_counts(run: Frame, names: Sequence[str], at: datetime, timeout_seconds: float) -> dict[str, int]:
    pattern = "|".join("".join(map(_literal, name)) for name in names)
    expression = f"count by (__name__) ({{__name__=~{json.dumps(pattern, ensure_ascii=False)}}})"
    reading = run.composition.metrics.instant(expression, at, timeout_seconds)
    if not isinstance(reading, Measured):
        return {}
    return {dict(sample.labels).get("__name__", ""): int(sample.value) for sample in reading.data.samples}


# -- metric labels -----------------------------------------------------------------------------------------------------


def print_labels(
    run: Frame, metric: str | None, start: datetime, end: datetime, timeout_seconds: float, form: str
) -> None:
    """The labels of a metric's series; without a metric every label name of the server."""
    if metric is None:
        _print_label_names(run, start, end, timeout_seconds, form)
        return
    query = SeriesQuery((metric,), start, end, SERIES_MAX)
    reading = explorer(run).series(query, timeout_seconds)
    found: Sequence[Labels] = _kept(run, reading)
    if isinstance(reading, Absent):
        run.say(clean(f"nothing: no series of {metric} in this time"))
        say_what_is_unknown(run, metric, start, end)
    counted: dict[str, Counter[str]] = {}
    for labels in found:
        for name, value in labels:
            if name != "__name__":
                counted.setdefault(name, Counter())[value] += 1
    rows = [(name, sorted(counted[name].items(), key=lambda each: (-each[1], each[0]))) for name in sorted(counted)]
    if form == "json":
        body = {"metric": metric, "start": start, "end": end, "backend": reading.backend, **status(reading)}
        listed = [{"name": name, "values": [{"value": v, "series": n} for v, n in values]} for name, values in rows]
        write_json("metric/labels/v1", {**body, "series": len(found), "labels": listed})
    elif form == "plain":
        cells = [[name, value, str(count)] for name, values in rows for value, count in values]
        write_rows(sys.stdout, [Column("label"), Column("value"), Column("series")], cells, table=False, color=False)
    else:
        columns = [Column("label"), Column("values", right=True), Column("in how many series", wrap=True)]
        cells = [[name, str(len(values)), _some(values)] for name, values in rows]
        write_rows(sys.stdout, columns, cells, table=True, color=run.colored(sys.stdout))
    finish(reading)


def _some(values: Sequence[tuple[str, int]]) -> str:
    more = f", and {len(values) - _SHOWN_VALUES} more" if len(values) > _SHOWN_VALUES else ""
    return ", ".join(f"{value} ×{count}" for value, count in values[:_SHOWN_VALUES]) + more


def _print_label_names(run: Frame, start: datetime, end: datetime, timeout_seconds: float, form: str) -> None:
    reading = explorer(run).label_names(SeriesQuery((), start, end), timeout_seconds)
    names: Sequence[str] = _kept(run, reading)
    if form == "json":
        body = {"metric": None, "start": start, "end": end, "backend": reading.backend, **status(reading)}
        write_json("metric/labels/v1", {**body, "series": None, "labels": [{"name": name} for name in names]})
    else:
        cells = [[name] for name in names]
        write_rows(sys.stdout, [Column("label")], cells, table=form == "table", color=run.colored(sys.stdout))
    finish(reading)


def _kept(run: Frame, reading: Reading[Any]) -> Any:
    """What came, whole or not."""
    match reading:
        case Measured():
            return reading.data
        case Failed() if reading.partial is not None:
            run.warn(clean(f"partial: {reading.message}"))
            return reading.partial
        case _:
            return ()


# -- did you mean ------------------------------------------------------------------------------------------------------


def say_what_is_unknown(run: Frame, expression: str, start: datetime, end: datetime) -> None:
    """After an empty answer: the metrics of the expression that nobody has, and what they are near to. One question."""
    from opsctl.promql import PromqlError
    from opsctl.promql.rewrite import metric_names

    source = run.composition.metrics
    try:
        asked = sorted(metric_names(expression))
    except PromqlError:
        return
    if run.quiet or not asked or not isinstance(source, MetricsExplorer):
        return
    query = SeriesQuery((), start - NAMES_BEFORE, end, NAMES_MAX)
    reading = source.label_values("__name__", query, HINT_SECONDS)
    if not isinstance(reading, Measured):  # a part of the names cannot say that one is missing
        return
    for name in asked:
        if name not in reading.data:
            run.say(clean(f"no metric is called {name}{_near(name, reading.data)}"))


def _near(name: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=2, cutoff=0.7)
    return f"; did you mean {' or '.join(near)}?" if near else f"; `opsctl metric ls` lists {len(known)} that are known"
