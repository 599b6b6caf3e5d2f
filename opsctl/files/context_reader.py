"""One context of a TOML file into its settings: types, URLs, references to secrets.

Must never put a value that may be a secret into a message, and never read a secret.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from opsctl.core.hosts import is_loopback
from opsctl.files.context import (
    Backend,
    Basic,
    Bearer,
    ContextSettings,
    Credentials,
    Limits,
    PagerDuty,
    Paging,
    Rest,
    RunbookPolicy,
    Secret,
)
from opsctl.files.nodes import Node, Problems, Table, place
from opsctl.files.signal_settings import read_offsets, read_series

BACKENDS = ("prometheus", "jaeger", "zipkin", "elasticsearch")
CONTEXT_KEYS = (
    *("protected", "namespace", "state_dir", "catalogue", "rules", "runbooks"),
    *BACKENDS,
    *("pagerduty", "limits", "paging", "runbook_policy", "offsets", "series"),
)
TOKEN_KEYS = ("token_file", "token_command", "token_env")
PASSWORD_KEYS = ("password_file", "password_command", "password_env")
BACKEND_KEYS = ("url", "headers", "ca_file", "allow_http", *TOKEN_KEYS, "basic")
LOG_FIELDS = ("message", "severity", "service", "trace_id", "span_id")
BY_REFERENCE = "secrets are given by reference: token_file, token_command or token_env"
PASSWORD_BY_REFERENCE = "secrets are given by reference: password_file, password_command or password_env"
_INLINE = re.compile(
    r"(?i)(pass(word|wd|phrase)?|(api|access|bearer|auth|rest|id|private)?[-_]?(token|key|secret)s?|authorization|cookie|credentials?|bearer)"
)
_SECRET_HEADER = re.compile(r"(?i)(proxy-)?authorization|cookie|.*(api-?key|token|secret|password).*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FIELD = re.compile(r"[^\s*?,]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SIZE = re.compile(r"([1-9][0-9]*)(B|KiB|MiB|GiB)")
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def read_context(name: str, node: Node, base: Path, problems: Problems, env: Mapping[str, str]) -> ContextSettings:
    """Read one context; what is wrong is noted and a default stands in."""
    table = Table(node, problems, CONTEXT_KEYS)
    if not _NAME.fullmatch(name):
        problems.add(node, f"{node.where}: a context's name is letters, digits, '.', '_' and '-', at most 64")
    if "jaeger" in table and "zipkin" in table:
        problems.add(table.node_of("zipkin") or node, f"{node.where}: expected jaeger or zipkin, not both")
    read = {kind: _backend(table, kind, base, problems) for kind in BACKENDS}
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
        pagerduty=_pagerduty(table, base, problems),
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


def _home(env: Mapping[str, str]) -> Path:
    home = env.get("HOME", "")
    return Path(home) if home else Path.home()


def resolve_path(text: str, base: Path) -> Path:
    """A path of the file: `~` is the home folder, what is relative is so to the file's folder."""
    path = Path(text)
    if text.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            path = Path(text)
    return path if path.is_absolute() else base / path


# -- backends


def _backend(table: Table, kind: str, base: Path, problems: Problems) -> Backend | None:
    keys = (*BACKEND_KEYS, "index", "fields") if kind == "elasticsearch" else BACKEND_KEYS
    section = _secret_table(table, kind, keys, BY_REFERENCE)
    if section is None:
        return None
    allow_http = section.boolean("allow_http")
    url = section.text("url", required=True)
    node = section.node_of("url")
    if node is not None and url:
        check_url(node, url, allow_http, problems)
    ca = section.text("ca_file")
    return Backend(
        url=url,
        headers=_headers(section),
        ca_file=resolve_path(ca, base) if ca else None,
        credentials=_credentials(section, base),
        allow_http=allow_http,
        index=section.texts("index", ("logs-*-*", "filebeat-*")) if kind == "elasticsearch" else (),
        fields=_log_fields(section) if kind == "elasticsearch" else {},
    )


