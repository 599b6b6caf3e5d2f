"""A real terminal for tests: a tmux server of one's own, with a shell in it whose state can be looked at.

Everything waits for a condition with a bound; the server is ended with the test.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.making import required

PATIENCE_SECONDS = 20.0


def need_tmux() -> str:
    """The tmux of this machine; without one the test is skipped, in CI it fails."""
    found = shutil.which("tmux")
    if found is None:
        say = pytest.fail if required() else pytest.skip
        say("tmux is not installed: nothing shows how the board leaves a real terminal")
    assert found is not None
    return found


@dataclass
class Screen:
    """One pane with a shell."""

    tmux: str
    socket: Path
    folder: Path

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [self.tmux, "-u", "-S", str(self.socket), *words], capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout

    # -- looking

    def text(self) -> str:
        """What is on the screen."""
        return self._run("capture-pane", "-p")

    def styled(self) -> str:
        """The same with its colours."""
        return self._run("capture-pane", "-p", "-e")

    def flag(self, name: str) -> str:
        """A format of tmux, like `alternate_on`."""
        return self._run("display-message", "-p", f"#{{{name}}}").strip()

    def wait(self, true: Callable[[str], object], what: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until what is on the screen is so; AssertionError shows it."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.text()
            if true(seen):
                return seen
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{seen}")
            time.sleep(0.05)

    def shows(self, words: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until these words are on the screen."""
        return self.wait(lambda seen: words in seen, f"“{words}” on the screen", seconds)

    # -- doing

    def press(self, *keys: str) -> None:
        """Keys as tmux names them: `q`, `C-c`, `Escape`."""
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        """Characters as they are."""
        self._run("send-keys", "-l", text)

    def click(self, column: int, row: int) -> None:
        """A click of the left button, counted from 1, as a terminal tells an application of it."""
        for last in "Mm":
            self.type(f"\x1b[<0;{column};{row}{last}")

    def resize(self, columns: int, rows: int) -> None:
        """Another size."""
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def start(self, words: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """Run a command in the shell."""
        pid = self.folder / f"pid-{time.monotonic_ns()}"
        script = self.folder / "command.sh"
        lines = [f"export {name}={shlex.quote(value)}" for name, value in (env or {}).items()]
        script.write_text("\n".join([*lines, f"echo $$ > {shlex.quote(str(pid))}", f"exec {shlex.join(words)}"]) + "\n")
        self.type(f'sh {shlex.quote(str(script))}; echo "code=$?"')
        self.press("Enter")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (pid.exists() and pid.read_text().strip()):
            assert time.monotonic() < deadline, "the shell started nothing"
            time.sleep(0.02)
        return Process(self, int(pid.read_text()))

    def is_sane(self, code: int) -> None:
        """The prompt is back after that exit code, and the terminal is as it was."""
        seen = self.wait(lambda seen: re.search(r"code=\d+\n", seen), "the command ends")
        assert f"code={code}\n" in seen, seen
        assert "Traceback" not in seen, seen
        assert self.flag("alternate_on") == "0", "the alternate screen is still on"
        assert self.flag("mouse_any_flag") == "0", "the mouse is still on"
        assert self.flag("cursor_flag") == "1", "the cursor is hidden"
        self.type("clear; stty -a; echo te''st")
        self.press("Enter")
        seen = self.shows("\ntest\n")
        words = re.findall(r"[-\w]+", seen)
        for name in ("echo", "icanon", "isig", "icrnl", "ixon"):
            assert name in words, f"stty: {name} is off\n{seen}"


@dataclass
class Process:
    """What runs in the shell."""

    screen: Screen
    pid: int

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def ends(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait for its end."""
        deadline = time.monotonic() + seconds
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.alive


@contextmanager
def opened(folder: Path, columns: int = 100, rows: int = 30) -> Iterator[Screen]:
    """A terminal of that size with a plain shell in that folder."""
    tmux = need_tmux()
    screen = Screen(tmux, folder / "tmux", folder)
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "VIRTUAL_ENV") if name in os.environ},
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    size = ["-x", str(columns), "-y", str(rows)]
    start = [tmux, "-u", "-S", str(screen.socket), "-f", os.devnull, "new-session", "-d", *size]
    subprocess.run([*start, "-c", str(folder), "sh"], env=env, check=True, timeout=10)
    try:
        screen.type("echo re''ady")
        screen.press("Enter")
        screen.shows("\nready\n")
        yield screen
    finally:
        screen._run("kill-server")
