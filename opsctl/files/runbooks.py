"""Runbooks from Markdown files: front matter, fences, and everything that can be checked without running a step.

docs/runbooks.md is the format. A file with an error gives no runbook: `load_runbooks` raises, `read_runbook` answers
the findings. Must never run, ask or fetch anything that a runbook names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from opsctl.core.runbooks import (
    ApprovalPolicy,
    DurationType,
    EnumType,
    IntType,
    Param,
    ParamType,
    PatternType,
    Runbook,
    SecretRef,
    ServiceType,
    Trigger,
    UrlType,
)
from opsctl.core.slo import Origin
from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.front_matter import Finding, Reader, nearest, read_nodes
from opsctl.files.nodes import Node
from opsctl.files.runbook_checks import check_runbook
from opsctl.files.steps import fences, read_step

_KEYS = (
    "runbook",
    "version",
    "title",
    "owner",
    "services",
    "triggers",
    "severity",
    "params",
    "secrets",
    "approvals",
    "defaults",
    "max_duration",
    "review_by",
)
_PARAM_KEYS: Mapping[str, tuple[str, ...]] = {
    "enum": ("values",),
    "int": ("min", "max"),
    "pattern": ("pattern", "max_length"),
    "duration": ("min", "max"),
    "service": (),
    "url": ("hosts",),
}
_RESERVED = frozenset(
    {"value", "labels", "count", "min", "max", "absent", "status", "body", "text", "headers", "exit_code", "stdout"}
    | {"run", "step", "secret", "true", "false", "null", "and", "or", "not", "in", "contains", "none", "json"}
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LARGEST_BYTES = 1024 * 1024


def load_runbooks(sources: Sequence[str], base: Path) -> tuple[Runbook, ...]:
    """Every runbook of the sources (files, folders, `bundled:`), sorted by id; ConfigErrors says all that is wrong."""
    out: dict[str, Runbook] = {}
    errors: list[ConfigError] = []
    for path in runbook_files(sources, base):
        runbook, findings = read_runbook(path)
        errors += [ConfigError(f.origin.path, f.origin.line, f.message) for f in findings if f.level == "error"]
        if runbook is None:
            continue
        if runbook.id in out:
            first = out[runbook.id].origin
            errors.append(ConfigError(str(path), runbook.origin.line, f"runbook {runbook.id} is also in {first}"))
        out[runbook.id] = runbook
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(tuple(errors))
    return tuple(out[name] for name in sorted(out))


def runbook_files(sources: Sequence[str], base: Path) -> tuple[Path, ...]:
    """The Markdown files that the sources name; a source that names nothing is a ConfigError."""
    out: list[Path] = []
    for source in sources:
        folder = _source(source, base)
        if folder.is_dir():
            out += sorted(p for p in folder.rglob("*.md") if p.name.lower() != "readme.md")
        elif folder.is_file():
            out.append(folder)
        else:
            raise ConfigError(str(folder), None, "no such runbook file or folder")
    return tuple(dict.fromkeys(out))


def _source(source: str, base: Path) -> Path:
    if not source.startswith("bundled:"):
        return base / source
    from opsctl import assets

    folder = Path(assets.folder("runbooks"))
    name = source.removeprefix("bundled:")
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise ConfigError(source, None, "bundled: takes the name of a shipped folder")
    return folder / name if name else folder


def read_runbook(path: Path) -> tuple[Runbook | None, tuple[Finding, ...]]:
    """The runbook of one file, and everything that is wrong with it; with an error there is no runbook."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else "not UTF-8"
        return None, (Finding("RB001", Origin(str(path), 1), f"cannot be read: {reason}"),)
    if len(raw) > _LARGEST_BYTES:
        return None, (Finding("RB001", Origin(str(path), 1), "larger than 1 MiB"),)
    return parse_runbook(text, str(path))


