"""`opsctl check`: judge the rules and exit with a verdict; with --notify also page. For cron and CI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.check_output import FORMATS, Target, deliver, targets
from opsctl.cli.confirming import changing
from opsctl.cli.frame import Frame, frame
from opsctl.cli.options import At, Json, past
from opsctl.cli.selection import Services, select
from opsctl.errors import ExitCode, UsageError, worst

if TYPE_CHECKING:
    from opsctl.adapters.telemetry import Attributes
    from opsctl.engine import CycleReport
    from opsctl.schedule import Once
    from opsctl.views.check import Result

Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FORMAT[=FILE]",
        help=f"How to print, and where; may be repeated. {', '.join(FORMATS)}.",
    ),
]


def check(
    services: Services = None,
    notify: bool = typer.Option(False, "--notify", help="Record the result and page: the cron line."),
    dry_run: bool = typer.Option(
        False, "-n", "--dry-run", help="With --notify: write nothing, send nothing, print on stderr what would be sent."
    ),
    fail_on: str | None = typer.Option(
        None, "--fail-on", metavar="page|ticket", help="The mildest finding that exits 1; default page."
    ),
    on_unknown: str | None = typer.Option(
        None,
        "--on-unknown",
        metavar="fail|warn|ignore",
        help="What an unknown verdict does: exit 3 (the default), say so, nothing.",
    ),
    at: At = None,
    output: Outputs = None,
    json: Json = False,
    evidence: str | None = typer.Option(
        None, "--evidence", metavar="FILE", help="Save everything that the verdicts were made from; - is stdout."
    ),
    replay: str | None = typer.Option(
        None, "--replay", metavar="FILE", help="Judge saved evidence again and ask nobody; - is stdin."
    ),
    exit_style: str = typer.Option(
        "opsctl", "--exit-style", metavar="opsctl|nagios", help="nagios: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."
    ),
) -> None:
    """Judge every rule, or those of the named services, and exit with the verdict."""
    run = frame()
    _expect("--exit-style", exit_style, ("opsctl", "nagios"))
    _expect("--fail-on", fail_on, ("page", "ticket"))
    _expect("--on-unknown", on_unknown, ("fail", "warn", "ignore"))
    if dry_run and not notify:
        raise UsageError("--dry-run prints what --notify would send: add --notify")
    if notify and not dry_run:
        changing(run, "check --notify, which pages")
    wanted = targets(run, output, json, evidence)
    if replay is not None:
        from opsctl.cli.check_replay import judged_again

        _alone("--replay", notify=notify, at=at, evidence=evidence)
        result = judged_again(run, replay, services, fail_on, on_unknown)
        _end(run, result, wanted)
        return
    if at is not None and notify:
        raise UsageError("--at looks at another time and --notify pages now: leave one of them out")
    if dry_run:
        from opsctl.cli.check_dry import rehearsed

        result = rehearsed(run, lambda: _checked(run, services, True, None, fail_on or "page", on_unknown or "fail"))
    else:
        result = _checked(run, services, notify, at, fail_on or "page", on_unknown or "fail")
    _end(run, result, wanted, evidence)
    run.composition.close()


def _expect(flag: str, word: str | None, known: Sequence[str]) -> None:
    if word is not None and word not in known:
        raise UsageError(f"{flag} {word}: expected {', '.join(known)}")


def _alone(flag: str, *, notify: bool, at: str | None, evidence: str | None) -> None:
    """Refuse what needs the world, beside a flag that asks nobody."""
    for other, given in (("--notify", notify), ("--at", at is not None), ("--evidence", evidence is not None)):
        if given:
            raise UsageError(f"{flag} judges what was saved and asks nobody: leave {other} out")


def _checked(
    run: Frame, services: list[str] | None, notify: bool, at: str | None, fail_on: str, on_unknown: str
) -> Result:
    """Evaluate the rules now, or at another time."""
    from opsctl.schedule import finish, heard, run_once
    from opsctl.views.check import conditions
    from opsctl.views.result import result_of

    composition = run.composition
    when = past("--at", at, composition.clock.now()) if at is not None else None
    chosen = select(composition, services)
    full = len(chosen) == len(composition.rules.rules)
    if notify and not composition.context.sinks():
        raise UsageError(
            f"context {composition.context.name} has no sink: nobody would be told",
            hint="add [contexts.NAME.pagerduty], or leave --notify out",
        )
    world = composition.world()

    def found(report: CycleReport) -> frozenset[ExitCode]:
        return conditions(report.verdicts, auth_failed=report.auth_failed, fail_on=fail_on, on_unknown=on_unknown)

    doing = f"judging {len(chosen):,} {'rule' if len(chosen) == 1 else 'rules'}" + (
        ", telling the sinks" if notify else ""
    )
    with run.waiting(doing), run.phase("opsctl cycle", rules=len(chosen), context=composition.context.name) as note:
        once = run_once(world, chosen, full=full, notify=notify, at=when, ending=lambda report: worst(found(report)))
        _observe(run, once, note)
    held = found(once.report)
    if once.action_failed:
        held |= {ExitCode.ACTION}
    finish(world, once, worst(held))
    run.once_printed.append(lambda: heard(world.journal, once))
    live, context = when is None, composition.context
    return result_of(once, world, context, held, fail_on=fail_on, on_unknown=on_unknown, live=live)


def _observe(run: Frame, once: Once, note: Callable[[Attributes], None]) -> None:
    """What opsctl's own telemetry says of a cycle."""
    if run.telemetry is None:
        return
    from opsctl.views.result import told

    states, events = told(once)
    note({f"opsctl.rules.{state}": n for state, n in states.items()})
    run.telemetry.cycle(once.report.took_seconds, states, events)


def _end(run: Frame, result: Result, wanted: Sequence[Target], evidence: str | None = None) -> None:
    """Print and save; what cannot be written is exit 5, and takes no verdict with it."""
    run.code, run.warned = int(result.code), result.warned
    code = deliver(run, result, wanted, evidence)
    for done in run.once_printed:
        done()
    run.code = int(code)
    if code:
        raise typer.Exit(int(code))
