"""Says what would be sent, a line an event, and sends nothing: for trying out routes, and for a dry run.

Must never count as telling somebody: nobody is paged by a line on a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from opsctl.core.routing import target
from opsctl.ports import Delivery, SinkEvent

NAME = "console"


class Console:
    """Every event as one line to `say`, which must make any text safe to print; accepted where it can be printed."""

    def __init__(self, say: Callable[[str], None], name: str = NAME) -> None:
        self.name = name
        self._say = say

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Say it."""
        try:
            self._say(line_of(self.name, event))
        except (OSError, ValueError) as wrong:  # stderr is full, closed, or its reader went away
            return Delivery("retry", None, f"cannot be printed: {type(wrong).__name__}")
        return Delivery("accepted", None, "printed on stderr")

    def channel(self, key: str) -> str:
        """No rate limit."""
        return ""

    def close(self) -> None:
        """Nothing is open."""


def line_of(name: str, event: SinkEvent) -> str:
    """`pagerduty/money: trigger opsctl/4c1f… (critical): summary`."""
    said: Mapping[str, Any] = json.loads(event.body)
    payload = said.get("payload")
    about: Mapping[str, Any] = payload if isinstance(payload, Mapping) else {}
    severity = f" ({about['severity']})" if about.get("severity") else ""
    text = said.get("note") or about.get("summary")
    head = f"{target(name, event.key)}: {said.get('event_action')} {said.get('dedup_key')}{severity}"
    return f"{head}: {text}" if text else head