def parse_runbook(text: str, path: str) -> tuple[Runbook | None, tuple[Finding, ...]]:
    """The same for a text that was read already; `path` is for messages."""
    front, markdown, wrong = _split(text, path)
    if front is None:
        return None, wrong
    reader = Reader(path, "RB002")
    header = reader.mapping(front, "front matter", _KEYS)
    step_reader = Reader(path, "RB004", reader.findings)
    defaults = reader.mapping(header.get("defaults"), "defaults", ("timeout", "ttl"))
    steps = [read_step(fence, step_reader, defaults) for fence in fences(markdown)]
    runbook = Runbook(
        id=reader.text(header.get("runbook"), "runbook"),
        version=reader.number(header.get("version"), "version", 1),
        title=reader.text(header.get("title"), "title"),
        owner=reader.text(header.get("owner"), "owner"),
        services=reader.texts(header.get("services"), "services"),
        triggers=_triggers(header.get("triggers"), reader),
        severity=reader.text(header.get("severity"), "severity", "page"),
        params=_params(header.get("params"), Reader(path, "RB003", reader.findings)),
        secrets=_secrets(header.get("secrets"), reader),
        approvals=_approvals(header.get("approvals"), reader),
        max_duration=reader.duration(header.get("max_duration"), "max_duration", timedelta(hours=4)),
        review_by=reader.day(header.get("review_by"), "review_by"),
        steps=tuple(step for step in steps if step is not None),
        source=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        origin=front.origin,
    )
    _required(header, runbook, front, reader)
    findings = (*reader.findings, *check_runbook(runbook))
    findings = tuple(sorted(findings, key=lambda f: (f.origin.line, f.code)))
    return (None if any(f.level == "error" for f in findings) else runbook), findings


def _split(text: str, path: str) -> tuple[Node | None, str, tuple[Finding, ...]]:
    """The front matter and the Markdown below it, with the front matter's lines left empty so that numbers agree."""
    match = re.match(r"---[ \t]*\r?\n(.*?\n)---[ \t]*\r?\n", text, re.DOTALL)
    if match is None:
        missing = Finding("RB001", Origin(path, 1), "expected front matter between two lines of `---`")
        return None, "", (missing,)
    node, wrong = read_nodes(match[1], path, 2)
    return node, "\n" * match[0].count("\n") + text[match.end() :], wrong


def _required(header: Mapping[str, Node], runbook: Runbook, front: Node, reader: Reader) -> None:
    for key in ("runbook", "version", "title", "owner", "services"):
        if key not in header:
            reader.wrong(front, f"front matter: `{key}:` is missing")
    if runbook.id and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,79}", runbook.id):
        reader.wrong(header["runbook"], f"runbook: {runbook.id[:60]!r} is not a name of letters, digits, - and _")
    if runbook.severity not in ("page", "ticket", "show"):
        reader.wrong(header["severity"], f"severity: {runbook.severity[:60]!r} is not one of page, ticket, show")
    if not runbook.flow:
        reader.wrong(front, "no step: a fence runs only with `#| id:`", "RB004")


def _triggers(node: Node | None, reader: Reader) -> tuple[Trigger, ...]:
    out = []
    for item in reader.items(node, "triggers"):
        pairs = reader.mapping(item, "triggers", ("alert", "match"))
        if "alert" not in pairs:
            reader.wrong(item, "triggers: `alert:` is missing")
            continue
        match = {k: reader.text(v, "match") for k, v in reader.mapping(pairs.get("match"), "match").items()}
        out.append(Trigger(reader.text(pairs["alert"], "alert"), match, pairs["alert"].origin))
    return tuple(out)


def _approvals(node: Node | None, reader: Reader) -> dict[str, ApprovalPolicy]:
    out = {}
    for name, item in reader.mapping(node, "approvals").items():
        pairs = reader.mapping(item, f"approvals: {name}", ("roles", "min", "not_author"))
        policy = ApprovalPolicy(
            name=name,
            roles=reader.texts(pairs.get("roles"), "roles"),
            min=reader.number(pairs.get("min"), "min", 1),
            not_author=reader.truth(pairs.get("not_author"), "not_author", False),
        )
        if not 1 <= policy.min <= 10:
            reader.wrong(pairs["min"], "min: expected 1 to 10 people")
        out[name] = policy
    return out


def _secrets(node: Node | None, reader: Reader) -> tuple[SecretRef, ...]:
    out = []
    kinds = ("token_file", "token_command", "token_env")
    for name, item in reader.mapping(node, "secrets").items():
        pairs = reader.mapping(item, f"secrets: {name}", kinds)
        if len(pairs) != 1 or not _NAME.fullmatch(name):
            reader.wrong(item, f"secrets: {name}: expected exactly one of {', '.join(kinds)}")
            continue
        source, value = next(iter(pairs.items()))
        out.append(SecretRef(name, source, reader.text(value, source)))
    return tuple(out)


