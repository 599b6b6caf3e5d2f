"""Running runbooks: what a run would change and undo, its parameters, and the run itself.

Must never start a run before its parameters, gates and runbook are known to be right.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Union

from opsctl.actions.action import Acting, Done, Planned, ResumeRun, Risk, StartRun
from opsctl.core.frozen import dataclass
from opsctl.core.params import Given, collect, plain
from opsctl.core.runbooks import Approval, Role, Runbook, Step, Value
from opsctl.errors import UsageError
from opsctl.ports.runbooks import Person, Question, RunbookRun

if TYPE_CHECKING:
    from opsctl.core.runs import Attempt
    from opsctl.runner import Event, Options, Report
    from opsctl.runner import Planned as PlannedStep

Run = Union[StartRun, ResumeRun]
Watch = Callable[["Event"], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can begin: its runbook, its checked parameters, and the key of the alert that it is for."""

    book: Runbook
    values: Mapping[str, Value]
    key: str | None


@dataclass(frozen=True, slots=True)
class Resumable:
    """A run that was begun, with its runbook as it is now; `edited`: it is not what the run agreed to."""

    record: RunbookRun
    book: Runbook
    edited: bool


class Nobody:
    """`Person` where nobody is asked: a run stops at its first gate."""

    def answer(self, question: Question) -> bool | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Runs:
    """What can be done about runs, by `who`."""

    acting: Acting
    who: str

    # -- what is needed before anything happens

    def book(self, name: str) -> Runbook:
        """The runbook of that id; UsageError with the nearest one."""
        books = {book.id: book for book in self.acting.runbooks}
        if name not in books:
            from opsctl.files.front_matter import nearest

            said = nearest(name, list(books)) if books else "the context has no runbooks"
            raise UsageError(f"no such runbook: {name}; {said}")
        return books[name]

    def prepared(self, action: StartRun) -> Prepared:
        """The run with its parameters: from flags, the incident's labels, the environment, the catalogue."""
        book = self.book(action.runbook)
        given, key = self._given(action)
        return Prepared(book, collect(book, given), key)

    def given(self, action: StartRun) -> Given:
        """What a run may take its parameters from; UsageError where its incident is not open."""
        return self._given(action)[0]

    def _given(self, action: StartRun) -> tuple[Given, str | None]:
        labels, key = self._alert(action)
        return Given(action.params, labels, self.acting.env, frozenset(self.acting.catalogue.services)), key

    def resumable(self, run: str) -> Resumable:
        """The run of that id, or that begins so; UsageError where there is none."""
        from opsctl.runner import accepted_digest

        log = self.acting.journal().runbooks
        record = log.run_of(run)
        if record is None:
            raise UsageError(f"no such run: {run}", hint="opsctl runbook ls shows the last ones")
        book = self.book(record.runbook)
        return Resumable(record, book, book.digest != accepted_digest(record, log.steps(record.run)))

    def _alert(self, action: StartRun) -> tuple[Mapping[str, str], str | None]:
        """The labels and the key of the alert that a run is for."""
        if action.episode is None and action.key is None:
            return {}, None
        for key, known in self.acting.journal().alerts().items():
            if key == action.key or (known.episode is not None and known.episode == action.episode):
                alert = known.alert
                own = {
                    "service": alert.service,
                    "team": alert.team,
                    "severity": alert.severity.value,
                    "alertname": alert.rule_name,
                }
                return {**own, **dict(alert.identity), **dict(alert.labels)}, key
        name = action.key if action.episode is None else action.episode
        raise UsageError(f"no open incident {name}", hint="opsctl incident ls")

    def mutates(self, action: Run) -> Runbook | None:
        """The runbook, where a run of it may change something."""
        book = self.book(action.runbook) if isinstance(action, StartRun) else self.resumable(action.run).book
        return book if book.mutations else None

    # -- what it would do

    def plan(self, action: Run) -> Planned:
        """What it would read, change and undo; nothing is asked of any backend."""
        if isinstance(action, StartRun):
            book, title, lines, words = self._start_plan(action)
        else:
            book, title, lines, words = self._resume_plan(action)
        words += ("--auto",) if action.auto else ()
        words += tuple(word for step in action.approve for word in ("--approve", step))
        risk = Risk.HIGH if book.mutations else Risk.MEDIUM
        return Planned(title, lines, words, risk, book.id if book.mutations else "")

    def _start_plan(self, action: StartRun) -> tuple[Runbook, str, tuple[str, ...], tuple[str, ...]]:
        from opsctl.runner import plan

        made = self.prepared(action)
        words: tuple[str, ...] = ("runbook", "run", made.book.id)
        words += tuple(word for name, text in action.params.items() for word in ("-p", f"{name}={text}"))
        about: tuple[str, ...] = ()
        if made.key is not None:
            name = f"#{action.episode}" if action.episode is not None else made.key
            words, about = (*words, "--incident", name), (f"for incident {name}",)
        params = ", ".join(f"{name} = {plain(value)}" for name, value in made.values.items())
        lines = (*about, *((f"with {params}",) if params else ()), *_steps(plan(made.book, made.values)))
        return made.book, f"Run {made.book.id}: {made.book.title}", lines, words

    def _resume_plan(self, action: ResumeRun) -> tuple[Runbook, str, tuple[str, ...], tuple[str, ...]]:
        from opsctl.runner import check_not_over
        from opsctl.runner.outcome import read

        found = self.resumable(action.run)
        record, book = found.record, found.book
        check_not_over(record, undo=action.undo)
        attempts = [read(row) for row in self.acting.journal().runbooks.steps(record.run)]
        words: tuple[str, ...] = ("runbook", "resume", record.run)
        words += (*(("--undo",) if action.undo else ()), *(("--accept-edit",) if action.accept_edit else ()))
        lines = [f"begun by {record.who or 'somebody'} at {record.started:%Y-%m-%d %H:%M}Z; it is {record.state}"]
        if record.note:
            lines.append(record.note)
        if found.edited:
            edit = (
                "its text as it is now is what goes on"
                if action.accept_edit
                else "it is refused until that is accepted"
            )
            lines.append(f"{book.id} was edited since: {edit}")
        lines += _undone(book, attempts) if action.undo else _left(book, attempts)
        verb = "Undo" if action.undo else "Resume"
        return book, f"{verb} run {record.run} of {book.id}", tuple(lines), words

    # -- doing it

    def run(self, action: Run, person: Person, watch: Watch, begun: Callable[[str], None]) -> Report:
        """Go as far as it gets; `begun` is told the run's id before its first step."""
        from opsctl.runner import new_id, resume, run

        if isinstance(action, ResumeRun):
            found = self.resumable(action.run)
            world = self.acting.runbook_world(person, found.book)
            options = self._options(found.book, action, found.record.incident_key, watch)
            begun(found.record.run)
            flags = {"accept_edit": action.accept_edit, "undo": action.undo}
            return resume(found.record.run, found.book, world, options, **flags)
        made = self.prepared(action)
        world = self.acting.runbook_world(person, made.book)
        options = self._options(made.book, action, made.key, watch)
        run_id = new_id(world.clock.now())
        begun(run_id)
        return run(made.book, made.values, world, options, run_id)

    def _options(self, book: Runbook, action: Run, key: str | None, watch: Watch) -> Options:
        from opsctl.runner import Options

        for name in action.approve:
            step = book.step(name)
            if step is None or not isinstance(step.body, Approval):
                gates = ", ".join(s.id for s in book.steps if isinstance(s.body, Approval)) or "none"
                raise UsageError(f"--approve {name}: {book.id} has no such approval step; it has: {gates}")
        return Options(
            who=self.who,
            auto=action.auto,
            policy=frozenset(self.acting.context.runbook_policy.auto),
            approve=frozenset(action.approve),
            incident_key=key,
            services=frozenset(self.acting.catalogue.services),
            watch=watch,
        )


