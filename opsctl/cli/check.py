"""`opsctl check`: judge the rules and exit with a verdict; with --notify also page. For cron and CI."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import At, Json, Output, chosen_output, past
from opsctl.cli.selection import Services, select
from opsctl.cli.streams import whole_unicode
from opsctl.errors import ExitCode, UsageError, worst

if TYPE_CHECKING:
    from opsctl.engine import CycleReport
    from opsctl.schedule import Once
    from opsctl.sender import SendReport

FORMATS = ("table", "plain", "json", "junit")


def check(
    services: Services = None,
    notify: bool = typer.Option(False, "--notify", help="Record the result and page: the cron line."),
    fail_on: str = typer.Option("page", "--fail-on", metavar="page|ticket", help="The mildest finding that exits 1."),
    on_unknown: str = typer.Option(
        "fail",
        "--on-unknown",
        metavar="fail|warn|ignore",
        help="What an unknown verdict does: exit 3, say so, nothing.",
    ),
    at: At = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Judge every rule, or those of the named services, and exit with the verdict."""
    run = frame()
    form = chosen_output(run, output, json, FORMATS)
    _expect("--fail-on", fail_on, ("page", "ticket"))
    _expect("--on-unknown", on_unknown, ("fail", "warn", "ignore"))
    if at is not None and notify:
        raise UsageError("--at looks at another time and --notify pages now: leave one of them out")
    from opsctl.schedule import finish, run_once
    from opsctl.views.check import conditions

    composition = run.composition
    when = past("--at", at, composition.clock.now()) if at is not None else None
    chosen = select(composition, services)
    full = len(chosen) == len(composition.rules.rules)
    if notify and not composition.pagers:
        raise UsageError(
            f"context {composition.context.name} has no pager: nobody would be told",
            hint="add [contexts.NAME.pagerduty], or leave --notify out",
        )
    world = composition.world()

    def found(report: CycleReport) -> frozenset[ExitCode]:
        return conditions(report.verdicts, auth_failed=report.auth_failed, fail_on=fail_on, on_unknown=on_unknown)

    once = run_once(world, chosen, full=full, notify=notify, at=when, ending=lambda report: worst(found(report)))
    held = found(once.report)
    if once.action_failed:
        held |= {ExitCode.ACTION}
    code = worst(held)
    finish(world, once, code)
    run.code = int(code)
    emit(run, once, form, held, on_unknown=on_unknown)
    composition.close()
    if code:
        raise typer.Exit(int(code))


def _expect(flag: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise UsageError(f"{flag} {word}: expected {', '.join(known)}")


def emit(run: Frame, once: Once, form: str, held: frozenset[ExitCode], *, on_unknown: str) -> None:
    """Print the result on stdout and what went wrong on stderr, a line for each backend and each action."""
    report = once.report
    if form == "json":
        write_json("check/v1", body(run, once, held))
    elif form == "junit":
        from opsctl.render.junit import junit

        document = junit(report.verdicts, report.at)
        if not whole_unicode(sys.stdout):
            document = document.encode("ascii", "xmlcharrefreplace").decode("ascii")
        sys.stdout.write(document)
    else:
        text(run, once, form)
    for backend in report.backends:
        if backend.status != "ok":
            run.warn(f"opsctl: {_one(backend.name)}: {_one(backend.error or backend.status)}")
    for problem in once.problems:
        run.warn(f"opsctl: {_one(problem)}")
    if once.sent is not None and once.sent.failed:
        run.warn(f"opsctl: {_unsent(once.sent)}")
    if on_unknown == "warn" and any(v.outcome.value in {"unknown", "no_data", "no_events"} for v in report.verdicts):
        run.warn("opsctl: some verdicts are unknown; --on-unknown warn lets this pass")


def _unsent(sent: SendReport) -> str:
    """The banner: a page that nobody got is louder than a resolve that is late."""
    rows = (*sent.left, *sent.dead, *sent.never_delivered)
    if any(row.action == "trigger" for row in rows):
        return "A PAGE DID NOT GET THROUGH: tell the on-call by another way; `opsctl incident ls` shows which"
    return "a resolve or an acknowledgement did not get through; the next run sends it again"


def _one(line: str) -> str:
    from opsctl.render.text import clean

    return clean(line)


def text(run: Frame, once: Once, form: str) -> None:
    """The table or the plain rows of a check."""
    from opsctl.render.check import plain_rows
    from opsctl.views.check import lines

    if form == "plain":
        from opsctl.render.table import Column, write_rows

        rows = lines(once.report.verdicts, once.incidents)
        names = ("state", "service", "rule", "severity", "since", "headline", "runbook")
        write_rows(sys.stdout, [Column(name) for name in names], plain_rows(rows), table=False, color=False)
        return
    print_blocks(run, once)
    if once.sent is not None and once.sent.accepted:
        told = len(once.sent.accepted)
        sys.stdout.write(f"told PagerDuty: {told} {'event' if told == 1 else 'events'}\n")


def print_blocks(run: Frame, once: Once) -> None:
    """What a person reads: the rules that do not hold, those that do, and who was asked."""
    from opsctl.render.check import blocks, footer
    from opsctl.views.check import lines

    report = once.report
    width = min(shutil.get_terminal_size((100, 40)).columns, 120)
    rows = lines(report.verdicts, once.incidents)
    for line in blocks(rows, report.at, utc=run.utc, color=run.colored(sys.stdout), width=width):
        sys.stdout.write(line + "\n")
    sys.stdout.write(footer(report, utc=run.utc) + "\n")


def body(run: Frame, once: Once, held: frozenset[ExitCode]) -> dict[str, Any]:
    """The JSON document of a check; every condition that held is in `conditions`."""
    from opsctl.render.check import alert_body, verdict_body
    from opsctl.views.check import counts, lines

    report = once.report
    sent = once.sent
    return {
        "at": report.at,
        "context": run.composition.context.name,
        "namespace": run.composition.context.namespace,
        "exit_code": int(worst(held)),
        "conditions": sorted(code.name.lower() for code in held),
        "partial": any(backend.status != "ok" for backend in report.backends),
        "summary": {state.value: n for state, n in counts(report.verdicts).items()},
        "backends": [
            {
                "name": backend.name,
                "status": backend.status,
                "error": _one(backend.error) if backend.error else None,
                "took_seconds": round(backend.took_seconds, 3),
                "queries": backend.queries,
            }
            for backend in report.backends
        ],
        "verdicts": [verdict_body(verdict) for verdict in report.verdicts],
        "stale": [alert_body(alert) for alert in report.stale],
        "runbooks": {row.rule: row.runbook for row in lines(report.verdicts, once.incidents) if row.runbook},
        "incidents": dict(once.incidents),
        "sent": None
        if sent is None
        else {
            "accepted": len(sent.accepted),
            "left": len(sent.left),
            "dead": len(sent.dead),
            "never_delivered": len(sent.never_delivered),
        },
        "problems": [_one(problem) for problem in once.problems],
    }
