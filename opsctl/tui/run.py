"""Opens the board, and leaves the terminal as it was, however it ends."""

from __future__ import annotations

import os
from collections.abc import Mapping

from opsctl.app import Composition
from opsctl.tui.options import Options

CLOSE_SECONDS = 2.0


def run(composition: Composition, options: Options) -> int:
    """Look at a context until somebody leaves; the exit code."""
    from opsctl.tui.app import OpsctlApp
    from opsctl.tui.feed import LiveFeed

    desk = composition.desk(read_only=options.read_only)
    feed = LiveFeed(composition.sibling())
    app = OpsctlApp(composition, feed, desk, options)
    try:
        code = app.run(mouse=options.mouse)
    finally:
        feed.stop(CLOSE_SECONDS)
    return code if code is not None else app.return_code or 0


def theme_of(name: str | None, env: Mapping[str, str] = os.environ) -> str:
    """The theme that was asked for; mono where colours are not wanted."""
    if env.get("NO_COLOR") or env.get("TERM") == "dumb":
        return "mono"
    return name or "dark"
