"""Copying, opening and exporting: by which way, and that nothing bad goes along."""

from __future__ import annotations

import base64
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsctl.errors import UsageError
from opsctl.tui.copying import OSC_BYTES, copy, osc52, tools
from opsctl.tui.exporting import file_name, text_of, write_export
from opsctl.tui.opening import browser_of, start, web_address

NOW = datetime(2026, 5, 14, 3, 30, tzinfo=UTC)
XTERM = {"TERM": "xterm-256color"}


def tool(folder: Path, name: str, body: str) -> dict[str, str]:
    """An environment whose PATH has this program before all others."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return {**XTERM, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def copied(text: str, env: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """What was said, and what went to the terminal."""
    monkeypatch.setenv("PATH", env.get("PATH", os.environ["PATH"]))
    sent: list[str] = []
    return copy(text, env, sent.append, folder / "export", NOW).said, sent


def test_a_tool_of_this_machine_gets_the_text_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No escape sequence reaches the clipboard, and what is pasted is what was seen."""
    env = tool(tmp_path, "wl-copy", f"cat > {tmp_path}/got") | {"WAYLAND_DISPLAY": "wayland-0"}
    said, sent = copied("a\x1b[31m\nb\u202e", env, tmp_path, monkeypatch)
    assert (tmp_path / "got").read_text() == "a\\x1b[31m\nb\\u202e"
    assert (said, sent) == ("copied 2 lines with wl-copy", [])


def test_a_tool_that_fails_or_hangs_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal gets it instead."""
    monkeypatch.setattr("opsctl.tui.copying.TOOL_SECONDS", 0.2)
    for body in ("exit 1", "sleep 5"):
        env = tool(tmp_path, "xclip", body) | {"DISPLAY": ":0"}
        tool(tmp_path, "xsel", "exit 1")
        said, sent = copied("hello", env, tmp_path, monkeypatch)
        assert "by the terminal (OSC 52" in said
        assert sent == [f"\x1b]52;c;{base64.b64encode(b'hello').decode()}\x07"]


def test_over_ssh_the_tools_of_the_other_machine_are_no_help() -> None:
    """Its clipboard is not the one of the person."""
    env = {"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}
    assert tools(env, lambda name: name)[0] == ("wl-copy",)
    assert tools({**env, "SSH_TTY": "/dev/pts/1"}, lambda name: name) == []
    assert tools({**env, "SSH_CONNECTION": "x", "TMUX": "x"}, lambda name: name) == [("tmux", "load-buffer", "-w", "-")]


def test_inside_tmux_and_screen_the_sequence_is_passed_through() -> None:
    """Each has its own way."""
    assert osc52(b"x", {"TMUX": "/tmp/x"}) == "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\"
    wrapped = osc52(b"x" * 300, {"STY": "1.x"})
    assert wrapped.startswith("\x1bP\x1b]52;c;")
    assert wrapped.endswith("\x1b\\")
    assert max(len(part) for part in wrapped.split("\x1b\\")) < 100


@pytest.mark.parametrize(
    ("text", "env"), [("x" * OSC_BYTES, XTERM), ("x" * 2_000_000, XTERM), ("x", {"TERM": "dumb"}), ("x", {})]
)
def test_what_no_clipboard_takes_is_a_file_for_its_owner(
    text: str, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is said where."""
    said, sent = copied(text, env, tmp_path, monkeypatch)
    path = tmp_path / "export" / "copy-20260514T033000.txt"
    assert str(path) in said
    assert sent == []
    assert path.read_text() == text + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_and_nowhere_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never says that it copied what it did not."""
    (tmp_path / "export").write_text("a file in the way")
    assert "nothing to copy" in copied("", XTERM, tmp_path, monkeypatch)[0]
    assert "cannot be written" in copied("x", {}, tmp_path, monkeypatch)[0]


@pytest.mark.parametrize(
    ("link", "opens"),
    [
        ("https://acme.pagerduty.com/incidents/Q1?x=1#y", True),
        ("http://127.0.0.1:9090/graph", True),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("https://", False),
        ("--version", False),
        ("https://a b/", False),
        ("https://a/\x1b[31m", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_only_pages_of_the_web_are_opened(link: str, opens: bool) -> None:
    """A link comes from outside."""
    assert web_address(link) == (link if opens else None)


def test_a_browser_needs_a_window_on_this_machine(tmp_path: Path) -> None:
    """Over SSH, and without a display, the address is shown instead."""
    assert browser_of({"DISPLAY": ":0", "SSH_TTY": "x"}, lambda name: name) is None
    assert browser_of({}, lambda name: None) is None
    assert browser_of({"DISPLAY": ":0"}, lambda name: name) is not None
    assert "cannot be started" in start(str(tmp_path / "nope"), "https://x")


# -- export

ROWS = [["service", "why"], ["wallet", "a|b <i> \x1b[2J"], ["=cmd()", "ünïcödé 漢"]]


@pytest.mark.parametrize(
    ("suffix", "lines"),
    [
        (".txt", ["service  why", "wallet   a|b <i> \\x1b[2J", "=cmd()   ünïcödé 漢"]),
        (".csv", ["service,why", "wallet,a|b <i> \\x1b[2J", "'=cmd(),ünïcödé 漢"]),
        (
            ".MD",
            ["| service | why |", "| --- | --- |", "| wallet | a\\|b &lt;i> \\\\x1b[2J |", "| =cmd() | ünïcödé 漢 |"],
        ),
    ],
)
def test_a_view_is_written_by_its_suffix_and_cleaned(suffix: str, lines: list[str]) -> None:
    """Nothing in it is a formula, a control character, or markup."""
    assert text_of(ROWS, suffix, screen="board", at=NOW).splitlines() == lines


def test_a_view_as_json_has_a_version() -> None:
    """And the names of its columns."""
    body = json.loads(text_of(ROWS, ".json", screen="board", at=NOW))
    assert (body["schema"], body["screen"], body["columns"]) == ("opsctl/tui/export/v1", "board", ["service", "why"])
    assert len(body["rows"]) == 2
    assert all(text_of([], suffix, screen="x", at=NOW) == "" for suffix in (".txt", ".csv", ".md"))


def test_a_file_that_is_there_stays_unless_one_says_so(tmp_path: Path) -> None:
    """A link to nowhere is there too; what is written is for its owner alone."""
    path, link = tmp_path / "a.csv", tmp_path / "l.csv"
    write_export(path, "one\n", force=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link.symlink_to(tmp_path / "nowhere")
    for there in (path, link):
        with pytest.raises(UsageError, match="is there already"):
            write_export(there, "two\n", force=False)
    assert path.read_text() == "one\n"
    write_export(path, "two\n", force=True)
    assert path.read_text() == "two\n"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["no/such/folder/x.csv", ".", "a\0b"])
@pytest.mark.parametrize("force", [True, False])
def test_what_cannot_be_written_is_one_line(tmp_path: Path, name: str, force: bool) -> None:
    """In the system's words."""
    with pytest.raises(UsageError) as caught:
        write_export(tmp_path / name, "x", force=force)
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_suffix_lists_the_known_ones() -> None:
    """Rather than writing something."""
    with pytest.raises(UsageError, match=r"\.txt, \.csv, \.md, \.json, \.svg"):
        text_of(ROWS, ".xls", screen="x", at=NOW)
    assert file_name("prod eu/1", "logs", NOW) == "opsctl-prod-eu-1-logs-20260514T033000Z.csv"
