"""`opsctl doctor`: is opsctl itself fit? One line a check, what it found and what to do."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Timeout, duration, timeout_seconds
from opsctl.core.rules import State
from opsctl.errors import worst

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.cli.doctor_checks import Finding


def doctor(
    max_age: str | None = typer.Option(
        None, "--max-age", help="Exit 3 when the last whole run is older, such as 5m: for a second cron."
    ),
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Check backends, clocks, secrets, files, state folder and journal; exit 0 when nothing but warnings is found."""
    from opsctl.cli.doctor_checks import examine

    run = frame()
    age = duration("--max-age", max_age) if max_age is not None else None
    limit = run.composition.context.limits.request
    seconds = timeout_seconds(timeout) if timeout is not None else limit.total_seconds()
    findings = examine(run.composition, os.environ, seconds, age)
    code = worst(frozenset(finding.code for finding in findings))
    run.code = int(code)
    if json:
        _write_json(run, findings, int(code))
    else:
        _write(run, findings)
    raise typer.Exit(code)


def _write(run: Frame, findings: Sequence[Finding]) -> None:
    from opsctl.render.paint import paint
    from opsctl.render.text import clean
    from opsctl.views.words import GLYPHS

    color = run.colored(sys.stdout)
    for finding in findings:
        if run.quiet and finding.state is State.OK:
            continue
        words = f"{GLYPHS[finding.state]} {finding.state.value}"
        todo = f" — {finding.todo}" if finding.todo else ""
        head = paint(words, finding.state, color) + " " * (11 - len(words))
        sys.stdout.write(f"{head}{clean(f'{finding.name}: {finding.what}{todo}')}\n")


def _write_json(run: Frame, findings: Sequence[Finding], code: int) -> None:
    context = run.composition.context
    checks = [
        {"name": f.name, "state": f.state.value, "what": f.what, "todo": f.todo or None, "exit_code": int(f.code)}
        for f in findings
    ]
    body = {"context": context.name, "namespace": context.namespace, "exit_code": code, "checks": checks}
    write_json("doctor/v1", body)
