"""Runbooks, those that fit what is looked at first: the plan of one, and its run while it goes on and afterwards.

Must never act: the desk runs them, in a thread for each, and asks a person here. Leaving is "not now".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Union

from textual.binding import Binding

from opsctl.actions import ResumeRun, StartRun
from opsctl.core.params import Given
from opsctl.core.runbooks import Runbook
from opsctl.render.text import clean, clean_block
from opsctl.tui import book_rows as say
from opsctl.tui.dialogs import Field, FormDialog, Values, wrong_words
from opsctl.tui.leader import confirmed, why_refused
from opsctl.tui.pane import Offer
from opsctl.tui.panes.runbook_view import RunbookView, RunNews, Shown
from opsctl.tui.run_book import Running
from opsctl.tui.run_dialogs import EditDialog, QuestionDialog, StepView
from opsctl.tui.run_progress import Line, can_resume, can_undo, lines_of
from opsctl.tui.widgets.grid import Grid
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Paragraph
from opsctl.views.runbooks import (
    ParamRow,
    edit_of,
    episodes_for,
    param_rows,
)

Action = Union[StartRun, ResumeRun]


class Runbooks(RunbookView):
    """The screen: its keys, what is begun here, and what runs ask."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("p", "parameters", "parameters", id="runbooks.parameters"),
        Binding("i", "incident", "other incident", id="runbooks.incident"),
        Binding("v", "turn", "plan / last run", id="runbooks.turn"),
        Binding("tab", "other_half", "steps", id="runbooks.steps"),
    ]

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
