"""`opsctl oncall show`: who is called now, or at another time, for each service, team or routing key."""

from __future__ import annotations

import difflib
import fnmatch
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output, moment, timeout_seconds
from opsctl.errors import AuthError, ExitCode, UnknownError, UsageError

if TYPE_CHECKING:
    from opsctl.files.context import PagerDuty
    from opsctl.ports.account import Account, Duty, OnCall, OnCalls

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
_SECONDS = 10.0


@app.callback()
def main() -> None:
    """On-calls, as PagerDuty has them."""


@app.command(short_help="Show who is on call, and until when.")
def show(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SERVICE|TEAM]...", help="Names or globs; default: every routing key."),
    ] = None,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="RFC 3339, unix seconds, or a duration ago.")] = "now",
    timeout: Annotated[
        str | None, typer.Option("--timeout", help="For everything together, such as 5s; default 10s.")
    ] = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Show who is on call, level 1 first, until when, and where to reach them; exit 1 where nobody is."""
    run = frame()
    form = chosen_output(run, output, json)
    when = moment("--at", at, run.composition.clock.now())
    pagerduty, account = _account(run)
    wanted = _wanted(run, pagerduty, names or [])
    with run.waiting("asking PagerDuty"):
        found = _asked(account, list(dict.fromkeys(wanted.values())), when, timeout)
    nobody = [duty.key for duty in found.duties if duty.service and not any(one.level == 1 for one in duty.people)]
    run.code = int(ExitCode.FINDING if nobody else ExitCode.OK)
    if form == "json":
        write_json("oncall/show/v1", _document(found, wanted))
    else:
        _print(run, found, wanted, form)
    for key in nobody:
        run.warn(_clean(f"opsctl: nobody is on call at level 1 for routing key {key}"))
    raise typer.Exit(run.code)


def _account(run: Frame) -> tuple[PagerDuty, Account]:
    context = run.composition.context
    account = run.composition.account()
    if account is None or context.pagerduty is None:
        raise UsageError(
            f"who is on call is read from PagerDuty's REST API, and contexts.{context.name}.pagerduty.rest is not set",
            hint='rest = { token_file = "…", from = "you@example.com" }',
        )
    return context.pagerduty, account


def _asked(account: Account, keys: Sequence[str], when: datetime, timeout: str | None) -> OnCalls:
    try:
        found = account.on_call(keys, when, timeout_seconds(timeout) if timeout is not None else _SECONDS)
    finally:
        account.close()
    if found.problem is not None:
        raise (AuthError if found.refused else UnknownError)(f"{account.name}: {found.problem}")
    return found


def _wanted(run: Frame, pagerduty: PagerDuty, names: Sequence[str]) -> dict[str, str]:
    """Name → routing key's name: of services and teams, or every routing key under its own name."""
    keys = pagerduty.routing_keys
    if not names:
        return {key: key for key in keys}
    services = run.composition.catalogue.services
    known = {name: service.team for name, service in services.items()}
    known |= {team: team for team in sorted({service.team for service in services.values() if service.team})}
    known |= {key: key for key in keys}
    wanted: dict[str, str] = {}
    for word in names:
        found = fnmatch.filter(known, word)
        if not found:
            near = difflib.get_close_matches(word, list(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"teams with a key of their own: {', '.join(keys)}"
            raise UsageError(f"no such service or team: {word}", hint=hint)
        wanted |= {name: known[name] if known[name] in keys else "default" for name in found}
    return wanted


def _document(found: OnCalls, wanted: dict[str, str]) -> dict[str, Any]:
    duties = [
        {
            "routing_key": duty.key,
            "asked_for": _names(wanted, duty.key),
            "service": duty.service or None,
            "escalation_policy": {"name": duty.policy, "url": duty.policy_url} if duty.policy else None,
            "on_call": [_person(one) for one in duty.people],
        }
        for duty in found.duties
    ]
    return {"at": found.at, "source": "pagerduty", "duties": duties}


def _person(one: OnCall) -> dict[str, Any]:
    return {
        "level": one.level,
        "name": one.person,
        "url": one.url or None,
        "schedule": one.schedule or None,
        "from": one.starts,
        "until": one.ends,
    }


def _names(wanted: dict[str, str], key: str) -> list[str]:
    return [name for name, own in wanted.items() if own == key]


def _print(run: Frame, found: OnCalls, wanted: dict[str, str], form: str) -> None:
    from opsctl.cli.incident import time_writer
    from opsctl.render.table import Column, write_rows

    columns = [Column("for"), Column("level", right=True), Column("on call"), Column("until"), Column("schedule")]
    columns += [Column("policy"), Column("reach", wrap=True)]
    when = time_writer(run)
    rows = [row for duty in found.duties for row in _rows(duty, _names(wanted, duty.key), when)]
    write_rows(sys.stdout, columns, rows, table=form == "table", color=run.colored(sys.stdout))


def _rows(duty: Duty, names: Iterable[str], when: Callable[[datetime], str]) -> Iterable[list[str]]:
    name = ", ".join(names)
    if not duty.service:
        yield [name, "", "? not known", "", "", "", "no service of PagerDuty has this routing key"]
    elif not any(one.level == 1 for one in duty.people):
        yield [name, "1", "✖ nobody", "", "", duty.policy, duty.policy_url]
    for one in duty.people:
        until = when(one.ends) if one.ends else "always"
        yield [name, str(one.level), one.person, until, one.schedule, duty.policy, one.url]


def _clean(text: str) -> str:
    from opsctl.render.text import clean

    return clean(text)
