"""Pages out of one point in time: opened for the first, kept while a cursor needs it, opened again when forgotten.

Must never leave a point in time open for longer than its minute, or show a record twice.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from collectors.elasticsearch.answers import NOT_JSON, Forgotten, decoded, forgotten
from collectors.elasticsearch.fields import FieldMap
from collectors.elasticsearch.hits import SearchAnswer, place_of
from collectors.elasticsearch.question import Clause
from collectors.elasticsearch.wire import Wire, server_limit
from opsctl.core.logs import LogRecord
from opsctl.core.signals import Reason
from opsctl.http import HttpProblem

KEEP_ALIVE = "1m"
_CLOSING_SECONDS = 1.0


class Cursor(msgspec.Struct):
    """Where a page ended: in its point in time, and, should that be forgotten, by time and by what was seen then."""

    pit: str
    oldest_first: bool
    sort: tuple[str, int]
    seen: list[str]  # `index/id` of every record so far at the last time


class _Pit(msgspec.Struct):
    id: str


class Pages:
    """The points in time of one source."""

    def __init__(self, wire: Wire, index: Sequence[str]) -> None:
        self._wire = wire
        self._index = list(index)
        self._lock = threading.Lock()
        self._open: set[str] = set()

    def page(
        self, clause: Clause, fields: FieldMap, at: Cursor | None, limit: int, oldest_first: bool, deadline: float
    ) -> tuple[SearchAnswer, str]:
        """One page and the point in time that it came from; one that the server forgot is opened again, once."""
        try:
            return self._page(clause, fields, at, limit, oldest_first, deadline)
        except Forgotten:
            again = msgspec.structs.replace(at, pit="") if at else None
            return self._page(clause, fields, again, limit, oldest_first, deadline)

    def close(self) -> None:
        """Close what is open, within a second."""
        with self._lock:
            left, self._open = self._open, set()
        deadline = time.monotonic() + _CLOSING_SECONDS
        for pit in left:
            self._close_pit(pit, deadline)

    def _page(
        self, clause: Clause, fields: FieldMap, at: Cursor | None, limit: int, oldest_first: bool, deadline: float
    ) -> tuple[SearchAnswer, str]:
        """One search in a point in time, which is closed again when the search fails."""
        fresh = at is None or not at.pit
        pit = self._open_pit(deadline) if at is None or not at.pit else at.pit
        try:
            body = self._wire.ask(
                deadline,
                lambda client: client.search(
                    pit={"id": pit, "keep_alive": KEEP_ALIVE},
                    query=_from(clause, at) if at and fresh else clause,
                    search_after=list(at.sort) if at and not fresh else None,
                    sort=_sort(fields, oldest_first),
                    size=limit,
                    source=False,
                    fields=[{"field": "*"}],
                    track_total_hits=False,
                    timeout=server_limit(deadline),
                ),
            )
            answer = decoded(body, SearchAnswer)
            if at is not None and forgotten(answer.shards):  # by some shards: they would be missing from here on
                raise Forgotten(Reason.MALFORMED, "the server forgot a part of the point in time")
        except HttpProblem as wrong:
            self._leave(pit, wrong, deadline)
            raise
        if answer.pit_id and answer.pit_id != pit:  # the newest one is the one to go on with
            with self._lock:
                self._open.discard(pit)
                self._open.add(answer.pit_id)
        return answer, answer.pit_id or pit

    def next(
        self,
        answer: SearchAnswer,
        records: Sequence[LogRecord],
        pit: str,
        at: Cursor | None,
        limit: int,
        oldest_first: bool,
        deadline: float,
    ) -> str:
        """The cursor of the next page; without one the point in time is closed."""
        if len(records) < limit:
            self._close_pit(pit, min(max(deadline, time.monotonic() + 0.2), time.monotonic() + _CLOSING_SECONDS))
            return ""
        last = records[-1].at
        seen = [record.id for record in records if record.at == last]
        if at is not None and len(seen) == len(records):
            seen = [*at.seen, *seen]
        hit = answer.hits.hits[-1]
        packed = msgspec.json.encode(Cursor(pit, oldest_first, place_of(hit), seen))
        return base64.urlsafe_b64encode(packed).decode()

    def _open_pit(self, deadline: float) -> str:
        body = self._wire.ask(
            deadline,
            lambda client: client.open_point_in_time(index=self._index, keep_alive=KEEP_ALIVE, ignore_unavailable=True),
        )
        pit = decoded(body, _Pit).id
        with self._lock:
            self._open.add(pit)
        return pit

    def _leave(self, pit: str, wrong: HttpProblem, deadline: float) -> None:
        """After a failed search: close the point in time, unless the server would only keep us waiting."""
        if isinstance(wrong, Forgotten) or wrong.reason in {Reason.DEADLINE, Reason.UNREACHABLE}:
            with self._lock:
                self._open.discard(pit)
        else:
            self._close_pit(pit, min(deadline, time.monotonic() + _CLOSING_SECONDS))

    def _close_pit(self, pit: str, deadline: float) -> None:
        with self._lock:
            self._open.discard(pit)
        try:
            self._wire.ask(deadline, lambda client: client.close_point_in_time(id=pit))
        except HttpProblem:
            return  # it ends by itself within its minute


def read_cursor(text: str, oldest_first: bool) -> Cursor:
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=Cursor)
    except NOT_JSON as wrong:
        raise HttpProblem(Reason.REJECTED, "the cursor is not one of this backend") from wrong
    if cursor.oldest_first != oldest_first:
        raise HttpProblem(Reason.REJECTED, "the cursor goes the other way in time")
    return cursor


def _from(clause: Clause, at: Cursor) -> Clause:
    """The query from where a forgotten cursor was: nothing before its time, nothing that was seen at it."""
    bound = {"gte" if at.oldest_first else "lte": at.sort[0], "format": "strict_date_optional_time_nanos"}
    by_index: dict[str, list[str]] = {}
    for place in at.seen:
        index, _, name = place.partition("/")
        by_index.setdefault(index, []).append(name)
    seen = [
        {"bool": {"filter": [{"term": {"_index": index}}, {"ids": {"values": names}}]}}
        for index, names in by_index.items()
    ]
    return {"bool": {"filter": [clause, {"range": {"@timestamp": bound}}], "must_not": seen}}


def _sort(fields: FieldMap, oldest_first: bool) -> list[Any]:
    by_time: dict[str, Any] = {
        "order": "asc" if oldest_first else "desc",
        "format": "strict_date_optional_time_nanos",
        "unmapped_type": "date",
    }
    if len(fields.times) > 1:  # else milliseconds are taken for nanoseconds
        by_time |= {"numeric_type": "date_nanos", "unmapped_type": "date_nanos"}
    return [{"@timestamp": by_time}, {"_shard_doc": "asc"}]
