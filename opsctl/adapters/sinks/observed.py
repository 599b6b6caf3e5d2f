"""Sinks that tell what became of each of their requests, for opsctl's own metrics.

Must never change a delivery, nor let what is told stop one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from opsctl.ports import Delivery, Sink, SinkEvent, Sinks

OnDelivery = Callable[[str, Delivery, float], None]
"""The sink's name, what came back, and the seconds that it took."""


@dataclass
class _Observed:
    """One sink as it is, but for the telling."""

    sink: Sink
    tell: OnDelivery
    monotonic: Callable[[], float]

    def __post_init__(self) -> None:
        self.name = self.sink.name

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """As the sink does."""
        begun = self.monotonic()
        delivery = self.sink.send(event, timeout_seconds)
        with suppress(Exception):
            self.tell(self.name, delivery, self.monotonic() - begun)
        return delivery

    def channel(self, key: str) -> str:
        """As the sink's."""
        return self.sink.channel(key)

    def close(self) -> None:
        """Drop the sink's connections."""
        self.sink.close()


def observed(sinks: Sinks, tell: OnDelivery, monotonic: Callable[[], float]) -> Sinks:
    """The same sinks; `tell` hears of every delivery."""
    return replace(sinks, by_name={name: _Observed(sink, tell, monotonic) for name, sink in sinks.by_name.items()})
