"""Fences of a runbook into steps: `#| option: value` lines, then the body of that kind.

Only a fence with `#| id:` is a step; every other fence is documentation. What is wrong is collected, not raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from opsctl.core.conditions import Condition, ConditionError, parse_condition
from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import (
    APPROVAL_TTL,
    STEP_TIMEOUT,
    Approval,
    Body,
    Idempotency,
    Kind,
    Manual,
    OnFail,
    Query,
    Request,
    Role,
    Script,
    Step,
)
from opsctl.core.slo import Origin
from opsctl.files.front_matter import Reader, nearest
from opsctl.files.nodes import Node

E = TypeVar("E", bound=StrEnum)

_OPTION = re.compile(r"#\|\s*([A-Za-z_]+)\s*:\s*(.*)")
_COMMENT = re.compile(r"(?:\"(?:[^\"\\]|\\.)*\"|[^\"])*?(\s+#.*)")
_LANGUAGES = {"promql": Kind.PROMQL, "http": Kind.HTTP, "bash": Kind.BASH, "exec": Kind.BASH} | {
    kind.value: kind for kind in (Kind.APPROVAL, Kind.MANUAL)
}
_ANY = ("id", "title", "on_fail", "role")
_MACHINE = ("expect", "capture", "poll", "for", "timeout", "retries", "secrets")
_MAY_CHANGE = ("mutates", "requires", "idempotency", "check", "undo")
_OPTIONS: Mapping[Kind, tuple[str, ...]] = {
    Kind.PROMQL: (*_ANY, *_MACHINE),
    Kind.HTTP: (*_ANY, *_MACHINE, *_MAY_CHANGE),
    Kind.BASH: (*_ANY, *_MACHINE, *_MAY_CHANGE),
    Kind.APPROVAL: (*_ANY, "policy", "ttl"),
    Kind.MANUAL: _ANY,
}
_ID = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
_LONGEST = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block as it stands in the file; `line` is that of its opening mark, 1-based."""

    language: str
    content: str
    line: int


