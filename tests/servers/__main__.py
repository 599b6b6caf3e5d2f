"""`make servers`: says what it does and about how long, and what cannot be had here and why."""

from __future__ import annotations

import sys

from tests.servers.build import SERVERS, Missing, build, cache, required


def main() -> int:
    """Make every server that can be made; 1 only where one is required and missing."""
    to_make = [row for row in SERVERS if not row.there]
    print(f"servers in {cache()}: {len(SERVERS) - len(to_make)} of {len(SERVERS)} there", flush=True)
    missing = 0
    for row in to_make:
        if row.lacking() is None:
            print(f"  {row.title}: making it, about {row.about} …", flush=True)
        try:
            print(f"  {row.title}: made in {build(row):.0f} s", flush=True)
        except Missing as reason:
            missing += 1
            print(f"  {row.title}: not here ({reason}); the tests that need it will be skipped and counted", flush=True)
    if missing and required():
        print(f"{missing} servers are missing and CI requires them all", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; nothing half-made is kept", file=sys.stderr)
        sys.exit(130)
