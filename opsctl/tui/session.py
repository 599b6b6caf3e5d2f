"""A session as a file: one JSON document a line, first what it is of, then every report and every answer.

A report holds the document of `check --evidence`, so that it can be judged again. Must never write a secret, and never
show a recorded answer for another question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal, Union
from zoneinfo import ZoneInfo

import msgspec

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.logs import LogCounts, LogPage
from opsctl.core.replay import Saved, saved_verdict
from opsctl.core.rules import Verdict
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Reason, Vector
from opsctl.core.traces import Edge, Operation, Trace, TracePage
from opsctl.errors import ConfigError, ExitCode, worst
from opsctl.files.evidence import evidence_tree, numbers_in, plain_tree, saved_of
from opsctl.files.text import os_words
from opsctl.ports import Incident
from opsctl.ports.runbooks import RunbookRun
from opsctl.tui.report import Rates, Report
from opsctl.views.alerts import AlertRow
from opsctl.views.changes import Change
from opsctl.views.check import conditions

SCHEMA = "opsctl/session/v1"
LINE_LIMIT_BYTES = 128 * 1024 * 1024
DATA: Mapping[str, Any] = {
    "trace": Trace,
    "traces": TracePage,
    "trace-services": tuple[str, ...],
    "operations": tuple[Operation, ...],
    "dependencies": tuple[Edge, ...],
    "logs": LogPage,
    "log-counts": LogCounts,
    "instant": Vector,
    "range": Matrix,
}
"""What the answer to each kind of question is."""
_TIMES = frozenset({"start", "end", "cursor", "at"})  # of a question: no two are asked at the same time


@dataclass(frozen=True, slots=True)
class Head:
    """The first line: whose session this is, and its catalogue, without which no row has an owner."""

    context: str
    namespace: str
    version: str
    begun: datetime
    catalogue: Catalogue


@dataclass(frozen=True, slots=True)
class Answer:
    """One question that somebody asked, and what came; `question` stands for everything in it but its times."""

    at: datetime
    backend: str
    kind: str
    question: str
    reading: Reading[Any]


Entry = Union[Head, Report, Answer]


def question_of(key: Hashable) -> tuple[str, str]:
    """The kind of a question, and a digest of what it asks for besides times."""
    parts = key if isinstance(key, tuple) else (key,)
    tree = _timeless([plain_tree(part) for part in parts[1:]])
    text = msgspec.json.encode(tree, order="deterministic")
    return str(parts[0]), hashlib.sha256(text).hexdigest()[:16]


def _timeless(node: Any) -> Any:
    match node:
        case dict():
            return {name: _timeless(value) for name, value in node.items() if name not in _TIMES}
        case list():
            return [_timeless(one) for one in node if not _is_time(one)]
        case _:
            return node


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 18 and value[4:5] == "-" and value[10:11] == "T"


# -- writing


def head_line(head: Head) -> bytes:
    """The first line."""
    return _line({"schema": SCHEMA, "head": plain_tree(head)})


def report_line(report: Report, head: Head) -> bytes:
    """A report as a line."""
    held = conditions(report.verdicts, auth_failed=False, fail_on="page", on_unknown="fail")
    saved = Saved(
        at=report.at,
        context=head.context,
        namespace=head.namespace,
        fail_on="page",
        on_unknown="fail",
        exit_code=int(worst(held)),
        conditions=tuple(sorted(ExitCode(code).name.lower() for code in held)),
        verdicts=tuple(map(saved_verdict, report.verdicts)),
        backends=report.backends,
        took_seconds=report.took_seconds,
        stale=report.stale,
        problems=report.problems,
        version=head.version,
    )
    names = ("number", "made", "live", "incidents", "alerts", "rates", "rates_problem", "rates_at", "changes", "runs")
    rest = {name: plain_tree(getattr(report, name)) for name in names}
    return _line({"report": {**rest, "evidence": evidence_tree(saved) if saved.verdicts else None, "at": report.at}})


def answer_line(at: datetime, backend: str, key: Hashable, reading: Reading[Any]) -> bytes:
    """An answer as a line."""
    kind, question = question_of(key)
    body: dict[str, Any] = {"at": at, "backend": backend, "kind": kind, "question": question}
    match reading:
        case Measured():
            came = {"result": "measured", "data": _data(reading.data), "notes": reading.notes}
        case Absent():
            came = {"result": "absent", "notes": reading.notes}
        case Failed():
            partial = None if reading.partial is None else _data(reading.partial)
            came = {"result": "failed", "reason": reading.reason, "message": reading.message, "data": partial}
    return _line({"answer": {**body, **came, "source": reading.backend, "took_seconds": reading.took_seconds}})


def _data(data: Any) -> Any:
    return plain_tree(_whole(data))


def _whole(data: Any) -> Any:
    """Traces with all of their spans: a backend's are made on use, and a reader's are a list."""
    match data:
        case Trace():
            return msgspec.structs.replace(data, spans=tuple(data.spans))
        case TracePage():
            return TracePage(tuple(map(_whole, data.traces)), data.truncated)
        case _:
            return data


def _line(tree: Any) -> bytes:
    return msgspec.json.encode(tree) + b"\n"


# -- reading


class _Report(msgspec.Struct):
    """Everything of a report but what its evidence says."""

    number: int
    at: datetime
    made: datetime
    live: bool
    incidents: tuple[Incident, ...] = ()
    alerts: tuple[AlertRow, ...] = ()
    rates: dict[str, Rates] = {}
    rates_problem: str = ""
    rates_at: datetime | None = None
    changes: tuple[Change, ...] = ()
    runs: tuple[RunbookRun, ...] = ()


class _Answer(msgspec.Struct):
    at: datetime
    backend: str
    kind: str
    question: str
    result: Literal["measured", "absent", "failed"]
    source: str
    took_seconds: float = 0.0
    data: Any = None
    notes: tuple[str, ...] = ()
    reason: Reason = Reason.MALFORMED
    message: str = ""


def read_session(path: Path) -> Iterator[Entry]:
    """What is in a file, in its order, the head first; a last line that was cut short is left out.

    ConfigError names the file and the line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LINE_LIMIT_BYTES), b""), 1):
                if not line.endswith(b"\n") and number > 1:
                    return  # the session ended in the middle of it
                yield _entry(line, str(path), number)
    except OSError as wrong:
        raise ConfigError(str(path), None, f"cannot be read: {os_words(wrong)}") from wrong


