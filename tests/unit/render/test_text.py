"""What reaches the terminal: text from outside is shown, never obeyed."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opsctl.render.table import Column, write_rows
from opsctl.render.text import clean, clean_block
from opsctl.views.sparkline import sparkline


@given(st.text())
def test_clean_leaves_no_control_format_or_separator_character(text: str) -> None:
    """Whatever comes in, one printable line comes out."""
    out = clean(text)
    assert not [ch for ch in out if unicodedata.category(ch) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


def test_clean_shows_what_it_took_away() -> None:
    """An escape sequence is visible as text, umlauts and CJK stay."""
    assert clean("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\\x0ad"
    assert clean("größe 東京") == "größe 東京"
    assert clean_block("a\x1b\nb") == "a\\x1b\nb"


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_plain_rows_stay_one_line_each(rows: list[list[str]]) -> None:
    """A tab or line end in a value cannot make another column or row."""
    out = io.StringIO()
    write_rows(out, [Column("a"), Column("b")], rows, table=False, color=False)
    lines = out.getvalue().split("\n")[:-1]
    assert len(lines) == len(rows) + 1
    assert all(line.count("\t") == 1 for line in lines)


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=5))
def test_table_interprets_no_markup_and_no_escape(rows: list[list[str]]) -> None:
    """Hostile cells neither raise (`[/x]`) nor colour anything."""
    out = io.StringIO()
    write_rows(out, [Column("a", wrap=True), Column("b")], rows, table=True, color=False)
    assert "\x1b" not in out.getvalue()


def test_table_prints_brackets_as_they_are() -> None:
    """Rich markup in a label value is text."""
    out = io.StringIO()
    write_rows(out, [Column("a")], [["[bold red]x[/bold red] [/nope]"]], table=True, color=True)
    assert "[bold red]x[/bold red] [/nope]" in out.getvalue()


def test_sparkline_spans_low_to_high_and_leaves_gaps() -> None:
    """The lowest value is the lowest bar; NaN is a space; a flat line does not divide by zero."""
    assert sparkline([0.0, float("nan"), 7.0], 10) == "▁ █"
    assert sparkline([5.0, 5.0], 10) == "▁▁"
    assert sparkline([], 10) == ""
    assert len(sparkline([float(i) for i in range(1000)], 40)) == 40


@given(st.lists(st.floats(), max_size=200), st.integers(1, 60))
@example([1.7976931348623157e308, -9.9792015476736e291], 2)
def test_sparkline_never_exceeds_its_width(values: list[float], width: int) -> None:
    """Any floats, infinities and NaN included."""
    assert len(sparkline(values, width)) <= width


def test_a_sentence_without_room_goes_below_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow terminal the last column is not squeezed to three letters a line."""
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    columns = [Column("a"), Column("b"), Column("why", wrap=True)]
    rows = [["x" * 20, "y" * 20, "burns its budget and nobody has looked at it yet, so please do"], ["1", "2", "ok"]]
    write_rows(out, columns, rows, table=True, color=False)
    lines = out.getvalue().splitlines()
    assert lines[1].split() == ["x" * 20, "y" * 20]
    assert lines[2] == "    burns its budget and nobody has looked at it yet, so"
    assert lines[4].split() == ["1", "2"]


def test_a_table_cuts_what_nobody_reads_and_lines_do_not() -> None:
    """A label may hold a page of text; programs get all of it."""
    table, lines = io.StringIO(), io.StringIO()
    columns, rows = [Column("rule"), Column("summary", wrap=True, most=50)], [["Shard", "x" * 9000]]
    write_rows(table, columns, rows, table=True, color=False)
    write_rows(lines, columns, rows, table=False, color=False)
    assert table.getvalue().count("x") == 49
    assert "…" in table.getvalue()
    assert lines.getvalue().count("x") == 9000


def test_wide_characters_stay_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Chinese character takes two columns: what goes below its row is wrapped by columns, not by characters."""
    from rich.cells import cell_len

    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    sentence = "支付服务在过去的五分钟内失败率超过阈值请立即检查支付网关和数据库连接池的状态 and its budget"
    columns = [Column("a"), Column("b"), Column("why", wrap=True)]
    write_rows(out, columns, [["支付" * 4, "b", sentence], ["1", "2", "x" * 90]], table=True, color=False)
    lines = out.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= 40
    assert "".join(out.getvalue().split()).count("支付网关和数据库连接池的状态andits budget".replace(" ", "")) == 1
    assert "".join(lines[-3:]).count("x") == 90
