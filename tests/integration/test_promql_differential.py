"""Our engine against a real Prometheus: random expressions over the same samples give the same answers to 1e-9."""

from __future__ import annotations

import http.client
import json
import math
import re
from random import Random
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

from opsctl.core.signals import Labels, labels
from opsctl.promql import PromqlError
from opsctl.promql.engine import Engine, Result
from opsctl.promql.store import SeriesStore
from tests.promqltest.expressions import START_MS, Expressions, History, history, openmetrics
from tests.servers.fixtures import StartPrometheus

SEED = 20
EXPRESSIONS = 400
_PLACE = re.compile(r" \(\d+:\d+\)$")

Points = dict[Labels, dict[int, float]]


def _store(samples: History) -> SeriesStore:
    store = SeriesStore()
    for series, points in samples.items():
        pairs = dict(series)
        times = np.array([at for at, _ in points], np.int64)
        store.add(pairs.pop("__name__"), (pairs,), times, np.array([[value for _, value in points]]))
    return store


class _Server:
    """Asks a Prometheus over one connection."""

    def __init__(self, url: str, major: int) -> None:
        self.major = major
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def ask(self, path: str, **parameters: str) -> tuple[Points | None, list[str]]:
        """Series and notes; None where it answers with an error."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", f"/api/v1/{path}", urlencode(parameters), form)
        answer = json.loads(self._connection.getresponse().read())
        if answer["status"] != "success":
            return None, [answer["error"]]
        data, notes = answer["data"], answer.get("warnings", []) + answer.get("infos", [])
        if data["resultType"] == "scalar":
            return {(): dict([_point(data["result"])])}, notes
        found = {}
        for each in data["result"]:
            points = each.get("values") or [each["value"]]
            found[labels(each["metric"])] = dict(map(_point, points))
        return found, notes


def _point(pair: list[object]) -> tuple[int, float]:
    return round(float(str(pair[0])) * 1000), float(str(pair[1]))


def _ours(result: Result) -> Points:
    return {
        of: {int(t): float(v) for t, v, there in zip(result.times_ms, values, present, strict=True) if there}
        for of, values, present in zip(result.labels, result.values, result.present, strict=True)
    }


def _same(ours: float, theirs: float) -> bool:
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


def _differences(ours: Points, theirs: Points) -> str:
    if ours.keys() != theirs.keys():
        return f"series {sorted(ours.keys() ^ theirs.keys())} on one side only"
    for series, points in theirs.items():
        if points.keys() != ours[series].keys():
            return f"{series}: steps {sorted(points.keys() ^ ours[series].keys())} on one side only"
        for at, value in points.items():
            if not _same(ours[series][at], value):
                return f"{series} at {at}: ours {ours[series][at]!r}, theirs {value!r}"
    return ""


_TIMESTAMP = re.compile(r"timestamp\(+[^()]*\{?[^()]*( offset \S+ @ |@ \S+ offset )")


def _known(text: str, major: int) -> bool:
    """What a server answers wrongly, so that agreeing would be a fault.

    timestamp() of a selector with both `@` and an offset looks for the sample without the offset among samples that
    were fetched with it. 2.42 evaluates predict_linear of a pinned range once for all steps, and has 0 for the
    deviation of NaN alone.
    """
    if _TIMESTAMP.search(text):
        return True
    return major == 2 and (("predict_linear" in text and "@" in text) or "stdvar " in text or "stddev " in text)


def _compare(engine: Engine, server: _Server, text: str, at: int, step: int) -> str:
    """The first difference, as an instant query (step 0) or over 20 steps."""
    span = {"start": f"{at / 1000:.3f}", "end": f"{(at + 20 * step) / 1000:.3f}", "step": f"{step / 1000:.3f}"}
    if step:
        theirs, notes = server.ask("query_range", query=text, **span)
    else:
        theirs, notes = server.ask("query", query=text, time=f"{at / 1000:.3f}")
    try:
        result = engine.range(text, at, at + 20 * step, step) if step else engine.instant(text, at)
    except PromqlError as wrong:
        stricter = server.major == 2 and "multiple matches" in str(wrong)  # 2.x looked after filtering, 3.x before
        return "" if theirs is None or stricter else f"we fail: {wrong}"
    if theirs is None:
        return f"they fail: {notes[0]}"
    difference = _differences(_ours(result), theirs)
    if difference or server.major == 2:  # 2.42 tells next to nothing
        return difference
    told = {_PLACE.sub("", note) for note in notes if note.startswith("PromQL")}
    tell = {_PLACE.sub("", note) for note in (*result.warnings, *result.infos)}
    return f"notes: ours {tell}, theirs {told}" if tell != told else ""


@pytest.mark.parametrize(("version", "semantics"), [("3.16", 3), ("2.42", 2)])
def test_random_expressions_agree_with_a_real_prometheus(
    start_prometheus: StartPrometheus, version: str, semantics: int
) -> None:
    """Instant and range, with the windows of either major version."""
    samples = history(SEED)
    server = _Server(start_prometheus(openmetrics(samples), version).url, semantics)
    engine = Engine(_store(samples), semantics=semantics)  # type: ignore[arg-type]
    rng = Random(SEED)
    expressions = Expressions(rng)
    wrong = []
    for _ in range(EXPRESSIONS):
        text = expressions.any()
        at = START_MS + rng.randrange(160 * 60) * 1000 + rng.choice((0, 0, 1, 500))
        if _known(text, semantics):
            continue
        for step in (0, rng.choice((15_000, 60_000, 61_500))):
            difference = _compare(engine, server, text, at, step)
            if difference:
                wrong.append(f"{text} at {at} step {step}: {difference}")
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:20])
