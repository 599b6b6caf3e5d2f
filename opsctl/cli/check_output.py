"""Where a check's result goes: one format on stdout, any in files, the evidence, and what went wrong on stderr.

Must never lose a verdict because something cannot be written: that is exit 5, said in one line.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from opsctl.cli.frame import Frame, json_escaped, json_text
from opsctl.cli.streams import whole_unicode
from opsctl.core.frozen import dataclass
from opsctl.errors import ExitCode, UsageError, worst
from opsctl.render.text import clean

if TYPE_CHECKING:
    from opsctl.views.check import Reported, Result

FORMATS = ("table", "plain", "json", "junit", "github", "markdown", "nagios", "openmetrics")


@dataclass(frozen=True, slots=True)
class Target:
    """One document to make; without a file it goes to stdout."""

    form: str
    file: Path | None = None


def targets(run: Frame, outputs: Sequence[str] | None, json: bool, evidence: str | None) -> tuple[Target, ...]:
    """What `-o FORMAT[=FILE]`, `--json` and `--evidence -` ask for; UsageError where two want stdout."""
    wanted = [_target(text) for text in outputs or ()]
    if json and Target("json") not in wanted:
        wanted.append(Target("json"))
    printed = [target.form for target in wanted if target.file is None]
    if evidence == "-":
        printed.append("--evidence -")
    if len(printed) > 1:
        hint = f"give the other a file: -o {[t.form for t in wanted if t.file is None][-1]}=FILE"
        raise UsageError(f"{' and '.join(printed)}: only one can go to stdout", hint=hint)
    if not wanted and not printed:
        wanted.append(Target("table" if run.stdout_is_terminal else "plain"))
    return tuple(wanted)


def _target(text: str) -> Target:
    form, equals, file = text.partition("=")
    if form not in FORMATS:
        raise UsageError(f"--output {text}: expected one of {', '.join(FORMATS)}, or FORMAT=FILE")
    if equals and not file:
        raise UsageError(f"--output {text}: which file?")
    return Target(form, Path(file) if file and file != "-" else None)


def deliver(run: Frame, result: Result, wanted: Sequence[Target], evidence: str | None) -> ExitCode:
    """Save, print, complain; the exit code, which is 5 where something could not be written."""
    lost = _save(result, evidence) if evidence is not None else []
    for target in sorted(wanted, key=lambda target: target.file is None):  # a reader that leaves costs no file
        if target.form == "github":
            _step_summary(run, result)
        if target.file is None:
            document(run, result, target.form, sys.stdout)
        else:
            lost += _write(run, result, target.form, target.file)
    _complain(run, result)
    for line in lost:
        run.warn(f"opsctl: {clean(line)}; the verdict stands: {_summary(result)}")
    return worst(result.held | {ExitCode.ACTION}) if lost else result.code


def _summary(result: Result) -> str:
    from opsctl.views.check import counts

    return ", ".join(f"{n} {state}" for state, n in counts(result.verdicts).items() if n) + f", exit {result.code}"


def _save(result: Result, evidence: str) -> list[str]:
    from opsctl.cli.check_replay import saved_of
    from opsctl.files.evidence import SIZE_LIMIT_BYTES, evidence_document
    from opsctl.files.text import size_words

    try:
        data = evidence_document(saved_of(result))
    except Exception as bug:  # noqa: BLE001  a verdict is worth more than its evidence
        return [f"{evidence} cannot be written: a bug in opsctl: {type(bug).__name__}: {bug}"]
    if evidence == "-":
        sys.stdout.write(json_escaped(data.decode(), whole_unicode(sys.stdout)))
        return []
    lost = _file(Path(evidence), data, private=True)
    if not lost and len(data) > SIZE_LIMIT_BYTES:
        return [
            f"{evidence} is larger than {size_words(SIZE_LIMIT_BYTES)}, and --replay will not read it: name services"
        ]
    return lost


def _write(run: Frame, result: Result, form: str, file: Path) -> list[str]:
    text = io.StringIO()
    document(run, result, form, text)
    return _file(file, text.getvalue().encode("utf-8", "backslashreplace"), private=False)


def _file(path: Path, data: bytes, *, private: bool) -> list[str]:
    from opsctl.files.atomic import write_whole
    from opsctl.files.text import os_words

    try:
        write_whole(path, data, private=private)
    except (OSError, ValueError) as wrong:
        said = os_words(wrong) if isinstance(wrong, OSError) else str(wrong)
        return [f"{path} cannot be written: {said}"]
    return []


def _step_summary(run: Frame, result: Result) -> None:
    """The report of a GitHub step, where this is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    from opsctl.files.text import os_words
    from opsctl.render.markdown import markdown

    try:
        with Path(path).open("ab") as file:
            file.write(markdown(result).encode("utf-8", "backslashreplace"))
    except OSError as wrong:
        run.warn(f"opsctl: GITHUB_STEP_SUMMARY cannot be written: {os_words(wrong)}")