def _log_fields(section: Table) -> dict[str, tuple[str, ...]]:
    """`message = ["msg"]`: more names of what a log line says."""
    inner = section.table("fields", LOG_FIELDS)
    if inner is None:
        return {}
    for name in LOG_FIELDS:
        for item in inner.nodes(name):
            if isinstance(item.value, str) and not _FIELD.fullmatch(item.value):
                inner.problems.add(item, f"{item.where}: expected the name of a field, like log.level, no wildcard")
    return {name: inner.texts(name) for name in LOG_FIELDS if name in inner}


def _secret_table(table: Table, key: str, known: tuple[str, ...], reference: str) -> Table | None:
    """A section that may name secrets: one that stands in it is an error that does not show it."""
    node = table.node_of(key)
    if node is None:
        return None
    if not isinstance(node.value, dict):
        words = reference if _INLINE.fullmatch(key) or "pagerduty" in node.where else f"expected a table [{node.where}]"
        table.problems.add(node, f"{node.where}: {words}")
        return None
    allowed = dict(node.value)
    for name, child in node.value.items():
        if name not in known and _INLINE.fullmatch(name) and not isinstance(child.value, dict):
            table.problems.add(child, f"{child.where}: {reference}")
            del allowed[name]
    return Table(Node(allowed, node.path, node.line, node.where), table.problems, known)


