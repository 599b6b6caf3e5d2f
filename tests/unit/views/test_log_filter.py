"""The filter's grammar: what is typed, its chips, the command that asks the same, and what is wrong with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.core.catalogue import Service
from opsctl.core.logs import SEVERITIES, FieldMatcher
from opsctl.views.log_filter import (
    Filter,
    chips,
    command_words,
    filter_text,
    names_in_logs,
    parse_filter,
    pattern_words,
    service_of,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

READ = [
    ("", Filter()),
    ("lock timeout", Filter(words=("lock", "timeout"))),
    ('"lock timeout" wallet', Filter(words=("lock timeout", "wallet"))),
    ("severity:warn", Filter(severity="WARN")),
    ("severity:Warning", Filter(severity="WARN")),
    ("service:wallet late", Filter(service="wallet", words=("late",))),
    ('service:"two words"', Filter(service="two words")),
    (f"trace:{TRACE.upper()} span:{SPAN}", Filter(trace_id=TRACE, span_id=SPAN)),
    (f"trace:{TRACE} subtree:{SPAN}", Filter(trace_id=TRACE, span_id=SPAN, subtree=True)),
    ("log.level=WARN", Filter(matchers=(FieldMatcher("log.level", "=", "WARN"),))),
    (
        "a!=b c=~d.* e!~f",
        Filter(matchers=tuple(FieldMatcher(*one) for one in (("a", "!=", "b"), ("c", "=~", "d.*"), ("e", "!~", "f")))),
    ),
    ('url.path="/a b"', Filter(matchers=(FieldMatcher("url.path", "=", "/a b"),))),
    ("field=", Filter(matchers=(FieldMatcher("field", "=", ""),))),
    ('"a=b"', Filter(words=("a=b",))),
    ('"severity:warn"', Filter(words=("severity:warn",))),
    ("http://x/y", Filter(words=("http://x/y",))),
]
WRONG = [
    ("severity:loud", "severity:loud: expected one of trace, debug, info, warn, error, fatal"),
    ("severity:", "severity: has no value; expected severity:warn"),
    ("service:a service:b", "service:b: one service at a time"),
    ("trace:xyz", "trace:xyz: expected at most 32 hexadecimal digits"),
    (f"subtree:{SPAN}", "needs trace:ID"),
    ('"no end', "the quote has no end"),
    ("a=~(", "a=~(: "),
    ("x" * 5_000, "longer than 4,000 characters"),
    ("\ud800", "not UTF-8"),
]


def wrong_of(text: str) -> str:
    """What is wrong with a filter; "" where nothing is."""
    try:
        parse_filter(text)
    except ValueError as wrong:
        return str(wrong) or "wrong, and nobody says why"
    return ""


@pytest.mark.parametrize(("text", "expected"), READ)
def test_what_is_typed_is_read_as_meant_and_written_so_that_it_reads_the_same(text: str, expected: Filter) -> None:
    assert parse_filter(text) == expected
    assert parse_filter(filter_text(expected)) == expected


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_a_wrong_filter_is_one_line_that_says_what_was_expected(text: str, said: str) -> None:
    found = wrong_of(text)
    assert said in found
    assert "\n" not in found


WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda text: text.strip() == text != ""
)
MATCHERS = st.builds(
    FieldMatcher,
    st.sampled_from(["log.level", "http.response.status_code", "@x"]),
    st.sampled_from(["=", "!="]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12).filter(lambda text: not text.startswith("~")),
)
FILTERS = st.builds(
    Filter,
    service=st.one_of(st.just(""), WORDS),
    severity=st.sampled_from(["", *SEVERITIES]),
    words=st.lists(WORDS, max_size=3).map(tuple),
    matchers=st.lists(MATCHERS, max_size=3).map(tuple),
    trace_id=st.sampled_from(["", TRACE]),
)


@given(FILTERS)
def test_any_filter_is_the_same_after_it_was_written_and_read(found: Filter) -> None:
    assert parse_filter(filter_text(found)) == found


@given(st.text(max_size=60))
def test_any_text_is_a_filter_that_reads_the_same_again_or_is_said_to_be_wrong(text: str) -> None:
    if not wrong_of(text):
        assert parse_filter(filter_text(parse_filter(text))) == parse_filter(text)


@given(FILTERS)
def test_dropping_the_last_chip_again_and_again_ends_with_no_condition(found: Filter) -> None:
    for _ in range(len(chips(found))):
        found = chips(found)[-1].without
    assert found == Filter()


def test_chips_stand_in_the_order_in_which_they_are_dropped_from_the_end() -> None:
    found = parse_filter(f'a=b "lock timeout" severity:warn service:wallet trace:{TRACE}')
    assert [one.text for one in chips(found)] == [
        "service:wallet",
        f"trace:{TRACE}",
        "severity:warn",
        '"lock timeout"',
        "a=b",
    ]
    assert chips(found)[-1].without.matchers == ()


def test_the_command_asks_the_same() -> None:
    found = parse_filter(f'service:wallet severity:warn "lock timeout" a!=b trace:{TRACE} subtree:{SPAN}')
    assert command_words(found) == (
        *("--service", "wallet", "--severity", "warn", "--trace", TRACE, "--subtree", SPAN),
        *("--where", "a!=b", "lock timeout"),
    )
    assert command_words(Filter(words=("-x",))) == ("--", "-x")


def test_a_service_is_called_in_logs_as_the_catalogue_says() -> None:
    odd = Service("wallet", 1, "money", selectors={"elasticsearch": "wallet-svc"})
    split = Service("edge", 1, "net", selectors={"elasticsearch": {"host.name": "edge-1"}})
    assert names_in_logs("wallet", odd) == (("wallet-svc",), ())
    assert names_in_logs("edge", split) == ((), (FieldMatcher("host.name", "=", "edge-1"),))
    assert names_in_logs("new", None) == (("new",), ())
    catalogue = {"wallet": odd, "edge": split}
    assert [service_of(name, catalogue) for name in ("wallet-svc", "wallet", "other")] == ["wallet", "wallet", "other"]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("wallet lock timeout after <num> ms, retrying", ("wallet lock timeout after", "ms retrying")),
        ("order-<num> v<num> failed", ("order", "failed")),
        ("took <num>ms", ("took",)),
        ("<*>", ()),
        ("(empty)", ()),
        ("payment failed: <id>", ("payment failed",)),
    ],
)
def test_a_pattern_is_followed_by_the_words_that_all_its_lines_have(template: str, words: tuple[str, ...]) -> None:
    assert pattern_words(template) == words
