"""Where a run stands, step by step: folded from the journal's rows and from what the runner tells while it goes on.

Pure: no textual, no thread, nothing is asked. Texts are not cleaned.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import Runbook, Step
from opsctl.core.runs import Attempt, attempt_name, undoable
from opsctl.ports.runbooks import RunbookRun, RunbookStep
from opsctl.runner import Event
from opsctl.views.runbooks import GLYPHS
from opsctl.views.words import ago

STATES = {**GLYPHS, "running": "▶", "pending": "·", "not run": "·"}
OUTPUT_CHARACTERS = 64 * 1024
"""So much of a step's output is shown, its end; the journal and `opsctl runbook resume --json` have the whole."""
_SAID = 300


@dataclass(frozen=True, slots=True)
class Line:
    """One attempt of one step; `name` is what the journal has it under."""

    name: str
    state: str
    started: datetime
    ended: datetime | None = None
    attempt: int = 1
    message: str = ""
    captured: tuple[tuple[str, str], ...] = ()
    output: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """One run as it stands; `waits` is what a poll that goes on says, `state` is empty while it goes on here."""

    run: str = ""
    lines: tuple[Line, ...] = ()
    waits: str = ""
    state: str = ""
    message: str = ""

    @property
    def now(self) -> str:
        """The step that runs now, as the journal names it; "" between two."""
        return next((line.name for line in reversed(self.lines) if line.state == "running"), "")


def line_of(row: RunbookStep, *, ours: bool) -> Line:
    """The journal's row; one that runs in no process of ours is unknown."""
    pairs = (row.captured or {}).items()
    captured = tuple((name, _shown(text)) for name, text in pairs if not name.startswith("@"))
    cut = row.state == "running" and not ours
    return Line(
        name=row.step,
        state="unknown" if cut else row.state,
        started=row.started,
        ended=row.ended,
        attempt=row.attempt,
        message="nobody knows how it ended" if cut else (row.captured or {}).get("@message", ""),
        captured=captured,
        output=row.output,
        exit_code=row.exit_code,
    )


def _shown(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def of_journal(run: RunbookRun, rows: Iterable[RunbookStep]) -> Progress:
    """A run that no process of ours goes on with."""
    state = "unknown" if run.state == "running" else run.state
    message = run.note or ("it was cut short, or another process goes on with it" if state == "unknown" else "")
    return Progress(run.run, lines_of(rows), state=state, message=message)


def lines_of(rows: Iterable[RunbookStep], *, ours: bool = False) -> tuple[Line, ...]:
    """Every attempt but the marks that somebody came back."""
    return tuple(line_of(row, ours=ours) for row in rows if not row.step.startswith("@"))


def told(progress: Progress, event: Event, at: datetime) -> Progress:
    """The same after the runner has told something."""
    name = attempt_name(event.step, event.role)
    match event.kind:
        case "begin":
            number = 1 + max((line.attempt for line in progress.lines if line.name == name), default=0)
            line = Line(name, "running", at, attempt=number, message=event.text)
            return replace(progress, lines=(*progress.lines, line), waits="")
        case "wait":
            return replace(progress, waits=event.text)
        case _:
            return replace(progress, lines=_ended(progress.lines, name, event, at), waits="")


def _ended(lines: tuple[Line, ...], name: str, event: Event, at: datetime) -> tuple[Line, ...]:
    place = next((i for i in reversed(range(len(lines))) if lines[i].name == name), None)
    outcome = event.outcome
    if place is None or outcome is None:
        return lines
    done = replace(
        lines[place],
        state=outcome.state,
        ended=at,
        message=outcome.message,
        captured=tuple((key, str(value)) for key, value in outcome.captured.items()),
        output=outcome.output,
        exit_code=outcome.exit_code,
    )
    return (*lines[:place], done, *lines[place + 1 :])


# -- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunRow:
    """One step of a run in the words of a table; `line` is its last attempt, None where it was not begun."""

    name: str
    state: str
    title: str
    took: str
    said: str
    line: Line | None = None

    @property
    def words(self) -> str:
        """Glyph and word of its state."""
        return f"{STATES.get(self.state, ' ')} {self.state}"


def run_rows(book: Runbook, progress: Progress, now: datetime) -> tuple[RunRow, ...]:
    """Every step of the flow in its order, then every undo and check that was tried."""
    last: dict[str, Line] = {}
    for line in progress.lines:
        last[line.name] = line
    flow = {step.id for step in book.flow}
    rows = [_row(step.id, step.title, last.get(step.id), progress, now) for step in book.flow]
    for name, line in last.items():
        if name not in flow:
            rows.append(_row(name, _title(book, name), line, progress, now))
    return tuple(rows)


def _title(book: Runbook, name: str) -> str:
    step = step_of(book, name)
    return step.title if step is not None else ""


def step_of(book: Runbook, name: str) -> Step | None:
    """The step that an attempt is of."""
    return book.step(name.rpartition(":")[2])


def _row(name: str, title: str, line: Line | None, progress: Progress, now: datetime) -> RunRow:
    if line is None:
        return RunRow(name, "not run" if progress.state not in ("", "waiting") else "pending", title, "", "")
    took = ago((line.ended or now) - line.started) if line.ended is not None or line.state == "running" else ""
    waits = progress.waits if line.state == "running" and progress.now == name else ""
    captured = ", ".join(f"{key} = {value}" for key, value in line.captured)
    said = "; ".join(part for part in (waits or line.message, captured) if part)
    tries = f"{line.attempt}. time" if line.attempt > 1 else ""
    return RunRow(name, line.state, title, took, "; ".join(p for p in (said[:_SAID], tries) if p), line)


def shown_output(text: str, most: int = OUTPUT_CHARACTERS) -> tuple[str, ...]:
    """The lines of an output, its end where it is long: the first line says how much is left out."""
    left_out = len(text) - most
    lines = tuple((text[-most:] if left_out > 0 else text).splitlines())
    return (f"[{left_out:,} characters before this are not shown]", *lines) if left_out > 0 else lines


def can_undo(book: Runbook, progress: Progress) -> bool:
    """Whether the run changed something, or may have, that a step of the runbook takes back."""
    attempts = [_attempt(line) for line in progress.lines]
    return any(step.undo not in (None, "none") for step in undoable(book, attempts))


def _attempt(line: Line) -> Attempt:
    return Attempt(line.name, line.attempt, line.state, line.started, line.ended)  # type: ignore[arg-type]


def can_resume(progress: Progress) -> bool:
    """Whether the run can be taken up again."""
    return bool(progress.run) and progress.state in ("waiting", "failed", "stopped", "unknown")


def states_in_short(rows: Sequence[RunRow]) -> str:
    """How far a run is, in a few words: `5 of 8 steps done`."""
    flow = [row for row in rows if ":" not in row.name]
    done = sum(row.state in ("ok", "skipped", "undone") for row in flow)
    return f"{done} of {len(flow)} steps done"
