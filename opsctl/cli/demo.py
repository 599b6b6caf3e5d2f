"""`opsctl demo`: five acts on a simulated platform, told with the code of `check --notify` and `runbook run`.

Only the clock, the source and the pager's address differ from a real run. It writes to a temporary folder and talks to
loopback only.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from opsctl.cli.frame import frame
from opsctl.core.rules import State
from opsctl.core.runbooks import Kind
from opsctl.errors import ActionError, UsageError

if TYPE_CHECKING:
    from opsctl.cli.demo_world import Stage
    from opsctl.core.alerts import Alert
    from opsctl.demo.faults import Fault
    from opsctl.ports.runbooks import Question
    from opsctl.runner import Event
    from opsctl.views.check import Line

PATIENCE = timedelta(minutes=60)
WIDTH = 80


def demo(
    fault: str = typer.Option(
        "promo-surge", "--fault", metavar="NAME", help="Which fault to show; a wrong name lists them."
    ),
    seed: int = typer.Option(7, "--seed", metavar="N", help="Same seed, same story."),
    live: bool = typer.Option(False, "--live", help="No story: run the platform on the wall clock for your servers."),
    otlp: str | None = typer.Option(None, "--otlp", metavar="URL", help="With --live: send spans here (OTLP, HTTP)."),
    elasticsearch: str | None = typer.Option(
        None, "--elasticsearch", metavar="URL", help="With --live: send log lines here."
    ),
    port: int = typer.Option(
        0, "--port", min=0, max=65535, help="With --live: of /metrics on loopback; 0: a free one."
    ),
    tui: bool = typer.Option(
        False, "--tui", help="No story: open the board on the platform, with the fault under way."
    ),
    speed: float | None = typer.Option(
        None,
        "--speed",
        min=1,
        max=60,
        metavar="N",
        help="With --tui: so many times as fast as the wall; 10 if not said.",
    ),
) -> None:
    """Show the whole main job on an embedded platform: healthy, it breaks, the verdict, paged, runbook and resolved."""
    from opsctl.demo.faults import FAULTS

    if live and tui:
        raise UsageError("--live and --tui contradict each other")
    if speed is not None and not tui:
        raise UsageError("--speed needs --tui")
    if live:
        from opsctl.cli.confirming import changing
        from opsctl.cli.demo_live import run_live

        if otlp or elasticsearch:
            changing(frame(), "sending spans and lines to servers")
        run_live(seed, otlp, elasticsearch, port)
        return
    if otlp or elasticsearch or port:
        raise UsageError("--otlp, --elasticsearch and --port need --live")
    if fault not in FAULTS:
        raise UsageError(f"no fault {fault}: expected one of {', '.join(FAULTS)}")
    run = frame()
    if tui:
        from opsctl.cli.demo_tui import SPEED, run_board

        run_board(run, fault, seed, speed or SPEED)
        return
    from opsctl.cli.demo_world import story_stage

    with tempfile.TemporaryDirectory(prefix="opsctl-demo-") as folder, story_stage(Path(folder), seed) as stage:
        Story(stage, FAULTS[fault], seed, run.colored(sys.stdout)).tell()


@dataclass
class Story:
    """The five acts; every line is at most 80 columns wide."""

    stage: Stage
    fault: Fault
    seed: int
    color: bool

    def tell(self) -> None:
        """Play all acts, then say what to type next."""
        say(f"opsctl demo: {self.fault.name} on a simulated platform and clock (seed {self.seed})")
        self.healthy()
        self.breaks()
        self.verdict()
        self.paged()
        self.repaired()
        say("", "Next:")
        other = "matchmaking-backlog" if self.fault.name != "matchmaking-backlog" else "promo-surge"
        for command, what in (
            (f"opsctl demo --fault {other}", "another story"),
            ("opsctl config init", "a configuration for your own platform"),
            ("opsctl check --help", "the verdict for cron and CI"),
        ):
            say(f"  {command:<40} {what}")

    # Acts

    def healthy(self) -> None:
        """Act 1: a check on three days of healthy history."""
        from opsctl.views.check import lines

        stage = self.stage
        for _ in range(2):
            stage.clock.step(timedelta(minutes=1))
        self.act(1, "Healthy")
        once = stage.runs[-1]
        say("  $ opsctl check --notify")
        self.print_lines(lines(once.report.verdicts, once.incidents))

    def breaks(self) -> None:
        """Act 2: the fault begins, and cron goes on."""
        stage = self.stage
        begun = stage.clock.now()
        stage.begin(self.fault)
        self.act(2, "It breaks")
        say(
            *textwrap.wrap(
                f"{self.fault.title}. {self.fault.what_happens}", WIDTH - 2, initial_indent="  ", subsequent_indent="  "
            )
        )
        while not self._opened() and stage.clock.now() - begun < PATIENCE:
            stage.clock.step(timedelta(minutes=1))
        if not self._opened():
            raise ActionError(f"nothing fired within {PATIENCE}: the demo is broken")
        minutes = round((stage.clock.now() - begun) / timedelta(minutes=1))
        say(f"  cron: opsctl check --notify, every minute; it fires in minute {minutes}")

    def verdict(self) -> None:
        """Act 3: the check that fired, with its evidence."""
        from opsctl.views.check import lines

        once, alert = self.stage.runs[-1], self.alert
        self.act(3, "The verdict, with its evidence")
        rows = [row for row in lines(once.report.verdicts, once.incidents) if row.state is State.FAIL]
        mine = [v for v in once.report.verdicts if v.rule.uid == alert.rule_uid]
        self.print_lines(lines(mine, once.incidents))
        for line in alert.evidence[-2:]:  # what was asked
            say(fit(f"             {line}"))
        others = [row.rule for row in rows if row.rule != mine[0].rule.name]
        if others:
            say(fit(f"  ✖ FAIL     also: {', '.join(others)}"))

    def paged(self) -> None:
        """Act 4: what PagerDuty has."""
        self.act(4, "Paged")
        found = self.stage.incidents()
        head, title = self.incident_lines(self._mine(found))
        say(head + (f"; and {len(found) - 1} more, for the other rules" if len(found) > 1 else ""), title)

    def repaired(self) -> None:
        """Act 5: the runbook repairs it, and the incident resolves itself."""
        from opsctl.core.params import Given, collect
        from opsctl.runner import Options, run

        stage, composition = self.stage, self.stage.composition
        alert = self.alert
        handle = self._opened()
        book = next(b for b in composition.runbooks if b.id == self.fault.runbook)
        self.act(5, "Runbook, and resolved")
        say(f"  $ opsctl runbook run {book.id} --incident '{handle}'")
        services = frozenset(composition.catalogue.services)
        given = Given(labels=dict(alert.labels), environment=composition.env, services=services)
        values = collect(book, given)
        options = Options(who="you", services=services, watch=self.watch)
        report = run(book, values, composition.runbook_world(Agreeable(), book), options)
        if report.state != "ok":
            raise ActionError(f"the runbook ended {report.state}: {report.message}")
        begun = stage.clock.now()
        while self._open() and stage.clock.now() - begun < PATIENCE * 3:
            stage.clock.step(timedelta(minutes=1))
        if self._open():
            raise ActionError("the incident did not resolve: the demo is broken")
        say(*self.incident_lines(self._mine(stage.incidents()))[:1])
        say(f"  {stage.clock.now():%H:%M}Z all {len(stage.incidents())} incidents are resolved, by fresh data")

    # Pieces

    def act(self, number: int, title: str) -> None:
        """A heading."""
        say("", f"{number}. {title} {'─' * (WIDTH - len(title) - 11)} {self.stage.clock.now():%H:%M}Z")

    def print_lines(self, rows: Sequence[Line]) -> None:
        """Rows as `opsctl check` prints them."""
        from opsctl.render.check import blocks

        at = self.stage.runs[-1].report.at
        for line in blocks(rows, at, utc=True, color=self.color, width=WIDTH - 2):
            say("  " + line)

    def incident_lines(self, incident: dict[str, Any]) -> list[str]:
        """One incident as PagerDuty shows it."""
        head = f"  incident {incident['number']} at PagerDuty: {incident['status']}, {incident['severity']}"
        return [head, fit(f"    {incident['title']}")]

    def watch(self, event: Event) -> None:
        """One line a step of the runbook."""
        if event.kind != "end" or event.outcome is None or event.step.kind is Kind.MANUAL:
            return
        seen = [f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} = {v}" for k, v in event.outcome.captured.items()]
        text = f"  {self.stage.clock.now():%H:%M}Z {event.outcome.state:<3} {event.step.id}: {event.step.title}"
        say(fit(f"{text} ({', '.join(seen)})" if seen else text))

    def _mine(self, incidents: list[dict[str, Any]]) -> dict[str, Any]:
        """The incident of the alert that the story follows."""
        name = self.alert.summary.split(" ")[0]
        return next((one for one in incidents if one["title"].startswith(name)), incidents[0])

    def _opened(self) -> str | None:
        """The handle of the incident that the fault must open first."""
        return self.stage.runs[-1].incidents.get(self.fault.must_fire[0].rule)

    def _open(self) -> bool:
        return any(incident["status"] != "resolved" for incident in self.stage.incidents())

    @cached_property
    def alert(self) -> Alert:
        """The alert that the story follows: of the fault's first rule where that fires."""
        from opsctl.core.alerts import AlertState
        from opsctl.core.slo import Severity

        verdicts = self.stage.runs[-1].report.verdicts
        firing = [a for v in verdicts for a in v.alerts if a.state is AlertState.FIRING and a.severity is Severity.PAGE]
        wanted = self.fault.must_fire[0].rule
        uids = [v.rule.uid for v in verdicts if v.rule.name == wanted]
        return next((a for a in firing if a.rule_uid in uids), firing[0])


class Agreeable:
    """The demo's person: does what the runbook asks and approves."""

    def answer(self, question: Question) -> bool:
        """Yes."""
        return True


def fit(text: str) -> str:
    """One clean line of at most 80 columns."""
    from opsctl.render.text import clean

    line = clean(text)
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def say(*lines: str) -> None:
    """Print lines."""
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
