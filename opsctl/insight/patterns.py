"""Log lines into patterns: what varies becomes <num>, <id>, <ip>, <time> or <*>, and lines of one pattern are counted.

The idea is Drain's (He et al., ICWS 2017): lines are compared word by word with the patterns of their shape.
Pure, and the same for the same lines in the same order. Must never grow without bound, whatever the lines are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from opsctl.core.frozen import dataclass
from opsctl.core.logs import SEVERITIES, LogRecord

ANY = "<*>"
LIKENESS = 0.6  # of the words of a line that must be those of a pattern
PATTERNS_MAX = 2_000
_FIRSTS_MAX = 40  # first words of one shape; more of them are no words but values
_KINDS_MAX = 4  # so many words in one place are kinds of a line; more are values
_SHAPE_MAX = 60  # words of a line that are looked at
_LINE_MAX = 2_000  # characters
_MEMORY_MAX = 50_000  # lines after masking, whose pattern is remembered

_VARIABLE = re.compile(
    r"(?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\b|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b)"
    r"|(?P<id>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\b(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"
    r"|\b(?=[0-9A-Za-z]*[0-9][A-Za-z]+[0-9])[0-9A-Za-z]{6,}\b)"
    r"|(?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b|(?<![\w:])(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{1,4}(?![\w:]))"
    r"|(?P<num>(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?|\d+(?:\.\d+)*)"
)
_PARTS = re.compile(r"(\s+|[=,;|()\[\]{}\"']+)")
_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Lines that are alike; counts of lines by severity and by service, and the newest line as an example."""

    template: str
    count: int
    first: datetime
    last: datetime
    severities: Mapping[str, int]
    services: Mapping[str, int]
    example: LogRecord

    @property
    def severity(self) -> str:
        """The worst of its lines."""
        return max(self.severities, key=lambda severity: (_RANK.get(severity, -1), severity))


class _Tally:
    """What is counted of lines that are the same after masking; `old` says that some are of the time before."""

    __slots__ = ("count", "example", "first", "last", "old", "services", "severities", "words")

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.count = 0
        self.old = False
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.severities: Counter[str] = Counter()
        self.services: Counter[str] = Counter()
        self.example: LogRecord | None = None

    def take(self, record: LogRecord) -> None:
        self.count += 1
        self.severities[record.severity] += 1
        self.services[record.service] += 1
        self.first = record.at if self.first is None else min(self.first, record.at)
        if self.last is None or record.at >= self.last:
            self.last, self.example = record.at, record


class _Group:
    """Lines of one shape that are like each other."""

    __slots__ = ("gaps", "tallies", "words")

    def __init__(self, words: list[str], gaps: tuple[str, ...]) -> None:
        self.words = words
        self.gaps = gaps
        self.tallies: list[_Tally] = []


class Miner:
    """Takes lines one by one; `patterns` are those so far."""

    def __init__(self, most: int = PATTERNS_MAX) -> None:
        self._most = most
        self._groups: list[_Group] = []
        self._shapes: dict[tuple[str, ...], dict[str, list[_Group]]] = {}
        self._of_line: dict[str, _Tally] = {}
        self._rest = _Group([ANY], ())

    def add(self, record: LogRecord) -> None:
        """Count one line."""
        self._tally(record.message).take(record)

    def know(self, record: LogRecord) -> None:
        """Remember a line of the time before, which is not counted."""
        self._tally(record.message).old = True

    def patterns(self, *, unknown: bool = False) -> tuple[Pattern, ...]:
        """Most frequent first, then by text; `unknown`: only those that no line of the time before has."""
        made: dict[str, list[_Tally]] = {}
        for group in (*self._groups, self._rest):
            for words, tallies in _split(group.tallies):
                made.setdefault(_template(words, group.gaps), []).extend(tallies)
        found = [
            _counted(template, tallies)
            for template, tallies in made.items()
            if any(tally.count for tally in tallies) and not (unknown and any(tally.old for tally in tallies))
        ]
        return tuple(sorted(found, key=lambda pattern: (-pattern.count, pattern.template)))

    def _tally(self, message: str) -> _Tally:
        masked = mask(message)
        known = self._of_line.get(masked)
        if known is None:
            parts = _PARTS.split(masked)
            words = parts[0::2][:_SHAPE_MAX]
            if len(parts) > 2 * _SHAPE_MAX:
                words[-1] = ANY
            gaps = tuple(" " if gap.isspace() else gap for gap in parts[1::2][: len(words) - 1])
            group = self._like(words, gaps)
            if len(self._of_line) >= _MEMORY_MAX and group.tallies:
                return group.tallies[-1]
            known = self._of_line[masked] = _Tally(words if group is not self._rest else [ANY])
            group.tallies.append(known)
        return known

    def _like(self, words: list[str], gaps: tuple[str, ...]) -> _Group:
        """The group that is like these words, else a new one."""
        firsts = self._shapes.setdefault(gaps, {})
        first = next((word for word in words if word), "")
        if "<" in first or (first not in firsts and len(firsts) >= _FIRSTS_MAX):
            first = ANY
        groups = firsts.setdefault(first, [])
        best = max(groups, key=lambda group: _likeness(group.words, words), default=None)
        if best is not None and _likeness(best.words, words) >= LIKENESS:
            best.words = [old if old == new else ANY for old, new in zip(best.words, words, strict=True)]
            return best
        if len(self._groups) >= self._most:
            return self._rest
        made = _Group(words, gaps)
        groups.append(made)
        self._groups.append(made)
        return made


