"""Runbooks, those that fit what is looked at first: the plan of one, and its run while it goes on and afterwards.

Must never act: the desk runs them, in a thread for each, and asks a person here. Leaving is "not now".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Union

from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message

from opsctl.actions import ResumeRun, StartRun
from opsctl.core.params import Given
from opsctl.core.runbooks import Runbook, Value
from opsctl.ports.runbooks import RunbookRun
from opsctl.render.text import clean, clean_block
from opsctl.runner import plan as planned
from opsctl.tui import book_rows as say
from opsctl.tui.dialogs import Field, FormDialog, Values, wrong_words
from opsctl.tui.focus import Focus
from opsctl.tui.leader import confirmed, why_refused
from opsctl.tui.pane import Offer, Pane
from opsctl.tui.report import Report
from opsctl.tui.run_book import RunBook, Running
from opsctl.tui.run_dialogs import EditDialog, QuestionDialog, StepView
from opsctl.tui.run_progress import Line, Progress, RunRow, can_resume, can_undo, lines_of, of_journal, run_rows
from opsctl.tui.widgets.grid import Grid
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Paragraph, Prose
from opsctl.tui.widgets.said import Said
from opsctl.views.runbooks import (
    Looked,
    ParamRow,
    PlanRow,
    edit_of,
    episodes_for,
    known_values,
    param_rows,
    plan_rows,
)

Action = Union[StartRun, ResumeRun]
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


class Runbooks(Pane):
    """A row a runbook; below, what the selected one would do, or what its run does."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("p", "parameters", "parameters", id="runbooks.parameters"),
        Binding("i", "incident", "other incident", id="runbooks.incident"),
        Binding("v", "turn", "plan / last run", id="runbooks.turn"),
        Binding("tab", "other_half", "steps", id="runbooks.steps"),
    ]
    DEFAULT_CSS = """
    Runbooks #book-list { height: 8; }
    Runbooks #book-steps { height: 1fr; min-height: 3; }
    Runbooks #book-detail { height: 4; }
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

    # -- keys

    def on_lines_opened(self, event: Lines.Opened) -> None:
        """Enter: run or resume what the list is on; all of a step."""
        event.stop()
        if event.lines.id == "book-list":
            wanted = "e" if self._on_run else "r"
            make = next((one.make for one in self.offers() if one.key == wanted), None)
            if make is not None:
                make()
            return
        name, lines, text = self._step()
        if name:
            self.app.push_screen(StepView(lines, clean_block(text)))

    def action_other_half(self) -> None:
        """From the list to the steps, and back."""
        steps = self.query_one("#book-steps", Grid)
        (self.query_one("#book-list", Grid) if steps.has_focus else steps).focus()

    def action_turn(self) -> None:
        """The plan, or the last run."""
        if self._shown is not None:
            self._as_run ^= {self._shown.book.id}
            self._select()

    def action_incident(self) -> None:
        """The next incident that it could be for, then none."""
        if self._shown is None:
            return
        book = self._shown.book
        known: list[int | None] = [*episodes_for(book, say.happenings(self._report), self._looked, False), None]
        now = self._start(book)[0].episode
        self._episode[book.id] = known[(known.index(now) + 1) % len(known)] if now in known else known[0]
        self._select()

    def action_parameters(self) -> None:
        """Type them, without running it yet."""
        if self._shown is not None:
            book = self._shown.book
            self.run_worker(self._typed(book), group="act", exit_on_error=False)

    # -- acting

    def offers(self) -> Sequence[Offer]:
        """Run, resume, undo."""
        shown = self._shown
        if shown is None:
            return ()
        book, progress = shown.book, shown.now
        going = shown.running is not None and not shown.running.over
        out = []
        if progress is not None and not going and can_resume(progress):
            out.append(Offer("e", f"resume run {progress.run}", lambda: self._begin(self._resume(book, progress.run))))
        if not self._on_run and not going:
            out.append(Offer("r", f"run {book.id}", lambda: self._begin(self._run(book))))
        if progress is not None and not going and progress.state != "undone" and can_undo(book, progress):
            undo = f"undo what run {progress.run} changed"
            out.append(Offer("u", undo, lambda: self._begin(self._resume(book, progress.run, undo=True))))
        return out

    @property
    def _on_run(self) -> bool:
        return self.query_one("#book-list", Grid).key.startswith(say.RUN)

    def _begin(self, work: Any) -> None:
        async def carried() -> None:
            try:
                await work
            except Exception as wrong:  # noqa: BLE001  whatever it is, it is said
                self.ops.say(wrong_words(wrong), bad=True)

        self.run_worker(carried(), group="act", exit_on_error=False)

    def propose(self, action: Action) -> None:
        """An action of another screen: plan it, ask, and let it go on here."""
        if isinstance(action, ResumeRun):
            self._begin(self._resume(None, action.run, undo=action.undo))
        else:
            self._begin(self._confirm(action))

    def _refused(self, book: Runbook) -> bool:
        """Whether nothing may be changed now; it is said before anything is asked."""
        why = why_refused(self.ops) if book.mutations else ""
        if why:
            self.ops.say(why, bad=True)
        return bool(why)

    async def _run(self, book: Runbook) -> None:
        if self._refused(book):
            return
        action, _ = self._start(book)
        rows = await asyncio.to_thread(lambda: param_rows(book, self.ops.desk.given(action)))
        if any(row.problem for row in rows):
            asked = await self._typed(book)
            if asked is None:
                return
            action = asked
        await self._confirm(action)

    async def _typed(self, book: Runbook) -> StartRun | None:
        """Ask for the parameters; what is wrong with them stays in the form."""
        action, why = self._start(book)
        without = replace(action, params={})
        given: Given = await asyncio.to_thread(self.ops.desk.given, without)
        known = {row.name: row for row in param_rows(book, given)}
        typed = self._params.get(book.id, {})
        if not known:
            self.ops.say(f"{book.id} has no parameters")
            return None
        fields = [Field(name, name, typed.get(name, _printable(row.text))) for name, row in known.items()]

        def make(values: Values) -> StartRun:
            own = {name: text for name, text in values.items() if text and text != known[name].text}
            return replace(action, params=own)

        title: list[Paragraph] = [((f"parameters of {book.id}", "strong"),), *([((why, "accent"),)] if why else [])]
        title += [_asked_for(row) for row in known.values()]
        result: StartRun | None = await self.app.push_screen_wait(FormDialog(title, fields, make))
        if result is not None:
            self._params[book.id] = dict(result.params)
            self._select()
        return result

    async def _resume(self, book: Runbook | None, run: str, undo: bool = False) -> None:
        found = await asyncio.to_thread(self.ops.desk.resumable, run)
        book = found.book
        if self._refused(book):
            return
        if found.edited:
            title = f"{book.id} was edited after run {found.record.run} was begun; approvals have to be given again"
            if not await self.app.push_screen_wait(EditDialog(title, edit_of(found.record, book))):
                return
        await self._confirm(ResumeRun(found.record.run, undo, found.edited))

    async def _confirm(self, action: Action) -> None:
        if await confirmed(self.ops, action) is None:
            return
        before: tuple[Line, ...] = ()
        if isinstance(action, StartRun):
            book = self.ops.desk.book(action.runbook)
        else:
            book = self.ops.desk.resumable(action.run).book
            journal = self.ops.composition.journal
            rows = await asyncio.to_thread(lambda: journal().runbooks.steps(action.run))
            before = lines_of(rows)
        self._as_run.add(book.id)
        running = self.session.begin(action, book, before)
        self._shown = Shown(book, running=running)
        self._show_list()
        self._show_steps()

    # -- while runs go on

    def on_run_news(self, message: RunNews) -> None:
        """Something came of a run."""
        message.stop()
        for one in self.session.runs:
            if one.over and id(one) not in self._told:
                self._told.add(id(one))
                self._tell(one)
            elif one.asked is not None and not self._seen and id(one.asked) not in self._told:
                self._told.add(id(one.asked))
                self.ops.say(f"{one.where} waits for you (8 Runbooks)")
        self._show_list()
        if self._seen:
            self._select_running()
            self._ask_next()

    def _select_running(self) -> None:
        shown = self._shown
        if shown is not None and shown.running is not None and not shown.running.over and shown.steps:
            self._show_steps()
        else:
            self._select()

    def _tell(self, one: Running) -> None:
        if one.problem:
            self.ops.say(f"run of {one.book.id}: {one.problem}", bad=True)
        elif one.report is not None:
            good = one.report.state == "ok" or (one.report.state == "undone" and one.report.asked_undo)
            self.ops.say(f"run of {one.book.id} {one.report.state}: {one.report.message}", bad=not good)
        self.ops.feed.refresh()

    def _ask_next(self) -> None:
        """Put the oldest question to whoever looks, where nothing else is asked."""
        if self._asking or not self._seen or len(self.app.screen_stack) > 1 or self._session is None:
            return
        for one in self._session.asking:
            asked = one.asked
            if asked is not None:
                self._asking = True
                name = f"run of {one.book.id}"

                def answered(answer: bool | None, asked: Any = asked) -> None:
                    self._asking = False
                    asked.give(answer)

                self.app.push_screen(QuestionDialog(asked.question, name), answered)
                return

    def busy(self) -> str:
        """A run that goes on."""
        return self._session.busy() if self._session is not None else ""

    def notices(self) -> Sequence[str]:
        """Runs that wait for somebody."""
        return self._session.notices() if self._session is not None else ()

    def left(self, seconds: float) -> Sequence[str]:
        """How to take up what was under way."""
        return self._session.leave(seconds) if self._session is not None else ()

    # -- the frame's keys

    def filter_text(self) -> str | None:
        """Words of the list."""
        return self._filter

    def set_filter(self, text: str) -> str:
        """Only runbooks with these words."""
        self._filter = text
        self._show_list()
        self._select()
        return ""

    def command(self) -> tuple[str, ...]:
        """The plan, or the run."""
        shown = self._shown
        if shown is None:
            return ("runbook", "ls")
        progress = shown.now
        if progress is not None and progress.run:
            if can_resume(progress):
                return ("runbook", "resume", progress.run)
            return ("runbook", "show", shown.book.id)
        action, _ = self._start(shown.book)
        params = tuple(word for name, text in action.params.items() for word in ("-p", f"{name}={text}"))
        incident = ("--incident", f"#{action.episode}") if action.episode is not None else ()
        return ("runbook", "plan", shown.book.id, *params, *incident)

    def export(self) -> list[list[str]]:
        """The steps, with everything in them."""
        plan = self._shown.plan if self._shown is not None else ()
        return [[clean(cell) for cell in row] for row in say.exported(plan, self._run_rows())]

    def under_cursor(self) -> str:
        """What the step would ask, send or run."""
        _, _, text = self._step()
        return clean_block(text)


def _printable(text: str | None) -> str:
    """What may stand in a field before anybody typed: a text that cannot be printed fits no parameter anyway."""
    return text if text is not None and text.isprintable() else ""


def _asked_for(row: ParamRow) -> Paragraph:
    """A parameter's line over the form."""
    source = f", from {row.source}" if row.source else ""
    state = (" (missing)", "warn") if row.text is None else (f" ({row.problem})", "fail") if row.problem else ("", "")
    about = f": {row.description}" if row.description else ""
    return ((row.name, "head"), (about, ""), (f"; {row.expected}{source}", "dim"), state)


def _texts(book: Runbook, record: RunbookRun, progress: Progress) -> dict[str, PlanRow]:
    """What each step of a run asked, sent or ran, or would, with what was captured so far."""
    declared = {param.name for param in book.params}
    given = Given(flags={name: text for name, text in record.params.items() if name in declared})
    captured: dict[str, Value] = {name: text for line in progress.lines for name, text in line.captured}
    values = {**captured, **known_values(param_rows(book, given))}
    return {row.step: row for row in plan_rows(planned(book, values, record.run))}
