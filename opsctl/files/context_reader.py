"""One context of a TOML file into its settings: types, URLs, references to secrets.

Must never put a value that may be a secret into a message, and never read a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.files.backend_settings import read_backend, resolve_path
from opsctl.files.context import ContextSettings, Limits, Paging, RunbookPolicy
from opsctl.files.nodes import Node, Problems, Table
from opsctl.files.signal_settings import read_offsets, read_series
from opsctl.files.sink_settings import SINK_KEYS, read_alertmanager, read_opsgenie, read_pagerduty, read_webhooks

if TYPE_CHECKING:
    from opsctl.core.routing import Route

BACKENDS = ("prometheus", "jaeger", "zipkin", "elasticsearch")
CONTEXT_KEYS = (
    *("protected", "namespace", "state_dir", "catalogue", "rules", "runbooks"),
    *BACKENDS,
    *SINK_KEYS,
    *("routes", "silences", "limits", "paging", "runbook_policy", "offsets", "series"),
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SIZE = re.compile(r"([1-9][0-9]*)(B|KiB|MiB|GiB)")
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def read_context(name: str, node: Node, base: Path, problems: Problems, env: Mapping[str, str]) -> ContextSettings:
    """Read one context; what is wrong is noted and a default stands in."""
    table = Table(node, problems, CONTEXT_KEYS)
    if not _NAME.fullmatch(name):
        problems.add(node, f"{node.where}: a context's name is letters, digits, '.', '_' and '-', at most 64")
    if "jaeger" in table and "zipkin" in table:
        problems.add(table.node_of("zipkin") or node, f"{node.where}: expected jaeger or zipkin, not both")
    read = {kind: read_backend(table, kind, base, problems) for kind in BACKENDS}
    return ContextSettings(
        name=name,
        protected=table.boolean("protected"),
        namespace=_namespace(table, name),
        state_dir=_state_dir(table, name, base, env),
        base=base,
        catalogue=table.text("catalogue", "bundled:"),
        rules=table.texts("rules"),
        runbooks=table.texts("runbooks"),
        prometheus=read["prometheus"],
        jaeger=read["jaeger"],
        zipkin=read["zipkin"],
        elasticsearch=read["elasticsearch"],
        pagerduty=read_pagerduty(table, base, problems),
        alertmanager=read_alertmanager(table, base, problems),
        opsgenie=read_opsgenie(table, base, problems),
        webhooks=read_webhooks(table, base, problems),
        console=table.boolean("console"),
        routes=_routes(table),
        silences=_silences(table, base),
        limits=_limits(table),
        paging=_paging(table),
        runbook_policy=_runbook_policy(table),
        offsets=read_offsets(table),
        series=read_series(table),
    )


def _namespace(table: Table, default: str) -> str:
    value = table.text("namespace", default)
    node = table.node_of("namespace")
    if node is not None and isinstance(node.value, str) and not _NAME.fullmatch(value):
        table.problems.add(node, f"{node.where}: expected letters, digits, '.', '_' and '-', at most 64")
    return value


def _state_dir(table: Table, name: str, base: Path, env: Mapping[str, str]) -> Path:
    text = table.text("state_dir")
    if text:
        return resolve_path(text, base)
    state_home = env.get("XDG_STATE_HOME", "")
    root = Path(state_home) if state_home.startswith("/") else _home(env) / ".local" / "state"
    return root / "opsctl" / name


def _routes(table: Table) -> tuple[Route, ...]:
    if table.node_of("routes") is None:
        return ()
    from opsctl.files.routes import read_routes  # a check that tells nobody needs none

    return read_routes(table)


def _silences(table: Table, base: Path) -> Path | None:
    """The file is read when somebody is about to be told: a broken one must not stop a page."""
    text = table.text("silences")
    node = table.node_of("silences")
    if node is not None and isinstance(node.value, str) and not text.strip():
        table.problems.add(node, f"{node.where}: expected the path of a file, like silences.yaml")
    return resolve_path(text, base) if text.strip() else None


def _home(env: Mapping[str, str]) -> Path:
    home = env.get("HOME", "")
    return Path(home) if home else Path.home()


def _limits(table: Table) -> Limits:
    default = Limits()
    section = table.table("limits", ("connect", "request", "cycle", "send", "concurrency", "body", "series"))
    if section is None:
        return default
    return Limits(
        connect=_positive(section, "connect", default.connect),
        request=_positive(section, "request", default.request),
        cycle=_positive(section, "cycle", default.cycle),
        send=_positive(section, "send", default.send),
        concurrency=section.integer("concurrency", default.concurrency, least=1, most=64),
        body=_size(section, "body", default.body),
        series=section.integer("series", default.series, least=1),
    )


def _positive(section: Table, key: str, default: timedelta) -> timedelta:
    value = section.duration(key, default)
    node = section.node_of(key)
    if node is not None and value <= timedelta(0):
        section.problems.add(node, f"{node.where}: expected a duration longer than 0s")
    return value


def _size(section: Table, key: str, default: int) -> int:
    node = section.node_of(key)
    if node is None:
        return default
    match = _SIZE.fullmatch(node.value) if isinstance(node.value, str) else None
    if match is None:
        section.problems.add(node, f'{node.where}: expected a size like "64MiB", got {node.text or "a table"}')
        return default
    return int(match[1]) * _SIZES[match[2]]


def _paging(table: Table) -> Paging:
    default = Paging()
    names = ("hold_open", "reopen_after", "repeat_interval", "not_after", "stale_after")
    section = table.table("paging", (*names, "runner", "inhibit"))
    if section is None:
        return default
    return Paging(
        hold_open=section.duration("hold_open", default.hold_open),
        reopen_after=section.duration("reopen_after", default.reopen_after),
        repeat_interval=_positive(section, "repeat_interval", default.repeat_interval),
        not_after=_positive(section, "not_after", default.not_after),
        stale_after=_positive(section, "stale_after", default.stale_after),
        runner=section.integer("runner", default.runner, most=20),
        inhibit=section.boolean("inhibit", default.inhibit),
    )


def _runbook_policy(table: Table) -> RunbookPolicy:
    section = table.table("runbook_policy", ("auto",))
    if section is None:
        return RunbookPolicy()
    for item in section.nodes("auto"):
        if isinstance(item.value, str) and not re.fullmatch(r"[^/\s]+/[^/\s]+", item.value):
            section.problems.add(
                item, f'{item.where}: expected RUNBOOK/STEP like "PromoSurge/shed", got "{item.value}"'
            )
    return RunbookPolicy(section.texts("auto"))
