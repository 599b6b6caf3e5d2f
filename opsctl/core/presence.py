"""Whether an alerting rule without an element sees anything: its metrics are asked for by name.

Pure. An empty answer is a pass only where the metrics are there: missing data is never healthy. Must never touch the
alert machine: what resolves, resolves as in Prometheus.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from opsctl.core.frozen import dataclass
from opsctl.core.look_back import Ask, never_seen
from opsctl.core.rules import AlertingRule, Outcome
from opsctl.core.signals import Absent, Failed, Reading, Vector

Presence = Mapping[str, Reading[Vector]]
"""The answers to `presence_query`, by question: those of other rules may be among them."""

_BARE = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_WORDS = re.compile(
    r"(?i:inf|nan)|and|or|unless|atan2|bool|offset|on|ignoring|group_left|group_right|by|without|start|end"
    r"|sum|avg|count|min|max|group|stddev|stdvar|topk|bottomk|count_values|quantile|limitk|limit_ratio|fill\w*"
)
_SELECTOR = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*\{.*\}", re.DOTALL)
_NAMED = 5


def presence_query(metric: str) -> str:
    """The question whether there is any series of a metric, in words that every Prometheus takes.

    A selector is what a rule on logs or spans watches (`files/signals.py`): any one event answers for it.
    """
    if _SELECTOR.fullmatch(metric):
        return f"group({metric})"
    if _BARE.fullmatch(metric) and not _WORDS.fullmatch(metric):
        return f"count({metric})"
    return f"count({{__name__={json.dumps(metric, ensure_ascii=False)}}})"


@dataclass(frozen=True, slots=True)
class Sight:
    """What a rule without an element sees: `gone` are the metrics that it is blind without."""

    words: str = ""  # one line, where the rule is blind or that is not known
    gone: tuple[str, ...] = ()
    unknown: bool = False
    never: bool | str = False  # what is gone was never there; a text when that could not be asked

    @property
    def seen(self) -> bool:
        """Whether its metrics are there, or were."""
        return self.never is False if self.gone else not self.unknown

    @property
    def outcome(self) -> Outcome | None:
        """The verdict of a rule that does not see; None for one that does."""
        if self.unknown or self.never is True:
            return Outcome.UNKNOWN
        return Outcome.NO_DATA if self.gone else None


def answered(rule: AlertingRule, presence: Presence) -> dict[str, Reading[Vector]]:
    """The answers about the rule's own metrics, by metric."""
    found = {name: presence.get(presence_query(name)) for name in rule.metrics}
    return {name: reading for name, reading in found.items() if reading is not None}


def look(rule: AlertingRule, presence: Presence) -> Sight | None:
    """Blind without any of its metrics, or without a recorded one; None where nothing was asked."""
    asked = answered(rule, presence)
    if not asked:
        return None
    absent = {name: reading.backend for name, reading in asked.items() if isinstance(reading, Absent)}
    failed = [(name, reading) for name, reading in asked.items() if isinstance(reading, Failed)]
    unrecorded = tuple(name for name in absent if name in rule.recorded)
    if unrecorded:
        lines = (f"{name} is recorded by {rule.recorded[name]}, and not on {absent[name]}" for name in unrecorded)
        return Sight("; ".join(lines), unrecorded)
    if len(absent) == len(rule.metrics):
        return Sight(f"none of its metrics is there: {_names(tuple(absent))}", tuple(absent))
    decisive = len(absent) + len(failed) == len(asked)  # no whole answer says that one is there
    for name, reading in failed:
        if decisive or name in rule.recorded:
            words = f"no element, but is {name} there? {reading.backend}: {reading.message}"
            return Sight(words, unknown=True)
    return Sight()


def looked_back(rule: AlertingRule, sight: Sight, at: datetime, ask: Ask) -> Sight:
    """With whether what is gone has a sample in the whole look back."""
    query = " or ".join(presence_query(name) for name in sight.gone)
    return marked(sight, never_seen(query, at - rule.query_offset, ask))


def marked(sight: Sight, never: bool | str) -> Sight:
    """With whether what is gone was ever there, said in its words."""
    words = sight.words
    if never is True:
        words = f"never had data: {words}; nothing in the last 24h either"
    elif isinstance(never, str):
        words = f"{words}; {never}"
    return replace(sight, words=words, never=never)


def _names(names: tuple[str, ...]) -> str:
    more = f" (and {len(names) - _NAMED} more)" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
