"""The desk: plans, refuses and carries out what a person asks for, whichever screen or command they ask through.

Must never act where it is read-only: that is decided here, at the time of the call, and not in a widget or a flag.
"""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.actions.action import (
    Acknowledge,
    Acting,
    Action,
    Done,
    EndSilence,
    MakeSilence,
    Planned,
    Resolve,
    ResumeRun,
    Risk,
    StartRun,
    WriteNote,
)
from opsctl.actions.incidents import Incidents
from opsctl.actions.runs import Nobody, Prepared, Resumable, Runs, Watch, ended
from opsctl.actions.sending import Sending
from opsctl.actions.silences import Silences
from opsctl.errors import Refused

if TYPE_CHECKING:
    from opsctl.core.params import Given
    from opsctl.core.runbooks import Runbook
    from opsctl.ports.runbooks import Person
    from opsctl.runner import Report

READ_ONLY = "--read-only"
LEAVE = timedelta(minutes=15)  # how long a person may change a protected context before they have to say so again
_VERBS = {Acknowledge: "acknowledging", Resolve: "resolving", WriteNote: "a note on"}


def user() -> str:
    """The name that this user has on this host."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def refusal(why: str, what: str) -> Refused:
    """The one line that says why nothing may be changed, and what is not done."""
    hint = "run it without that, or unset OPSCTL_READ_ONLY" if why == READ_ONLY else None
    return Refused(f"read-only ({why}): not done: {what}", hint=hint)


class Desk:
    """One context's actions, for as many threads as like.

    `read_only` is why nothing may ever be changed ("" where something may); `flags` are the global flags that lead to
    this context, which go in front of every command that is named.
    """

    def __init__(self, acting: Acting, *, read_only: str = "", flags: Sequence[str] = (), who: str = "") -> None:
        self.who = who or user()
        self._acting = acting
        self._never = read_only
        self._flags = tuple(flags)
        self._guard = threading.Lock()
        self._allowed: tuple[datetime, datetime] | None = None  # from, until
        self._incidents = Incidents(acting, Sending(acting), self.who)
        self._silences = Silences(acting, self.who)
        self._runs = Runs(acting, self.who)

    # -- may anything be changed

    @property
    def read_only(self) -> str:
        """Why nothing may be changed now; "" where something may."""
        if self._never:
            return self._never
        context = self._acting.context
        if context.protected and self.writable_until is None:
            return f"context {context.name} is protected"
        return ""

    @property
    def writable_until(self) -> datetime | None:
        """Until when a protected context may be changed; None where that was not allowed, or is over."""
        with self._guard:
            allowed = self._allowed
        if allowed is None or self._never:
            return None
        begun, until = allowed
        return until if begun <= self._acting.clock.now() < until else None  # a clock set back allows nothing more

    def allow(self, length: timedelta = LEAVE) -> None:
        """Let a protected context be changed for so long, or no longer (0); Refused under --read-only."""
        if self._never:
            raise refusal(self._never, "lifting it")
        if not self._acting.context.protected:
            return
        now = self._acting.clock.now()
        with self._guard:
            self._allowed = (now, now + length)

    def check_writable(self, what: str) -> None:
        """Refused where nothing may be changed now; `what` is what is not done."""
        if why := self.read_only:
            raise refusal(why, what)

    # -- actions

    def plan(self, action: Action) -> Planned:
        """What it would do, on what and how far it reaches; nothing is changed, so it is never refused."""
        match action:
            case MakeSilence() | EndSilence():
                planned = self._silences.plan(action)
            case StartRun() | ResumeRun():
                planned = self._runs.plan(action)
            case _:
                planned = self._incidents.plan(action)
        context = self._acting.context
        planned = replace(planned, command=(*self._flags, *planned.command))
        return replace(planned, risk=Risk.HIGH, confirm=context.name) if context.protected else planned

    def apply(self, action: Action) -> Done:
        """Do it: the journal first, then whoever is told, for at most `limits.send`. Refused where read-only.

        A run is run with nobody there: it stops where a person is needed (`run` asks one).
        """
        match action:
            case MakeSilence() | EndSilence():
                self.check_writable("silencing" if isinstance(action, MakeSilence) else "ending a silence")
                return self._silences.apply(action)
            case StartRun() | ResumeRun():
                report = self.run(action, Nobody())
                return ended(report, self.resume_words(report.run.run))
            case _:
                self.check_writable(_VERBS[type(action)] + f" #{action.episode}")
                return self._incidents.apply(action)

    # -- runs

    def book(self, name: str) -> Runbook:
        """The runbook of that id; UsageError with the nearest one."""
        return self._runs.book(name)

    def prepared(self, action: StartRun) -> Prepared:
        """The runbook and the checked parameters of a run; UsageError names the first that is wrong."""
        return self._runs.prepared(action)

    def given(self, action: StartRun) -> Given:
        """What a run may take its parameters from; UsageError where its incident is not open."""
        return self._runs.given(action)

    def resumable(self, run: str) -> Resumable:
        """A run that was begun, by its id or the beginning of it, and whether its runbook was edited since."""
        return self._runs.resumable(run)

    def run(
        self,
        action: StartRun | ResumeRun,
        person: Person,
        watch: Watch = lambda event: None,
        begun: Callable[[str], None] = lambda run_id: None,
    ) -> Report:
        """Run, resume or undo, asking `person` at gates; blocks until it ends or waits.

        `watch` is told of each step, `begun` the run's id before the first. Refused where read-only, unless the runbook
        changes nothing.
        """
        book = self._runs.mutates(action)
        if book is not None:
            self.check_writable(f"a run of {book.id}, which may change something")
        return self._runs.run(action, person, watch, begun)

    def resume_words(self, run_id: str) -> tuple[str, ...]:
        """The words after `opsctl` that take a run up again."""
        return (*self._flags, "runbook", "resume", run_id)