def mine(records: Iterable[LogRecord]) -> tuple[Pattern, ...]:
    """The patterns of these lines, most frequent first."""
    miner = Miner()
    for record in records:
        miner.add(record)
    return miner.patterns()


def newer_than(records: Iterable[LogRecord], before: Iterable[LogRecord]) -> tuple[Pattern, ...]:
    """The patterns of `records` that no line of `before` has, most frequent first."""
    miner = Miner()
    for record in before:
        miner.know(record)
    for record in records:
        miner.add(record)
    return miner.patterns(unknown=True)


def _split(tallies: Sequence[_Tally]) -> Iterator[tuple[list[str], Sequence[_Tally]]]:
    """A group where one word has few values, such as accepted and failed, is a pattern for each of them."""
    if not tallies:
        return
    columns = list(zip(*(tally.words for tally in tallies), strict=True))
    words: list[str] = []
    for column in columns:
        values = dict.fromkeys(column)
        if 1 < len(values) <= _KINDS_MAX and all(value.isalpha() for value in values):
            place = len(words)
            for value in values:
                yield from _split([tally for tally in tallies if tally.words[place] == value])
            return
        words.append(column[0] if len(values) == 1 else ANY)
    yield words, tallies


def mask(message: str) -> str:
    """The first line of a message with what varies by its kind."""
    lines = message[:_LINE_MAX].splitlines() or [""]
    first = next((line.strip() for line in lines if line.strip()), "")
    return _VARIABLE.sub(lambda found: f"<{found.lastgroup}>", first) or "(empty)"


def _likeness(one: list[str], other: list[str]) -> float:
    """The share of words that are equal; what is already variable fits and counts half."""
    same = pairs = 0.0
    for a, b in zip(one, other, strict=True):
        if a or b:
            pairs += 1
            same += 1.0 if a == b else 0.5 if a == ANY else 0.0
    return same / pairs if pairs else 1.0


def _template(words: Sequence[str], gaps: Sequence[str]) -> str:
    joined = "".join(part for pair in zip(words, (*gaps, ""), strict=False) for part in pair)
    return re.sub(r"<\*>(?: <\*>)+", ANY, joined).strip()


def _counted(template: str, tallies: Iterable[_Tally]) -> Pattern:
    total = _Tally([])
    for tally in tallies:
        if tally.example is None or tally.first is None or tally.last is None:
            continue  # of the time before only
        total.count += tally.count
        total.severities.update(tally.severities)
        total.services.update(tally.services)
        total.first = tally.first if total.first is None else min(total.first, tally.first)
        if total.last is None or tally.last >= total.last:
            total.last, total.example = tally.last, tally.example
    assert total.example is not None  # somebody counted a line
    assert total.first is not None
    return Pattern(
        template,
        total.count,
        total.first,
        total.example.at,
        dict(total.severities.most_common()),
        dict(total.services.most_common()),
        total.example,
    )