def check_url(node: Node, url: str, allow_http: bool, problems: Problems) -> None:
    """Note what is wrong with a backend's address; the address is shown only where it holds no credential."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        problems.add(node, f"{node.where}: expected a URL like https://HOST[:PORT][/PREFIX]")
        return
    if parts.username is not None or parts.password is not None:
        problems.add(node, f"{node.where}: no user or password in a URL: {BY_REFERENCE}, or basic")
    elif parts.scheme not in {"http", "https"} or not host or re.search(r"\s", url):
        problems.add(node, f"{node.where}: expected a URL like https://HOST[:PORT][/PREFIX]")
    elif parts.query or parts.fragment:
        problems.add(node, f"{node.where}: expected a URL without query and fragment")
    elif parts.scheme == "http" and not allow_http and not is_loopback(host):
        hint = "use https, or say allow_http = true for this backend"
        problems.add(node, f"{node.where}: plain http is allowed to this machine only", hint=hint)


def _headers(section: Table) -> dict[str, str]:
    headers = section.text_map("headers", secret=True)
    node = section.node_of("headers")
    for name, value in headers.items():
        child = (node.get(name) if node else None) or section.node
        if _SECRET_HEADER.fullmatch(name):
            section.problems.add(child, f"{child.where}: {BY_REFERENCE}, or basic")
        elif not _HEADER.fullmatch(name) or not value.isprintable() or not value.isascii():
            section.problems.add(child, f"{child.where}: expected a header's name and a value in printable ASCII")
    return headers


def _credentials(section: Table, base: Path) -> Credentials | None:
    given = [key for key in (*TOKEN_KEYS, "basic") if key in section]
    if len(given) > 1:
        at = section.node_of(given[1]) or section.node
        section.problems.add(
            at, f"{section.what}: expected one of {', '.join((*TOKEN_KEYS, 'basic'))}, got {' and '.join(given)}"
        )
        return None
    if given != ["basic"]:
        token = read_secret(section, base, TOKEN_KEYS)
        return Bearer(token) if token else None
    basic = _secret_table(section, "basic", ("user", *PASSWORD_KEYS), PASSWORD_BY_REFERENCE)
    if basic is None:
        return None
    user = basic.text("user", required=True)
    password = read_secret(basic, base, PASSWORD_KEYS)
    if password is None:
        if not any(key in (basic.node.value or {}) for key in PASSWORD_KEYS):  # type: ignore[operator]
            basic.problems.add(basic.node, f"{basic.what}: expected one of {', '.join(PASSWORD_KEYS)}")
        return None
    return Basic(user, password)


def read_secret(table: Table, base: Path, keys: tuple[str, ...]) -> Secret | None:
    """The reference that a table gives by one of three keys (file, command, environment variable); None if by none."""
    given = [key for key in keys if key in table]
    if len(given) > 1:
        at = table.node_of(given[1]) or table.node
        table.problems.add(at, f"{table.what}: expected one of {', '.join(keys)}, got {' and '.join(given)}")
        return None
    if not given:
        return None
    key = given[0]
    node = table.node_of(key)
    if key == keys[1]:
        return _command(table, key)
    text = table.text(key)
    if node is None or not isinstance(node.value, str):
        return None
    if not text.strip():
        table.problems.add(node, f"{node.where}: is empty")
        return None
    if key == keys[0]:
        return Secret("file", str(resolve_path(text, base)), origin=place(node))
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        table.problems.add(node, f"{node.where}: expected the name of an environment variable")
        return None
    return Secret("env", text, origin=place(node))


def _command(table: Table, key: str) -> Secret | None:
    node = table.node_of(key)
    if node is None:
        return None
    words: tuple[str, ...] = ()
    if isinstance(node.value, list) and all(isinstance(item.value, str) for item in node.value):
        words = tuple(str(item.value) for item in node.value)
    elif isinstance(node.value, str):
        try:
            words = tuple(shlex.split(node.value))
        except ValueError:
            words = ()
    if not words or not words[0]:
        table.problems.add(node, f'{node.where}: expected a command like "pass show opsctl" or a list of its words')
        return None
    return Secret("command", shlex.join(words), words, origin=place(node))


# -- pagerduty


def _pagerduty(table: Table, base: Path, problems: Problems) -> PagerDuty | None:
    section = _secret_table(table, "pagerduty", ("routing_keys", "events_url", "rest_url", "rest"), BY_REFERENCE)
    if section is None:
        return None
    for key in ("events_url", "rest_url"):
        node = section.node_of(key)
        if node is not None and (url := section.text(key)):
            check_url(node, url, False, problems)
    return PagerDuty(
        routing_keys=_routing_keys(section, base),
        events_url=section.text("events_url") or None,
        rest_url=section.text("rest_url") or None,
        rest=_rest(section, base),
    )


def _routing_keys(section: Table, base: Path) -> dict[str, Secret]:
    node = section.need("routing_keys")
    keys: dict[str, Secret] = {}
    if node is None:
        return keys
    if not isinstance(node.value, dict):
        section.problems.add(node, f"{node.where}: expected a secret by team: {BY_REFERENCE}")
        return keys
    teams = Table(node, section.problems, None)
    for team, _ in teams.items():
        inner = _secret_table(teams, team, TOKEN_KEYS, BY_REFERENCE)
        secret = read_secret(inner, base, TOKEN_KEYS) if inner else None
        if secret is not None:
            keys[team] = secret
        elif inner is not None and not inner.node.value:
            section.problems.add(inner.node, f"{inner.what}: expected one of {', '.join(TOKEN_KEYS)}")
    if "default" not in teams:
        words = f"{node.where}: default is missing: pages of teams without a key of their own go there"
        section.problems.add(node, words)
    return keys


def _rest(section: Table, base: Path) -> Rest | None:
    inner = _secret_table(section, "rest", (*TOKEN_KEYS, "from"), BY_REFERENCE)
    if inner is None:
        return None
    sender = inner.text("from", required=True)
    node = inner.node_of("from")
    if node is not None and sender and not re.fullmatch(r"[^@\s]+@[^@\s]+", sender):
        inner.problems.add(node, f"{node.where}: expected the mail address of a PagerDuty user")
    secret = read_secret(inner, base, TOKEN_KEYS)
    if secret is None and not any(key in inner for key in TOKEN_KEYS):
        inner.problems.add(inner.node, f"{inner.what}: expected one of {', '.join(TOKEN_KEYS)}")
    return Rest(secret, sender) if secret else None


# -- the rest


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
    section = table.table("paging", (*names, "runner"))
    if section is None:
        return default
    return Paging(
        hold_open=section.duration("hold_open", default.hold_open),
        reopen_after=section.duration("reopen_after", default.reopen_after),
        repeat_interval=_positive(section, "repeat_interval", default.repeat_interval),
        not_after=_positive(section, "not_after", default.not_after),
        stale_after=_positive(section, "stale_after", default.stale_after),
        runner=section.integer("runner", default.runner, most=20),
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
