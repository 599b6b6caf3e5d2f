"""The halves of the screen of runbooks: the list, and the plan or the run of what the cursor is on.

Must never act or ask a person: `runbooks.py` does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from textual.app import ComposeResult
from textual.message import Message

from opsctl.actions import StartRun
from opsctl.core.params import Given
from opsctl.core.runbooks import Runbook, Value
from opsctl.ports.runbooks import RunbookRun
from opsctl.runner import plan as planned
from opsctl.tui import book_rows as say
from opsctl.tui.dialogs import wrong_words
from opsctl.tui.focus import Focus
from opsctl.tui.leader import why_refused
from opsctl.tui.pane import Pane
from opsctl.tui.report import Report
from opsctl.tui.run_book import RunBook, Running
from opsctl.tui.run_progress import Progress, RunRow, of_journal, run_rows
from opsctl.tui.widgets.grid import Grid
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Prose
from opsctl.tui.widgets.said import Said
from opsctl.views.runbooks import (
    Looked,
    ParamRow,
    PlanRow,
    episodes_for,
    known_values,
    param_rows,
    plan_rows,
)

TICK_SECONDS = 1.0
_PREVIEW_LINES = 60


class RunNews(Message):
    """Something came of a run; an older one that nobody has looked at yet is replaced."""

    def can_replace(self, message: Message) -> bool:
        """There is one state, and it is looked up."""
        return isinstance(message, RunNews)


@dataclass
class Shown:
    """What the lower half is about: a runbook's plan, or a run of it."""

    book: Runbook
    params: tuple[ParamRow, ...] = ()
    plan: tuple[PlanRow, ...] = ()
    why: str = ""
    problem: str = ""
    record: RunbookRun | None = None
    progress: Progress | None = None
    running: Running | None = None
    steps: dict[str, PlanRow] = field(default_factory=dict)

    @property
    def now(self) -> Progress | None:
        """The run as it stands."""
        return self.running.progress if self.running is not None else self.progress


