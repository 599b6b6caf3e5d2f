"""`opsctl runbook lint` and `opsctl runbook test`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output
from opsctl.errors import ConfigError, ExitCode
from opsctl.render.text import clean

if TYPE_CHECKING:
    from datetime import date

    from opsctl.files.front_matter import Finding
    from opsctl.lint.runbooks import RuleNames

Paths = Annotated[
    list[Path] | None, typer.Argument(metavar="[PATH]…", help="Files or folders; default those of the context.")
]


def lint(path: Paths = None, output: Output = None, json: Json = False) -> None:
    """Check runbooks: structure, names, variables, scripts."""
    from opsctl.lint.runbooks import lint_files

    run = frame()
    form = chosen_output(run, output, json)
    files = _files(run, path)
    findings = lint_files(files, _rule_names(run, required=not path), _today(run))
    _print_findings(run, files, findings, form)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(ExitCode.FINDING)


def rehearse(path: Paths = None, output: Output = None, json: Json = False) -> None:
    """Play the test cases of runbooks, killing and resuming each at every point."""
    from opsctl.cli.runbook_print import table
    from opsctl.files.runbook_cases import case_file, read_cases
    from opsctl.files.runbooks import read_runbook
    from opsctl.runner.rehearsal import CaseResult, hostile
    from opsctl.runner.rehearsal import rehearse as play

    run = frame()
    form = chosen_output(run, output, json)
    files = _files(run, path)
    results: list[tuple[str, CaseResult]] = []
    for file in files:
        book, found = read_runbook(file)
        cases, more = (None, ()) if book is None else read_cases(case_file(file), book)
        errors = [finding for finding in (*found, *more) if finding.level == "error"]
        if book is None or cases is None or errors:
            said = "; ".join(f"{f.origin}: {f.message}" for f in errors)
            results.append((str(file) if book is None else book.id, CaseResult("(cannot be read)", False, said)))
            continue
        results += [(book.id, play(book, case, cases.crash)) for case in cases.cases]
        results.append((book.id, hostile(book)))
    failed = sum(1 for _, result in results if not result.passed)
    if form == "json":
        rows = [
            {"runbook": name, "case": r.case, "passed": r.passed, "kills": r.kills, "message": r.message}
            for name, r in results
        ]
        write_json("runbook/test/v1", {"cases": len(results), "failed": failed, "results": rows})
    else:
        cells = [("✔ ok" if r.passed else "✖ failed", name, r.case, str(r.kills), r.message) for name, r in results]
        table(run, ("result", "runbook", "case", "kills", "message"), cells, form, wrap="message")
    kills = sum(result.kills for _, result in results)
    run.say(f"{len(files)} runbooks, {len(results)} cases, {failed} failed, {kills} times killed and resumed")
    if failed:
        raise typer.Exit(ExitCode.FINDING)


def _files(run: Frame, paths: list[Path] | None) -> tuple[Path, ...]:
    from opsctl.files.runbooks import runbook_files

    if paths:
        return runbook_files([str(path) for path in paths], Path.cwd())
    context = run.composition.context
    return runbook_files(context.runbooks, context.base)


def _rule_names(run: Frame, *, required: bool) -> RuleNames | None:
    """The alerts of the context; with paths on the command line a context is not needed."""
    from opsctl.lint.runbooks import RuleNames

    try:
        rules = run.composition.rules
    except ConfigError as wrong:
        if required:
            raise
        run.say(f"names of alerts are not checked: {clean(wrong.message)}")
        return None
    named = {slo.alert_name: (slo.runbook, slo.origin) for slo in rules.slos if slo.runbook is not None}
    named |= {
        f"{slo.alert_name} (no data)": (slo.runbook_no_data, slo.origin)
        for slo in rules.slos
        if slo.runbook_no_data is not None
    }
    named |= {rule.name: (rule.runbook, rule.origin) for rule in rules.alerting if rule.runbook is not None}
    alerts = frozenset(slo.alert_name for slo in rules.slos) | frozenset(rule.name for rule in rules.alerting)
    return RuleNames(alerts, named)


def _today(run: Frame) -> date:
    from opsctl.adapters.clock import SystemClock

    return (run.clock or SystemClock()).now().date()


def _print_findings(run: Frame, files: tuple[Path, ...], findings: tuple[Finding, ...], form: str) -> None:
    from opsctl.cli.runbook_print import table

    errors = sum(1 for finding in findings if finding.level == "error")
    if form == "json":
        rows = [
            {"code": f.code, "level": f.level, "path": f.origin.path, "line": f.origin.line, "message": f.message}
            for f in findings
        ]
        write_json("runbook/lint/v1", {"files": len(files), "errors": errors, "findings": rows})
    else:
        glyphs = {"error": "✖ error", "warning": "! warning"}
        cells = [(glyphs[f.level], f.code, str(f.origin), f.message) for f in findings]
        table(run, ("level", "code", "where", "message"), cells, form, wrap="message")
    run.say(f"{len(files)} runbooks, {errors} errors, {len(findings) - errors} warnings")
