"""The terminal, for the cases that Textual does not expect: it is gone, or it shows ASCII only.

Must never block on a terminal that nobody reads any more, nor move a cell.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter

from opsctl.render.plainer import PLAINER, unicode_terminal


class _Forgiving:
    """A stream that forgets what cannot be written: the writing thread goes on, and nobody waits for it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it if that can be."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            return len(text)

    def flush(self) -> None:
        """Flush if that can be."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Terminal(LinuxDriver):
    """Textual's driver; when the terminal hangs up, the board ends as it does on SIGHUP."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = _Forgiving(self._file)  # type: ignore[assignment, arg-type]

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except OSError:
            self._app.call_later(self._app.exit, 129)
        except BaseException as wrong:  # noqa: BLE001  it is a crash like any other
            self._app.call_later(self._app._handle_exception, wrong)


def gone() -> bool:
    """Whether the terminal of this process hung up: its key thread would spin."""
    stdin = sys.__stdin__
    try:
        return stdin is None or not os.isatty(stdin.fileno())
    except (OSError, ValueError):
        return True


class Plainer(LineFilter):
    """ASCII in the place of everything else, cell by cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same cells."""
        return [
            segment if segment.text.isascii() else Segment(plain_cells(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def plain_cells(text: str) -> str:
    """A text in ASCII that takes as many cells."""
    out = []
    for ch in text.translate(PLAINER):
        if ch.isascii():
            out.append(ch)
        elif "\u2800" <= ch <= "\u28ff":  # charts of dots
            out.append(" " if ch == "\u2800" else ".")
        else:
            out.append("?" * cell_len(ch))
    return "".join(out)


def shows_ascii_only(env: Mapping[str, str] = os.environ) -> bool:
    """Whether this process's terminal lacks our glyphs."""
    return not unicode_terminal(getattr(sys.__stderr__, "encoding", None), env)