class RunbookView(Pane):
    """A row a runbook; below, what the selected one would do, or what its run does."""

    DEFAULT_CSS = """
    RunbookView #book-list { height: 8; }
    RunbookView #book-steps { height: 1fr; min-height: 3; }
    RunbookView #book-detail { height: 4; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._books: tuple[Runbook, ...] | None = None
        self._problem = ""
        self._report: Report | None = None
        self._session: RunBook | None = None
        self._told: set[int] = set()
        self._params: dict[str, dict[str, str]] = {}  # typed, by runbook
        self._episode: dict[str, int | None] = {}  # chosen, by runbook
        self._as_run: set[str] = set()  # runbooks of which the last run is shown
        self._filter = ""
        self._focus = Focus()
        self._shown: Shown | None = None
        self._asking = False

    def compose(self) -> ComposeResult:
        """The list, what is selected, its steps, the step that the cursor is on."""
        yield Grid(id="book-list", empty="the context has no runbooks")
        yield Said(id="book-head", most=5)
        yield Grid(id="book-steps", empty="no step")
        yield Prose(id="book-detail")

    def on_mount(self) -> None:
        """Read the runbooks; a clock goes on while a run does."""
        self.set_interval(TICK_SECONDS, self._second)
        self.run_worker(self._load(), group="books", exit_on_error=False)

    def on_unmount(self) -> None:
        """Nobody is there any more: who waits for an answer gets none, at once."""
        for one in self._session.under_way if self._session is not None else ():
            one.leave()

    @property
    def session(self) -> RunBook:
        """The runs that were begun here."""
        if self._session is None:
            self._session = RunBook(self.ops.desk, self.ops.composition.clock, self._changed)
        return self._session

    def _changed(self) -> None:
        """In a run's thread."""
        try:
            self.post_message(RunNews())
        except (RuntimeError, LookupError):  # the app is gone
            return

    async def _load(self) -> None:
        try:
            composition = self.ops.composition
            books = await self.ops.queries.ask("journal", ("runbooks",), lambda: composition.runbooks)
            self._books, self._problem = books, ""
        except Exception as wrong:  # noqa: BLE001  a file that cannot be read is said, not the end of the board
            self._books, self._problem = (), wrong_words(wrong)
        self._show_list()
        self._find(self.spot, first=True)

    # -- what is looked at

    def update_report(self, report: Report) -> None:
        """Other incidents, other runs."""
        self._report = report
        self._show_list()
        self._select()

    def focus_on(self, focus: Focus) -> None:
        """Seen again, or another incident or service is looked at."""
        self._find(focus)
        self._ask_next()

    def _find(self, focus: Focus, first: bool = False) -> None:
        before, self._focus = self._focus, focus
        if self._books is None:
            self._focus = before
            return
        self._show_list()
        grid = self.query_one("#book-list", Grid)
        if focus.runbook and (first or focus.runbook != before.runbook or focus.incident != before.incident):
            self._episode.pop(focus.runbook, None)
            grid.go_to(f"{say.BOOK}{focus.runbook}")
        elif focus.incident is not None and focus.incident != before.incident:
            best = next((row.key for row in grid.rows if row.key.startswith(say.BOOK)), "")
            grid.go_to(best)
        self._select()

    @property
    def _looked(self) -> Looked:
        return Looked(self.spot.service, self.spot.rule_uid, self.spot.incident)

    def _show_list(self) -> None:
        if self._books is None or not self.is_mounted:
            return
        books = [book for book in self._books if say.matches(book, self._filter)]
        found = say.ranked(books, say.happenings(self._report), self._looked)
        going = [
            say.Going(one.progress.run, one.book.id, one.progress.now, one.asked is not None)
            for one in self.session.under_way
        ]
        runs = self._report.runs if self._report is not None else ()
        rows = say.list_rows(found, self._newest(runs), going, self.ops.now)
        grid = self.query_one("#book-list", Grid)
        grid.show(say.LIST, rows)
        grid.styles.height = min(len(rows) + 1, max(4, (self.size.height or 24) // 3))

    def _newest(self, runs: Sequence[RunbookRun]) -> tuple[RunbookRun, ...]:
        """Runs of the report, and how those ended that ended here after it was made."""
        ended = {one.report.run.run: one.report.run for one in self.session.runs if one.report is not None}
        known = {run.run for run in runs}
        fresh = [run for run in reversed(ended.values()) if run.run not in known]
        return (*fresh, *(ended.get(run.run, run) for run in runs))

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """The cursor is on another runbook, or another step."""
        event.stop()
        if event.lines.id == "book-list":
            self._select()
        elif event.lines.id == "book-steps":
            self._show_step()

    def _select(self) -> None:
        """Show what the cursor is on."""
        if self._books is None:
            return
        key = self.query_one("#book-list", Grid).key
        book, run = self._at(key)
        if book is None:
            self._shown = None
            self._show_steps()
            return
        if self.spot.runbook != book.id:
            self.ops.set_quietly(runbook=book.id)
        self._focus = replace(self._focus, runbook=book.id)
        running = self.session.of(run) if run else self.session.of_book(book.id)
        if running is not None and (run or not running.over or book.id in self._as_run):
            self._shown = Shown(book, running=running)
            self._show_steps()
        # Not begun, and so not lost, where the cursor moves on at once.
        read: Callable[[], Awaitable[None]] = partial(self._read, book, run, running)
        self.run_worker(read, group="shown", exclusive=True, exit_on_error=False)

    def _at(self, key: str) -> tuple[Runbook | None, str]:
        """The runbook and the run of a row."""
        books = {book.id: book for book in self._books or ()}
        if key.startswith(say.BOOK):
            return books.get(key.removeprefix(say.BOOK)), ""
        run = key.removeprefix(say.RUN)
        here = self.session.of(run)
        if here is not None:
            return here.book, run
        record = next((one for one in (self._report.runs if self._report else ()) if one.run == run), None)
        return (books.get(record.runbook), run) if record is not None else (None, "")

    async def _read(self, book: Runbook, run: str, running: Running | None) -> None:
        as_run = bool(run) or book.id in self._as_run or (running is not None and not running.over)
        try:
            shown = await (self._read_run(book, run, running) if as_run else self._read_plan(book))
        except Exception as wrong:  # noqa: BLE001  it is said where the steps would be
            shown = Shown(book, problem=wrong_words(wrong))
        self._shown = shown
        self._show_steps()

    async def _read_plan(self, book: Runbook) -> Shown:
        action, why = self._start(book)

        def make() -> Shown:
            given = self.ops.desk.given(action)
            params = param_rows(book, given)
            rows = plan_rows(planned(book, known_values(params)))
            return Shown(book, params, rows, why, steps={row.step: row for row in rows})

        return await self.ops.queries.ask("journal", object(), make)

    async def _read_run(self, book: Runbook, run: str, running: Running | None) -> Shown:
        if running is not None:
            run = running.progress.run
        runs = self._newest(self._report.runs if self._report else ())
        run = run or next((one.run for one in runs if one.runbook == book.id), "")
        if not run:
            shown = await self._read_plan(book)
            return replace(shown, running=running)

        def make() -> Shown:
            log = self.ops.composition.journal().runbooks
            record = log.run_of(run)
            rows = log.steps(run) if record is not None else ()
            progress = of_journal(record, rows) if record is not None else None
            texts = _texts(book, record, progress or Progress()) if record is not None else {}
            return Shown(book, record=record, progress=progress, running=running, steps=texts)

        return await self.ops.queries.ask("journal", object(), make)

    def _start(self, book: Runbook) -> tuple[StartRun, str]:
        """The action that a run of it would be now, and which incident it is for in words."""
        open_ = say.happenings(self._report)
        sent = self.spot.runbook == book.id and self.spot.incident is not None
        known = episodes_for(book, open_, self._looked, sent)
        episode = self._episode.get(book.id, known[0] if known else None)
        if episode is not None and episode not in {one.episode for one in open_}:
            episode = None
        name = next((one.alert for one in open_ if one.episode == episode), "")
        newest = "" if episode == self.spot.incident else ", the newest open one that calls for it"
        why = f"for incident #{episode} {name}{newest}; i takes another" if episode is not None else ""
        if not why and known:
            why = "for no incident; i takes one"
        return StartRun(book.id, dict(self._params.get(book.id, {})), episode), why

    # -- showing

    def _show_steps(self) -> None:
        if not self.is_mounted:
            return
        head, grid, shown = self.query_one("#book-head", Said), self.query_one("#book-steps", Grid), self._shown
        if shown is None:
            orphan = "the context has no such runbook any more" if self._on_run else ""
            problem = self._problem or orphan
            head.show([((f"✖ {problem}", "fail"),)] if problem else [])
            grid.show(say.PLAN, [])
        elif shown.problem:
            head.show([((shown.book.id, "strong"),), ((f"✖ {shown.problem}", "fail"),)])
            grid.show(say.PLAN, [])
        elif (progress := shown.now) is not None:
            asks = shown.running is not None and shown.running.asked is not None
            head.show(say.run_lines(shown.book, progress, self.ops.now, asks))
            grid.show(say.RUNS, say.run_grid(self._run_rows()))
            if not grid.has_focus and progress.now:
                grid.go_to(progress.now)  # nobody moves the cursor: it follows the run
        else:
            head.show(say.book_lines(shown.book, shown.params, self._why(shown)))
            grid.show(say.PLAN, say.plan_grid(shown.plan))
        self._show_step()

    def _why(self, shown: Shown) -> str:
        refused = why_refused(self.ops) if shown.book.mutations else ""
        return "; ".join(part for part in (shown.why, refused) if part)

    def _run_rows(self) -> tuple[RunRow, ...]:
        shown = self._shown
        progress = shown.now if shown is not None else None
        return run_rows(shown.book, progress, self.ops.now) if shown is not None and progress is not None else ()

    def _step(self) -> tuple[str, list[tuple[str, str]], str]:
        """The step that the cursor is on: its name, everything of it, and what it would send."""
        shown, name = self._shown, self.query_one("#book-steps", Grid).key
        if shown is None or not name:
            return "", [], ""
        row = next((one for one in self._run_rows() if one.name == name), None)
        plan = shown.steps.get(name.rpartition(":")[2])
        return name, say.step_lines(shown.book, name, plan, row), plan.text if plan is not None else ""

    def _show_step(self) -> None:
        detail = self.query_one("#book-detail", Prose)
        detail.styles.height = max(3, self.size.height // 4)
        _, lines, _ = self._step()
        detail.show([((text[:2_000], tone),) for text, tone in lines[:_PREVIEW_LINES]])

    def on_resize(self) -> None:
        """Other heights."""
        self._show_list()
        self._show_step()

    def _second(self) -> None:
        """What changes with the time alone."""
        self._ask_next()
        if self._seen and self._shown is not None and self._shown.running is not None and not self._shown.running.over:
            self._show_steps()

    @property
    def _seen(self) -> bool:
        return self.ops.screen_name == "runbooks"

    @property
    def _on_run(self) -> bool:
        return self.query_one("#book-list", Grid).key.startswith(say.RUN)

    def _ask_next(self) -> None:
        """Put the oldest question to whoever looks."""


def _texts(book: Runbook, record: RunbookRun, progress: Progress) -> dict[str, PlanRow]:
    """What each step of a run asked, sent or ran, or would, with what was captured so far."""
    declared = {param.name for param in book.params}
    given = Given(flags={name: text for name, text in record.params.items() if name in declared})
    captured: dict[str, Value] = {name: text for line in progress.lines for name, text in line.captured}
    values = {**captured, **known_values(param_rows(book, given))}
    return {row.step: row for row in plan_rows(planned(book, values, record.run))}
