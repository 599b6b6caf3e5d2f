"""Looking around in whatever should be a Prometheus: the same trouble gives the same reading as a question for values."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from collectors.prometheus import PrometheusSource
from opsctl.core.exploring import RuleQuery, SeriesQuery
from opsctl.core.signals import Failed, Measured, Reading, Reason
from tests.integration.bad_answers import DEADLINE_SECONDS, SLACK_SECONDS, Case, says
from tests.integration.test_bad_prometheus import AT, CASES, PATIENT_SECONDS, check_line, seconds_for, source_of
from tests.servers.misbehaving import Behaviour, Misbehaving

# What these answer is a vector, right or wrong; other questions have answers of another shape.
OF_VECTORS = {
    "an unknown result type",
    "a number instead of a string",
    "a value that is no number",
    "a label that is no string",
    "a series without a value",
    "the same series twice",
    "a native histogram",
    "too many series",
    "partial",
    "partial and empty",
}
EVERYTHING = SeriesQuery(("up",), AT - timedelta(hours=1), AT)
EXPLORING: dict[str, Callable[[PrometheusSource, float], Reading[Any]]] = {
    "series": lambda source, seconds: source.series(EVERYTHING, seconds),
    "label names": lambda source, seconds: source.label_names(EVERYTHING, seconds),
    "label values": lambda source, seconds: source.label_values("job", EVERYTHING, seconds),
    "exemplars": lambda source, seconds: source.exemplars("up", AT - timedelta(hours=1), AT, seconds),
    "rules": lambda source, seconds: source.rules(RuleQuery(), seconds),
    "alerts": lambda source, seconds: source.alerts(seconds),
    "metadata": lambda source, seconds: source.metadata(None, seconds),
}


def explore(url: str, what: str, seconds: float = PATIENT_SECONDS) -> Reading[Any]:
    """One question that looks around."""
    source = source_of(url)
    reading = EXPLORING[what](source, seconds)
    source.close()
    return reading


@pytest.mark.parametrize("what", ["series", "rules"])
@pytest.mark.parametrize("case", [case for case in CASES if case.name not in OF_VECTORS], ids=lambda case: case.name)
def test_looking_around_fails_the_same_way(case: Case, what: str, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """By POST and by GET; a 404 is a question that this server does not know."""
    begun = time.monotonic()
    failed = check_line(explore(serve(case.behave).url, what, seconds_for(case)))
    reason = Reason.UNSUPPORTED if case.name == "404 of a wrong prefix" else case.reason
    assert (failed.reason, case.words in failed.message) == (reason, True), failed.message
    assert time.monotonic() - begun < DEADLINE_SECONDS + SLACK_SECONDS


RULE = {"type": "alerting", "name": "A", "query": "up == 0", "health": "ok", "state": "firing"}
ALERT = {"labels": {"alertname": "A"}, "state": "firing", "value": "1e+00", "activeAt": "2026-03-01T11:00:00Z"}


def groups(*rules: object) -> object:
    """The data of /rules."""
    return {"groups": [{"name": "g", "file": "f", "interval": 1, "rules": list(rules)}]}


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("series", [{"__name__": 3}]),
        ("series", ["up"]),
        ("series", {"up": "1"}),
        ("label names", [1]),
        ("label names", None),
        ("label values", "job"),
        ("exemplars", [{"seriesLabels": {}}]),
        ("exemplars", [{"seriesLabels": {}, "exemplars": [{"labels": {}, "value": "x", "timestamp": 1}]}]),
        ("exemplars", [{"seriesLabels": {}, "exemplars": [{"labels": {}, "value": "1", "timestamp": "soon"}]}]),
        ("rules", []),
        ("rules", groups({**RULE, "type": "guessing"})),
        ("rules", groups({**RULE, "lastEvaluation": "yesterday"})),
        ("rules", groups({**RULE, "lastEvaluation": "9999-12-31T23:59:59-23:00"})),
        ("rules", groups({**RULE, "alerts": [{**ALERT, "value": "much"}]})),
        ("rules", groups({"type": "alerting"})),
        ("alerts", {"alerts": [{**ALERT, "labels": ["A"]}]}),
        ("alerts", {"alarms": []}),
        ("metadata", [{"type": "gauge"}]),
        ("metadata", {"up": {"type": "gauge"}}),
    ],
    ids=str,
)
def test_data_of_the_wrong_shape_is_malformed(
    what: str, data: object, serve: Callable[[Behaviour], Misbehaving]
) -> None:
    """One line, and nothing is made up for what is missing."""
    failed = check_line(explore(serve(says(json.dumps({"status": "success", "data": data}).encode())).url, what))
    assert (failed.reason, "not Prometheus'" in failed.message) == (Reason.MALFORMED, True), failed.message


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("series", [{"a": str(i)} for i in range(9)]),
        ("label names", [str(i) for i in range(9)]),
        ("label values", [str(i) for i in range(9)]),
        ("exemplars", [{"seriesLabels": {}, "exemplars": [{"labels": {}, "value": "1", "timestamp": 1}] * 9}]),
        ("rules", groups(*[RULE] * 9)),
        ("alerts", {"alerts": [ALERT] * 9}),
        ("metadata", {str(i): [] for i in range(9)}),
    ],
)
def test_a_huge_answer_is_refused(what: str, data: object, serve: Callable[[Behaviour], Misbehaving]) -> None:
    """More elements than limits.series."""
    failed = check_line(explore(serve(says(json.dumps({"status": "success", "data": data}).encode())).url, what))
    assert (failed.reason, "9" in failed.message) == (Reason.TOO_LARGE, True), failed.message


def test_rules_of_relatives_of_prometheus_are_read(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Groups without rules, states and healths that are not known, fields that are not there, and fields more."""
    data = groups(
        {**RULE, "state": "snoozed", "health": "poorly", "partialResponseStrategy": "WARN"}, {**RULE, "alerts": None}
    )
    assert isinstance(data, dict)
    data["groups"].append({"name": "empty", "rules": None})
    reading = explore(serve(says(json.dumps({"status": "success", "data": data}).encode())).url, "rules")
    assert isinstance(reading, Measured)
    assert [(rule.state, rule.health, rule.evaluated) for rule in reading.data] == [
        ("unknown", "unknown", None),
        ("firing", "ok", None),
    ]


def test_an_answer_with_a_warning_is_partial(serve: Callable[[Behaviour], Misbehaving]) -> None:
    """Also one that the limit cut."""
    for what, data in (("label names", ["a"]), ("rules", groups(RULE)), ("alerts", {"alerts": [ALERT]})):
        body = json.dumps({"status": "success", "data": data, "warnings": ["results truncated due to limit"]})
        reading = explore(serve(says(body.encode())).url, what)
        assert isinstance(reading, Failed)
        assert (reading.reason, bool(reading.partial)) == (Reason.PARTIAL, True)
        assert reading.warnings == ("results truncated due to limit",)
