"""`python -m tests.promqltest FOLDER`: run every `*.test` file below a folder; the last line is the tally."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.promqltest.run import run_files


def main(arguments: list[str]) -> int:
    """Exit code 0 if nothing failed, 1 if something did, 2 if there is nothing to run."""
    if len(arguments) != 1:
        print("usage: python -m tests.promqltest FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    files = sorted(folder.rglob("*.test")) if folder.is_dir() else [folder] if folder.is_file() else []
    if not files:
        print(f"{folder}: no *.test files here", file=sys.stderr)
        return 2
    tally = run_files((str(path), path.read_text(encoding="utf-8")) for path in files)
    for failure in tally.failed:
        print(f"FAILED {failure}")
    for reason, count in tally.out_of_scope.most_common():
        print(f"out of scope: {count} × {reason} not supported")
    print(tally)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
