"""Where a server is and how one is let in: addresses, headers, references to secrets.

Must never put a value that may be a secret into a message, and never read a secret.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from opsctl.core.hosts import is_loopback
from opsctl.files.context import Backend, Basic, Bearer, Credentials, Secret
from opsctl.files.nodes import Node, Problems, Table, place

TOKEN_KEYS = ("token_file", "token_command", "token_env")
PASSWORD_KEYS = ("password_file", "password_command", "password_env")
BACKEND_KEYS = ("url", "headers", "ca_file", "allow_http", *TOKEN_KEYS, "basic")
LOG_FIELDS = ("message", "severity", "service", "trace_id", "span_id")
BY_REFERENCE = "secrets are given by reference: token_file, token_command or token_env"
PASSWORD_BY_REFERENCE = "secrets are given by reference: password_file, password_command or password_env"
_INLINE = re.compile(
    r"(?i)(pass(word|wd|phrase)?|(api|access|bearer|auth|rest|id|private)?[-_]?(token|key|secret)s?|authorization|cookie|credentials?|bearer)"
)
_KEYED = ("pagerduty", "opsgenie")  # their sections hold secrets by name
_SECRET_HEADER = re.compile(r"(?i)(proxy-)?authorization|cookie|.*(api-?key|token|secret|password).*")
_FIELD = re.compile(r"[^\s*?,]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def resolve_path(text: str, base: Path) -> Path:
    """A path of the file: `~` is the home folder, what is relative is so to the file's folder."""
    path = Path(text)
    if text.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            path = Path(text)
    return path if path.is_absolute() else base / path


def read_backend(table: Table, kind: str, base: Path, problems: Problems) -> Backend | None:
    """The section of a server that answers questions; None where there is none."""
    keys = (*BACKEND_KEYS, "index", "fields") if kind == "elasticsearch" else BACKEND_KEYS
    section = secret_table(table, kind, keys, BY_REFERENCE)
    if section is None:
        return None
    backend = read_server(section, base, problems)
    if kind != "elasticsearch":
        return backend
    return replace(backend, index=section.texts("index", ("logs-*-*", "filebeat-*")), fields=_log_fields(section))


def read_server(section: Table, base: Path, problems: Problems) -> Backend:
    """What a section says about any server: its address, and how one is let in."""
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


def secret_table(table: Table, key: str, known: tuple[str, ...], reference: str) -> Table | None:
    """A section that may name secrets: one that stands in it is an error that does not show it."""
    node = table.node_of(key)
    if node is None:
        return None
    if not isinstance(node.value, dict):
        secret = _INLINE.fullmatch(key) or key == "signing" or node.where.split(".")[2] in _KEYED
        words = reference if secret else f"expected a table [{node.where}]"
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
    basic = secret_table(section, "basic", ("user", *PASSWORD_KEYS), PASSWORD_BY_REFERENCE)
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
