"""Who answers for logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from opsctl.core.logs import LogCounts, LogField, LogPage, LogQuery
from opsctl.core.signals import Reading
from opsctl.ports.metrics import Probe


class LogSource(Protocol):
    """A backend that keeps log records. Methods never raise for what the backend does: they answer `Failed`."""

    name: str  # "elasticsearch https://…" or "memory": for people
    concurrency: int  # how many questions it takes at once; 1 means: ask in the calling thread

    def search(
        self,
        query: LogQuery,
        timeout_seconds: float,
        *,
        limit: int = 100,
        cursor: str = "",
        oldest_first: bool = False,
    ) -> Reading[LogPage]:
        """At most `limit` (≤ 10,000) records, newest first; `cursor` of a page goes on where it ended.

        A cursor stays good when records arrive meanwhile, and says where it was when the server forgot it. Shards that
        did not answer make it `Failed(partial)` with what came; no index and no record, also at a cursor, are `Absent`.
        Notes say what is not exact: an index that is missing, a field that is compared by words. `Failed(rejected)`
        names a field of a condition that is not in the mapping, and near ones.
        """
        ...

    def count(self, query: LogQuery, step: timedelta, by: Sequence[str], timeout_seconds: float) -> Reading[LogCounts]:
        """How many records fit, by steps from `query.start` (included) to `query.end` (excluded), and by fields.

        `by` are ECS names; labels of the answer are those names with `_` for every other character. A record
        without such a field counts under "" for it. `Failed(rejected)` names a field that is not in the mapping, and
        near ones; a field with several values counts under each. Nothing at all is `Measured` with no buckets where the
        index is there, `Absent` where it is not.
        """
        ...

    def fields(self, timeout_seconds: float) -> Reading[tuple[LogField, ...]]:
        """Every field of the mapping, by its ECS name, sorted."""
        ...

    def probe(self, timeout_seconds: float) -> Probe:
        """Ask whether it is there and lets us in."""
        ...

    def close(self) -> None:
        """Drop connections, also ones in use: their readings become `Failed(deadline)`."""
        ...
