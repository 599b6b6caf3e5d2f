"""A context in a folder with a journal, a scripted pager and runbooks, for desks and for the command line on it."""

from __future__ import annotations

import getpass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from opsctl.actions import Action, Desk
from opsctl.app import Composition
from opsctl.cli.main import main
from opsctl.core.runbooks import Runbook, Step
from opsctl.core.signals import Absent, Measured, Sample, Vector
from opsctl.core.slo import Severity
from opsctl.files.settings import load_settings
from opsctl.ports import Probe
from opsctl.ports.runbooks import Person, Question, StepDone, StepResult
from opsctl.runner import World as RunbookWorld
from tests.unit.paging.world import ScriptedSink, SteppedClock, alert, cycle, minutes, run_record, sinks_of
from tests.unit.runbooks.documents import FRONT, LOOK, PARAMS, change, document, fence

CONFIG = """\
default_context = "prod"
[contexts.prod]
namespace = "prod-eu"
state_dir = "state"
catalogue = "services.yaml"
rules = ["a.rules.yaml"]
runbooks = ["books"]
silences = "silences.yaml"
protected = {protected}
[contexts.prod.pagerduty]
routing_keys = {{ default = {{ token_env = "A" }} }}
rest = {{ token_env = "A", from = "ana@example.com" }}
"""
CATALOGUE = (
    "services:\n  - {name: promo, tier: 1, team: money}\n"
    "  - {name: chat, tier: 1, team: social}\n  - {name: wallet, tier: 1, team: money}\n"
    "  - {name: login, tier: 1, team: play}\n"
)
RULES = (
    "groups:\n  - name: g\n    rules:\n"
    "      - {alert: DiskFull, expr: disk > 1, labels: {severity: page, service: wallet}}\n"
)
GO = fence("approval", "May we?", id="go", ttl="10m")
SAMPLE = document(LOOK, GO, change("shed", requires="go", undo="unshed"), change("unshed", role="undo"))
LOOKING = document(LOOK, front=FRONT.replace("Sample", "Looking") + PARAMS)


class Steps:
    """Does nothing, and remembers what."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def perform(self, step: Step, bound: Any, timeout_seconds: float, key: str | None) -> StepResult:
        self.ran.append(step.id)
        return StepDone({"status": 200, "value": 1.0, "exit_code": 0})


class Full:
    """A Prometheus that says of every question: 2."""

    name = "full"
    concurrency = 1

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Measured[Vector]:
        return Measured(Vector((Sample((), 2.0),)), self.name)

    def range(self, query: str, start: datetime, end: datetime, step: timedelta, timeout_seconds: float) -> Absent:
        return Absent(self.name)

    def probe(self, timeout_seconds: float) -> Probe:
        return Probe(self.name, "", True, True, "")

    def close(self) -> None:
        pass


class Yes:
    """A person who agrees to everything."""

    def answer(self, question: Question) -> bool | None:
        return True


class World(Composition):
    """One context; alerts of three services, the first two with incidents that were told, the third a ticket."""

    def __init__(self, folder: Path, *, protected: bool = False, alerts: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "opsctl.toml").write_text(CONFIG.format(protected=str(protected).lower()))
        (folder / "services.yaml").write_text(CATALOGUE)
        (folder / "a.rules.yaml").write_text(RULES)
        (folder / "silences.yaml").write_text("silences: []\n")
        (folder / "books").mkdir(exist_ok=True)
        (folder / "books" / "sample.md").write_text(SAMPLE)
        (folder / "books" / "looking.md").write_text(LOOKING)
        settings = load_settings(folder / "opsctl.toml", None, env={}, cwd=folder)
        super().__init__(settings, SteppedClock(), Full(), env={})
        self.folder, self.pager, self.steps = folder, ScriptedSink(), Steps()
        self.__dict__["sinks"] = sinks_of(self.pager)
        if alerts:
            self.burn()

    def burn(self) -> None:
        """#1 of promo and #2 of wallet are pages, #3 of chat is a ticket."""
        ticket = alert("slow", service="chat", team="social", severity=Severity.TICKET)
        found = [alert("redeem"), alert("pay", service="wallet"), ticket]
        at = self.clock.now()
        self.journal().commit(run_record(at), (), cycle(at, found, fresh=("redeem", "pay", "slow")))
        self.clock.sleep(minutes(2).total_seconds())

    def runbook_world(self, person: Person, book: Runbook) -> RunbookWorld:
        return RunbookWorld(self.steps, person, self.journal().runbooks, self.clock)

    def new_desk(self, **more: Any) -> Desk:
        return Desk(self, **more)

    def close(self) -> None:
        """A command ends: the next one finds the journal open."""

    def opsctl(self, *argv: str) -> int:
        """Run a command line here."""
        return main(["--utc", *argv], clock=self.clock, compose_with=lambda _: self)

    def silences(self) -> str:
        return (self.folder / "silences.yaml").read_text()

    def trace(self) -> dict[str, object]:
        """Everything that an action leaves behind."""
        journal = self.journal()
        incidents = journal.incidents(include_resolved=True)
        runs = journal.runbooks.runs()
        return {
            "incidents": incidents,
            "timelines": [journal.timeline(one.episode) for one in incidents],
            "sent": self.pager.sent,
            "silences": self.silences(),
            "runs": [(run.runbook, dict(run.params), run.who, run.state, run.incident_key, run.note) for run in runs],
            "steps": [[(s.step, s.state) for s in journal.runbooks.steps(run.run)] for run in runs],
            "ran": self.steps.ran,
        }


def me() -> str:
    return getpass.getuser()


def done_by_desk(world: World, action: Action) -> None:
    world.new_desk().apply(action)
