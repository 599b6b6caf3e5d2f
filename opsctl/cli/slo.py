"""`opsctl slo ls|show|budget`: what the objectives ask, and what is left of their budgets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import At, Json, Output, chosen_output, past
from opsctl.cli.selection import Services, pick, select
from opsctl.core.slo import Slo
from opsctl.core.windows import format_duration, grid_point
from opsctl.errors import AuthError, ExitCode, UnknownError, UsageError

if TYPE_CHECKING:
    from opsctl.core.memory import BudgetAnswer
    from opsctl.core.rules import BudgetEvidence

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


def _slos(run: Frame, services: list[str] | None) -> list[Slo]:
    found = [rule for rule in select(run.composition, services) if isinstance(rule, Slo)]
    if not found:
        raise UsageError("no SLO matches", hint="`opsctl rule ls` lists all rules")
    return found


def _percent(slo: Slo) -> str:
    return f"{slo.target * 100:.10g} %"


@app.command("ls")
def list_(services: Services = None, output: Output = None, json: Json = False) -> None:
    """List the objectives."""
    from opsctl.render.table import Column, write_rows

    run = frame()
    form = chosen_output(run, output, json)
    found = _slos(run, services)
    if form == "json":
        write_json("slo/ls/v1", {"slos": [definition(slo) for slo in found]})
        return
    columns = [
        Column("slo"),
        Column("service"),
        Column("target", right=True),
        Column("period", right=True),
        Column("severity"),
        Column("burn windows"),
        Column("runbook"),
    ]
    cells = [
        [s.name, s.service, _percent(s), format_duration(s.period), s.severity.value, s.burn.name, s.runbook or ""]
        for s in found
    ]
    write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))


@app.command()
def show(name: str = typer.Argument(..., metavar="SLO"), output: Output = None, json: Json = False) -> None:
    """Show one objective: its windows, thresholds and the expressions it asks."""
    run = frame()
    form = chosen_output(run, output, json)
    slos = tuple(rule for rule in run.composition.rules.rules if isinstance(rule, Slo))
    slo = pick(slos, name, "SLO")
    assert isinstance(slo, Slo)
    if form == "json":
        write_json("slo/show/v1", {"slo": definition(slo)})
        return
    for key, value in _facts(slo):
        sys.stdout.write(f"{key:<12} {value}\n")
    for row in slo.burn.rows:
        limit = row.factor * slo.budget
        clamped = ", raised to 1" if row.clamped else ""
        pair = f"{format_duration(row.long)} and {format_duration(row.short)}"
        sys.stdout.write(
            f"{row.severity.value:<12} over {limit * 100:.4g} % in {pair} (factor {row.factor:.4g}{clamped})\n"
        )
    for row in slo.burn.dropped:
        long = format_duration(row.long)
        sys.stdout.write(f"{'dropped':<12} {row.severity.value} {long}: factor {row.factor:.4g} cannot fire here\n")
    shortest = slo.queries[slo.burn.windows()[0]]
    sys.stdout.write(f"{slo.part + ' events':<12} {shortest.part}\n{'all events':<12} {shortest.total}\n")


def _facts(slo: Slo) -> list[tuple[str, str]]:
    return [
        ("slo", f"{slo.name} (alert {slo.alert_name}, uid {slo.uid})"),
        ("service", f"{slo.service}, team {slo.team}"),
        ("target", f"{_percent(slo)} over {format_duration(slo.period)}"),
        ("no data", slo.on_no_data.value),
        ("no events", slo.on_no_events),
        ("runbook", slo.runbook or "none"),
        ("written in", str(slo.origin)),
    ]


def definition(slo: Slo) -> dict[str, Any]:
    """An objective for JSON; ratios in [0, 1], windows in seconds."""
    return {
        "name": slo.name,
        "uid": slo.uid,
        "alert": slo.alert_name,
        "service": slo.service,
        "team": slo.team,
        "target_ratio": slo.target,
        "period_seconds": int(slo.period.total_seconds()),
        "severity": slo.severity.value,
        "runbook": slo.runbook,
        "origin": str(slo.origin),
        "burn": [
            {
                "severity": row.severity.value,
                "long_seconds": int(row.long.total_seconds()),
                "short_seconds": int(row.short.total_seconds()),
                "factor": row.factor,
                "threshold_ratio": row.factor * slo.budget,
            }
            for row in slo.burn.rows
        ],
        "queries": [
            {
                "window_seconds": int(window.total_seconds()),
                "part": slo.part,
                "part_query": q.part,
                "total_query": q.total,
            }
            for window, q in sorted(slo.queries.items())
        ],
    }


@app.command()
def budget(services: Services = None, at: At = None, output: Output = None, json: Json = False) -> None:
    """Ask afresh what is left of each error budget, least first."""
    from opsctl.core.budget import budget_answer, budget_evidence

    run = frame()
    form = chosen_output(run, output, json)
    composition = run.composition
    clock = composition.clock
    late = composition.context.offsets.metrics
    when = grid_point(past("--at", at, clock.now()) if at is not None else clock.now() - late)
    found: list[tuple[Slo, BudgetAnswer, BudgetEvidence | None]] = []
    auth: list[str] = []
    request = composition.context.limits.request.total_seconds()
    deadline = clock.monotonic() + composition.context.limits.cycle.total_seconds()
    for slo in _slos(run, services):
        query, source = slo.queries[slo.period], composition.sources[slo.signal]
        answers = {
            text: source.instant(text, when, max(0.0, min(request, deadline - clock.monotonic())))
            for text in (query.part, query.total)
        }
        auth += _auth_problems(answers.values())
        answer = budget_answer(slo, when, answers)
        found.append((slo, answer, budget_evidence(slo, answer)))
    found.sort(key=lambda item: (item[2] is not None, item[2].remaining if item[2] else 0.0))
    missing = [slo.name for slo, _, evidence in found if evidence is None]
    run.code = ExitCode.AUTH if auth else ExitCode.UNKNOWN if missing else ExitCode.OK
    if form == "json":
        write_json("slo/budget/v1", {"at": when, "budgets": [_budget_body(*item) for item in found]})
    else:
        _print_budgets(run, found, form)
    composition.close()
    if auth:
        raise AuthError(auth[0])
    if missing:
        raise UnknownError(f"no budget can be told for {len(missing)} of {len(found)} SLOs: {', '.join(missing[:5])}")


def _auth_problems(readings: Any) -> list[str]:
    from opsctl.core.signals import Failed, Reason

    return [f"{r.backend}: {r.message}" for r in readings if isinstance(r, Failed) and r.reason is Reason.AUTH]


def _budget_body(slo: Slo, answer: BudgetAnswer, evidence: BudgetEvidence | None) -> dict[str, Any]:
    return {
        "slo": slo.name,
        "service": slo.service,
        "target_ratio": slo.target,
        "bad": evidence.bad if evidence else None,
        "total": evidence.total if evidence else None,
        "remaining_ratio": evidence.remaining if evidence else None,
        "problem": answer.problem,
    }


def _print_budgets(run: Frame, found: list[tuple[Slo, BudgetAnswer, BudgetEvidence | None]], form: str) -> None:
    from opsctl.render.table import Column, write_rows

    columns = [
        Column("budget left", right=True),
        Column("slo"),
        Column("service"),
        Column("target", right=True),
        Column("bad", right=True),
        Column("of", right=True),
        Column("note", wrap=True),
    ]
    cells = []
    for slo, answer, evidence in found:
        left = f"{evidence.remaining * 100:,.1f} %" if evidence else "? UNKNOWN"
        counts = [f"{evidence.bad:,.0f}", f"{evidence.total:,.0f}"] if evidence else ["", ""]
        cells.append([left, slo.name, slo.service, _percent(slo), *counts, answer.problem or ""])
    write_rows(sys.stdout, columns, cells, table=form == "table", color=run.colored(sys.stdout))
