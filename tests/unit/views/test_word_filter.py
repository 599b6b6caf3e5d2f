"""A filter of words: what passes, and what is refused."""

from __future__ import annotations

import pytest

from opsctl.views.word_filter import WordFilter, parse_filter

LABELS = {"service": "wallet", "severity": "page", "region": "eu-1"}
WORDS = ("WalletOpSuccess", "wallet", "firing", "burns 4×")


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("walletop", True),
        ("promo", False),
        ("wallet firing", True),
        ("wallet pending", False),
        ("-pending", True),
        ("-firing", False),
        ("severity=page", True),
        ("severity=ticket", False),
        ("severity!=ticket", True),
        ("service=wal*", True),
        ("service=WALLET", True),
        ("zone=", True),  # a label that is not there is the empty text
        ("zone=eu-1", False),
        ("'burns 4×'", True),
        ("service=wallet region!=eu-1", False),
    ],
)
def test_all_terms_have_to_hold(text: str, passes: bool) -> None:
    """Words anywhere, labels by value with wildcards, and what is not wanted."""
    assert parse_filter(text).holds(LABELS, WORDS) is passes


def test_a_filter_that_is_none_is_refused_in_one_line() -> None:
    """An open quote, and a text that nobody types."""
    with pytest.raises(ValueError, match="quote that is not closed"):
        parse_filter("'wallet")
    with pytest.raises(ValueError, match="longer than"):
        parse_filter("x" * 501)


def test_no_term_is_no_filter() -> None:
    """Spaces alone hide nothing."""
    assert parse_filter("   ") == WordFilter()
