"""`opsctl watch` with an interval of less than five seconds, and runs that hang or break while a file is there.

    python -m tests.integration.watch_launcher [--stuck-while FILE | --bug-while FILE] -- ARGUMENTS OF OPSCTL

What is shortened or broken is here and not in the shipped code.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from opsctl import schedule
from opsctl.cli import watch
from opsctl.cli.main import main


def bend(what: str, while_: Path) -> None:
    """Put something before each run."""
    from opsctl.daemon import turn

    real = turn.run_once

    def bent(*args: Any, **options: Any) -> Any:
        while what == "--stuck-while" and while_.exists():
            time.sleep(0.02)
        if what == "--bug-while" and while_.exists():
            raise ValueError("a bug of the test")
        return real(*args, **options)

    turn.run_once = bent  # type: ignore[attr-defined]
    watch._MARGIN_SECONDS = -3.0  # of five seconds that the limits of these tests come to


if __name__ == "__main__":
    split = sys.argv.index("--")
    watch.SHORTEST = timedelta(milliseconds=200)
    schedule.LOCK_SECONDS = 1.0
    if split > 1:
        bend(sys.argv[1], Path(sys.argv[2]))
    sys.argv = ["opsctl", *sys.argv[split + 1 :]]
    sys.exit(main())