def _entry(line: bytes, path: str, number: int) -> Entry:
    try:
        tree = msgspec.json.decode(line)
        if not isinstance(tree, dict):
            raise msgspec.ValidationError("expected an object")
        if number == 1:
            return _head(tree, path)
        if "report" in tree:
            return report_of(tree["report"], f"{path}:{number}")
        return _answer(tree["answer"])
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, AttributeError, ValueError) as wrong:
        raise ConfigError(path, number, f"is no session of {SCHEMA}: {wrong}", hint=_HINT) from None


_HINT = "`opsctl tui --record FILE` writes one"


def _head(tree: dict[str, Any], path: str) -> Head:
    if tree.get("schema") != SCHEMA:
        said = str(tree.get("schema", "no schema"))[:60]
        raise ConfigError(path, 1, f"has {said}, expected {SCHEMA}", hint=_HINT)
    head: Head = _typed(tree["head"], Head)
    return head


def report_of(tree: dict[str, Any], name: str) -> Report:
    """A report from its tree."""
    evidence = tree.pop("evidence", None)
    saved = saved_of(evidence, name) if evidence is not None else None
    rest: _Report = _typed(numbers_in(tree), _Report)
    return Report(
        **{field: getattr(rest, field) for field in _Report.__struct_fields__},
        verdicts=tuple(_verdict(one) for one in saved.verdicts) if saved is not None else (),
        stale=saved.stale if saved is not None else (),
        backends=saved.backends if saved is not None else (),
        took_seconds=saved.took_seconds if saved is not None else 0.0,
        problems=saved.problems if saved is not None else (),
    )


def _verdict(one: Any) -> Verdict:
    return Verdict(
        one.rule, one.outcome, one.headline, one.evidence, one.alerts, one.fresh, one.hides, one.never_had_data
    )


def _answer(tree: dict[str, Any]) -> Answer:
    one: _Answer = _typed(tree, _Answer)
    data = None if one.data is None else _whole(_typed(numbers_in(one.data), DATA[one.kind]))
    reading: Reading[Any]
    match one.result:
        case "measured":
            reading = Measured(data, one.source, one.took_seconds, one.notes)
        case "absent":
            reading = Absent(one.source, one.took_seconds, one.notes)
        case "failed":
            reading = Failed(one.reason, one.message, one.source, data, took_seconds=one.took_seconds)
    return Answer(one.at, one.backend, one.kind, one.question, reading)


def _typed(tree: Any, type_: Any) -> Any:
    return msgspec.convert(tree, type=type_, str_keys=True, dec_hook=_zone)


def _zone(type_: type, value: Any) -> Any:
    if type_ is tzinfo:
        return UTC if value == "UTC" else ZoneInfo(value)
    raise NotImplementedError(f"{type_.__name__} is no part of a session")