def document(run: Frame, result: Result, form: str, out: TextIO) -> None:
    """One format of the result, as text."""
    match form:
        case "table" | "plain":
            text(run, result, form, out)
        case "json":
            from opsctl.render.check import check_body

            out.write(json_text("check/v1", check_body(result), unicode=whole_unicode(out)))
        case "junit":
            from opsctl.render.junit import junit

            xml = junit(result.verdicts, result.at)
            out.write(xml if whole_unicode(out) else xml.encode("ascii", "xmlcharrefreplace").decode("ascii"))
        case "nagios":
            from opsctl.render.nagios import nagios

            out.write(nagios(result))
        case "github":
            from opsctl.render.github import github

            out.write(github(result, os.environ.get("GITHUB_WORKSPACE") or _here()))
        case "markdown":
            from opsctl.render.markdown import markdown

            out.write(markdown(result))
        case _:
            from importlib.metadata import version

            from opsctl.render.openmetrics import openmetrics

            out.write(openmetrics(result, version("opsctl-cli")))


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def text(run: Frame, result: Result, form: str, out: TextIO) -> None:
    """The table or the plain rows of a check."""
    from opsctl.render.check import plain_rows
    from opsctl.views.check import lines

    if form == "plain":
        from opsctl.render.table import Column, write_rows

        rows = lines(result.verdicts, result.incidents)
        names = ("state", "service", "rule", "severity", "since", "headline", "runbook")
        write_rows(out, [Column(name) for name in names], plain_rows(rows), table=False, color=False)
        return
    person(run, result, result.incidents, out)
    if result.sent is not None and result.sent.accepted:
        told = result.sent.accepted
        out.write(f"sent {told} {'event' if told == 1 else 'events'}\n")


def person(run: Frame, reported: Reported, incidents: Mapping[str, str], out: TextIO) -> None:
    """What a person reads: the rules that do not hold, those that do, and who was asked."""
    from opsctl.render.check import blocks, footer
    from opsctl.views.check import lines

    width = min(shutil.get_terminal_size((100, 40)).columns, 120)
    rows = lines(reported.verdicts, incidents)
    color = out is sys.stdout and run.colored(out)
    for line in blocks(rows, reported.at, utc=run.utc, color=color, width=width):
        out.write(line + "\n")
    out.write(footer(reported, utc=run.utc) + "\n")


def _complain(run: Frame, result: Result) -> None:
    """A line on stderr for each backend and each action."""
    for backend in result.backends:
        if backend.status != "ok":
            run.warn(f"opsctl: {clean(backend.name)}: {clean(backend.error or backend.status)}")
    for problem in result.problems:
        run.warn(f"opsctl: {clean(problem)}")
    if result.banner is not None:
        run.warn(f"opsctl: {clean(result.banner)}")
    unknown = any(v.outcome.value in {"unknown", "no_data", "no_events"} for v in result.verdicts)
    if result.on_unknown == "warn" and unknown:
        run.warn("opsctl: some verdicts are unknown; --on-unknown warn lets this pass")
