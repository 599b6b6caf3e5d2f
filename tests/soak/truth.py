"""What is really wrong, minute by minute: two hundred rules, their bad times, and a backend that tells of them.

Must never know anything of journals and pagers: the oracle measures both against this.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from opsctl.core.keys import dedup_key
from opsctl.core.rules import AlertingRule
from opsctl.core.signals import Absent, Failed, Labels, Matrix, Measured, Reading, Reason, Sample, Series, Vector
from opsctl.core.slo import Origin, Severity
from opsctl.ports import Probe
from tests.soak.clock import BASE, STEP

RULES = 200
BACKEND = "memory"
GROUPED, ALONE = "batch", "money"
SERVICES = 8


@dataclass(frozen=True)
class Bad:
    """One rule and the minutes [from, to) in which its data is over the line; `gone` is when its file was deleted."""

    number: int
    periods: tuple[tuple[int, int], ...]
    patience: int = 0  # minutes that it must be over
    region: str = ""  # an identity label
    grouped: bool = False
    gone: int | None = None

    @property
    def uid(self) -> str:
        """Its uid."""
        return f"rule-{self.number}"

    def over(self, minute: int) -> bool:
        """Whether the data is over the line."""
        return any(begin <= minute < end for begin, end in self.periods)

    def firing(self, minute: int) -> bool:
        """Whether an evaluation at that minute finds it firing."""
        return all(self.over(minute - back) for back in range(self.patience + 1))

    @property
    def identity(self) -> Labels:
        """Its identity labels."""
        return (("region", self.region),) if self.region else ()

    def key(self, namespace: str) -> str:
        """The dedup key of its incident where it is not grouped."""
        return dedup_key(namespace, self.uid, Severity.PAGE, self.identity)

    @property
    def service(self) -> str:
        """Its service."""
        return f"service-{self.number % SERVICES}"

    def rule(self) -> AlertingRule:
        """As opsctl loads it."""
        return AlertingRule(
            name=f"Rule{self.number}",
            uid=self.uid,
            expr=f"m{self.number} > 1",
            for_=self.patience * STEP,
            keep_firing_for=timedelta(0),
            labels={"severity": "page"},
            annotations={"summary": f"m{self.number} is over the line"},
            group="soak",
            interval=STEP,
            limit=0,
            query_offset=timedelta(0),
            severity=Severity.PAGE,
            origin=Origin("soak.rules.yaml", self.number + 1),
            service=self.service,
            team=GROUPED if self.grouped else ALONE,
        )


def group_key(namespace: str, service: str) -> str:
    """The dedup key of a service's grouped alerts."""
    return dedup_key(namespace, f'group/service{{team="{GROUPED}"}}', Severity.PAGE, (("service", service),))


def make_truth(
    rng: random.Random,
    minutes: int,
    *,
    grouped: bool,
    labelled: bool,
    patient: bool,
    deleted: bool,
    storm: int | None,
    share: float,
) -> tuple[Bad, ...]:
    """Two hundred rules, a `share` of them ever bad; with a `storm` all of those are bad from that minute on."""
    made = []
    for number in range(RULES):
        if rng.random() >= share:
            made.append(Bad(number, (), grouped=grouped and number % 4 == 0))
        elif storm is not None:
            made.append(Bad(number, ((storm, min(storm + rng.randint(6, 20), minutes - 1)),)))
        elif deleted and number % 20 == 0:
            made.append(_deleted(rng, number, minutes))
        else:
            made.append(
                _bad(rng, number, minutes, grouped=grouped and number % 4 == 0, labelled=labelled, patient=patient)
            )
    return tuple(made)


def _bad(rng: random.Random, number: int, minutes: int, *, grouped: bool, labelled: bool, patient: bool) -> Bad:
    periods: list[tuple[int, int]] = []
    at = rng.randint(0, 12)
    while at < minutes - 2:
        long = rng.choice((1, 2, 3, rng.randint(4, 12), rng.randint(4, 12)))
        periods.append((at, min(at + long, minutes - 1)))
        at += long + rng.choice((1, rng.randint(5, 14), rng.randint(8, 24)))
    patience = 1 if patient and number % 5 == 0 else 0
    region = rng.choice(("eu", "us")) if labelled and number % 3 == 0 else ""
    return Bad(number, tuple(periods), patience, region, grouped)


def _deleted(rng: random.Random, number: int, minutes: int) -> Bad:
    """Bad to the end, and its file is deleted meanwhile."""
    begin = rng.randint(0, minutes // 2)
    gone = rng.randint(begin + 2, minutes - 3)
    return Bad(number, ((begin, minutes),), gone=gone)


class TruthSource:
    """The backend: answers `mN > 1`; a host whose clock is wrong asks for the wrong time, and is told the right one."""

    concurrency = 1
    query_bytes = 0

    def __init__(self, truth: Sequence[Bad], wrong_seconds: float, *, fails: bool, asked: object = None) -> None:
        self.name = BACKEND
        self._truth = truth
        self._wrong = timedelta(seconds=wrong_seconds)
        self._fails = fails
        self._asked = asked if callable(asked) else lambda: None

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        """One rule's element, if it is over the line."""
        self._asked()
        if self._fails:
            return Failed(Reason.UNREACHABLE, "connection refused", BACKEND)
        bad = self._of(query)
        if not bad.over(self._minute(at)):
            return Absent(BACKEND)
        return Measured(Vector((Sample(bad.identity, 2.0),)), BACKEND)

    def range(
        self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float
    ) -> Reading[Matrix]:
        """The steps at which it was."""
        if self._fails:
            return Failed(Reason.UNREACHABLE, "connection refused", BACKEND)
        bad, points, at = self._of(query), list[tuple[float, float]](), start
        while at <= end:
            if bad.over(self._minute(at)):
                points.append((at.timestamp(), 2.0))
            at += step
        return Measured(Matrix((Series(bad.identity, tuple(points)),)), BACKEND) if points else Absent(BACKEND)

    def _of(self, query: str) -> Bad:
        return self._truth[int(query[1:].partition(" ")[0])]

    def _minute(self, at: datetime) -> int:
        return minute_of(at - self._wrong)

    def probe(self, timeout_seconds: float) -> Probe:
        """It is there."""
        return Probe(BACKEND, BACKEND, True, True, "")

    def close(self) -> None:
        """Nothing is open."""


def minute_of(at: datetime) -> int:
    """Minutes since the world began."""
    return (at - BASE) // STEP
