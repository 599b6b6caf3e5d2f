"""Runs promqltest commands on our engine: each eval as written, pinned by `@`, and as the middle of a range query."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from opsctl.core.signals import Labels
from opsctl.promql import PromqlError, UnsupportedError, parse, render
from opsctl.promql.ast import Call, Expr, Range, Selector, Subquery, transform, walk
from opsctl.promql.engine import Engine, Result
from opsctl.promql.samples import stale_mark
from opsctl.promql.store import SeriesStore
from tests.promqltest.language import Clear, Command, Eval, Load, Values, nearly, read

_UNSAFE = frozenset(
    [
        "days_in_month",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "hour",
        "minute",
        "month",
        "year",
        "predict_linear",
        "time",
        "timestamp",
    ]
)
_PLACE = re.compile(r" \(\d+:\d+\)$")


@dataclass
class Tally:
    """Each eval counted once."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    out_of_scope: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"passed={self.passed} failed={len(self.failed)} out_of_scope={self.out_of_scope.total()}"


class Wrong(AssertionError):
    """An answer is not what the file expects."""


class World:
    """The samples loaded so far, and an engine over them."""

    def __init__(self) -> None:
        self._samples: dict[Labels, dict[int, float]] = {}
        self._native: set[Labels] = set()
        self._engine: Engine | None = None

    def load(self, command: Load) -> None:
        """Take samples; the first value at a time stays, and the last line of a series in one command counts."""
        self._engine = None
        for series, values in dict(command.series).items():
            name = dict(series)["__name__"]
            if command.also_native and name.endswith("_bucket"):
                self._native.add(_of_histogram(series, name.removesuffix("_bucket")))
            if "native" in values:
                self._native.add(series)
            samples = self._samples.setdefault(series, {})
            for i, value in enumerate(values):
                if value is not None and value != "native":
                    number = stale_mark() if value == "stale" else float(value)
                    samples.setdefault(i * command.gap_ms, number)

    @property
    def engine(self) -> Engine:
        """Over everything that is loaded."""
        if self._engine is None:
            self._engine = Engine(self._store())
        return self._engine

    def _store(self) -> SeriesStore:
        store = SeriesStore()
        by_metric: dict[str, list[Labels]] = {}
        for series in self._samples:
            by_metric.setdefault(dict(series)["__name__"], []).append(series)
        for metric, all_series in by_metric.items():
            times = sorted({at for series in all_series for at in self._samples[series]})
            rows = [[self._samples[series].get(at) for at in times] for series in all_series]
            present = np.array([[value is not None for value in row] for row in rows], bool)
            values = np.array([[0.0 if value is None else value for value in row] for row in rows])
            sets = tuple(dict(series) for series in all_series)
            if times:
                store.add(metric, sets, np.array(times, np.int64), values, present)
        for series in self._native:
            store.add_native(dict(series)["__name__"], [dict(series)])
        return store


def _of_histogram(series: Labels, name: str) -> Labels:
    pairs = {k: v for k, v in series if k != "le"} | {"__name__": name}
    return tuple(sorted(pairs.items()))


def run_files(files: Iterable[tuple[str, str]]) -> Tally:
    """Run (path, text) pairs, each in a world of its own."""
    tally = Tally()
    for path, text in files:
        world = World()
        for command in read(path, text):
            world = _run(world, command, tally)
    return tally


def _run(world: World, command: Command, tally: Tally) -> World:
    match command:
        case Clear():
            return World()
        case Load():
            world.load(command)
        case Eval():
            try:
                check(world.engine, command)
                tally.passed += 1
            except UnsupportedError as refused:
                tally.out_of_scope[refused.feature] += 1
            except (Wrong, PromqlError) as wrong:
                tally.failed.append(f"{command.path}:{command.line}: {command.expr}: {wrong}")
    return world


def check(engine: Engine, case: Eval) -> None:
    """Ask as written and in every other way that must give the same; `Wrong` says which did not."""
    if case.step_ms:
        _check_one(case, lambda: engine.range(case.expr, case.start_ms, case.end_ms, case.step_ms))
        return
    for text, at in ((case.expr, case.start_ms), *_pinned(case)):
        pinned = text != case.expr
        _check_one(case, partial(engine.instant, text, at), pinned=pinned, note=f"{text} at {at}")
        if case.wants("fail") or case.range_vector or case.text is not None or case.wants("ordered"):
            continue
        try:
            result = engine.range(text, at - 60_000, at + 60_000, 60_000)
        except PromqlError as wrong:
            raise Wrong(f"{text} at {at} in range mode: {wrong}") from wrong
        middle = replace(
            result, kind=engine.plan(text).kind, values=result.values[:, 1:2], present=result.present[:, 1:2]
        )
        try:
            _compare(case, middle)
        except Wrong as wrong:
            raise Wrong(f"{text} at {at} in range mode: {wrong}") from wrong


