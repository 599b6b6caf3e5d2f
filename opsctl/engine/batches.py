"""Questions that differ in one label's value asked as one, and what is wrong with one of them searched for by halves.

Each question gets the reading that it would have had alone. Must never let one bad question blind the others, nor ask a
backend that does not answer at all for every part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, Sample, Vector
from opsctl.engine.asking import Asker, gather
from opsctl.promql.coalesce import Batch, coalesced

QUERY_BYTES = 256 * 1024
"""The longest text of several questions, for a source that states no `query_bytes` of its own: a proxy takes 1 MiB."""
_BACKENDS = frozenset({Reason.UNREACHABLE, Reason.AUTH})  # parts would fare no better
_TRIED = 6  # halves of halves: so many failures and no answer, and single questions are tried
_PROBES = 12

Question = tuple[str, datetime]
Answers = dict[Question, Reading[Vector]]


def answered(asker: Asker, questions: Sequence[Question], deadline: float, *, hang_up: bool) -> Answers:
    """Every question's reading, in few requests; what is not back by the deadline is late."""
    found: Answers = {}
    work = [partial(_Search(asker, at, found).begin, batch) for at, batch in _batches(asker, questions)]
    gather(
        work,
        lambda _: None,
        workers=asker.source.concurrency,
        deadline=deadline,
        monotonic=asker.monotonic,
        hang_up=asker.source.close if hang_up else None,
    )
    kept = dict(found)  # a thread that was left behind may still write
    return {question: kept[question] if question in kept else asker.late() for question in questions}


def _batches(asker: Asker, questions: Sequence[Question]) -> list[tuple[datetime, Batch]]:
    most: int = getattr(asker.source, "query_bytes", QUERY_BYTES)
    by_time: dict[datetime, list[str]] = {}
    for text, at in questions:
        by_time.setdefault(at, []).append(text)
    return [(at, batch) for at, texts in by_time.items() for batch in coalesced(texts, most)]


@dataclass(slots=True)
class _Search:
    """One batch and its parts, in one thread."""

    asker: Asker
    at: datetime
    found: Answers
    came: dict[str, tuple[Sample, ...]] = field(default_factory=dict)  # of answers that were not whole
    whole: bool = False  # some part was answered
    failures: int = 0
    probed: bool = False
    common: Failed[Vector] | None = None  # what single questions all came to

    def begin(self, batch: Batch) -> None:
        """Ask the batch, then what failed of it in halves."""
        self._ask(batch, batch)

    def _ask(self, batch: Batch, first: Batch) -> None:
        if self.common is not None:
            self._fail(batch, self.common)
            return
        reading = self.asker.attempt(batch.text, self.at)
        if self._taken(batch, reading):
            return
        if isinstance(reading, Failed) and (reading.reason in _BACKENDS or not self.asker.open):
            self._fail(batch, reading)
            return
        self.failures += 1
        if self.failures == _TRIED and not self.whole and len(first.members) > 4 * _PROBES:
            self._probe(first)
        for half in batch.halves():
            self._ask(half, first)

    def _taken(self, batch: Batch, reading: Reading[Vector]) -> bool:
        """Whether that was an answer, or a single question's own failure."""
        if len(batch.members) == 1:
            self.whole = self.whole or not isinstance(reading, Failed)
            self.found[batch.text, self.at] = self.asker.settled(reading)
            return True
        if isinstance(reading, Failed):
            self._keep(batch, reading.partial)
            return False
        parts = batch.apart(reading.data.samples if isinstance(reading, Measured) else ())
        if parts is None:  # of no such question
            return False
        for number, member in enumerate(batch.members):
            self.found[member.text, self.at] = _own(batch, number, parts[number], reading)
        self.whole = True
        return True

    def _keep(self, batch: Batch, partial_: Vector | None) -> None:
        parts = batch.apart(partial_.samples) if partial_ is not None else None
        if parts is not None:
            self.came.update((member.text, part) for member, part in zip(batch.members, parts, strict=True))

    def _probe(self, first: Batch) -> None:
        """Nothing was answered yet: where single questions all fail alike, all do, and not for one of them."""
        many = len(first.members)
        seen: dict[tuple[Reason, str] | None, Reading[Vector]] = {}
        for number in range(_PROBES):
            one = first.one((2 * number + 1) * many // (2 * _PROBES))
            reading = self.asker.attempt(one.text, self.at)
            self._taken(one, reading)
            seen[(reading.reason, reading.message) if isinstance(reading, Failed) else None] = reading
        (last, *others) = seen.values()
        if not others and isinstance(last, Failed):
            self.common = last

    def _fail(self, batch: Batch, failed: Failed[Vector]) -> None:
        """Let every question of the batch fail so, each with what came of it."""
        self.asker.settled(failed)
        for member in batch.members:
            came = self.came.get(member.text)
            partial_ = Vector(came) if came is not None and failed.partial is not None else None
            self.found.setdefault((member.text, self.at), replace(failed, partial=partial_))


def _own(batch: Batch, number: int, samples: tuple[Sample, ...], reading: Measured[Vector] | Absent) -> Reading[Vector]:
    if not samples:
        return Absent(reading.backend, reading.took_seconds)
    notes = batch.notes(reading.notes, number)
    return Measured(Vector(samples), reading.backend, reading.took_seconds, notes)
