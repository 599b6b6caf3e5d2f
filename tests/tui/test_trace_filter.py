"""Which traces are searched for: short words, the flags that say the same, one line for what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from opsctl.tui.trace_filter import TraceFilter, parsed

START, END = datetime(2026, 5, 14, 17, tzinfo=UTC), datetime(2026, 5, 14, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", TraceFilter()),
        ("   ", TraceFilter()),
        ("POST /v1/redeem", TraceFilter("POST /v1/redeem")),
        ("error", TraceFilter(error=True)),
        ("ERRORS", TraceFilter(error=True)),
        ('"error"', TraceFilter("error")),
        ('"SELECT a=b"', TraceFilter("SELECT a=b")),
        (">250ms", TraceFilter(least=timedelta(milliseconds=250))),
        (">=250ms <=1m30s", TraceFilter(least=timedelta(milliseconds=250), most=timedelta(seconds=90))),
        ("a.b=1 c=", TraceFilter(attributes=(("a.b", "1"), ("c", "")))),
        ('user="Ada L" user="Ada L"', TraceFilter(attributes=(("user", "Ada L"),))),
        ("url=http://x/?a=b", TraceFilter(attributes=(("url", "http://x/?a=b"),))),
    ],
)
def test_words_are_read_and_written_back(text: str, wanted: TraceFilter) -> None:
    assert parsed(text) == wanted
    assert parsed(wanted.text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">", ">: expected a duration such as >250ms"),
        ("<fast", "<fast: expected a duration such as <250ms"),
        (">1.5s", ">1.5s: expected a duration"),
        (">1s >2s", ">2s: > is said twice"),
        (">2s <1s", "<1s is shorter than >2s"),
        ("=500", "=500: expected key=value"),
        ("a=1 a=2", "a=2: a has one value, 1 is said before"),
        ("--error", "--error: expected an operation's name, error, >250ms, <2s or key=value"),
        ('"POST', "a quote"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError) as wrong:
        parsed(text)
    assert said in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_the_flags_and_the_question_say_the_same() -> None:
    wanted = parsed("POST /v1/redeem error >250ms <2s http.response.status_code=500")
    assert wanted.flags == (
        *("--operation", "POST /v1/redeem", "--error", "--min-duration", "250ms", "--max-duration", "2s"),
        *("-a", "http.response.status_code=500"),
    )
    query = wanted.query("promo", START, END)
    assert (query.service, query.start, query.end, query.operation) == ("promo", START, END, "POST /v1/redeem")
    assert (query.min_duration, query.max_duration) == (timedelta(milliseconds=250), timedelta(seconds=2))
    assert query.errors_only
    assert query.attributes == {"http.response.status_code": "500"}
