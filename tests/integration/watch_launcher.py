"""`opsctl watch` with an interval of less than five seconds, and a run that hangs while a file is there.

    python -m tests.integration.watch_launcher [--stuck-while FILE] -- WATCH ARGUMENTS

What is shortened is here and not in the shipped code.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from opsctl.cli import watch
from opsctl.cli.main import main


def shorten(stuck_while: Path | None) -> None:
    """Shorter times; the run waits while the file is there."""
    watch.SHORTEST = timedelta(milliseconds=200)
    if stuck_while is None:
        return
    from opsctl.daemon import turn

    watch._MARGIN_SECONDS = -63.0
    real = turn.run_once

    def hanging(*args: object, **options: object) -> object:
        while stuck_while.exists():
            time.sleep(0.02)
        return real(*args, **options)  # type: ignore[arg-type]

    turn.run_once = hanging  # type: ignore[assignment]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    split = arguments.index("--")
    options, words = arguments[:split], arguments[split + 1 :]
    shorten(Path(options[1]) if options else None)
    sys.argv = ["opsctl", *words]
    sys.exit(main())