def _pinned(case: Eval) -> Iterator[tuple[str, int]]:
    """The expression with `@ t` on every selector and subquery, at several times."""
    try:
        expr = parse(case.expr)
    except PromqlError:
        return
    if any(isinstance(node, Call) and node.function in _UNSAFE for node in walk(expr)):
        return
    text = render(pin(expr, case.start_ms))
    t = case.start_ms
    for at in (-10 * t, 0, t // 5, t, 10 * t) if t else (-1000, 0, 1000):
        yield text, at


def pin(expr: Expr, at_ms: int) -> Expr:
    """`@ at` on every selector and subquery that has none; not inside a subquery."""

    def change(node: Expr) -> Expr | None:
        match node:
            case Selector():
                return node if node.time is not None else replace(node, time=at_ms)
            case Range(selector):
                return node if selector.time is not None else replace(node, selector=replace(selector, time=at_ms))
            case Subquery():
                return node if node.time is not None else replace(node, time=at_ms)
        return None

    return transform(expr, change)


def _check_one(case: Eval, ask: Callable[[], Result], *, pinned: bool = False, note: str = "") -> None:
    try:
        result: Result = ask()
    except UnsupportedError:
        raise
    except PromqlError as wrong:
        if case.wants("fail"):
            _check_texts(case, "fail", [wrong.what])
            return
        raise Wrong(f"{note} {wrong}") from wrong
    if case.wants("fail"):
        raise Wrong("expected an error, got an answer")
    try:
        _check_notes(case, result, pinned=pinned)
        _compare(case, result)
    except Wrong as wrong:
        raise Wrong(f"{note} {wrong}") from wrong


def _check_notes(case: Eval, result: Result, *, pinned: bool) -> None:
    for what, none, notes in (("warn", "no_warn", result.warnings), ("info", "no_info", result.infos)):
        if case.wants(what):
            if not notes:
                raise Wrong(f"expected {what}, got none")
            _check_texts(case, what, list(notes), placeless=pinned)
        if case.wants(none) and notes:
            raise Wrong(f"expected {none}, got {notes}")


def _check_texts(case: Eval, what: str, got: list[str], *, placeless: bool = False) -> None:
    for kind, how, text in case.expects:
        if kind != what or not how:
            continue
        known = [*got, *(_PLACE.sub("", each) for each in got)] if placeless else got
        wanted = _PLACE.sub("", text) if placeless and how == "msg" else text
        pattern = re.sub(r" ?\\\([^ ]*\\\)$", "", text) if placeless else text
        if how == "msg" and wanted not in known:
            raise Wrong(f"expected {what} {text!r}, got {got}")
        if how == "regex" and not any(re.search(pattern, each) for each in known):
            raise Wrong(f"expected {what} like {text!r}, got {got}")


def _compare(case: Eval, result: Result) -> None:
    if case.text is not None:
        if result.kind != "string" or result.text != case.text:
            raise Wrong(f"expected the string {case.text!r}, got {result.kind} {result.text!r}")
        return
    if case.scalar is not None:
        if result.kind != "scalar" or not nearly(case.scalar, float(result.values[0, 0])):
            raise Wrong(f"expected the scalar {case.scalar}, got {result.kind} {result.values.tolist()}")
        return
    if case.range_vector:
        start, end, step = case.range_vector
        times = list(range(start, end + 1, step))
    else:
        times = list(range(case.start_ms, case.end_ms + 1, case.step_ms or 1))
    _compare_series(case, result, times)


def _compare_series(case: Eval, result: Result, times: list[int]) -> None:
    got: dict[Labels, dict[int, float]] = {}
    columns = result.times_ms.tolist() if case.range_vector or case.step_ms else times
    for labels, values, present in zip(result.labels, result.values, result.present, strict=True):
        points = {at: float(v) for at, v, there in zip(columns, values, present, strict=True) if there}
        if points:
            if labels in got:
                raise Wrong(f"{labels} is there twice")
            got[labels] = points
    expected = {labels: _points(values, times) for labels, values in case.series}
    expected = {labels: points for labels, points in expected.items() if points}
    if got.keys() != expected.keys():
        raise Wrong(f"expected series {sorted(expected)}, got {sorted(got)}")
    for labels, points in expected.items():
        if points.keys() != got[labels].keys():
            raise Wrong(f"{labels}: expected points at {sorted(points)}, got {sorted(got[labels])}")
        for at, value in points.items():
            if not nearly(value, got[labels][at]):
                raise Wrong(f"{labels} at {at}: expected {value}, got {got[labels][at]}")
    if case.wants("ordered") and list(got) != list(expected):
        raise Wrong(f"expected the order {list(expected)}, got {list(got)}")


def _points(values: Values, times: list[int]) -> dict[int, float]:
    if "native" in values:
        raise Wrong("a native histogram is expected, which is never answered")
    return {at: float(value) for at, value in zip(times, values, strict=False) if value is not None}
