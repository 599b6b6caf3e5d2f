"""Questions that differ in one label's value asked as one, and what is wrong with one of them searched for by halves.

Each question gets the reading that it would have had alone. Must never let one bad question blind the others, nor ask a
backend that does not answer at all for every part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import field, replace
from datetime import datetime
from functools import partial

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, Sample, Vector
from opsctl.engine.asking import Asker, gather
from opsctl.promql.coalesce import Batch, coalesced

QUERY_BYTES = 256 * 1024
"""The longest text of several questions, for a source that states no `query_bytes` of its own: a proxy takes 1 MiB."""
MANY = 10_000
HEAVY = 250
"""So many questions at most are one where each reads weeks of samples."""
_BACKENDS = frozenset({Reason.UNREACHABLE, Reason.AUTH})  # parts would fare no better
_OF_ONE = frozenset({Reason.REJECTED, Reason.UNSUPPORTED, Reason.TOO_LARGE, Reason.MALFORMED})  # not said of all
_TRIED = 7  # a batch, its halves and theirs: so many failures and no answer, and single questions are tried
_PROBES = 12
_PART_SECONDS = 2.0

Question = tuple[str, datetime]
Answers = dict[Question, Reading[Vector]]


def answered(
    asker: Asker, questions: Sequence[Question], deadline: float, *, hang_up: bool, most_members: int = MANY
) -> Answers:
    """Every question's reading, in few requests; what is not back by the deadline is late.

    A server works on one request with one processor: `most_members` of them are asked at once where each is much work.
    """
    found: Answers = {}
    searches = [_Search(asker, at, found, batch) for at, batch in _batches(asker, questions, most_members)]
    waiting = [(search, search.first) for search in searches]
    while waiting:
        readings = gather(
            [partial(search.ask, batch) for search, batch in waiting],
            lambda _: asker.late(),
            workers=asker.source.concurrency,
            deadline=deadline,
            monotonic=asker.monotonic,
            hang_up=asker.source.close if hang_up else None,
        )
        late = asker.monotonic() >= deadline or not asker.open
        for (search, batch), reading in zip(waiting, readings, strict=True):
            search.take(batch, reading, last=late)
        waiting = [(search, batch) for search in searches for batch in search.more()]
    return {question: found[question] for question in questions}


def _batches(asker: Asker, questions: Sequence[Question], most_members: int) -> list[tuple[datetime, Batch]]:
    most: int = getattr(asker.source, "query_bytes", QUERY_BYTES)
    by_time: dict[datetime, list[str]] = {}
    for text, at in questions:
        by_time.setdefault(at, []).append(text)
    return [(at, batch) for at, texts in by_time.items() for batch in coalesced(texts, most, most_members)]


@dataclass(slots=True)
class _Search:
    """One batch, and then its parts, level by level."""

    asker: Asker
    at: datetime
    found: Answers
    first: Batch
    failed: list[Batch] = field(default_factory=list)  # to be asked in halves
    probes: list[Batch] = field(default_factory=list)
    came: dict[str, tuple[Sample, ...]] = field(default_factory=dict)  # of answers that were not whole
    whole: bool = False  # some part was answered
    failures: int = 0

    def ask(self, batch: Batch) -> Reading[Vector]:
        """Several questions get half of a request's time, so that there is some to ask their parts; one gets all."""
        size, asker = len(batch.members), self.asker
        share = min(0.5, 0.75 * size / len(self.first.members))
        most = max(_PART_SECONDS, share * asker.request_seconds) if size > 1 else math.inf
        return asker.attempt(batch.text, self.at, parts=size, most_seconds=most)

    def take(self, batch: Batch, reading: Reading[Vector], *, last: bool) -> None:
        """What a batch came to; `last`: nothing more can be asked."""
        if len(batch.members) == 1:
            self.whole = self.whole or not isinstance(reading, Failed)
            self.found[batch.text, self.at] = self.asker.settled(reading)
        elif not isinstance(reading, Failed):
            self._share(batch, reading)
        elif last or reading.reason in _BACKENDS:
            self._fail(batch, self.asker.late() if reading.reason in _OF_ONE else reading)
        else:
            self._keep(batch, reading.partial)
            self.failed.append(batch)
            self.failures += 1

    def more(self) -> list[Batch]:
        """What is to be asked next."""
        failed, self.failed = self.failed, []
        if self.probes and failed:
            common = self._common()
            if common is not None:
                for batch in failed:
                    self._fail(batch, common)
                return []
        elif failed and self.failures >= _TRIED and not self.whole and len(self.first.members) > 4 * _PROBES:
            many = len(self.first.members)
            self.probes = [self.first.one((2 * n + 1) * many // (2 * _PROBES)) for n in range(_PROBES)]
            self.failed = failed
            return self.probes
        return [half for batch in failed for half in batch.halves()]

    def _common(self) -> Failed[Vector] | None:
        """The failure of all probes, where nothing was answered: then it is not for one question that all fail."""
        readings = [self.found[probe.text, self.at] for probe in self.probes]
        failed = [reading for reading in readings if isinstance(reading, Failed)]
        alike = len(failed) == len(readings) and len({(one.reason, one.message) for one in failed}) == 1
        return failed[0] if alike and not self.whole else None

    def _share(self, batch: Batch, reading: Measured[Vector] | Absent) -> None:
        """Give each question its own part of an answer."""
        parts = batch.apart(reading.data.samples if isinstance(reading, Measured) else ())
        if parts is None:  # of no such question
            self.failed.append(batch)
            self.failures += 1
            return
        self.whole = True
        for number, member in enumerate(batch.members):
            self.found[member.text, self.at] = _own(batch, number, parts[number], reading)

    def _keep(self, batch: Batch, came: Vector | None) -> None:
        parts = batch.apart(came.samples) if came is not None else None
        if parts is not None:
            self.came.update((member.text, part) for member, part in zip(batch.members, parts, strict=True))

    def _fail(self, batch: Batch, failed: Failed[Vector]) -> None:
        """Let every question of the batch fail so, each with what came of it."""
        self.asker.settled(failed)
        for member in batch.members:
            came = self.came.get(member.text)
            own = Vector(came) if came is not None and failed.partial is not None else None
            self.found.setdefault((member.text, self.at), replace(failed, partial=own))


def _own(batch: Batch, number: int, samples: tuple[Sample, ...], reading: Measured[Vector] | Absent) -> Reading[Vector]:
    if not samples:
        return Absent(reading.backend, reading.took_seconds)
    notes = batch.notes(reading.notes, number)
    return Measured(Vector(samples), reading.backend, reading.took_seconds, notes)
