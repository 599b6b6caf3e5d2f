"""A plan in any case: where the whole one breaks on a bug, what fires is told all the same.

Pure. Must never resolve anything in such a plan, nor let one alert keep another from being told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from opsctl.core.alerts import Alert, AlertState
from opsctl.core.commands import Change, Command, Cycle, JournalAlert, Plan
from opsctl.core.keys import key_of
from opsctl.core.planning import plan
from opsctl.core.routing import Routing


def plan_in_any_case(before: Mapping[str, JournalAlert], cycle: Cycle, **how: Any) -> Plan:
    """`plan`; or, where that raises, a page for each alert that fires and has none, to the default sink."""
    try:
        return plan(before, cycle, **how)
    except Exception as bug:  # noqa: BLE001  a page that is told without a route is better than none
        return _told_plainly(before, cycle, how["namespace"], how["next_episode"], type(bug).__name__)


def _told_plainly(
    before: Mapping[str, JournalAlert], cycle: Cycle, namespace: str, next_episode: int, bug: str
) -> Plan:
    """Every alert for itself, without routes, groups, silences and what the far side shows; nothing is resolved."""
    after = dict(before)
    commands: list[Command] = []
    changes: list[Change] = []
    problems = [
        f"the plan of this run failed ({bug}: a bug): what fires was paged to {cycle.routing.default or 'nobody'} "
        "without routes, groups and silences, and nothing was resolved"
    ]
    bare = replace(
        cycle,
        fresh=frozenset(),
        full=False,
        healthy=(),
        formerly=MappingProxyType({}),
        routing=Routing(namespace, default=cycle.routing.default, inhibit=False),
        seen=MappingProxyType({}),
    )
    for alert in cycle.alerts:
        if alert.state is not AlertState.FIRING:
            continue
        try:
            key, made = _one(after, bare, alert, namespace, next_episode)
        except Exception as worse:  # noqa: BLE001  the other alerts are told
            why = f"{type(worse).__name__}: a bug"
            problems.append(f"NOT DELIVERED: {alert.rule_name}: {why}; tell the on-call engineer yourself")
            continue
        next_episode += sum(change.kind == "opened" for change in made.changes)
        after[key] = made.after[key]
        commands.extend(made.commands)
        changes.extend(made.changes)
    return Plan(MappingProxyType(after), tuple(commands), tuple(changes), (), tuple(problems))


def _one(
    after: Mapping[str, JournalAlert], bare: Cycle, alert: Alert, namespace: str, next_episode: int
) -> tuple[str, Plan]:
    key = key_of(namespace, alert)
    mine = {key: after[key]} if key in after else {}
    return key, plan(mine, replace(bare, alerts=(alert,)), namespace=namespace, next_episode=next_episode)
