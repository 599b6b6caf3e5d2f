"""Which terminals show our glyphs, and what the others show."""

from __future__ import annotations

import pytest

from opsctl.render.plainer import PLAINER, unicode_terminal


@pytest.mark.parametrize(
    ("encoding", "env", "whole"),
    [
        ("utf-8", {}, True),
        ("utf-8", {"LANG": "de_DE.UTF-8"}, True),
        ("utf-8", {"LANG": "C.UTF-8"}, True),
        ("utf-8", {"LC_ALL": "C.utf8", "LANG": "C"}, True),
        ("utf-8", {"LC_ALL": "C"}, False),
        ("utf-8", {"LANG": "POSIX"}, False),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),  # what Python makes of LANG=C
        ("utf-8", {"LANG": "de_DE.ISO-8859-1"}, False),
        ("utf-8", {"LANG": "de_DE@euro"}, True),
        ("iso-8859-1", {"LANG": "de_DE.UTF-8"}, False),
        ("ascii", {}, False),
        (None, {}, True),
        ("no such", {}, False),
    ],
)
def test_a_locale_says_what_a_terminal_shows(encoding: str | None, env: dict[str, str], whole: bool) -> None:
    """Python's own UTF-8 under LANG=C says nothing of the terminal."""
    assert unicode_terminal(encoding, env) is whole


def test_every_plainer_character_is_one_ascii_character() -> None:
    """No cell moves."""
    assert all(32 < code < 127 for code in PLAINER.values())
