"""What has to hold between the parts of one runbook: names, jumps, gates, variables, places of values.

Pure over a `Runbook`; what needs other files or programs (rules, bash, shellcheck) is in `opsctl/lint/runbooks.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from opsctl.core.binding import SECRET, BindError, bind, variables
from opsctl.core.conditions import roots
from opsctl.core.params import check_value
from opsctl.core.runbooks import (
    Approval,
    DurationType,
    EnumType,
    Idempotency,
    IntType,
    Kind,
    Param,
    Query,
    Request,
    Role,
    Runbook,
    Step,
    UrlType,
    Value,
)
from opsctl.files.front_matter import Finding

VALUES = {
    Kind.PROMQL: frozenset({"value", "labels", "count", "min", "max", "absent"}),
    Kind.HTTP: frozenset({"status", "body", "text", "headers"}),
    Kind.BASH: frozenset({"exit_code", "stdout", "json"}),
}
_OWN = frozenset({"run.id", "step.id"})


def check_runbook(runbook: Runbook) -> Iterator[Finding]:
    """Everything that is wrong between the parts of a runbook."""
    yield from _params(runbook)
    seen: dict[str, Step] = {}
    for step in runbook.steps:
        if step.id in seen:
            yield Finding("RB005", step.origin, f"step {step.id} is also in line {seen[step.id].origin.line}")
        seen.setdefault(step.id, step)
    for step in runbook.steps:
        yield from _references(runbook, step)
        yield from _gate(runbook, step)
        yield from _secrets(runbook, step)
        yield from _variables(runbook, step)
        yield from _expect(runbook, step)


def _params(runbook: Runbook) -> Iterator[Finding]:
    for param in runbook.params:
        if param.default is None:
            continue
        try:
            check_value(param.type, param.default)
        except ValueError as wrong:
            yield Finding("RB003", param.origin, f"params: {param.name}: default: {wrong}")


def _references(runbook: Runbook, step: Step) -> Iterator[Finding]:
    """Where a step may jump to, and who undoes and checks it."""
    target = step.on_fail.target
    if target is not None:
        flow = [other.id for other in runbook.flow]
        if target not in flow:
            yield Finding("RB007", step.origin, f"step {step.id}: goto {target}: no such step in the flow")
        elif step.role is Role.STEP and flow.index(target) <= flow.index(step.id):
            yield Finding(
                "RB007", step.origin, f"step {step.id}: goto {target}: only steps further down can be jumped to"
            )
    if step.role is not Role.STEP and step.on_fail.jump != "stop":
        yield Finding("RB007", step.origin, f"step {step.id}: a step with `role: {step.role}` stops when it fails")
    if step.undo not in (None, "none"):
        yield from _named(runbook, step, "undo", step.undo or "", Role.UNDO)
    if step.check is not None:
        yield from _named(runbook, step, "check", step.check, Role.CHECK)
    yield from _called(runbook, step)


def _named(runbook: Runbook, step: Step, option: str, name: str, role: Role) -> Iterator[Finding]:
    other = runbook.step(name)
    if other is None:
        yield Finding("RB007", step.origin, f"step {step.id}: {option}: no step {name!r}")
    elif other.role is not role:
        yield Finding("RB007", other.origin, f"step {name}: {step.id} names it in `{option}:`; it needs `role: {role}`")
    elif role is Role.CHECK and (other.mutates is not None or other.expect is None):
        yield Finding("RB007", other.origin, f"step {name}: a check reads something and says `expect:`")


def _called(runbook: Runbook, step: Step) -> Iterator[Finding]:
    users = [other.id for other in runbook.steps if step.id in (other.undo, other.check)]
    if step.role is not Role.STEP and not users:
        yield Finding(
            "RB007", step.origin, f"step {step.id} has `role: {step.role}` and no step names it: it never runs"
        )
    if step.role is Role.UNDO and step.kind not in (Kind.HTTP, Kind.BASH, Kind.MANUAL):
        yield Finding("RB007", step.origin, f"step {step.id}: an undo step is http, bash or manual")
    if step.role is Role.UNDO and step.requires not in (None, "none"):
        yield Finding("RB007", step.origin, f"step {step.id}: an undo step says `requires: none`: it must not wait")


def _gate(runbook: Runbook, step: Step) -> Iterator[Finding]:
    """The approval that a mutation requires, and the policy that an approval names."""
    if isinstance(step.body, Approval) and step.body.policy is not None and step.body.policy not in runbook.approvals:
        yield Finding("RB020", step.origin, f"step {step.id}: policy {step.body.policy!r} is not in `approvals:`")
    if step.mutates is None or step.requires in (None, "none"):
        return
    gate = runbook.step(step.requires or "")
    if gate is None or not isinstance(gate.body, Approval):
        yield Finding("RB020", step.origin, f"step {step.id}: requires: {step.requires!r} is not an approval step")
        return
    ids = [other.id for other in runbook.flow]
    if gate.id not in ids or (step.id in ids and ids.index(gate.id) > ids.index(step.id)):
        yield Finding(
            "RB020", gate.origin, f"step {gate.id}: the approval has to stand above {step.id}, which requires it"
        )


def _secrets(runbook: Runbook, step: Step) -> Iterator[Finding]:
    declared = {secret.name for secret in runbook.secrets}
    for name in step.secrets:
        if name not in declared:
            yield Finding("RB018", step.origin, f"step {step.id}: secret {name!r} is not in `secrets:`")
    if not isinstance(step.body, Request):
        return
    elsewhere = step.body.url + (step.body.body or "")
    if SECRET.search(elsewhere):
        yield Finding("RB018", step.origin, f"step {step.id}: a secret may stand in a header only")
    for _, value in step.body.headers:
        for name in SECRET.findall(value):
            if name not in step.secrets:
                yield Finding("RB018", step.origin, f"step {step.id}: `secrets:` does not name {name}")


def _captured_before(runbook: Runbook, step: Step) -> set[str]:
    """What may have been captured when a step of the flow begins; for undo and check steps, anything."""
    names: set[str] = set()
    for other in runbook.flow:
        if other.id == step.id and step.role is Role.STEP:
            break
        names |= {name for name, _ in other.capture}
    return names


def _variables(runbook: Runbook, step: Step) -> Iterator[Finding]:
    """Names that are known, in places where their values may stand."""
    params = {param.name for param in runbook.params}
    captured = _captured_before(runbook, step)
    for name, _ in step.capture:
        if name in params or name in VALUES.get(step.kind, frozenset()):
            yield Finding("RB008", step.origin, f"step {step.id}: capture: the name {name} is taken")
    unknown = sorted(variables(step) - params - captured - _OWN)
    for name in unknown:
        yield Finding(
            "RB008", step.origin, f"step {step.id}: ${{{name}}} is no parameter and no earlier step captures it"
        )
    if unknown:
        return
    values: dict[str, Value] = {name: 1 for name in captured}
    values |= {param.name: sample(param) for param in runbook.params} | {"run.id": "r", "step.id": step.id}
    try:
        bound = bind(step, values)
    except BindError as wrong:
        yield Finding("RB010", step.origin, f"step {step.id}: {wrong}")
        return
    if isinstance(step.body, Request):
        yield from _base(runbook, step, step.body.url)
    if isinstance(step.body, Query):
        yield from _promql(step, getattr(bound, "expression", ""))


def _base(runbook: Runbook, step: Step, url: str) -> Iterator[Finding]:
    """Only a declared parameter of type url, or words chosen by the author, may say where a request goes."""
    host = url.partition("://")[2].partition("/")[0] if "://" in url else url.partition("/")[0]
    for param in runbook.params:
        if f"${{{param.name}}}" in host:
            fits = isinstance(param.type, UrlType) if "://" not in url else isinstance(param.type, EnumType)
            if not fits:
                yield Finding(
                    "RB010", step.origin, f"step {step.id}: {param.name}: a host is named by type url or enum only"
                )
    if any(f"${{{name}}}" in host for other in runbook.steps for name, _ in other.capture):
        yield Finding("RB010", step.origin, f"step {step.id}: a captured value must not say where a request goes")


def _promql(step: Step, expression: str) -> Iterator[Finding]:
    from opsctl.promql import PromqlError, UnsupportedError, parse

    try:
        parse(expression)
    except UnsupportedError:
        return  # fine on a server; `why` it is not here belongs to `rule lint`
    except PromqlError as wrong:
        yield Finding("RB010", step.origin, f"step {step.id}: {wrong}")


def _expect(runbook: Runbook, step: Step) -> Iterator[Finding]:
    known = VALUES.get(step.kind, frozenset())
    names = {param.name for param in runbook.params} | _captured_before(runbook, step)
    if step.expect is not None:
        for name in sorted(roots(step.expect) - known - names):
            here = ", ".join(sorted(known))
            yield Finding(
                "RB009", step.origin, f"step {step.id}: expect: no value {name!r}; a {step.kind} step has {here}"
            )
    for name, path in step.capture:
        if path.partition(".")[0] not in known:
            yield Finding("RB009", step.origin, f"step {step.id}: capture: {name} = {path}: no such value")
    if step.idempotency is Idempotency.CHECK and step.check is None and step.mutates is None:
        yield Finding("RB009", step.origin, f"step {step.id}: idempotency is for mutations")


def sample(param: Param) -> Value:
    """Some value that the type allows, or one that is as harmless: for checking places, never for running."""
    match param.type:
        case EnumType(values):
            return values[0] if values else "x"
        case IntType(low, _):
            return low
        case DurationType(low_, high):
            return max(low_, min(high, high / 2))
        case UrlType():
            return "https://example.invalid"
        case _:
            return "x"
