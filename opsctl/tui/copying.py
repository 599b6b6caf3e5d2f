"""Copying: by a tool of this machine, else by the terminal (OSC 52, which works over SSH), else into a file.

Must never run a shell, copy a control character, or say that something was copied which may not have been.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from opsctl.core.frozen import dataclass
from opsctl.files.atomic import write_whole
from opsctl.files.text import os_words
from opsctl.render.text import clean_block

TOOL_SECONDS = 2.0
MOST_BYTES = 1024 * 1024
OSC_BYTES = 74_000  # of text and its encoding together, what common terminals take
_SCREEN_CHUNK = 76


@dataclass(frozen=True, slots=True)
class Copied:
    """Where a text is now, in words; `bad`: nowhere."""

    said: str
    bad: bool = False


def copy(text: str, env: Mapping[str, str], write: Callable[[str], None], folder: Path, now: datetime) -> Copied:
    """Copy a text (from anywhere: it is cleaned); `write` sends to the terminal, `folder` takes what is too long."""
    plain = clean_block(text)
    data = plain.encode("utf-8", "replace")
    if not data:
        return Copied("there is nothing to copy here", bad=True)
    if len(data) > MOST_BYTES:
        return _into_file(data, folder, now, f"{len(data):,} bytes are too much for a clipboard")
    for words in tools(env):
        if _told(words, data, env):
            return Copied(f"copied {_size(plain)} with {words[0]}")
    sequence = osc52(data, env)
    if env.get("TERM", "dumb") in {"dumb", "linux"} or len(sequence) > OSC_BYTES:
        return _into_file(data, folder, now, "no clipboard takes it")
    write(sequence)
    return Copied(f"copied {_size(plain)} by the terminal (OSC 52; some have to be told to allow it)")


def remote(env: Mapping[str, str]) -> bool:
    """Whether the person sits at another machine."""
    return bool(env.get("SSH_TTY") or env.get("SSH_CONNECTION"))


def tools(env: Mapping[str, str], found: Callable[[str], str | None] = shutil.which) -> list[tuple[str, ...]]:
    """Commands that take a text on stdin into the clipboard of the person who sits here, the best first."""
    wanted: list[tuple[str, ...]] = []
    if not remote(env):
        if env.get("WAYLAND_DISPLAY"):
            wanted.append(("wl-copy",))
        if env.get("DISPLAY"):
            wanted += [("xclip", "-selection", "clipboard"), ("xsel", "--clipboard", "--input")]
        if sys.platform == "darwin":
            wanted.append(("pbcopy",))
        if env.get("WSL_DISTRO_NAME"):
            wanted.append(("clip.exe",))
    if env.get("TMUX"):
        wanted.append(("tmux", "load-buffer", "-w", "-"))  # also into the terminal around it
    return [words for words in wanted if found(words[0])]


def _told(words: tuple[str, ...], data: bytes, env: Mapping[str, str]) -> bool:
    try:
        done = subprocess.run(
            words,
            input=data,
            stdout=subprocess.DEVNULL,  # xclip stays behind, and would hold a pipe
            stderr=subprocess.DEVNULL,
            timeout=TOOL_SECONDS,
            check=False,
            env=dict(env),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def osc52(data: bytes, env: Mapping[str, str]) -> str:
    """The sequence that puts a text into the terminal's clipboard, through tmux or screen where it is inside one."""
    sequence = f"\x1b]52;c;{base64.b64encode(data).decode()}\x07"
    if env.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if env.get("STY"):
        parts = [sequence[i : i + _SCREEN_CHUNK] for i in range(0, len(sequence), _SCREEN_CHUNK)]
        return "\x1bP" + "\x1b\\\x1bP".join(parts) + "\x1b\\"
    return sequence


def _into_file(data: bytes, folder: Path, now: datetime, why: str) -> Copied:
    path = folder / f"copy-{now:%Y%m%dT%H%M%S}.txt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, data + b"\n", private=True)
    except OSError as wrong:
        return Copied(f"{why}, and {path} cannot be written: {os_words(wrong)}", bad=True)
    return Copied(f"{why}: it is in {path}")


def _size(text: str) -> str:
    lines = text.count("\n") + 1
    return f"{lines} lines" if lines > 1 else f"“{text}”" if len(text) <= 40 else f"{len(text)} characters"


def environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ
