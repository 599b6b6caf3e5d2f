"""What every command shares: the global flags, the clock, the composition, and how results are written."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer._click.globals import get_current_context

from opsctl.cli.streams import talk, whole_unicode

if TYPE_CHECKING:
    from opsctl.actions import Desk
    from opsctl.adapters.telemetry import Attributes, Telemetry
    from opsctl.app import Composition
    from opsctl.ports import Clock

_PATIENCE_SECONDS = 0.3


@dataclass
class Frame:
    """The global flags of this run; `compose()` reads the configuration on first use."""

    clock: Clock | None = None
    config: Path | None = None
    context: str | None = None
    read_only: bool = False
    color: str = "auto"
    utc: bool = False
    quiet: bool = False
    debug: bool = False
    code: int = 0  # what the process will say, once a command knows: it holds though stdout breaks
    complaint: str | None = None  # the error that ended the command, one line
    warned: bool = False  # something is WARN, which a monitoring plugin tells by its exit code
    compose_with: Callable[[Frame], Composition] | None = field(default=None, repr=False)
    telemetry: Telemetry | None = field(default=None, repr=False)  # where the OTEL_* variables ask for it
    once_printed: list[Callable[[], None]] = field(default_factory=list, repr=False)  # what waits for the output

    @cached_property
    def composition(self) -> Composition:
        """Settings, catalogue, rules, backends: everything that the configuration names, each read on use."""
        if self.compose_with is not None:
            return self.compose_with(self)
        from opsctl.app import compose

        made = compose(self.config, self.context, clock=self.clock)
        made.telemetry = self.telemetry
        return made

    @cached_property
    def desk(self) -> Desk:
        """Where whatever changes something is planned, done, or refused."""
        from opsctl.actions import READ_ONLY, Desk
        from opsctl.files.settings import flags_of

        never = READ_ONLY if self.read_only else ""
        return Desk(self.composition, read_only=never, flags=flags_of(self.config, self.context))

    def phase(self, name: str, **attributes: str | int) -> AbstractContextManager[Callable[[Attributes], None]]:
        """A part of the command as a span of opsctl's own telemetry, where that is on; takes more attributes."""
        if self.telemetry is None:
            return nullcontext(lambda more: None)
        return self.telemetry.span(name, {f"opsctl.{key}": value for key, value in attributes.items()})

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

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say on a terminal what takes more than 300 ms, once: nobody shall wonder whether it hangs."""
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        import threading

        late = threading.Timer(_PATIENCE_SECONDS, self.say, (f"{what} …",))
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()

    def say(self, line: str) -> None:
        """Talk: one line on stderr, unless --quiet."""
        if not self.quiet:
            talk(line + "\n")

    def warn(self, line: str) -> None:
        """Something that a person must see: one line on stderr whatever the flags."""
        talk(line + "\n")


def frame() -> Frame:
    """The frame of the command that runs now."""
    obj = get_current_context().find_root().obj
    assert isinstance(obj, Frame)
    return obj


def write_json(schema: str, body: dict[str, Any]) -> None:
    """Print a versioned JSON document: `{"schema": "opsctl/<schema>", …}` (datetimes as RFC 3339, enums as values)."""
    sys.stdout.write(json_text(schema, body, unicode=whole_unicode(sys.stdout)))


def json_text(schema: str, body: dict[str, Any], *, unicode: bool = True) -> str:
    """The document that `write_json` prints; without `unicode` in ASCII."""
    import msgspec

    raw = msgspec.json.encode({"schema": f"opsctl/{schema}", **body}, order="deterministic")
    text = msgspec.json.format(raw, indent=2).decode()
    return json_escaped(text, unicode) + "\n"


# C1 controls, what has no width, changes direction or ends a line: legal in JSON, and not for a terminal.
_UNSEEN = "[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\U000e0000-\U000e0fff]"
_NOT_ASCII = "[^\x00-\x7e]"


def json_escaped(text: str, unicode: bool) -> str:
    """The same JSON with those characters as `\\uNNNN`; without `unicode` all that are not ASCII."""
    if text.isascii() and "\x7f" not in text:
        return text
    return re.sub(_UNSEEN if unicode else _NOT_ASCII, lambda found: _units(found[0]), text)


def _units(character: str) -> str:
    raw = character.encode("utf-16-be")
    return "".join(f"\\u{raw[i]:02x}{raw[i + 1]:02x}" for i in range(0, len(raw), 2))
