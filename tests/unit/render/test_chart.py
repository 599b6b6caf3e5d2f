"""Charts as text: told apart without colour, as wide as asked, and clean of escape codes unless colour is wanted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from math import sin

import pytest

from opsctl.core.signals import Series
from opsctl.render.chart import GLYPHS, PLAIN_GLYPHS, draw, glyphs_of
from opsctl.views.chart import Chart, chart

START = datetime(2026, 5, 14, 18, 0, tzinfo=UTC)
STEP = timedelta(minutes=1)


def waves(count: int, gap: bool = False) -> Chart:
    """Some series that cross."""
    made = []
    for n in range(count):
        points = [(START.timestamp() + 60 * i, sin(i / 7 + n) + n) for i in range(61) if not (gap and 20 <= i < 40)]
        made.append(Series((("n", str(n)),), tuple(points)))
    found = chart(made, START, START + 60 * STEP, STEP, "seconds", UTC, 80)
    assert found is not None
    return found


def picture(text: str) -> str:
    """What is inside the frame."""
    return "".join(re.split("[│┤]", line)[1] for line in text.splitlines() if line.count("│") + line.count("┤") > 1)


@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize(("width", "height"), [(100, 20), (40, 8)])
def test_it_fits_and_has_no_escape_codes(count: int, width: int, height: int) -> None:
    """Every line is at most as wide as asked, and nothing but text is in it."""
    text = draw(waves(count), width, height, color=False, unicode=True)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) <= height
    assert "18:30" in text or width == 40


def test_six_series_are_told_apart_without_colour() -> None:
    """Each glyph is in the picture and is that of one line."""
    found = waves(6)
    text = picture(draw(found, 100, 20, color=False, unicode=True))
    assert set(glyphs_of(found, unicode=True)) == set(GLYPHS)
    assert set(text) - {" "} == set(GLYPHS)


def test_colour_only_adds_codes() -> None:
    """Without them it is the same text."""
    found = waves(3)
    colored = draw(found, 100, 20, color=True, unicode=True)
    assert "\x1b[3" in colored
    assert re.sub("\x1b\\[[0-9]+m", "", colored) == draw(found, 100, 20, color=False, unicode=True)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Frame, lines and glyphs."""
    for count in (1, 6):
        text = draw(waves(count), 100, 20, color=True, unicode=False)
        assert text.isascii()
        assert "\x1b" not in text
    assert set(glyphs_of(waves(6), unicode=False)) == set(PLAIN_GLYPHS)


def test_a_gap_stays_empty() -> None:
    """The middle third of the columns has nothing in it."""
    lines = draw(waves(2, gap=True), 100, 20, color=False, unicode=True).splitlines()
    inside = [re.split("[│┤]", line)[1] for line in lines if line.count("│") + line.count("┤") > 1]
    width = len(inside[0])
    middle = {line[width * 35 // 100 : width * 64 // 100].strip() for line in inside}
    assert middle == {""}
    assert any(line[: width // 4].strip() for line in inside)
    assert any(line[width * 3 // 4 :].strip() for line in inside)


def test_one_drawing_does_not_leak_into_the_next() -> None:
    """The library keeps one figure; each drawing begins with an empty one."""
    first = draw(waves(2), 100, 20, color=False, unicode=True)
    draw(waves(6), 60, 10, color=False, unicode=True)
    assert draw(waves(2), 100, 20, color=False, unicode=True) == first


@pytest.mark.parametrize(
    "values",
    [(1e300, -1e300), (1e-300, 2e-300), (0.0, 5e-324), (0.0, 0.0), (1.0, 1.0 + 1e-15), (5e-324, 5e-324), (1e308, 1.0)],
)
@pytest.mark.parametrize("count", [1, 2])
def test_extreme_values_are_drawn_without_an_error(values: tuple[float, float], count: int) -> None:
    """Whatever a server sends is no reason to stop."""
    first = START.timestamp()
    points = tuple((first + 60 * i, value) for i, value in enumerate(values))
    made = [Series((("n", str(n)),), points) for n in range(count)]
    found = chart(made, START, START + STEP, STEP, "", UTC, 80)
    assert found is not None
    assert draw(found, 80, 12, color=False, unicode=True).count("\n") > 5
