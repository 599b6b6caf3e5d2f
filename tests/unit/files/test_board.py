"""[tui] of the configuration: read strictly, shared by all contexts."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsctl.errors import ConfigErrors, OpsctlError
from opsctl.files.board import FORBIDDEN, key_fault
from opsctl.files.settings import Settings, load_settings
from opsctl.files.shown import shown


def settings(tmp_path: Path, text: str) -> Settings:
    """A configuration with that table."""
    path = tmp_path / "opsctl.toml"
    path.write_text(f"{text}\n[contexts.a]\nprotected = false\n")
    return load_settings(path, None, env={"HOME": str(tmp_path)}, cwd=tmp_path)


def test_a_file_without_the_table_has_the_defaults(tmp_path: Path) -> None:
    """Nobody needs to write one."""
    board = settings(tmp_path, "").board
    assert (board.theme, board.mouse, board.utc, dict(board.keys)) == ("dark", True, None, {})


def test_the_table_is_read_and_shown_with_its_lines(tmp_path: Path) -> None:
    """`config show --origin` says where each value stands."""
    found = settings(
        tmp_path, '[tui]\ntheme = "light"\nmouse = false\nutc = true\nkeys = { "logs.next-error" = "f5, R" }'
    )
    assert (found.board.theme, found.board.mouse, found.board.utc) == ("light", False, True)
    assert found.board.keys["logs.next-error"].keys == "f5, R"
    lines = {one.key: (one.value, one.origin.rpartition(":")[2]) for one in shown(found)}
    assert lines["tui.theme"] == ("light", "2")
    assert lines["tui.keys.logs.next-error"] == ("f5, R", "5")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[tui]\ntheme = "lihgt"', "opsctl.toml:2: tui.theme: expected one of dark, light, mono"),
        ("[tui]\nmouse = 1", "opsctl.toml:2: tui.mouse: expected true or false, got 1"),
        ("[tui]\ncolour = 1", "opsctl.toml:2: unknown key colour in tui"),
        ("tui = 3", "opsctl.toml:1: tui: expected a mapping, got 3"),
        ('[tui]\nkeys = "e"', "opsctl.toml:2: tui.keys: expected a mapping"),
        ('[tui.keys]\n"a.b" = 3', "opsctl.toml:2: tui.keys.a.b: expected a text, got 3"),
        ('[tui.keys]\n"a.b" = ""', "expected keys like"),
        ('[tui.keys]\n"a.b" = "e,"', "expected keys like"),
        ('[tui.keys]\n"a.b" = "ctrl+"', "expected keys like"),
        ('[tui.keys]\n"a.b" = "Page Up"', "expected keys like"),
        ('[tui.keys]\n"a.b" = "shift+e"', 'write shift and a letter as the capital, "E"'),
        *((f'[tui.keys]\n"a.b" = "f5, {key}"', f"{key} is not for binding") for key in sorted(FORBIDDEN)),
        ('[tui.keys]\n"a.b" = "Ctrl+S"', "ctrl+s is not for binding"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    """What, where, what was expected."""
    with pytest.raises((OpsctlError, ConfigErrors)) as caught:
        settings(tmp_path, text)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "key", ["e", "E", "?", ":", "[", "f5", "ctrl+n", "ctrl+shift+f5", "question_mark", "pagedown", "ä"]
)
def test_keys_are_written_as_they_are_pressed(key: str) -> None:
    """A character, a name, or a name with its modifiers."""
    assert key_fault(key) == ""
