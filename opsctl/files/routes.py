"""`[[contexts.X.routes]]`: which alerts go where.

Must never let a route through that would lose pages: its sink is configured, its key is known, and `none` takes none.
"""

from __future__ import annotations

from collections.abc import Mapping

from opsctl.core.routing import NOWHERE, Hours, Matcher, Route
from opsctl.core.slo import Severity
from opsctl.files.hours import parse_hours
from opsctl.files.matchers import excludes, parse_matchers
from opsctl.files.nodes import Node, Table, kind_words, place
from opsctl.files.sink_settings import KEYED
from opsctl.files.text import meant

ROUTE_KEYS = ("matchers", "sink", "key", "hours", "group_by")


def read_routes(context: Table) -> tuple[Route, ...]:
    """The routes of a context, in the order written."""
    node = context.node_of("routes")
    if node is not None and not isinstance(node.value, list):
        context.problems.add(node, f"{node.where}: expected [[{node.where}]], in double brackets")
        return ()
    sinks = configured(context)
    return tuple(_route(Table(child, context.problems, ROUTE_KEYS), sinks) for child in context.nodes("routes"))


def configured(context: Table) -> dict[str, frozenset[str]]:
    """Every sink that the context configures, with the names of its keys where it has several."""
    found: dict[str, frozenset[str]] = {}
    for kind in ("pagerduty", "opsgenie", "alertmanager"):
        node = context.node_of(kind)
        if node is not None:
            keys = node.get(KEYED.get(kind, ""))
            found[kind] = frozenset(keys.value) if keys is not None and isinstance(keys.value, dict) else frozenset()
    hooks = context.node_of("webhooks")
    found |= {f"webhook/{name}": frozenset() for name in (hooks.value if _is_map(hooks) else ())}  # type: ignore[union-attr]
    console = context.node_of("console")
    if console is not None and console.value is True:
        found["console"] = frozenset()
    return found


def _is_map(node: Node | None) -> bool:
    return node is not None and isinstance(node.value, dict)


def _route(table: Table, sinks: Mapping[str, frozenset[str]]) -> Route:
    matchers = read_matchers(table)
    sink = _sink(table, sinks, matchers)
    return Route(
        sink=sink,
        matchers=matchers,
        key=_key(table, sink, sinks),
        hours=read_hours(table),
        group_by=_group_by(table, sink),
        origin=place(table.node),
    )


def read_matchers(table: Table, *, required: bool = False) -> tuple[Matcher, ...]:
    """`matchers`, a list of texts."""
    found: list[Matcher] = []
    for item in table.nodes("matchers", required=required):
        if not isinstance(item.value, str):
            table.problems.add(item, f"{item.where}: expected a text, got {kind_words(item)}")
            continue
        try:
            found.extend(parse_matchers(item.value))
        except ValueError as wrong:
            table.problems.add(item, f"{item.where}: {wrong}, got {kind_words(item)}")
    return tuple(found)


def read_hours(table: Table) -> Hours | None:
    """`hours`, where there are some."""
    text = table.text("hours")
    node = table.node_of("hours")
    if node is None or not isinstance(node.value, str):
        return None
    try:
        return parse_hours(text)
    except ValueError as wrong:
        table.problems.add(node, f"{node.where}: {wrong}")
        return None


def _sink(table: Table, sinks: Mapping[str, frozenset[str]], matchers: tuple[Matcher, ...]) -> str:
    sink = table.text("sink", required=True)
    node = table.node_of("sink")
    if node is None or not isinstance(node.value, str):
        return sink
    if sink == NOWHERE:
        if not excludes(matchers, Severity.PAGE):
            words = f'{node.where}: a page must go somewhere: none wants a matcher like severity="ticket"'
            table.problems.add(node, words)
    elif sink not in sinks:
        table.problems.unknown(node, "sink", sink, (*sinks, NOWHERE), inside=table.what)
    return sink


def _key(table: Table, sink: str, sinks: Mapping[str, frozenset[str]]) -> str:
    key = table.text("key")
    node = table.node_of("key")
    if node is None or not isinstance(node.value, str) or sink not in (*sinks, NOWHERE):
        return key
    if sink not in KEYED:
        table.problems.add(node, f"{node.where}: {sink or 'this sink'} has no keys to choose from")
    elif key not in sinks[sink]:
        hint = meant(key, sinks[sink])
        table.problems.add(node, f"{node.where}: no {KEYED[sink]}.{key} in {sink}", hint=hint)
    return key


def _group_by(table: Table, sink: str) -> tuple[str, ...]:
    names = table.texts("group_by")
    node = table.node_of("group_by")
    if node is None or not isinstance(node.value, list):
        return names
    if not names and not node.value:
        table.problems.add(node, f'{node.where}: expected the names of labels, like ["service"]')
    if sink == NOWHERE:
        table.problems.add(node, f"{node.where}: nobody is told, so there is nothing to group")
    for item in node.value:
        if isinstance(item.value, str) and (not item.value.strip() or names.count(item.value) > 1):
            table.problems.add(item, f"{item.where}: expected the name of a label, each once, got {kind_words(item)}")
    return names
