"""`log_record_count_total` from a log backend's counts by time and fields.

Must never ask for a field that the mapping does not have: that is an error which names near ones, not a series of
nothing.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NoReturn

from opsctl.core.logs import FieldMatcher, LogCounts, LogQuery, label_name
from opsctl.core.signals import Reason, Signal
from opsctl.ports.logs import LogSource
from opsctl.series.counts import KEPT_MS, Counted, Question, Run
from opsctl.series.matching import fits
from opsctl.series.needs import Family
from opsctl.series.source import CountedSeries, Deadline, Numbers, time_of

SEVERITY = "severity_text"
_SEVERITY_FIELDS = ("log.level", "severity_text")
_FIELDS_KEPT_SECONDS = 60.0
_NEAR = 3


class LogSeries(CountedSeries):
    """PromQL over the log records of a `LogSource`."""

    signal = Signal.LOGS
    kept_ms = KEPT_MS

    def __init__(self, logs: LogSource) -> None:
        super().__init__(logs)
        self._logs = logs
        self._fields: tuple[float, Mapping[str, str]] | None = None

    def _count(self, questions: Sequence[Question], deadline: Deadline) -> Sequence[tuple[Question, Numbers]]:
        known = self._known(deadline)
        return [(question, self._one(question, known, deadline)) for question in questions]

    def _one(self, question: Question, known: Mapping[str, str] | None, deadline: Deadline) -> Counted:
        counted = Counted(question.buckets)
        if known is None:  # no index: no series
            return counted
        asked = _Asked(question.family, {name: self._field(name, known) for name in _names(question.family)})
        for run in question.buckets.runs():
            query = LogQuery(start=_after(run.start_ms), end=_after(run.end_ms), matchers=asked.matchers)
            step = timedelta(milliseconds=run.step_ms)
            counts = self._whole(self._logs.count(query, step, asked.by, deadline.left()))
            if counts is not None:
                self._add(counted, asked, run, counts)
        return counted

    def _add(self, counted: Counted, asked: _Asked, run: Run, counts: LogCounts) -> None:
        start = run.start_ms + 1
        for bucket in counts.buckets:
            labels = asked.labels(dict(bucket.labels))
            if labels is None:
                continue
            for at, records in bucket.points:
                step, rest = divmod(round(at * 1000) - start, run.step_ms)
                if rest or not 0 <= step < run.steps:
                    message = f"a count for {time_of(at * 1000):%H:%M:%S}Z came, which was not asked for"
                    self._stop(Reason.MALFORMED, message)
                if records:
                    counted.add(labels, run.first + step, records, records)

    # -- fields ---------------------------------------------------------------------------------------------------

    def _known(self, deadline: Deadline) -> Mapping[str, str] | None:
        """Field names by label name; None where there is no index."""
        kept = self._fields
        if kept is not None and time.monotonic() - kept[0] < _FIELDS_KEPT_SECONDS:
            return kept[1]
        fields = self._whole(self._logs.fields(deadline.left()))
        if fields is None:
            return None
        known: dict[str, str] = {}
        for field in sorted(fields, key=lambda one: (not one.aggregatable, one.name.count("_"), one.name)):
            known.setdefault(label_name(field.name), field.name)
        self._fields = (time.monotonic(), known)
        return known

    def _field(self, label: str, known: Mapping[str, str]) -> str:
        wanted = _SEVERITY_FIELDS if label == SEVERITY else (label,)
        for name in wanted:
            if label_name(name) in known:
                return known[label_name(name)]
        return self._unknown(label, known)

    def _unknown(self, label: str, known: Mapping[str, str]) -> NoReturn:
        near = difflib.get_close_matches(label, known, n=_NEAR, cutoff=0.6)
        near += [one for one in known if one.endswith(f"_{label}") and one not in near][:_NEAR]
        words = f"; near: {', '.join(f'{one} ({known[one]})' for one in near[:_NEAR])}" if near else ""
        self._stop(Reason.REJECTED, f"the label {label} is no field of the logs{words}")


class _Asked:
    """One family in a log backend's words."""

    def __init__(self, family: Family, fields: Mapping[str, str]) -> None:
        self._labels = frozenset(family.labels)
        # Also what was asked for by its one value: a mapping may find values that are spelled in another way.
        self._fits = fits(family.matchers)
        grouped = sorted(set(family.labels) | {one.name for one in family.matchers})
        self._names = {label_name(fields[name]): name for name in grouped}
        self.by = tuple(fields[name] for name in grouped)
        self.matchers = tuple(FieldMatcher(fields[one.name], one.op, one.value) for one in family.matchers)

    def labels(self, given: Mapping[str, str]) -> dict[str, str] | None:
        """The series' labels of one group; None for a group that the matchers do not take.

        A record with several values of a field is in several groups.
        """
        found = {self._names[name]: value for name, value in given.items() if name in self._names}
        if not self._fits(found):
            return None
        return {name: value for name, value in found.items() if name in self._labels}


def _names(family: Family) -> list[str]:
    return list(dict.fromkeys((*family.labels, *(one.name for one in family.matchers))))


def _after(ms: int) -> datetime:
    """The first millisecond after a time: windows leave their start out and have their end."""
    return time_of(ms + 1)
