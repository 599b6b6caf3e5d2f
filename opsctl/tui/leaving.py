"""Runs the app so that every way out leaves the terminal as it was: a key, a signal, a bug.

Must never lose the exit code that a signal asks for, nor leave its own handlers behind.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.tui.shell import Shell

_ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def run_app(app: Shell, *, mouse: bool) -> int:
    """Run it to its end; the exit code: 128 and the signal's number where one ended it. Raises what was a bug."""

    async def main() -> int | None:
        loop = asyncio.get_running_loop()
        for number in _ENDS:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, app.exit, 128 + number)
        return await app.run_async(mouse=mouse)

    with _handlers():
        code = asyncio.run(main())
    if app.crash is not None:
        raise app.crash
    return code if code is not None else app.return_code or 0


@contextmanager
def _handlers() -> Iterator[None]:
    """What was there before is there again; the loop would leave the system's own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
