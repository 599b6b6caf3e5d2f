"""`runbook lint`: everything the loader finds, and what needs rules, bash or shellcheck to be found.

Scripts are given to `bash -n` and shellcheck, which read and do not run them. Must never run a step.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

from opsctl.core.binding import environment_name, variables
from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import Runbook, Script, Step
from opsctl.core.slo import Origin
from opsctl.files.front_matter import Finding, nearest
from opsctl.files.runbook_cases import case_file, read_cases
from opsctl.files.runbooks import read_runbook

_SECONDS = 20
# Places where bash takes the text of a variable for code: arithmetic, [[ -gt ]], indexes, eval, a second shell.
_DANGEROUS = (
    (
        re.compile(r"\[\[[^\]]*?-(?:eq|ne|lt|le|gt|ge)\b[^\]]*\]\]"),
        "[[ … -gt … ]] runs code that is in its operands: use [ … -gt … ]",
    ),
    (re.compile(r"\$?\(\([^)]*\)\)|\$\[[^\]]*\]"), "arithmetic runs code that is in a variable"),
    (re.compile(r"\b(?:let|declare|typeset|local\s+-i|eval|source)\b[^\n;|&]*"), "this runs a variable's text as code"),
    (re.compile(r"\b(?:ba|z|k|da)?sh\s+-[a-z]*c\b[^\n]*"), "a second shell runs a variable's text as code"),
    (re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\[[^\]]*\]"), "an index is arithmetic, and that runs code in a variable"),
    (re.compile(r"\btest\s+-v\b[^\n;]*|\[\[?\s+-v\b[^\]]*\]"), "-v runs code that is in an index"),
)
_OURS = re.compile(r"\$?\{?OPS_[A-Z0-9_]+")
_UNQUOTED = re.compile(r"(?<![\"\w])\$\{?OPS_[A-Z0-9_]+")


@dataclass(frozen=True, slots=True)
class RuleNames:
    """The alerts that there are, and the runbook that each names itself."""

    alerts: frozenset[str]
    runbooks: Mapping[str, tuple[str, Origin]]  # alert -> runbook id and where that is written


def lint_files(paths: Sequence[Path], rules: RuleNames | None, today: date) -> tuple[Finding, ...]:
    """Everything wrong with these runbooks; without `rules`, names of alerts are not looked at."""
    findings: list[Finding] = []
    runbooks: dict[str, Runbook] = {}
    broken = False
    for path in paths:
        runbook, found = read_runbook(path)
        findings += found
        if runbook is None:
            broken = True
            continue
        if runbook.id in runbooks:
            findings.append(
                Finding("RB005", runbook.origin, f"runbook {runbook.id} is also in {runbooks[runbook.id].origin}")
            )
        runbooks[runbook.id] = runbook
        findings += lint_runbook(runbook, path, today)
    if rules is not None:
        findings += _rule_names(tuple(runbooks.values()), rules, broken)
    return tuple(sorted(findings, key=lambda f: (f.origin.path, f.origin.line, f.code)))


def lint_runbook(runbook: Runbook, path: Path, today: date) -> Iterator[Finding]:
    """What a runbook that loads may still have wrong."""
    if runbook.review_by is None:
        yield Finding("RB017", runbook.origin, "no `review_by:`: nobody will notice when it is out of date", "warning")
    elif runbook.review_by < today:
        yield Finding("RB017", runbook.origin, f"it was to be reviewed by {runbook.review_by}", "warning")
    tests = case_file(path)
    if not tests.is_file():
        yield Finding("RB016", runbook.origin, f"no test file {tests.name} beside it")
    else:
        yield from read_cases(tests, runbook)[1]
    yield from _unused(runbook)
    for step in runbook.steps:
        if isinstance(step.body, Script):
            yield from _script(runbook, step, step.body.text)


def _unused(runbook: Runbook) -> Iterator[Finding]:
    used: set[str] = set()
    for step in runbook.steps:
        used |= variables(step)
        used |= set(re.findall(r"[a-z][a-z0-9_]*", step.expect_text))
        if isinstance(step.body, Script):
            used |= {param.name for param in runbook.params if environment_name(param.name) in step.body.text}
    for param in runbook.params:
        if param.name not in used:
            yield Finding("RB019", param.origin, f"parameter {param.name} is not used", "warning")


def _script(runbook: Runbook, step: Step, text: str) -> Iterator[Finding]:
    code = re.sub(r"(?m)(^|\s)#[^\n]*", lambda m: m[1] + " " * (len(m[0]) - len(m[1])), text)
    yield from _injections(step, code)
    yield from _names(runbook, step, code)
    yield from _bash(step, text)
    yield from _shellcheck(step, text)


def _at(step: Step, text: str, offset: int) -> Origin:
    return Origin(step.origin.path, step.line + text[:offset].count("\n"))


def _injections(step: Step, code: str) -> Iterator[Finding]:
    """Where the text of an `OPS_` variable would be run."""
    for pattern, why in _DANGEROUS:
        for match in pattern.finditer(code):
            if _OURS.search(match[0]):
                where = _at(step, code, match.start())
                yield Finding("RB013", where, f"step {step.id}: {match[0].strip()[:60]!r}: {why}")
    for match in _UNQUOTED.finditer(code):
        where = _at(step, code, match.start())
        yield Finding("RB013", where, f"step {step.id}: {match[0]}: write it in double quotes")


def _names(runbook: Runbook, step: Step, code: str) -> Iterator[Finding]:
    """Variables that no parameter, capture or secret stands behind."""
    names = [param.name for param in runbook.params] + [name for other in runbook.steps for name, _ in other.capture]
    known = {environment_name(name) for name in (*names, *step.secrets, "run.id", "step.id")}
    for match in re.finditer(r"\bOPS_[A-Z0-9_]+", code):
        if match[0] not in known:
            where = _at(step, code, match.start())
            yield Finding("RB008", where, f"step {step.id}: no value {match[0]}; {nearest(match[0], sorted(known))}")
    for name in names:
        for match in re.finditer(r"\$\{" + re.escape(name) + r"\}", code):
            shown = f'"${environment_name(name)}"'
            where = _at(step, code, match.start())
            yield Finding("RB008", where, f"step {step.id}: nothing is substituted in bash: write {shown}")


def _bash(step: Step, text: str) -> Iterator[Finding]:
    bash = shutil.which("bash")
    if bash is None:
        return
    done = _run([bash, "--noprofile", "--norc", "-n"], text)
    for line in done.stderr.splitlines() if done is not None and done.returncode else ():
        match = re.search(r"line (\d+): (.*)", line)
        number, message = (int(match[1]), match[2]) if match is not None else (1, line)
        yield Finding(
            "RB011", Origin(step.origin.path, step.line + number - 1), f"step {step.id}: bash -n: {message[:200]}"
        )
        return


def _shellcheck(step: Step, text: str) -> Iterator[Finding]:
    program = shutil.which("shellcheck")
    if program is None:
        return
    done = _run([program, "--shell=bash", "--format=json", "--severity=warning", "-"], text)
    try:
        found = json.loads(done.stdout) if done is not None else []
    except ValueError:
        return
    for item in found:
        origin = Origin(step.origin.path, step.line + int(item["line"]) - 1)
        yield Finding("RB012", origin, f"step {step.id}: SC{item['code']}: {str(item['message'])[:200]}")


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _rule_names(runbooks: Collection[Runbook], rules: RuleNames, broken: bool) -> Iterator[Finding]:
    """Triggers name alerts that there are; alerts name runbooks that there are."""
    for runbook in runbooks:
        for trigger in runbook.triggers:
            if trigger.alert not in rules.alerts:
                near = nearest(trigger.alert, sorted(rules.alerts)) if rules.alerts else "no rule is loaded"
                yield Finding("RB014", trigger.origin, f"trigger: no rule makes the alert {trigger.alert!r}; {near}")
    ids = {runbook.id for runbook in runbooks}
    for alert, (named, origin) in sorted(rules.runbooks.items()):
        if named not in ids and not broken:
            yield Finding("RB015", origin, f"{alert} names the runbook {named!r}; {nearest(named, sorted(ids))}")
