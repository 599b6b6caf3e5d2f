"""What the documents say can be typed, opened and loaded."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.cli.main import root_app
from opsctl.errors import ExitCode
from opsctl.files.catalogue import load_catalogue
from opsctl.files.rules import load_rules
from opsctl.files.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> Iterator[str]:
    """Every `opsctl …` in code: inline, or a line of a `sh` block without its comment."""
    yield from re.findall(r"`(opsctl [^`\n]+)`", text)
    for block in re.findall(r"```sh\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if line.strip().startswith("opsctl "):
                yield line.split(" #")[0].strip()


def check(line: str) -> str | None:
    """What is wrong with a command line, if anything: every word of the tree and every flag must exist."""
    words = shlex.split(line.replace("…", "").replace("|", " "))[1:]
    command: Any = root_app()
    flags = {flag: param for param in command.params for flag in param.opts}
    rest = iter(words)
    for word in rest:
        if word.startswith("-") and word != "-":
            if word.split("=")[0] not in flags:
                return f"{line}: no flag {word}"
            if "=" not in word and not flags[word].is_flag and not flags[word].count:
                next(rest, None)  # its value
        elif hasattr(command, "get_command"):
            found = command.get_command(None, word)
            if found is None:
                return None if re.fullmatch(r"[A-Z<].*", word) else f"{line}: no command {word}"
            command = found
            flags |= {flag: param for param in command.params for flag in param.opts}
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_exists(page: Path) -> None:
    """Commands and flags of a page are those of the command line."""
    alternatives = [line for line in commands(page.read_text()) if not re.search(r"\w\|\w", line)]
    assert [wrong for wrong in map(check, alternatives) if wrong] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_target_is_there(page: Path) -> None:
    """Relative links resolve and `make` targets exist."""
    text = page.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_examples_load(tmp_path: Path) -> None:
    """The SLO and the configuration that the pages show are taken by the real loaders."""
    slo = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/slo.md").read_text(), re.S)
    assert slo is not None
    (tmp_path / "example.slo.yaml").write_text(slo[1])
    catalogue = load_catalogue("bundled:", tmp_path)
    assert len(load_rules((str(tmp_path),), tmp_path, catalogue).slos) == 1
    config = re.search(r"```toml\n(.*?)```", (ROOT / "docs/configuration.md").read_text(), re.S)
    assert config is not None
    (tmp_path / "opsctl.toml").write_text(config[1])
    found = load_settings(tmp_path / "opsctl.toml", None, env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert found.chosen.pagerduty is not None


def test_the_exit_codes_are_those_of_the_code() -> None:
    """The table of docs/verdicts.md names every exit code and no other."""
    table = (ROOT / "docs/verdicts.md").read_text().split("## Exit codes")[1]
    named = {int(n) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.M) for n in row.split(",")}
    assert named == {int(code) for code in ExitCode}


def test_the_board_s_keys_are_those_of_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    """`opsctl tui --keys` is the table of docs/tui.md."""
    from opsctl.cli.main import main

    assert main(["tui", "--keys"]) == 0
    printed = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    page = (ROOT / "docs" / "tui.md").read_text()
    rows = re.findall(r"^\| ([^|`]+) \| `(.+?)` \| (.+?) \| `([^`]+)` \|$", page, re.M)
    assert [[where, keys.replace("\\|", "|"), does, name] for where, keys, does, name in rows] == printed
