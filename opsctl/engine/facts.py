"""Memory as the journal's facts, and back.

Must never fail on a fact that it cannot read: memory saves questions, the data has the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from opsctl.core.memory import BudgetAnswer, Memory, Remembered
from opsctl.ports import Fact

T = TypeVar("T")

FACT_KINDS = ("rule_state", "budget", "frozen_since", "had_data")
_GONE = "null"


def memory_of(facts: Callable[[str], Mapping[str, Fact]]) -> Memory:
    """Everything remembered; `facts` gives the facts of a kind by subject, as `Journal.facts` does."""
    return Memory(
        rules=_read(facts("rule_state"), Remembered),
        budgets=_read(facts("budget"), BudgetAnswer),
        frozen_since=_read(facts("frozen_since"), datetime),
        had_data=frozenset(_read(facts("had_data"), datetime)),
    )


def _read(facts: Mapping[str, Fact], kind: type[T]) -> dict[str, T]:
    out = {}
    for subject, fact in facts.items():
        try:
            out[subject] = msgspec.json.decode(fact.value, type=kind)
        except msgspec.MsgspecError:
            continue
    return out


def facts_of(before: Memory, after: Memory, at: datetime) -> tuple[Fact, ...]:
    """What changed, to be committed with the cycle."""
    out = [*_changed("budget", before.budgets, after.budgets, at)]
    out += _changed("frozen_since", before.frozen_since, after.frozen_since, at)
    out += [_fact("had_data", uid, at, at) for uid in sorted(after.had_data - before.had_data)]
    for uid, now in after.rules.items():
        was = before.rules.get(uid)
        if now != was and (_worth(now) or (was is not None and _worth(was))):
            out.append(_fact("rule_state", uid, now, at))
    return tuple(out)


def _worth(remembered: Remembered) -> bool:
    """A state that the data would have to be asked for again."""
    return bool(remembered.alerts) or remembered.never_had_data or remembered.unsettled


def _changed(kind: str, before: Mapping[str, Any], after: Mapping[str, Any], at: datetime) -> list[Fact]:
    out = [_fact(kind, subject, value, at) for subject, value in after.items() if before.get(subject) != value]
    return out + [Fact(kind, subject, _GONE, at) for subject in before if subject not in after]


def _fact(kind: str, subject: str, value: Any, at: datetime) -> Fact:
    return Fact(kind, subject, msgspec.json.encode(value).decode(), at)
