"""Log lines into patterns: what varies is found, what says something different stays apart, and nothing grows."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from opsctl.core.logs import LogRecord
from opsctl.insight.patterns import PATTERNS_MAX, Miner, mask, mine, newer_than

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def lines(*messages: str, severity: str = "INFO", service: str = "shop", start: int = 0) -> list[LogRecord]:
    """One line a second."""
    return [
        LogRecord(AT + timedelta(seconds=start + number), message, severity, service)
        for number, message in enumerate(messages)
    ]


def templates(*messages: str) -> dict[str, int]:
    """Template → count."""
    return {pattern.template: pattern.count for pattern in mine(lines(*messages))}


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("took 12 ms", "took <num> ms"),
        ("took 12.5ms, 3 retries", "took <num>ms, <num> retries"),
        ("-3 and +4e-5 and 1,234.5", "<num> and <num> and <num>"),
        ("from 10.0.0.7:443 to 192.168.1.1", "from <ip> to <ip>"),
        ("peer fe80:0:0:1::7 gone", "peer <ip> gone"),
        ("id 5f1c8a52-1f4e-4e2c-9f6e-0a1b2c3d4e5f ok", "id <id> ok"),
        ("trace 0af7651916cd43dd8448eb211c80319c", "trace <id>"),
        ("at 0x7ffe12ab", "at <id>"),
        ("order A1B2C3D4 paid", "order <id> paid"),
        ("2026-03-01T12:00:00.123Z start", "<time> start"),
        ("12:00:01 start", "<time> start"),
        ("node-12 is up", "node-<num> is up"),
        ("no numbers here", "no numbers here"),
        ("first\n  second 5", "first"),
        ("\n\n  second 5", "second <num>"),
        ("", "(empty)"),
        (" \t ", "(empty)"),
    ],
)
def test_what_varies_by_its_kind(message: str, masked: str) -> None:
    """Numbers, addresses, ids and times; of several lines the first that says something."""
    assert mask(message) == masked


def test_lines_that_differ_in_values_are_one_pattern() -> None:
    """Names, too, once there are more of them than kinds of a line."""
    users = ("alice", "bob", "carol", "dave", "eve", "mallory")
    found = templates(*(f"user {user} logged in from 10.0.0.{number}" for number, user in enumerate(users)))
    assert found == {"user <*> logged in from <ip>": 6}


def test_lines_that_say_something_else_stay_apart() -> None:
    """`accepted` and `failed` are two patterns however alike the rest is."""
    found = templates(*(f"payment {what} for order {i}" for i in range(20) for what in ("accepted", "failed")))
    assert found == {"payment accepted for order <num>": 20, "payment failed for order <num>": 20}


def test_keys_stay_and_values_go() -> None:
    """`key=value` is cut at the sign."""
    names = ("a-1", "b-2", "c-3", "d-4", "e-5", "f-6")
    found = templates(*(f'msg="saved" shard={name}x took={i}ms' for i, name in enumerate(names)))
    assert list(found.values()) == [6]
    assert next(iter(found)) == 'msg="saved" shard=<*> took=<num>ms'


def test_a_pattern_says_who_how_bad_and_when() -> None:
    """Counts by severity and service, the worst severity, first and last, the newest line as an example."""
    found = mine(
        [
            *lines("job 1 done", "job 2 done", severity="INFO", service="a"),
            *lines("job 3 done", severity="ERROR", service="b", start=10),
        ]
    )
    (one,) = found
    assert (one.template, one.count, one.severity) == ("job <num> done", 3, "ERROR")
    assert dict(one.severities) == {"INFO": 2, "ERROR": 1}
    assert dict(one.services) == {"a": 2, "b": 1}
    assert (one.first, one.last) == (AT, AT + timedelta(seconds=10))
    assert one.example.message == "job 3 done"


def test_the_order_of_arrival_does_not_matter_for_times() -> None:
    """First and last are by the lines' times."""
    (one,) = mine(reversed(lines("job 1", "job 2", "job 3")))
    assert (one.first, one.last) == (AT, AT + timedelta(seconds=2))


def test_most_frequent_first() -> None:
    """Then by text, so that the same lines give the same list."""
    assert list(templates("b", "a", "c c", "c c")) == ["c c", "a", "b"]


def test_a_pattern_is_new_where_no_line_before_had_it() -> None:
    """With other values it is not new; with another word it is."""
    before = lines(*(f"payment accepted for order {i}" for i in range(30)), "lock timeout after 5 ms")
    now = lines("payment accepted for order 99", "payment failed for order 99", "lock timeout after 7 ms", start=100)
    assert [(one.template, one.count) for one in newer_than(now, before)] == [("payment failed for order <num>", 1)]
    assert {one.template for one in newer_than(now, [])} == {one.template for one in mine(now)}
    assert newer_than([], before) == ()


def test_nothing_grows_without_bound() -> None:
    """Lines that have nothing in common end in one pattern for the rest, in little time."""
    miner = Miner(most=50)
    for number, record in enumerate(
        lines(*(" ".join(chr(97 + (i * j) % 26) * (i % 7 + 1) for j in range(i % 11)) for i in range(2000)))
    ):
        miner.add(record)
        assert number < 2000
    found = miner.patterns()
    assert len(found) <= 51 * 4
    assert sum(pattern.count for pattern in found) == 2000
    assert PATTERNS_MAX <= 5_000


@pytest.mark.parametrize(
    "evil",
    [
        "=" * 50_000,
        "1" * 50_000,
        "a1" * 30_000,
        "0:" * 30_000,
        "(?" * 900,
        "\x1b[2J" * 3000,
        "f" * 40_000 + "g",
        "x " * 9000,
    ],
)
def test_no_line_takes_long(evil: str) -> None:
    """A line made to be slow is not."""
    begun = time.monotonic()
    assert mine(lines(*[evil] * 20))[0].count == 20
    assert time.monotonic() - begun < 2.0