def ended(report: Report, again: Sequence[str]) -> Done:
    """How a run stands; `hint` is the command that goes on, `opsctl` and the words `again`, where one does."""
    run = report.run.run
    if report.state == "ok" or (report.state == "undone" and report.asked_undo):
        return Done((f"run {run} {report.state}: {report.message}",), changed=True)
    if report.state == "undone":
        return Done((), f"run {run}: a step failed; {report.message}", changed=True)
    verb = "waits" if report.state == "waiting" else report.state
    return Done((), f"run {run} {verb}: {report.message}", changed=True, hint=shlex.join(("opsctl", *again)))


# -- lines of a plan -------------------------------------------------------------------------------------------------


_KINDS = {
    "read": ("read", "reads"),
    "gate": ("approval", "approvals"),
    "hand": ("by hand", "by hand"),
    "write": ("write", "writes"),
}


def _steps(planned: Sequence[PlannedStep]) -> list[str]:
    """How many steps of each kind, and each write with what it changes and what undoes it."""
    flow = [one for one in planned if one.step.role is Role.STEP]
    counts = {what: sum(1 for one in flow if one.what == what) for what in _KINDS}
    words = (f"{count} {_KINDS[what][count != 1]}" for what, count in counts.items() if count)
    lines = ["steps: " + ", ".join(words)]
    for one in flow:
        if one.what == "write":
            lines += [_write(one.step), f"  {one.text.partition(chr(10))[0]}"]
    return lines if any(one.what == "write" for one in flow) else [*lines, "it changes nothing"]


def _write(step: Step) -> str:
    gate = f"after approval {step.requires}" if step.requires not in (None, "none") else "without an approval"
    undo = f"undone by {step.undo}" if step.undo not in (None, "none") else "nothing undoes it"
    return f"{step.id} changes {step.mutates}, {gate}; {undo}"


def _left(book: Runbook, attempts: Sequence[Attempt]) -> list[str]:
    """What was done, and each write that was not."""
    last = {attempt.step: attempt.state for attempt in attempts}
    done = [step.id for step in book.flow if last.get(step.id) in ("ok", "skipped")]
    writes = [_write(step) for step in book.flow if step.mutates is not None and step.id not in done]
    return [f"done: {', '.join(done) or 'nothing'}", *(writes or ["nothing is left that changes something"])]


def _undone(book: Runbook, attempts: Sequence[Attempt]) -> list[str]:
    """Each change that was made, or may have been, and what undoes it: the latest first."""
    from opsctl.core.runs import undoable

    found = undoable(book, attempts)
    lines = []
    for step in found:
        undo = book.step(step.undo or "")
        lines.append(f"{step.id}: " + (f"{undo.id} undoes it: {undo.title}" if undo else "nothing undoes it"))
    return lines or ["it has changed nothing"]
