"""Test cases of runbooks: `<slug>.test.yaml` beside `<slug>.md`; docs/runbooks.md is the format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import Kind, Role, Runbook
from opsctl.core.slo import Origin
from opsctl.files.front_matter import Finding, Reader, nearest, read_nodes
from opsctl.files.nodes import Node

_FILE_KEYS = ("runbook", "crash_after", "cases")
_CASE_KEYS = ("name", "params", "labels", "answers", "ran", "outcome", "sent", "rejects")
_OUTCOMES = ("ok", "failed", "waiting", "stopped", "undone")
_ANSWERS: Mapping[Kind, tuple[str, ...]] = {
    Kind.PROMQL: ("value", "values", "labels", "absent"),
    Kind.HTTP: ("status", "body", "text", "headers"),
    Kind.BASH: ("exit_code", "stdout"),
}
_PEOPLE = ("yes", "no", "nobody")


@dataclass(frozen=True, slots=True)
class Case:
    """One story: what is given, what the world answers to each step, and what must have happened.

    `answers` has a list for each step, the last element answering for ever; an element is a word for people's steps
    and a mapping for the others (`fail` and `lost` are messages; `done`/`not_done` are answers of check steps).
    """

    name: str
    origin: Origin
    params: Mapping[str, str]
    labels: Mapping[str, str]
    answers: Mapping[str, tuple[object, ...]]
    ran: tuple[str, ...] | None = None
    outcome: str | None = None
    sent: Mapping[str, str] | None = None
    rejects: str | None = None


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The cases of one runbook; `crash` says to kill each after every step and every commit."""

    runbook: str
    crash: bool
    cases: tuple[Case, ...]


def case_file(runbook_path: Path) -> Path:
    """Where the cases of a runbook are."""
    return runbook_path.with_name(runbook_path.stem + ".test.yaml")


def read_cases(path: Path, runbook: Runbook) -> tuple[CaseFile | None, tuple[Finding, ...]]:
    """The cases for a runbook, or what is wrong with their file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        reason = wrong.strerror if isinstance(wrong, OSError) else "not UTF-8"
        return None, (Finding("RB016", Origin(str(path), 1), f"cannot be read: {reason}"),)
    root, findings = read_nodes(text, str(path))
    if root is None:
        return None, findings
    reader = Reader(str(path), "RB016")
    pairs = reader.mapping(root, "test file", _FILE_KEYS)
    named = reader.text(pairs.get("runbook"), "runbook")
    if named != runbook.id:
        reader.wrong(pairs.get("runbook", root), f"runbook: expected {runbook.id}, found {named[:60]!r}")
    crash = reader.text(pairs.get("crash_after"), "crash_after", "none")
    if crash not in ("each", "none"):
        reader.wrong(pairs["crash_after"], "crash_after: expected each or none")
    cases = tuple(_case(item, runbook, reader) for item in reader.items(pairs.get("cases"), "cases"))
    if not cases:
        reader.wrong(root, "cases: none")
    file = CaseFile(named, crash == "each", cases)
    return (None if reader.findings else file), tuple(reader.findings)


def _case(node: Node, runbook: Runbook, reader: Reader) -> Case:
    pairs = reader.mapping(node, "case", _CASE_KEYS)
    name = reader.text(pairs.get("name"), "name", "(no name)")
    outcome = reader.text(pairs.get("outcome"), "outcome") or None
    rejects = reader.text(pairs.get("rejects"), "rejects") or None
    if outcome is not None and outcome not in _OUTCOMES:
        reader.wrong(pairs["outcome"], f"outcome: {outcome[:60]!r} is not one of {', '.join(_OUTCOMES)}")
    if (outcome is None) == (rejects is None):
        reader.wrong(node, f"case {name}: expected either `outcome:` or `rejects:`")
    known = tuple(step.id for step in runbook.steps)
    ran = reader.texts(pairs["ran"], "ran") if "ran" in pairs else None
    sent = _texts(pairs.get("sent"), reader, "sent") if "sent" in pairs else None
    for step_id in (*(ran or ()), *(sent or ())):
        if step_id.partition(":")[2] not in known and step_id not in known:
            reader.wrong(node, f"case {name}: no step {step_id!r}; {nearest(step_id, known)}")
    return Case(
        name=name,
        origin=node.origin,
        params=_texts(pairs.get("params"), reader, "params"),
        labels=_texts(pairs.get("labels"), reader, "labels"),
        answers=_answers(pairs.get("answers"), runbook, reader),
        ran=ran,
        outcome=outcome,
        sent=sent,
        rejects=rejects,
    )


def _texts(node: Node | None, reader: Reader, what: str) -> dict[str, str]:
    return {key: reader.text(value, what) for key, value in reader.mapping(node, what).items()}


def _answers(node: Node | None, runbook: Runbook, reader: Reader) -> dict[str, tuple[object, ...]]:
    out: dict[str, tuple[object, ...]] = {}
    for step_id, value in reader.mapping(node, "answers").items():
        step = runbook.step(step_id)
        if step is None:
            reader.wrong(value, f"answers: no step {step_id!r}; {nearest(step_id, tuple(s.id for s in runbook.steps))}")
            continue
        items = value.value if isinstance(value.value, list) else [value]
        out[step_id] = tuple(_answer(item, step.kind, step.role, reader, step_id) for item in items)
    return out


def _answer(node: Node, kind: Kind, role: Role, reader: Reader, step_id: str) -> object:
    what = f"answers: {step_id}"
    if kind in (Kind.APPROVAL, Kind.MANUAL):
        word = reader.text(node, what)
        if word not in _PEOPLE:
            reader.wrong(node, f"{what}: expected {', '.join(_PEOPLE)}")
        return word
    known = (*_ANSWERS[kind], "fail", "lost", *(("done", "not_done") if role is Role.CHECK else ()))
    pairs = reader.mapping(node, what, known)
    if not pairs:
        reader.wrong(node, f"{what}: expected one of {', '.join(known)}")
    return {key: value.plain() for key, value in pairs.items()}
