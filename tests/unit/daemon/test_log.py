"""Lines that a terminal and a log collector can take, whatever is in them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.daemon.log import Log, line
from tests.unit.paging.world import SteppedClock


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("word", "v=word"),
        ("two words", 'v="two words"'),
        ("", 'v=""'),
        ('say "x"', 'v="say \\"x\\""'),
        ("a=b", 'v="a=b"'),
        ("\x1b[31mred\nline", 'v="\\\\x1b[31mred line"'),
        (1.23456, "v=1.235"),
        (7, "v=7"),
        (None, ""),
    ],
)
def test_values(value: str | float | None, shown: str) -> None:
    assert line(v=value) == shown


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    found = line(msg=text)
    assert found.isprintable()
    assert re.fullmatch(r'msg=("(\\.|[^"\\])*"|[^\s"=]+)', found)


def test_quiet_says_problems_only_and_debug_the_traceback() -> None:
    said: list[str] = []
    quiet = Log(SteppedClock(), quiet=True, write=said.append)
    quiet.info("nothing")
    quiet.warn("something")
    assert said == ["ts=2026-05-01T03:00:00.000Z level=warn msg=something\n"]
    said.clear()
    for debug in (False, True):
        log = Log(SteppedClock(), debug=debug, write=said.append)
        try:
            raise ValueError("\x1b[31m")
        except ValueError as wrong:
            log.bug(wrong, "run failed")
    assert "\x1b" not in "".join(said)
    assert len(said) == 3
    assert re.search(r'error="ValueError: \\\\x1b\[31m" at=test_log.py:\d+$', said[0].strip())
    assert said[2].startswith("Traceback")
