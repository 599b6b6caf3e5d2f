"""`opsctl status`: one line a service, worst first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from opsctl.cli.frame import frame, write_json
from opsctl.cli.options import At, Json, Output, chosen_output, past
from opsctl.cli.selection import Services, select
from opsctl.errors import ExitCode, worst

if TYPE_CHECKING:
    pass


def status(services: Services = None, at: At = None, output: Output = None, json: Json = False) -> None:
    """Judge now and show one line a service; the exit code is that of `opsctl check`."""
    from opsctl.render.check import footer
    from opsctl.render.table import Column, write_rows
    from opsctl.render.text import clean
    from opsctl.schedule import run_once
    from opsctl.views.check import service_lines, usual_conditions

    run = frame()
    form = chosen_output(run, output, json)
    composition = run.composition
    rules = select(composition, services)
    world = composition.world()
    when = past("--at", at, composition.clock.now()) if at is not None else None

    full = len(rules) == len(composition.rules.rules)
    once = run_once(
        world, rules, full=full, notify=False, at=when, ending=lambda report: worst(usual_conditions(report))
    )
    held = usual_conditions(once.report)
    if once.action_failed:
        held |= {ExitCode.ACTION}
    run.code = int(worst(held))
    rows = service_lines(once.report.verdicts)
    if form == "json":
        services_body = [
            {"service": row.service, "state": row.state.value, "headline": row.headline, "rules": row.rules}
            for row in rows
        ]
        backends = [{"name": b.name, "status": b.status, "error": b.error} for b in once.report.backends]
        write_json("status/v1", {"at": once.report.at, "services": services_body, "backends": backends})
    else:
        columns = [Column("state"), Column("service"), Column("rules", right=True), Column("why", wrap=True, most=300)]
        cells = [
            [row.words if form == "table" else row.state.value, row.service, str(row.rules), row.headline]
            for row in rows
        ]
        write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))
        if form == "table":
            sys.stdout.write(footer(once.report, utc=run.utc) + "\n")
    for backend in once.report.backends:
        if backend.status != "ok":
            run.warn(f"opsctl: {clean(backend.name)}: {clean(backend.error or backend.status)}")
    for problem in once.problems:
        run.warn(f"opsctl: {clean(problem)}")
    composition.close()
    if run.code:
        raise typer.Exit(run.code)
