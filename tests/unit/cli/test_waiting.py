"""What takes long says so on a terminal, once; what does not says nothing, and neither does a pipe."""

from __future__ import annotations

import sys
import time

import pytest

from opsctl.cli import frame as frames
from opsctl.cli.frame import Frame


@pytest.mark.parametrize(
    ("terminal", "quiet", "seconds", "said"),
    [(True, False, 0.2, "asking …\n"), (True, False, 0, ""), (True, True, 0.2, ""), (False, False, 0.2, "")],
)
def test_a_wait_is_said_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    quiet: bool,
    seconds: float,
    said: str,
) -> None:
    """After the patience, once, and not under --quiet."""
    monkeypatch.setattr(frames, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with Frame(quiet=quiet).waiting("asking"):
        time.sleep(seconds)
    assert capsys.readouterr().err == said
