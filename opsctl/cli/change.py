"""`opsctl change send`: tells PagerDuty of a deployment or another change. Such an event opens nothing, wakes nobody.

It has no dedup key, so a repeat would be a second one: exactly one request is made, and who calls decides on another.
The journal remembers the last change of each service, whatever PagerDuty says: the board shows it.
"""

from __future__ import annotations

import difflib
import json as json_
import socket
import sys
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from opsctl.cli.confirming import DryRun, changing, who
from opsctl.cli.frame import Frame, frame
from opsctl.errors import ActionError, UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
_SECONDS = 10.0


@app.callback()
def main() -> None:
    """Changes, shown beside incidents in PagerDuty."""


@app.command(short_help="Tell PagerDuty of a change.")
def send(
    summary: Annotated[str, typer.Argument(metavar="SUMMARY", help="What changed, in one line.")],
    service: Annotated[str, typer.Option("--service", "-s", metavar="SERVICE", help="The service that changed.")],
    link: Annotated[
        list[str] | None, typer.Option("--link", metavar="URL", help="Where to read more; may be repeated.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", help="What tells of it; default: this host.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Tell PagerDuty of a change, such as a deployment; exit 5 when it is not accepted."""
    from opsctl.render.text import clean

    run = frame()
    if not dry_run:
        changing(run, "telling PagerDuty of a change")
    team = _team(run, service)
    body = _event(run, summary, service, link or [], source)
    sink = run.composition.change_events()
    if sink is None:
        raise UsageError(
            f"context {run.composition.context.name} has no contexts.{run.composition.context.name}.pagerduty"
        )
    if dry_run:
        sys.stdout.write(clean(f"would send to pagerduty/{team or 'default'}: {json_.dumps(body)}") + "\n")
        return
    try:
        with run.waiting("telling PagerDuty"):
            delivery = sink.change(team, body, _SECONDS)
    finally:
        sink.close()
    _remember(run, service, body["payload"]["summary"])
    if delivery.outcome != "accepted":
        hint = "repeat it, or go on without" if delivery.outcome == "retry" else None
        raise ActionError(f"the change was not accepted: {delivery.message}", hint=hint)
    sys.stdout.write(clean(f"told PagerDuty of a change of {service}: {body['payload']['summary']}") + "\n")


def _remember(run: Frame, service: str, summary: str) -> None:
    """In the journal, for the board; where that cannot be, who reads stderr is told, and the change went out."""
    from opsctl.errors import OpsctlError
    from opsctl.render.text import clean
    from opsctl.views.changes import Change, fact_of

    try:
        journal = run.composition.journal()
        journal.remember([fact_of(Change(run.composition.clock.now(), service, summary, who()))])
        problem = journal.problem
    except OpsctlError as wrong:
        problem = str(wrong)
    if problem:
        sys.stderr.write(clean(f"the board does not show this change: {problem}") + "\n")


def _team(run: Frame, service: str) -> str:
    known = run.composition.catalogue.services
    found = known.get(service)
    if found is None:
        near = difflib.get_close_matches(service, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`opsctl service ls` lists them"
        raise UsageError(f"no such service: {service}", hint=hint)
    return found.team


def _event(run: Frame, summary: str, service: str, links: list[str], source: str | None) -> dict[str, Any]:
    """In the form of a change event of Events v2."""
    from opsctl.core.events import SUMMARY_CHARACTERS, clip

    words = " ".join(summary.split())
    if not words:
        raise UsageError("SUMMARY is empty")
    payload = {
        "summary": clip(words, SUMMARY_CHARACTERS),
        "source": clip(source or socket.gethostname(), SUMMARY_CHARACTERS),
        "timestamp": run.composition.clock.now().isoformat(timespec="seconds"),
        "custom_details": {"service": service, "namespace": run.composition.context.namespace, "by": who()},
    }
    return {"payload": payload, "links": [{"href": _web(one)} for one in links]} if links else {"payload": payload}


def _web(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("https", "http") or not parts.hostname or not url.isprintable() or " " in url:
        raise UsageError(f"--link {url}: expected an address like https://HOST/PATH")
    return url
