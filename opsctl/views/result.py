"""What a run of the checks came to, as every format, the exit code and opsctl's own telemetry tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opsctl.core.replay import BackendRecord, SentRecord
from opsctl.errors import ExitCode
from opsctl.views.check import Result, counts

if TYPE_CHECKING:
    from opsctl.files.context import ContextSettings
    from opsctl.schedule import Once, World
    from opsctl.sender import SendReport


def result_of(
    once: Once,
    world: World,
    context: ContextSettings,
    held: frozenset[ExitCode],
    *,
    fail_on: str = "page",
    on_unknown: str = "fail",
    live: bool = True,
) -> Result:
    """The result of a run; `live` says that it looked at the present and is in the journal."""
    report = once.report
    ended = world.clock.now() if live else None
    well = ExitCode.ACTION not in held
    return Result(
        at=report.at,
        verdicts=report.verdicts,
        stale=report.stale,
        backends=tuple(
            BackendRecord(b.name, b.status, b.error, b.took_seconds, b.queries, b.auth_failed, b.signal)
            for b in report.backends
        ),
        took_seconds=report.took_seconds,
        context=context.name,
        namespace=context.namespace,
        held=held,
        incidents=once.incidents,
        problems=(*once.problems, *once.warnings),
        sent=_sent(once.sent) if once.sent is not None else None,
        fail_on=fail_on,
        on_unknown=on_unknown,
        banner=_unsent(once.sent) if once.sent is not None and once.sent.failed else None,
        ended=ended,
        last_success=ended if well or not live else world.journal.last_success(),
    )


def told(once: Once) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How many rules are in each state and what became of events, as opsctl's own telemetry counts them."""
    states = {state.value.lower(): n for state, n in counts(once.report.verdicts).items()}
    sent = _sent(once.sent) if once.sent is not None else None
    return states, {} if sent is None else {name: getattr(sent, name) for name in ("accepted", "left", "dead")}


def _sent(sent: SendReport) -> SentRecord:
    return SentRecord(len(sent.accepted), len(sent.left), len(sent.dead), len(sent.never_delivered))


def _unsent(sent: SendReport) -> str:
    """The banner: a page that nobody got is louder than a resolve that is late."""
    rows = (*sent.left, *sent.dead, *sent.never_delivered)
    if any(row.action == "trigger" for row in rows):
        return "A PAGE DID NOT GET THROUGH: tell the on-call by another way; `opsctl incident ls` shows which"
    return "a resolve or an acknowledgement did not get through; the next run sends it again"
