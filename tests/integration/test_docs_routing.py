"""The worked example of docs/routing.md: its files are read, its lines exit 0, its output is what is printed."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsctl.cli.main import main
from opsctl.files.catalogue import load_catalogue
from opsctl.files.silences import load_silences
from tests.unit.paging.world import SteppedClock

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "routing.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)


@pytest.fixture
def home(fixed_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's files, as the page shows them."""
    for text in blocks("yaml"):
        (fixed_home / text.partition("\n")[0].removeprefix("# ")).write_text(text)
    (fixed_home / "opsctl.toml").write_text(blocks("toml")[0])
    monkeypatch.chdir(fixed_home)
    return fixed_home


def test_the_files_are_sound(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.name for path in home.iterdir() if path.is_file()} == {"opsctl.toml", "services.yaml", "silences.yaml"}
    assert main(["config", "validate"]) == 0
    told = capsys.readouterr()
    assert "4 routes, 2 silences" in told.out
    assert told.err == ""
    assert len(load_silences(home / "silences.yaml", "prod", load_catalogue("services.yaml", home))) == 2


def test_each_line_of_the_tests_holds(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And none of them says yes to everything."""
    lines = [line for line in blocks("sh")[0].splitlines() if line.startswith("opsctl ")]
    assert len(lines) == 6
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        assert main(words) == 0, line
        words[words.index("--expect") + 1] = "pagerduty/nobody"
        assert main(words) == 1, line


def test_the_output_is_what_is_printed(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    (shown,) = blocks("text")
    command, _, expected = shown.partition("\n")
    assert main([*shlex.split(command)[2:], "-o", "table"]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == expected.splitlines()


def test_the_lines_about_silences_do_what_they_say(home: Path) -> None:
    """Typed in their order while the example's silence holds: nothing, one more, a list, one ended."""
    clock = SteppedClock(datetime(2026, 5, 4, 23, 30, tzinfo=UTC))
    before = (home / "silences.yaml").read_text()
    dry, write, listed, end = (shlex.split(line, comments=True)[1:] for line in blocks("sh")[1].splitlines())
    assert main(dry, clock=clock) == 0
    assert (home / "silences.yaml").read_text() == before
    assert main(write, clock=clock) == 0
    text = (home / "silences.yaml").read_text()
    assert text.startswith(before)
    assert "CHG-1234" in text.removeprefix(before)
    assert main(listed, clock=clock) == 0
    assert main(end, clock=clock) == 0
    assert (home / "silences.yaml").read_text() == text.replace("2026-05-05T02:00:00Z", "2026-05-04T23:30:00Z", 1)
