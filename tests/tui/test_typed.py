"""What `:` takes, and what it says of everything else; pure, without a board."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.tui.fuzzy import fits
from opsctl.tui.typed import Ask, At, Grammar, Known, Length, Move, Order, completions, parse

NOW = datetime(2026, 5, 14, 3, 30, tzinfo=UTC)
GRAMMAR: Grammar = {
    ("check",): ("--notify", "--json"),
    ("status",): ("--json",),
    ("incident",): (),
    ("incident", "ls"): ("--all",),
    ("incident", "ack"): ("--yes",),
    ("alert",): (),
    ("alert", "silence"): ("--for",),
    ("alert", "silence", "end"): (),
    ("service",): (),
    ("service", "ls"): (),
    ("trace",): (),
    ("trace", "show"): ("--span",),
    ("runbook",): (),
    ("runbook", "run"): ("--incident",),
    ("runbook", "plan"): (),
    ("log",): (),
    ("log", "search"): ("-s", "--since"),
}
KNOWN = Known(("payments", "promo", "wallet"), (3, 12), ("PromoSurge", "WalletSlow"), ("dark", "light", "mono"))


def meaning(text: str) -> object:
    """What a line means."""
    return parse(text, GRAMMAR, KNOWN, NOW, utc=True)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("check", Ask(("check",))),
        ("opsctl check --json", Ask(("check", "--json"))),
        (":status", Ask(("status",))),
        ("incident ack '#3'", Ask(("incident", "ack", "#3"))),
        ("incident ack #3", Ask(("incident", "ack", "#3"))),
        ("log search -s wallet 'timed out'", Ask(("log", "search", "-s", "wallet", "timed out"))),
        ("trace show abc", Ask(("trace", "show", "abc"))),
        ("incident --help", Ask(("incident", "--help"))),
        ("runbook run PromoSurge --help", Ask(("runbook", "run", "PromoSurge", "--help"))),
        ("incident", Move("incidents")),
        ("incidents", Move("incidents")),
        ("incident 3", Move("incidents", {"incident": 3})),
        ("incident #12", Move("incidents", {"incident": 12})),
        ("logs wallet", Move("logs", {"service": "wallet"})),
        ("service wal", Move("service", {"service": "wallet"})),
        ("service ls", Ask(("service", "ls"))),
        ("board", Move("board")),
        (
            "trace 0123456789ABCDEF0123456789abcdef",
            Move("traces", {"trace_id": "0123456789abcdef0123456789abcdef", "span_id": "", "subtree": False}),
        ),
        ("traces wallet", Move("traces", {"service": "wallet"})),
        ("runbook Promo", Move("runbooks", {"runbook": "PromoSurge"})),
        ("runbook run PromoSurge", Move("runbooks", {"runbook": "PromoSurge"})),
        ("runbook run --incident #3 PromoSurge", Move("runbooks", {"runbook": "PromoSurge", "incident": 3})),
        ("runbook run PromoSurge --incident=12", Move("runbooks", {"runbook": "PromoSurge", "incident": 12})),
        ("at 03:02", At(NOW.replace(minute=2))),
        ("at 15m", At(NOW - timedelta(minutes=15))),
        ("at now", At(None)),
        ("window 30m", Length(timedelta(minutes=30))),
        ("q", Order("q")),
        ("quit", Order("q")),
        ("write", Order("write")),
        ("theme mono", Order("theme", "mono")),
        ("export a b.csv", Order("export", "a b.csv")),
        ("export! a.csv", Order("export", "a.csv", force=True)),
        ("export a.csv !", Order("export", "a.csv", force=True)),
    ],
)
def test_a_line_means_one_thing(text: str, typed: object) -> None:
    """Commands that there are win; a group alone and a name behind it move the board."""
    assert meaning(text) == typed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chek", "no such command: chek (did you mean check?)"),
        ("incidnt ls", "did you mean incident"),
        ("incident akc #3", "no such command: incident akc (did you mean ack?)"),
        ("log serch x", "no such command: log serch (did you mean search?)"),
        ("logs wallt", "no such service: wallt (did you mean wallet?)"),
        ("logs p", "p is the beginning of payments, promo"),
        ("logs wallet promo", "logs: expected one name, got wallet promo"),
        ("incident #99", "no such incident: #99"),
        ("runbook nope", "no such runbook: nope"),
        ("at 25:00", "25:00: a clock shows 00:00 to 23:59"),
        ("at 2099-01-01T00:00:00Z", "in the future"),
        ("window 1s", "expected from 1m to 90d"),
        ("window", "expected a duration"),
        ("theme pink", "expected one of dark, light, mono"),
        ("write now", "write takes nothing after it"),
        ("backends x", "backends takes nothing after it"),
        ("export", "into which file?"),
        ("log search 'x", "no closing quotation"),
        ("", "type a command"),
        ("opsctl", "type a command"),
    ],
)
def test_what_means_nothing_is_said_so(text: str, words: str) -> None:
    """One line, with the nearest word."""
    with pytest.raises(ValueError) as caught:
        meaning(text)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@given(st.text(max_size=60))
def test_any_line_means_something_or_is_refused(text: str) -> None:
    """Nothing that is typed is a crash."""
    with suppress(ValueError):
        meaning(text)
    for line in completions(text, GRAMMAR, KNOWN):
        assert line.lower().startswith(text.rpartition(" ")[0].lower())


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("inc", ("incident", "incidents")),
        ("incident a", ("incident ack",)),
        ("incident ack ", ("incident ack #12", "incident ack #3")),
        ("alert silence e", ("alert silence end",)),
        ("logs w", ("logs wallet",)),
        ("theme ", ("theme dark", "theme light", "theme mono")),
        ("runbook run P", ("runbook run PromoSurge",)),
        ("log search -", ("log search --since", "log search -s")),
        ("nope x", ()),
    ],
)
def test_tab_knows_what_may_come_next(text: str, lines: tuple[str, ...]) -> None:
    """Commands, then what they are about."""
    assert completions(text, GRAMMAR, KNOWN) == lines


def test_the_fuzzy_order_is_the_one_that_one_expects() -> None:
    """Whole words before parts of words, parts before letters that lie apart."""
    names = ["swallets", "wallet", "game-wallet", "web-all-tests"]
    found = sorted((name for name in names if fits("wallet", name)), key=lambda name: -fits("wallet", name)[0])  # type: ignore[index]
    assert found == ["wallet", "game-wallet", "swallets", "web-all-tests"]
    assert fits("wallet", "chat") is None
    assert fits("p s", "PromoSurge") is not None


def test_a_hostile_name_costs_no_time() -> None:
    """Textual's matcher would try each way to place the letters: hours."""
    assert fits("a" * 30 + "c", "a" * 4000 + "bc") is not None
    assert fits("ab" * 15, "ab" * 2000) is not None
