"""What the screen of runbooks says: rows of its lists, the lines above them, everything of one step.

Pure: no textual but the values that a list is made of, nothing is asked. Texts are not cleaned: the lists do that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from opsctl.core.frozen import dataclass
from opsctl.core.runbooks import Runbook
from opsctl.ports import Incident
from opsctl.ports.runbooks import RunbookRun
from opsctl.tui.report import Report
from opsctl.tui.run_progress import STATES, Progress, RunRow, run_rows, shown_output, states_in_short, step_of
from opsctl.tui.widgets.grid import Column, Row
from opsctl.tui.widgets.lines import Piece
from opsctl.tui.widgets.prose import Paragraph
from opsctl.views.runbooks import Fit, Happening, Looked, ParamRow, PlanRow, fit, last_runs, terms, to_take_up
from opsctl.views.words import ago

RUN, BOOK = "run:", "book:"
LIST = (
    Column("mark"),
    Column("runbook", "runbook", least=12, most=40),
    Column("why", "", priority=1, most=48),
    Column("title", "title", priority=4, grow=True, least=24),
    Column("owner", "owner", priority=3, most=16),
    Column("triggers", "triggers", priority=5, most=44),
    Column("last", "last run", priority=2, most=24),
)
PLAN = (
    Column("step", "step", most=28),
    Column("does", "does", most=32),
    Column("title", "title", priority=3, grow=True, least=16),
    Column("gate", "gate", priority=1, most=16),
    Column("undo", "undo", priority=2, most=16),
    Column("expects", "expects", priority=4, most=30),
    Column("kind", "kind", priority=5),
)
RUNS = (
    Column("state", "state"),
    Column("step", "step", most=28),
    Column("took", "took", right=True, priority=1),
    Column("said", "what came of it", grow=True, least=20),
    Column("title", "title", priority=3, most=44),
)
_TONES = {"ok": "ok", "failed": "fail", "stopped": "fail", "waiting": "warn", "unknown": "unknown", "undone": "warn"}


def tone_of(state: str) -> str:
    """The tone of a state of a run or a step."""
    return {**_TONES, "running": "accent", "pending": "dim", "not run": "dim", "skipped": "dim"}.get(state, "")


@dataclass(frozen=True, slots=True)
class Going:
    """A run that goes on here, as the list shows it."""

    run: str
    book: str
    step: str
    asks: bool


def happenings(report: Report | None) -> tuple[Happening, ...]:
    """The open incidents of a report, with the labels of their alerts."""
    if report is None:
        return ()
    labels = {row.key: row.labels for row in report.alerts}
    return tuple(_happening(one, labels.get(one.key, {})) for one in report.incidents if one.resolved is None)


def _happening(one: Incident, labels: Mapping[str, str]) -> Happening:
    return Happening(one.episode, one.rule_name, one.rule_uid, one.service, one.runbook or "", one.opened, labels)


def ranked(books: Iterable[Runbook], open_: Sequence[Happening], looked: Looked) -> list[tuple[Runbook, Fit]]:
    """Runbooks with how they fit, the best first, then by their names."""
    found = [(book, fit(book, open_, looked)) for book in books]
    return sorted(found, key=lambda pair: (pair[1].rank, pair[0].id.lower()))


def matches(book: Runbook, words: str) -> bool:
    """Whether every word stands somewhere in what the list says of a runbook."""
    text = " ".join((book.id, book.title, book.owner, *book.services, *(one.alert for one in book.triggers))).lower()
    return all(word in text for word in words.lower().split())


def list_rows(
    found: Sequence[tuple[Runbook, Fit]], runs: Sequence[RunbookRun], going: Sequence[Going], now: datetime
) -> list[Row]:
    """Runs that go on, wait, failed or were cut short; then every runbook."""
    here = {one.run for one in going}
    rows = [_going_row(one) for one in going]
    rows += [_run_row(run, now) for run in to_take_up(runs) if run.run not in here]
    last = last_runs(runs)
    busy = {one.book for one in going}
    return [*rows, *(_book_row(book, how, last.get(book.id), now, book.id in busy) for book, how in found)]


def _going_row(one: Going) -> Row:
    state = "waiting" if one.asks else "running"
    why = f"step {one.step} waits for you" if one.asks else f"step {one.step}" if one.step else "begins"
    return Row(f"{RUN}{one.run}", ((STATES[state], tone_of(state)), one.book, (why, tone_of(state)), "", "", "", ""))


def _run_row(run: RunbookRun, now: datetime) -> Row:
    state = "unknown" if run.state == "running" else run.state
    why = run.note or ("cut short, or goes on in another process" if state == "unknown" else "")
    when = f"{ago(now - run.started)} ago by {run.who or 'somebody'}"
    mark = (STATES.get(state, " "), tone_of(state))
    return Row(f"{RUN}{run.run}", (mark, run.runbook, (f"{state}: {why}" if why else state, ""), "", "", "", when))


def _book_row(book: Runbook, how: Fit, last: RunbookRun | None, now: datetime, busy: bool) -> Row:
    mark: Piece = ("◆", "accent") if how.why else (" ", "")
    triggers = ", ".join(one.alert for one in book.triggers)
    cells = (mark, (book.id, "strong" if how.why else ""), (how.why, "accent"), book.title, book.owner, triggers)
    return Row(f"{BOOK}{book.id}", (*cells, (f"{STATES['running']} goes on", "accent") if busy else _last(last, now)))


def _last(run: RunbookRun | None, now: datetime) -> Piece:
    if run is None:
        return ("never run", "dim")
    state = "unknown" if run.state == "running" else run.state
    return (f"{STATES.get(state, ' ')} {state} {ago(now - (run.ended or run.started))} ago", tone_of(state))


# -- steps -----------------------------------------------------------------------------------------------------------


def plan_grid(rows: Iterable[PlanRow]) -> list[Row]:
    """A plan as rows of a list."""
    return [
        Row(
            one.step,
            (one.step, (one.does, "warn" if one.changes else ""), one.title, one.gate, one.undo, one.expects, one.kind),
        )
        for one in rows
    ]


def run_grid(rows: Iterable[RunRow]) -> list[Row]:
    """A run as rows of a list."""
    return [
        Row(
            one.name,
            ((one.words, tone_of(one.state)), one.name, one.took, one.said, one.title),
            "dim" if one.line is None else "",
        )
        for one in rows
    ]


def book_lines(book: Runbook, params: Sequence[ParamRow], why: str) -> list[Paragraph]:
    """What stands over a plan: whose it is, which incident it is for, where each parameter comes from."""
    writes = [step for step in book.flow if step.mutates is not None]
    things = ", ".join(dict.fromkeys(str(step.mutates) for step in writes))
    changes = f"{len(writes)} of {len(book.flow)} steps may change {things}" if writes else "it changes nothing"
    about = f"version {book.version}, of {book.owner or 'nobody'}; for {', '.join(book.services) or 'any service'}"
    lines: list[Paragraph] = [((f"{book.id}: {book.title}", "strong"),)]
    if params:
        worst_first = sorted(params, key=lambda row: not row.problem)
        lines.append(tuple(piece for row in worst_first for piece in _param_pieces(row)))
    if why:
        lines.append(((why, "accent"),))
    return [*lines, ((f"{about}; {changes}", "dim"),)]


def _param_pieces(row: ParamRow) -> tuple[Piece, ...]:
    if row.problem:
        return ((f"✖ {row.name}: ", "fail"), (f"{row.problem}, expected {row.expected}   ", ""))
    return ((f"{row.name} = ", "dim"), (row.text or '""', ""), (f" ({row.source})   ", "dim"))


def run_lines(book: Runbook, progress: Progress, now: datetime, asks: bool) -> list[Paragraph]:
    """What stands over a run: its id, how far it is, how it ended."""
    state = progress.state or ("waiting" if asks else "running")
    rows = run_rows(book, progress, now)
    head = (f"run {progress.run or '…'} of {book.id}", "strong")
    lines: list[Paragraph] = [
        (head, (f"   {STATES.get(state, ' ')} {state}", tone_of(state)), (f"   {states_in_short(rows)}", "dim"))
    ]
    if asks:
        lines.append(((f"step {progress.now} waits for you", "warn"),))
    elif progress.message:
        lines.append(((progress.message, tone_of(state)),))
    return lines


def step_lines(book: Runbook, name: str, plan: PlanRow | None, row: RunRow | None) -> list[Piece]:
    """Everything of one step: terms, what it would ask, send or run byte for byte, what came of it."""
    step = step_of(book, name)
    if step is None:
        return [(name, "strong"), ("the runbook has no such step any more", "warn"), *_result(row)]
    lines: list[Piece] = [(f"step {name}: {step.title}", "strong"), ("; ".join((step.kind.value, *terms(step))), "dim")]
    if step.secrets:
        lines.append((f"gets the secrets {', '.join(step.secrets)}", "dim"))
    lines += _result(row)
    if plan is not None:
        lines += [("byte for byte:" if plan.complete else "as far as it is known:", "head")]
        lines += [(line, "") for line in plan.text.splitlines()]
    return lines


def _result(row: RunRow | None) -> list[Piece]:
    """What came of a step."""
    if row is None or row.line is None:
        return []
    line = row.line
    lines: list[Piece] = [(f"{row.words}" + (f" after {row.took}" if row.took else ""), tone_of(row.state))]
    lines += [(line.message, "")] if line.message else []
    lines += [(f"captured {name} = {value}", "accent") for name, value in line.captured]
    if line.exit_code is not None:
        lines.append((f"exit code {line.exit_code}", ""))
    if line.output:
        lines += [("output:", "head"), *((one, "") for one in shown_output(line.output))]
    return lines


def exported(plan: Sequence[PlanRow], rows: Sequence[RunRow]) -> list[list[str]]:
    """The steps as rows with everything in them, the head first; not cleaned."""
    if rows:
        out = [["state", "step", "title", "took", "what came of it", "captured", "output"]]
        for row in rows:
            line = row.line
            captured = ", ".join(f"{k} = {v}" for k, v in line.captured) if line is not None else ""
            output = line.output if line is not None else ""
            out.append([row.state, row.name, row.title, row.took, row.said, captured, output])
        return out
    head = ["step", "title", "kind", "does", "gate", "expects", "undo", "text"]
    return [head, *([p.step, p.title, p.kind, p.does, p.gate, p.expects, p.undo, p.text] for p in plan)]
