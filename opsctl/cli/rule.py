"""`opsctl rule ls|eval`: every rule that is loaded, and one rule's verdict with all of its evidence."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import At, Json, Output, chosen_output, past
from opsctl.cli.selection import Services, pick, select
from opsctl.core.slo import Slo
from opsctl.core.windows import format_duration
from opsctl.errors import worst

if TYPE_CHECKING:
    from opsctl.core.rules import Asked, Evidence
    from opsctl.schedule import Once

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command("ls")
def list_(
    services: Services = None,
    server: bool = typer.Option(False, "--server", help="The rules that the server evaluates itself, with its alerts."),
    output: Output = None,
    json: Json = False,
) -> None:
    """List SLOs and alert rules."""
    from opsctl.render.table import Column, write_rows

    run = frame()
    form = chosen_output(run, output, json)
    if server:
        from opsctl.cli.rule_server import print_server_rules

        print_server_rules(run, services or (), form)
        return
    rules = select(run.composition, services)
    rows = [
        {
            "rule": rule.name,
            "kind": "slo" if isinstance(rule, Slo) else "alert",
            "service": rule.service,
            "severity": rule.severity.value,
            "uid": rule.uid,
            "runbook": rule.runbook or "",
            "origin": str(rule.origin),
        }
        for rule in rules
    ]
    if form == "json":
        write_json("rule/ls/v1", {"rules": rows, "notes": list(run.composition.rules.notes)})
        return
    names = ("rule", "kind", "service", "severity", "runbook", "origin")
    columns = [Column(name, wrap=name == "origin") for name in names]
    write_rows(
        sys.stdout,
        columns,
        [[row[n] for n in names] for row in rows],
        table=form == "table",
        color=run.colored(sys.stdout),
    )


@app.command("eval")
def evaluate(
    name: str = typer.Argument(..., metavar="RULE", help="The name or uid of an SLO or an alert rule."),
    at: At = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Evaluate one rule now and show what it was judged from; exits like `opsctl check`."""
    from opsctl.render.check import verdict_body
    from opsctl.schedule import run_once
    from opsctl.views.check import usual_conditions

    run = frame()
    form = chosen_output(run, output, json)
    composition = run.composition
    rule = pick(composition.rules.rules, name, "rule")
    now = composition.clock.now() - getattr(composition.context.offsets, rule.signal)
    when = past("--at", at, composition.clock.now()) if at is not None else now
    once = run_once(composition.world(), (rule,), full=False, notify=False, at=when)
    held = usual_conditions(once.report)
    run.code = int(worst(held))
    if form == "json":
        write_json("rule/eval/v1", {"at": once.report.at, "verdict": verdict_body(once.report.verdicts[0])})
    else:
        _print(run, once)
    composition.close()
    if run.code:
        raise typer.Exit(run.code)


def _print(run: Frame, once: Once) -> None:
    from opsctl.cli.check_output import person
    from opsctl.render.text import clean, clean_block

    person(run, once.report, once.incidents, sys.stdout)
    verdict = once.report.verdicts[0]
    sys.stdout.write("\n")
    _windows(run, verdict.evidence)
    now = [asked for asked in verdict.evidence.asked if asked.since is None]
    for asked in now:
        expression = clean_block(asked.expression.strip()).replace("\n", "\n  ")
        sys.stdout.write(f"  {expression}\n    = {clean(_value(asked))}\n")
    if back := len(verdict.evidence.asked) - len(now):
        sys.stdout.write(f"  and {back} questions about the past, for since when it is so\n")
    for alert in verdict.alerts:
        sys.stdout.write(f"{alert.state.value} {alert.severity.value}: {clean(alert.summary)}\n")
    sys.stdout.write(f"evidence {verdict.evidence.digest}\n")


def _value(asked: Asked) -> str:
    match asked.result:
        case "absent":
            return "absent"
        case "failed":
            return f"failed: {asked.message}"
        case "measured":
            return f"{asked.elements} elements" if asked.value is None else f"{asked.value:.10g}"


def _windows(run: Frame, evidence: Evidence) -> None:
    if not evidence.windows:
        return
    from opsctl.render.table import Column, write_rows

    def shown(value: float | None, form: str = ".4g") -> str:
        return "–" if value is None else format(value, form)

    columns = [Column(n, right=n != "window") for n in ("window", "bad", "of", "ratio", "burn", "limit", "lower bound")]
    cells = [
        [
            format_duration(w.window),
            shown(w.bad, ",.1f"),
            shown(w.total, ",.1f"),
            shown(w.ratio),
            shown(w.burn),
            shown(w.threshold),
            shown(w.lower_bound),
        ]
        for w in evidence.windows
    ]
    write_rows(sys.stdout, columns, cells, table=True, color=run.colored(sys.stdout))
