"""Parameters: where they come from, and what each type lets through."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.core.params import check_url, check_value, plain
from opsctl.core.runbooks import DurationType, EnumType, IntType, PatternType, ServiceType, UrlType

TYPES = (
    EnumType(("eu-1", "us-1")),
    IntType(1, 95),
    PatternType("^AS[0-9]{1,10}$", 12),
    DurationType(timedelta(minutes=1), timedelta(hours=2)),
    ServiceType(),
    UrlType(),
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (TYPES[0], "eu-1", "eu-1"),
        (TYPES[1], "60", 60),
        (TYPES[2], "AS64506", "AS64506"),
        (TYPES[3], "1h30m", timedelta(minutes=90)),
        (TYPES[4], "wallet", "wallet"),
        (TYPES[5], "http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        (TYPES[5], "https://Admin.example.net/api/", "https://admin.example.net/api"),
        (TYPES[5], "http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_what_fits_is_typed_and_reads_back(kind, text, value):
    assert check_value(kind, text) == value
    assert check_value(kind, plain(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TYPES[0], "eu-2"),
        (TYPES[0], "eu-1\n"),
        (TYPES[1], "0"),
        (TYPES[1], "96"),
        (TYPES[1], "6e1"),
        (TYPES[1], "٦٠"),
        (TYPES[1], "1" * 30),
        (TYPES[2], "AS64506\n"),
        (TYPES[2], "AS1; rm -rf /"),
        (TYPES[3], "30s"),
        (TYPES[3], "3h"),
        (TYPES[3], "soon"),
        (TYPES[4], "../wallet"),
        (TYPES[5], "http://admin.example.net"),
        (TYPES[5], "https://u@admin.example.net"),
        (TYPES[5], "https://x/../y"),
        (TYPES[5], "https://x?y"),
        (TYPES[5], "https://x#y"),
        (TYPES[5], "https://x:99999"),
        (TYPES[5], "http://127.0.0.1.example.net"),
        (TYPES[5], "http://localhost.example.net"),
        (TYPES[5], "https://a..b"),
        (TYPES[5], "file:///etc/passwd"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_expected(kind, text):
    with pytest.raises(ValueError, match=r"is not|cannot be printed"):
        check_value(kind, text)


def test_a_service_is_one_of_the_catalogue_when_there_is_one():
    assert check_value(ServiceType(), "chat", frozenset({"chat"})) == "chat"
    with pytest.raises(ValueError, match="catalogue"):
        check_value(ServiceType(), "wallet", frozenset({"chat"}))


def test_hosts_say_where_requests_may_go():
    allowed = ("*.example.net", "127.0.0.1")
    assert check_url("https://a.example.net", allowed)
    assert check_url("http://127.0.0.1:1", allowed)
    for text in (
        "https://example.net",
        "https://b.a.example.net",
        "https://evil.net",
        "https://a.example.net.evil.net",
    ):
        assert check_url(text, allowed) is None


@given(st.text(max_size=40))
def test_no_text_with_structure_in_it_gets_through_any_type(text):
    for kind in TYPES:
        try:
            value = check_value(kind, text)
        except ValueError:
            continue
        assert not set(plain(value)) & set("\"'`$;|&<>\\{}() \n\r\t\0")


def test_even_a_loose_pattern_takes_nothing_that_cannot_be_printed():
    for text in ("a\x1b[31m", "a\nb", "\u202eevil", "\x00"):
        with pytest.raises(ValueError, match="cannot be printed"):
            check_value(PatternType("^[^x]*$"), text)
