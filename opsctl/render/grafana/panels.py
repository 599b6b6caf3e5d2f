"""Panels as Grafana's JSON: what each kind needs, and where it stands.

Ids and reference ids are given by `placed` and `targets`, never by hand, so that they are unique.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from opsctl.core.frozen import dataclass

Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
Step = tuple[float | None, str]  # from this value on, that colour; None is the first

LOW_BUDGET: tuple[Step, ...] = ((None, "red"), (0.0, "orange"), (0.25, "green"))
ERRORS: tuple[Step, ...] = ((None, "green"), (0.001, "orange"), (0.01, "red"))
CALM: tuple[Step, ...] = ((None, "green"),)


@dataclass(frozen=True, slots=True)
class Ask:
    """One expression of a panel; `instant` is a number now, otherwise a line."""

    expression: str
    legend: str = ""
    instant: bool = False
    exemplar: bool = False
    every: str | None = None  # the smallest distance between two values


@dataclass(frozen=True, slots=True)
class Row:
    """A row's title and its panels, each with width and height, left to right and top to bottom."""

    title: str
    panels: tuple[tuple[Json, int, int], ...]


def targets(asks: Sequence[Ask], form: str = "time_series") -> list[Json]:
    """The expressions with reference ids A, B, …"""
    out = []
    for index, ask in enumerate(asks):
        target: Json = {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": ask.expression,
            "format": form,
            "legendFormat": ask.legend or "__auto",
            "refId": _ref_id(index),
        }
        if ask.instant:
            target |= {"instant": True, "range": False}
        else:
            target |= {"instant": False, "range": True, "exemplar": ask.exemplar}
        if ask.every:
            target["interval"] = ask.every
        out.append(target)
    return out


def _ref_id(index: int) -> str:
    """A, B, … Z, AA, BB, …"""
    return ascii_uppercase[index % 26] * (index // 26 + 1)


def _panel(kind: str, title: str, description: str, asks: Sequence[Ask], defaults: Json, options: Json) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets(asks),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def lines(
    title: str,
    description: str,
    unit: str,
    asks: Sequence[Ask],
    *,
    steps: Sequence[Step] = CALM,
    drawn: bool = False,
    links: Sequence[Json] = (),
    least: float | None = 0.0,
) -> Json:
    """Values over time; `drawn` shows the steps as lines."""
    defaults: Json = {
        "unit": unit,
        "color": {"mode": "palette-classic"},
        "thresholds": thresholds(steps),
        "links": list(links),
        "custom": {
            "drawStyle": "line",
            "fillOpacity": 8,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "thresholdsStyle": {"mode": "line" if drawn else "off"},
        },
    }
    if least is not None:
        defaults["min"] = least
    options = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, asks, defaults, options)


def number(title: str, description: str, unit: str, ask: Ask, steps: Sequence[Step]) -> Json:
    """One number now."""
    defaults = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": thresholds(steps)}
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
        "wideLayout": True,
    }
    return _panel("stat", title, description, [ask], defaults, options)


def table(
    title: str,
    description: str,
    unit: str,
    columns: Sequence[tuple[str, Ask, str, Sequence[Step]]],
    links: Sequence[Json],
) -> Json:
    """One row an objective, sorted by the first of `columns` (name, expression, unit, steps); links are a service's."""
    panel = _panel(
        "table",
        title,
        description,
        [],
        {"unit": unit, "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True}},
        {"cellHeight": "sm", "showHeader": True, "sortBy": [{"desc": False, "displayName": columns[0][0]}]},
    )
    panel["targets"] = targets([ask for _, ask, _, _ in columns], "table")
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {"service": 0, "slo": 1}}},
    ]
    overrides = panel["fieldConfig"]["overrides"]
    for index, (name, _, own, steps) in enumerate(columns):
        field = f"Value #{_ref_id(index)}" if len(columns) > 1 else "Value"
        overrides.append(
            {
                "matcher": {"id": "byName", "options": field},
                "properties": [
                    {"id": "displayName", "value": name},
                    {"id": "unit", "value": own},
                    {"id": "decimals", "value": 1},
                    {"id": "thresholds", "value": thresholds(steps)},
                    {"id": "custom.cellOptions", "value": {"type": "color-text"}},
                ],
            }
        )
    overrides.append(
        {
            "matcher": {"id": "byName", "options": "service"},
            "properties": [{"id": "links", "value": list(links)}],
        }
    )
    return panel


def bars(title: str, description: str, unit: str, ask: Ask, steps: Sequence[Step]) -> Json:
    """One bar a series, now."""
    defaults = {
        "unit": unit,
        "min": 0,
        "max": 1,
        "color": {"mode": "thresholds"},
        "thresholds": thresholds(steps),
    }
    options = {
        "displayMode": "basic",
        "minVizHeight": 16,
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "valueMode": "color",
    }
    return _panel("bargauge", title, description, [ask], defaults, options)


def text(title: str, description: str, markdown: str) -> Json:
    """Words and links; it asks nothing."""
    return {
        "type": "text",
        "title": title,
        "description": description,
        "options": {"mode": "markdown", "content": markdown},
    }


def thresholds(steps: Sequence[Step]) -> Json:
    """Colours from values on."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in steps]}


def placed(rows: Sequence[Row]) -> list[Json]:
    """All panels with ids and positions: rows below each other, panels filling them from the left."""
    out: list[Json] = []
    y = 0
    for row in rows:
        out.append(_at({"type": "row", "title": row.title, "collapsed": False, "panels": []}, len(out), 0, y, WIDTH, 1))
        y += 1
        x = tallest = 0
        for panel, width, height in row.panels:
            if x + width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            out.append(_at(panel, len(out), x, y, width, height))
            x, tallest = x + width, max(tallest, height)
        y += tallest
    return out


def _at(panel: Mapping[str, Any], index: int, x: int, y: int, width: int, height: int) -> Json:
    return {"id": index + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **panel}
