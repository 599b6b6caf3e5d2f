"""What every command shares: the global flags, the clock, the composition, and how results are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer._click.globals import get_current_context

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.ports import Clock


@dataclass
class Frame:
    """The global flags of this run; `compose()` reads the configuration on first use."""

    clock: Clock | None = None
    config: Path | None = None
    context: str | None = None
    color: str = "auto"
    utc: bool = False
    quiet: bool = False
    debug: bool = False
    compose_with: Callable[[Frame], Composition] | None = field(default=None, repr=False)

    @cached_property
    def composition(self) -> Composition:
        """Settings, catalogue, rules, backends: everything that the configuration names, each read on use."""
        if self.compose_with is not None:
            return self.compose_with(self)
        from opsctl.app import compose

        return compose(self.config, self.context, clock=self.clock)

    @property
    def stdout_is_terminal(self) -> bool:
        """Whether a person reads stdout directly; decides between `table` and `plain`."""
        return sys.stdout.isatty()

    def colored(self, stream: Any) -> bool:
        """Whether to colour what goes to `stream`: --color, then NO_COLOR, FORCE_COLOR, TERM=dumb, then a terminal."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"

    def say(self, line: str) -> None:
        """Talk: one line on stderr, unless --quiet."""
        if not self.quiet:
            sys.stderr.write(line + "\n")

    def warn(self, line: str) -> None:
        """Something that a person must see: one line on stderr whatever the flags."""
        sys.stderr.write(line + "\n")


def frame() -> Frame:
    """The frame of the command that runs now."""
    obj = get_current_context().find_root().obj
    assert isinstance(obj, Frame)
    return obj


def write_json(schema: str, body: dict[str, Any]) -> None:
    """Print a versioned JSON document: `{"schema": "opsctl/<schema>", …}` (datetimes as RFC 3339, enums as values)."""
    import msgspec

    raw = msgspec.json.encode({"schema": f"opsctl/{schema}", **body}, order="deterministic")
    sys.stdout.write(msgspec.json.format(raw, indent=2).decode() + "\n")
