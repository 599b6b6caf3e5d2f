"""Time, and who answers PromQL: what every check needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Labels, Matrix, Reading, Vector

if TYPE_CHECKING:
    from opsctl.core.exploring import ExemplarSeries, Metadata, RuleQuery, SeriesQuery, ServerAlert, ServerRule


class Clock(Protocol):
    """Time; the demo and the tests have their own."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a simulated clock may step instead."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What `doctor` learns of a backend; `clock_skew_seconds` is theirs minus ours, None when they do not say."""

    name: str
    address: str
    reachable: bool
    authorised: bool
    message: str
    version: str = ""
    clock_skew_seconds: float | None = None
    took_seconds: float = 0.0
    usable: bool = True  # false: it answers, and has nothing of what it is configured for


class MetricsSource(Protocol):
    """A backend that evaluates PromQL. Methods never raise for what the backend does: they answer `Failed`.

    One that takes only short expressions states `query_bytes`, the longest text that several questions may be asked in
    together; 0: ask them one by one.
    """

    name: str  # "prometheus https://…" or "memory": for people
    concurrency: int  # how many questions it takes at once; 1 means: ask in the calling thread

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """Evaluate at one time."""
        ...

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """Evaluate at start, start+step, … ≤ end (both inclusive)."""
        ...

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask whether it is there, lets us in and agrees on the time."""
        ...

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        ...


@runtime_checkable
class MetricsExplorer(MetricsSource, Protocol):
    """A source that can also be looked around in. What one cannot tell is `Failed(unsupported)`.

    Filters and limits are applied here too, whatever the server made of them; more than a limit is `Failed(partial)`
    with as many as were asked for.
    """

    def series(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[Labels, ...]]:
        """The label sets of series, sorted; a query without selectors is rejected."""
        ...

    def label_names(self, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every label name that series have, sorted."""
        ...

    def label_values(self, label: str, query: SeriesQuery, timeout_seconds: float) -> Reading[tuple[str, ...]]:
        """Every value of a label, sorted; the values of `__name__` are the metrics."""
        ...

    def exemplars(
        self, expression: str, start: datetime, end: datetime, timeout_seconds: float
    ) -> Reading[tuple[ExemplarSeries, ...]]:
        """The exemplars in [start, end] of the series that an expression reads."""
        ...

    def rules(self, query: RuleQuery, timeout_seconds: float) -> Reading[tuple[ServerRule, ...]]:
        """The rules that the server evaluates itself, in the order of its files."""
        ...

    def alerts(self, timeout_seconds: float) -> Reading[tuple[ServerAlert, ...]]:
        """What is pending or firing at the server."""
        ...

    def metadata(self, metric: str | None, timeout_seconds: float) -> Reading[Mapping[str, tuple[Metadata, ...]]]:
        """Type, help and unit by metric family, of one or of all; targets may disagree, hence several."""
        ...
