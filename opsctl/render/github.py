"""A check as GitHub Actions reads it: a workflow command for each rule that does not hold, and one for the sum.

Must never let text from outside end a command or begin another one.
"""

from __future__ import annotations

from pathlib import PurePath

from opsctl.core.rules import State, Verdict, state_of
from opsctl.errors import ExitCode
from opsctl.render.text import clean
from opsctl.views.check import Result, counts, judged_as
from opsctl.views.words import WORST_FIRST

_VALUE = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY = {**_VALUE, ":": "%3A", ",": "%2C"}


def github(result: Result, root: str) -> str:
    """`::error file=…,line=…,title=…::headline`; rules of files outside `root`, the workspace, have no file."""
    shown = [verdict for verdict in result.verdicts if state_of(verdict) is not State.OK]
    ranked = sorted(shown, key=lambda v: (WORST_FIRST.index(state_of(v)), v.rule.service, v.rule.name))
    out = [_command(result, verdict, root) for verdict in ranked]
    for backend in result.backends:
        if backend.status != "ok":
            level = "error" if result.on_unknown == "fail" else "warning"
            out.append(_line(level, {"title": backend.name}, backend.error or backend.status))
    out += [_line("error", {"title": "opsctl"}, problem) for problem in result.problems]
    numbers = ", ".join(f"{n} {state}" for state, n in counts(result.verdicts).items())
    out.append(_line("notice", {"title": "opsctl check"}, f"{numbers}; exit {int(result.code)}"))
    return "\n".join(out) + "\n"


def _command(result: Result, verdict: Verdict, root: str) -> str:
    rule = verdict.rule
    level = "warning" if judged_as(result, verdict) is ExitCode.OK else "error"
    title = f"{state_of(verdict)} {rule.service or '-'} / {rule.name}"
    place = _inside(rule.origin.path, root)
    where = {"file": place, "line": str(rule.origin.line)} if place is not None else {}
    return _line(level, {**where, "title": title}, verdict.headline)


def _inside(path: str, root: str) -> str | None:
    """The path as the workspace has it; None for one outside of it, where no annotation can be shown."""
    pure = PurePath(path)
    if not pure.is_absolute():
        return path
    return pure.relative_to(root).as_posix() if pure.is_relative_to(root) else None


def _line(level: str, properties: dict[str, str], message: str) -> str:
    shown = ",".join(f"{name}={_escaped(clean(value), _PROPERTY)}" for name, value in properties.items())
    return f"::{level} {shown}::{_escaped(clean(message), _VALUE)}"


def _escaped(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(ch, ch) for ch in text)
