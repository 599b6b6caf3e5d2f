"""The runs that were begun on this board: each in one thread of its own, its questions handed to whoever looks.

No textual here. Must never act but through the desk, never answer in a person's place, and never hold up the end of the
app: who leaves is nobody, and the run waits.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from opsctl.actions import Desk, ResumeRun, StartRun
from opsctl.core.runbooks import Runbook
from opsctl.errors import OpsctlError
from opsctl.files.secrets import hide
from opsctl.ports import Clock
from opsctl.ports.runbooks import Question
from opsctl.runner import Event, Report
from opsctl.tui.run_progress import Line, Progress, lines_of, told

Take = Callable[[], None]


class Asked:
    """A question that stands until somebody answers it, once; None is: not now."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self._answer: bool | None = None
        self._given = threading.Event()

    def give(self, answer: bool | None) -> None:
        """Answer it; the first answer holds."""
        if not self._given.is_set():
            self._answer = answer
            self._given.set()

    def wait(self) -> bool | None:
        """The answer, when it is there."""
        self._given.wait()
        return self._answer


class Running:
    """One run in one thread; `changed` is called in that thread whenever there is something new to see."""

    def __init__(self, desk: Desk, clock: Clock, action: StartRun | ResumeRun, book: Runbook, changed: Take) -> None:
        self.action = action
        self.book = book
        self.progress = Progress()
        self.asked: Asked | None = None
        self.report: Report | None = None
        self.problem = ""  # why it could not begin, or broke
        self.over = False
        self._desk, self._clock, self._changed = desk, clock, changed
        self._guard = threading.Lock()
        self._left = False
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"run of {book.id}")

    def start(self, before: Sequence[Line] = ()) -> None:
        """Begin; `before` is what earlier processes did of it."""
        self.progress = replace(self.progress, lines=tuple(before))
        self._thread.start()

    def leave(self) -> None:
        """Nobody is there any more: a question that stands, and any that comes, has no answer."""
        with self._guard:
            self._left = True
            asked = self.asked
        if asked is not None:
            asked.give(None)

    def join(self, seconds: float) -> None:
        """Wait so long for it to come to a stop."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def where(self) -> str:
        """Run and step in a few words."""
        step = self.progress.now
        return f"{self.book.id}: step {step}" if step else self.book.id

    # -- in its thread

    def answer(self, question: Question) -> bool | None:
        """`opsctl.ports.runbooks.Person`: hand the question on and wait."""
        asked = Asked(question)
        with self._guard:
            if self._left:
                return None
            self.asked = asked
        self._changed()
        try:
            return asked.wait()
        finally:
            self.asked = None

    def _run(self) -> None:
        try:
            self.report = self._desk.run(self.action, self, self._watch, self._begun)
            rows = lines_of(self.report.steps, ours=True)
            self.progress = Progress(self.report.run.run, rows, state=self.report.state, message=self.report.message)
        except OpsctlError as wrong:
            self._broke(str(wrong))
        except Exception as wrong:  # noqa: BLE001  the journal was closed under it, or a bug: the run can be resumed
            self._broke(hide(f"a bug in opsctl: {type(wrong).__name__}: {wrong}"))
        finally:
            self.over = True
            self._changed()

    def _broke(self, problem: str) -> None:
        self.problem = problem
        lines = tuple(replace(one, state="unknown") if one.state == "running" else one for one in self.progress.lines)
        self.progress = replace(self.progress, lines=lines, state="unknown", message=problem)

    def _begun(self, run_id: str) -> None:
        self.progress = replace(self.progress, run=run_id)

    def _watch(self, event: Event) -> None:
        self.progress = told(self.progress, event, self._clock.now())
        self._changed()


class RunBook:
    """Every run of this session, the oldest first."""

    def __init__(self, desk: Desk, clock: Clock, changed: Take) -> None:
        self._desk, self._clock, self._changed = desk, clock, changed
        self.runs: list[Running] = []

    def begin(self, action: StartRun | ResumeRun, book: Runbook, before: Sequence[Line] = ()) -> Running:
        """Start a thread for a run."""
        running = Running(self._desk, self._clock, action, book, self._changed)
        self.runs.append(running)
        running.start(before)
        return running

    @property
    def under_way(self) -> tuple[Running, ...]:
        """Those that go on, or wait at a question."""
        return tuple(one for one in self.runs if not one.over)

    @property
    def asking(self) -> tuple[Running, ...]:
        """Those that wait at a question."""
        return tuple(one for one in self.under_way if one.asked is not None)

    def of(self, run: str) -> Running | None:
        """The newest one with that id."""
        return next((one for one in reversed(self.runs) if run and one.progress.run == run), None)

    def of_book(self, book_id: str) -> Running | None:
        """The newest one of a runbook."""
        return next((one for one in reversed(self.runs) if one.book.id == book_id), None)

    def busy(self) -> str:
        """What leaving would cut short, in a few words; "" where nothing goes on."""
        going = [one.where for one in self.under_way]
        return f"a run goes on ({', '.join(going)})" if going else ""

    def notices(self) -> tuple[str, ...]:
        """What somebody at another screen has to know."""
        return tuple(f"{one.where} waits for you" for one in self.asking)

    def leave(self, seconds: float) -> tuple[str, ...]:
        """Nobody is there any more. Gives runs so long to come to a stop; what is to be said of them afterwards."""
        stopping = self.under_way
        for one in stopping:
            one.leave()
        for one in stopping:
            one.join(seconds / len(stopping))
        return tuple(line for one in self.runs if (line := self._parting(one)))

    def _parting(self, one: Running) -> str:
        run = one.progress.run
        if not run or (self.of(run) is not one) or (one.over and one.progress.state not in ("waiting", "unknown")):
            return ""
        state = "waits" if one.progress.state == "waiting" else "was under way"
        again = shlex.join(("opsctl", *self._desk.resume_words(run)))
        return f"run {run} of {one.book.id} {state}; resume it with: {again}"