# -- parameters ------------------------------------------------------------------------------------------------------


def _params(node: Node | None, reader: Reader) -> tuple[Param, ...]:
    return tuple(
        param
        for name, item in reader.mapping(node, "params").items()
        if (param := _param(name, item, reader)) is not None
    )


def _param(name: str, node: Node, reader: Reader) -> Param | None:
    what = f"params: {name}"
    kind_node = node.value.get("type") if isinstance(node.value, dict) else None
    kind_name = reader.text(kind_node, what)
    if kind_name not in _PARAM_KEYS:
        reader.wrong(kind_node or node, f"{what}: no type {kind_name!r}; {nearest(kind_name, list(_PARAM_KEYS))}")
        return None
    if not _NAME.fullmatch(name) or name in _RESERVED:
        reader.wrong(
            node, f"{what}: expected a name of small letters, digits and _ that a step's own values do not have"
        )
        return None
    pairs = reader.mapping(node, what, ("type", "from", "default", "description", *_PARAM_KEYS[kind_name]))
    kind = _type(kind_name, pairs, node, reader, what)
    return Param(
        name=name,
        type=kind,
        origin=node.origin,
        default=reader.text(pairs["default"], what) if "default" in pairs else None,
        sources=_sources(pairs.get("from"), kind, reader, what),
        description=reader.text(pairs.get("description"), what),
    )


def _sources(node: Node | None, kind: ParamType, reader: Reader, what: str) -> tuple[str, ...]:
    if node is None:
        return ()
    found = (reader.text(node, what),) if not isinstance(node.value, (dict, list)) else reader.texts(node, what)
    for source in found:
        if not re.fullmatch(r"alert\.labels\.[A-Za-z_][A-Za-z0-9_]*|env\.[A-Za-z_][A-Za-z0-9_]*", source):
            reader.wrong(node, f"{what}: from: expected alert.labels.NAME or env.NAME, found {source[:60]!r}")
        elif isinstance(kind, UrlType) and source.startswith("alert."):
            reader.wrong(node, f"{what}: from: an alert must not say where requests go")
    return found


def _type(name: str, pairs: Mapping[str, Node], node: Node, reader: Reader, what: str) -> ParamType:
    match name:
        case "enum":
            values = reader.texts(pairs.get("values"), f"{what}: values")
            if not values:
                reader.wrong(node, f"{what}: `values:` is missing")
            return EnumType(values)
        case "int":
            return _range(pairs, node, reader, what)
        case "pattern":
            return _pattern(pairs, node, reader, what)
        case "duration":
            low = reader.duration(pairs.get("min"), f"{what}: min", timedelta(0))
            return DurationType(low, reader.duration(pairs.get("max"), f"{what}: max", timedelta(days=30)))
        case "url":
            return UrlType(tuple(host.lower() for host in reader.texts(pairs.get("hosts"), f"{what}: hosts")))
        case _:
            return ServiceType()


def _range(pairs: Mapping[str, Node], node: Node, reader: Reader, what: str) -> IntType:
    kind = IntType(
        reader.number(pairs.get("min"), f"{what}: min", 0), reader.number(pairs.get("max"), f"{what}: max", 0)
    )
    if "min" not in pairs or "max" not in pairs or kind.min > kind.max:
        reader.wrong(node, f"{what}: expected `min:` and `max:`, the smaller first")
    return kind


def _pattern(pairs: Mapping[str, Node], node: Node, reader: Reader, what: str) -> PatternType:
    text = reader.text(pairs.get("pattern"), f"{what}: pattern")
    longest = reader.number(pairs.get("max_length"), f"{what}: max_length", 200)
    try:
        re.compile(text)
    except re.error as wrong:
        reader.wrong(pairs["pattern"], f"{what}: pattern: {wrong}")
        text = ""
    if not text.startswith("^") or not text.endswith("$"):
        reader.wrong(pairs.get("pattern", node), f"{what}: pattern: expected an anchored one, ^…$")
    if not 1 <= longest <= 1000:
        reader.wrong(pairs["max_length"], f"{what}: max_length: expected 1 to 1000")
    return PatternType(text, longest)
