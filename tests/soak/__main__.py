"""The soak from the command line; the definitions are in the package's docstring.

    python -m tests.soak --episodes 10000 [--seed N] [--jobs N] [--report FILE] [--world N] [--kind KIND]
        [--without-outbox | --remember-before-send]

stdout is one line, `episodes=10000 lost=0 doubled=0 stuck=0`; what struck and what was found goes to stderr. Exit 1 if
anything was lost, doubled or stuck, a run crashed, or a crash point never struck.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.soak.soak import Options, soak
from tests.soak.world import KINDS


def main(argv: list[str] | None = None) -> int:
    """Play worlds until there are as many episodes as asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Never lose a page, never page twice.")
    parser.add_argument("--episodes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="worlds at a time")
    parser.add_argument("--world", type=int, help="play this one only")
    parser.add_argument("--kind", choices=KINDS, action="append", help="worlds of these kinds only")
    parser.add_argument("--report", type=Path, help="write the report here too, as JSON")
    parser.add_argument("--keep", type=Path, help="keep the worlds that failed in this folder")
    carrier = parser.add_mutually_exclusive_group()
    carrier.add_argument("--without-outbox", dest="carrier", action="store_const", const="without-outbox")
    carrier.add_argument("--remember-before-send", dest="carrier", action="store_const", const="remember-before-send")
    given = parser.parse_args(argv)
    options = Options(
        episodes=given.episodes,
        seed=given.seed,
        jobs=given.jobs,
        carrier=given.carrier or "outbox",
        world=given.world,
        kinds=tuple(given.kind or KINDS),
        report=given.report,
        keep=given.keep,
    )
    return soak(options, sys.stdout, sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
