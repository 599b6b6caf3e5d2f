"""The words of severities, searches and fields."""

from __future__ import annotations

import pytest

from opsctl.core.logs import (
    SEVERITIES,
    LogRecord,
    at_least,
    first_number,
    label_name,
    severity_of,
    severity_of_number,
    spellings,
    texts_of,
    value_of,
    words_of,
)
from tests.contract.log_world import BEGAN


@pytest.mark.parametrize(
    ("text", "severity"),
    [("warn", "WARN"), (" Warning ", "WARN"), ("err", "ERROR"), ("CRITICAL", "FATAL"), ("notice", "INFO"), ("ERROR2", "ERROR"),
     ("debug4", "DEBUG"), ("ERROR5", "ERROR5"), ("audit", "AUDIT"), ("", "")],
)  # fmt: skip
def test_levels_in_one_vocabulary(text: str, severity: str) -> None:
    """Spellings of writers and of the SDK's short names; what is no level stays."""
    assert severity_of(text) == severity


def test_every_spelling_is_read_back() -> None:
    """What a query asks for is what a record would say."""
    for severity in SEVERITIES:
        assert {severity_of(word) for word in spellings(severity)} == {severity}
    assert spellings("AUDIT") == ("AUDIT",)


def test_numbers_are_levels_of_four() -> None:
    """1 to 24, as OpenTelemetry has them."""
    assert [severity_of_number(n) for n in (0, 1, 4, 5, 17, 20, 24, 25)] == [
        "",
        "TRACE",
        "TRACE",
        "DEBUG",
        "ERROR",
        "ERROR",
        "FATAL",
        "",
    ]
    assert all(severity_of_number(first_number(severity)) == severity for severity in SEVERITIES)
    assert at_least("ERROR") == ("ERROR", "FATAL")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", ("a", "b")),
        ('"a b" c', ("a b", "c")),
        ('a "b', ("a", "b")),
        ('""', ()),
        ("", ()),
        ('x"y z"', ('x"y', 'z"')),
    ],
)
def test_words_and_phrases(text: str, words: tuple[str, ...]) -> None:
    """Quotes make a phrase; one that is not closed ends at the end."""
    assert words_of(text) == words


def test_values_as_text() -> None:
    """As labels have them."""
    assert [texts_of(value) for value in (None, True, 3, 3.0, 2.5, "x", ["a", "b"])] == [
        (),
        ("true",),
        ("3",),
        ("3",),
        ("2.5",),
        ("x",),
        ("a", "b"),
    ]
    assert label_name("http.response/status-code") == "http_response_status_code"


def test_a_field_by_its_ecs_name() -> None:
    """What the record says itself, and the others; an empty text is none."""
    record = LogRecord(BEGAN, "m", "INFO", "", fields={"event.action": "pay"})
    assert [value_of(record, name) for name in ("message", "log.level", "service.name", "event.action", "x")] == [
        "m",
        "INFO",
        None,
        "pay",
        None,
    ]