def fences(text: str) -> list[Fence]:
    """Every fenced block of a Markdown text."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(text)
    return [
        Fence(token.info.strip().partition(" ")[0].lower(), token.content, (token.map or [0])[0] + 1)
        for token in tokens
        if token.type == "fence"
    ]


def read_step(fence: Fence, reader: Reader, defaults: Mapping[str, Node]) -> Step | None:
    """The step of a fence, or None where it is documentation or too wrong to be one."""
    options, body, body_line = _options(fence, reader)
    if "id" not in options:
        if options:
            reader.wrong(next(iter(options.values())), "options without `#| id:`: this fence would not run")
        return None
    step_id = reader.text(options["id"], "id")
    kind = _LANGUAGES.get(fence.language)
    if kind is None:
        reader.wrong(
            Origin(reader.path, fence.line),
            f"no step kind {fence.language!r}; {nearest(fence.language, list(_LANGUAGES))}",
        )
        return None
    if not _ID.fullmatch(step_id) or step_id in {"none", "end", "stop", "undo"}:
        reader.wrong(options["id"], f"id: {step_id[:60]!r} is not a name of small letters, digits, - and _")
        return None
    for name, node in options.items():
        if name not in _OPTIONS[kind]:
            reader.wrong(
                node, f"step {step_id}: a {kind.value} step has no option {name!r}; {nearest(name, _OPTIONS[kind])}"
            )
    return _step(step_id, kind, options, body, body_line, reader, defaults)


def _options(fence: Fence, reader: Reader) -> tuple[dict[str, Node], str, int]:
    """The option lines, what follows them, and the line where that begins."""
    lines = fence.content.splitlines(keepends=True)
    found: dict[str, Node] = {}
    at = 0
    while at < len(lines) and lines[at].startswith("#|"):
        origin = Origin(reader.path, fence.line + 1 + at)
        match = _OPTION.fullmatch(lines[at].rstrip())
        if match is None:
            reader.wrong(origin, f"expected `#| option: value`, found {lines[at].strip()[:60]!r}")
        elif match[1] in found:
            reader.wrong(origin, f"option {match[1]!r} is there twice")
        else:
            found[match[1]] = _node(_uncommented(match[2]), origin)
        at += 1
    return found, "".join(lines[at:]), fence.line + 1 + at


def _node(text: str, origin: Origin) -> Node:
    return Node(text, origin.path, origin.line, "", text)


def _uncommented(text: str) -> str:
    match = _COMMENT.match(text)
    return (text[: match.start(1)] if match is not None else text).strip()


def _step(
    step_id: str,
    kind: Kind,
    options: Mapping[str, Node],
    body: str,
    line: int,
    reader: Reader,
    defaults: Mapping[str, Node],
) -> Step:
    get = options.get
    where = f"step {step_id}"
    mutates = reader.text(get("mutates"), f"{where}: mutates") or None
    expect_text = reader.text(get("expect"), f"{where}: expect")
    step = Step(
        id=step_id,
        title=reader.text(get("title"), f"{where}: title", step_id),
        body=_body(kind, body, options, line, reader, where, defaults),
        origin=options["id"].origin,
        role=_word(get("role"), Role, Role.STEP, reader, f"{where}: role"),
        expect=_condition(get("expect"), reader, where),
        expect_text=expect_text,
        on_fail=_on_fail(get("on_fail"), reader, where),
        capture=_capture(get("capture"), reader, where),
        poll=reader.duration(get("poll"), f"{where}: poll", timedelta(0)) or None,
        for_=reader.duration(get("for"), f"{where}: for", timedelta(0)),
        timeout=reader.duration(get("timeout") or defaults.get("timeout"), f"{where}: timeout", STEP_TIMEOUT),
        retries=reader.number(get("retries"), f"{where}: retries", 0),
        mutates=None if mutates == "none" else mutates,
        requires=reader.text(get("requires"), f"{where}: requires") or None,
        idempotency=_word(get("idempotency"), Idempotency, Idempotency.NATURAL, reader, f"{where}: idempotency"),
        check=reader.text(get("check"), f"{where}: check") or None,
        undo=reader.text(get("undo"), f"{where}: undo") or None,
        secrets=tuple(reader.text(get("secrets"), f"{where}: secrets").replace(",", " ").split()),
        line=line,
    )
    _declared(step, options, reader)
    _bounds(step, options, reader)
    return step


def _word(node: Node | None, kind: type[E], default: E, reader: Reader, what: str) -> E:
    words = [str(word) for word in kind]
    if node is None:
        return default
    text = reader.text(node, what)
    if text not in words:
        reader.wrong(node, f"{what}: {text[:60]!r} is not one of {', '.join(words)}")
        return default
    return kind(text)


def _declared(step: Step, options: Mapping[str, Node], reader: Reader) -> None:
    """What a step that may change something has to say."""
    body = step.body
    may = isinstance(body, Script) or (isinstance(body, Request) and body.method not in ("GET", "HEAD"))
    if may and "mutates" not in options:
        reader.wrong(step.origin, f"step {step.id}: say `mutates:` what it changes, or `mutates: none`", "RB006")
    if step.mutates is None:
        return
    for name in ("requires", "idempotency", "undo", "timeout"):
        if name not in options:
            written = "; `none` has to be written down" if name in ("requires", "undo") else ""
            reader.wrong(step.origin, f"step {step.id} mutates {step.mutates}: `{name}:` is missing{written}", "RB006")
    if step.idempotency is Idempotency.CHECK and step.check is None:
        reader.wrong(step.origin, f"step {step.id}: `idempotency: check` needs `check:`, the id of a step", "RB006")
    if step.idempotency is Idempotency.KEY and step.kind is not Kind.HTTP:
        reader.wrong(options["idempotency"], f"step {step.id}: only an http step can send a key", "RB006")


def _bounds(step: Step, options: Mapping[str, Node], reader: Reader) -> None:
    """What goes together and how far."""
    where = f"step {step.id}"
    if not timedelta(0) < step.timeout <= _LONGEST:
        reader.wrong(options.get("timeout", options["id"]), f"{where}: timeout: expected more than 0 and at most 24h")
    if step.poll is not None and (step.mutates is not None or step.expect is None):
        reader.wrong(options["poll"], f"{where}: poll: a step that waits reads something and says `expect:`")
    if step.poll is None and step.for_:
        reader.wrong(options["for"], f"{where}: for: needs `poll:`")
    if step.poll is not None and step.for_ + step.poll > step.timeout:
        reader.wrong(options["poll"], f"{where}: for and poll do not fit into timeout")
    if not 0 <= step.retries <= 10:
        reader.wrong(options["retries"], f"{where}: retries: expected 0 to 10")
    never = step.idempotency in (Idempotency.NEVER, Idempotency.CHECK)
    if step.retries and step.mutates is not None and never:
        reader.wrong(
            options["retries"], f"{where}: retries: `idempotency: {step.idempotency}` must not be repeated blindly"
        )


def _condition(node: Node | None, reader: Reader, where: str) -> Condition | None:
    if node is None:
        return None
    try:
        return parse_condition(reader.text(node, where))
    except ConditionError as wrong:
        reader.wrong(node, f"{where}: expect: {wrong}", "RB009")
        return None


def _on_fail(node: Node | None, reader: Reader, where: str) -> OnFail:
    words = reader.text(node, where, "stop").split()
    match words:
        case [("stop" | "end" | "undo") as jump]:
            return OnFail(jump)
        case ["goto", target]:
            return OnFail("goto", target)
    assert node is not None
    reader.wrong(node, f"{where}: on_fail: expected stop, end, undo or `goto ID`")
    return OnFail()


def _capture(node: Node | None, reader: Reader, where: str) -> tuple[tuple[str, str], ...]:
    out = []
    for pair in filter(None, (part.strip() for part in reader.text(node, where).split(","))):
        match = re.fullmatch(r"([a-z][a-z0-9_]{0,39})\s*=\s*([A-Za-z_][A-Za-z0-9_.]*)", pair)
        if match is None and node is not None:
            reader.wrong(node, f"{where}: capture: expected `name = path`, found {pair[:60]!r}")
        elif match is not None:
            out.append((match[1], match[2]))
    return tuple(out)


# -- bodies ----------------------------------------------------------------------------------------------------------


def _body(
    kind: Kind,
    text: str,
    options: Mapping[str, Node],
    line: int,
    reader: Reader,
    where: str,
    defaults: Mapping[str, Node],
) -> Body:
    if not text.strip():
        reader.wrong(Origin(reader.path, line), f"{where}: nothing follows its options", "RB010")
    match kind:
        case Kind.PROMQL:
            return Query(text.strip())
        case Kind.HTTP:
            return _request(text, line, reader, where)
        case Kind.BASH:
            return Script(text)
        case Kind.APPROVAL:
            ttl = reader.duration(options.get("ttl") or defaults.get("ttl"), f"{where}: ttl", APPROVAL_TTL)
            policy = reader.text(options.get("policy"), f"{where}: policy") or None
            return Approval(text.strip(), policy, ttl)
        case Kind.MANUAL:
            return Manual(text.strip())


def _request(text: str, line: int, reader: Reader, where: str) -> Request:
    """`METHOD address`, header lines, an empty line, the body."""
    lines = text.strip("\n").splitlines()
    words = (lines[0] if lines else "").split()
    if len(words) != 2 or words[0] not in _METHODS:
        reader.wrong(
            Origin(reader.path, line),
            f"{where}: expected `METHOD https://…` with one of {', '.join(_METHODS)}",
            "RB010",
        )
        return Request("GET", "https://invalid.invalid")
    headers: list[tuple[str, str]] = []
    at = 1
    while at < len(lines) and lines[at].strip():
        name, colon, value = lines[at].partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            reader.wrong(
                Origin(reader.path, line + at), f"{where}: expected `Header: value`, found {lines[at][:60]!r}", "RB010"
            )
        elif name.lower() in {"host", "content-length", "transfer-encoding", "connection", "idempotency-key"}:
            reader.wrong(Origin(reader.path, line + at), f"{where}: opsctl sets the header {name} itself", "RB010")
        else:
            headers.append((name, value.strip()))
        at += 1
    body = "\n".join(lines[at + 1 :]).strip()
    return Request(words[0], words[1], tuple(headers), body or None)
