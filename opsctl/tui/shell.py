"""Everything around the screens: keys, palette, `:`, times, copying, export, themes, and how the board ends.

What is asked for seldom is imported when it is. Must never print, and never leave the terminal to a traceback.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, ScreenError
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.geometry import Size
from textual.widget import MountError
from textual.widgets import Input

from opsctl.tui.terminal import Plainer, Terminal, gone, shows_ascii_only
from opsctl.tui.widgets.bar import Bar
from opsctl.tui.widgets.small import Small

if TYPE_CHECKING:
    from opsctl.actions import Action, Desk
    from opsctl.app import Composition
    from opsctl.tui.copying import Copied
    from opsctl.tui.focus import Focus
    from opsctl.tui.options import Options
    from opsctl.tui.report import Report
    from opsctl.tui.typed import CommandLine, Grammar, Known, Typed

_OPENS_LINE = frozenset({"command", "filter", "go_to_time"})
WRITABLE = timedelta(minutes=15)
BUG, HUNG_UP = 70, 129


class Shell(App[int], inherit_bindings=False):
    """What every screen of the board can do; returns the exit code."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("colon", "command", "command", priority=True, id="app.command"),
        Binding("question_mark", "help", "keys", id="app.help"),
        Binding("ctrl+p", "palette", "palette", id="app.palette"),
        Binding("t", "go_to_time", "go to a time", show=False, priority=True, id="time.go-to"),
        Binding("y", "copy", "copy what the cursor is on", show=False, id="app.copy"),
        Binding("Y", "copy_command", "copy the equal command", show=False, id="app.copy-command"),
        Binding("o", "open_link", "open in a browser", show=False, id="app.open-link"),
        Binding("ctrl+e", "export", "write the view into a file", show=False, id="app.export"),
    ]
    if TYPE_CHECKING:
        options: Options
        composition: Composition
        desk: Desk
        spot: Focus
        report: Report | None
        screen_name: str
        pane: Any
        now: Any

        def say(self, text: str, *, bad: bool = False) -> None: ...
        def look(self, **changes: Any) -> None: ...
        async def go(self, name: str, **changes: Any) -> None: ...
        def propose(self, action: Action) -> None: ...
        def action_live(self) -> None: ...
        def show_hints(self) -> None: ...
        def _tick(self) -> None: ...

    def __init__(self) -> None:
        super().__init__(driver_class=Terminal)
        self.crash: BaseException | None = None
        self._line: CommandLine | None = None
        self._grammar: Grammar = {}
        if shows_ascii_only():
            self._filters.append(Plainer())

    def rebind(self) -> None:
        """A person's own keys."""
        if self.options.keys:
            self.set_keymap(dict(self.options.keys))

    def attend(self) -> None:
        """Other keys are hinted at when the focus moves; after the process was stopped all is drawn again."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.show_hints())
        self.app_resume_signal.subscribe(self, lambda _: self._draw_all(), immediate=True)

    def _draw_all(self) -> None:
        for screen in self.screen_stack:
            screen.refresh(layout=True)
            for widget in screen.query("*"):
                widget.refresh()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What opens the input line comes first, so that what is typed ahead goes into it; not where one types."""
        if action in _OPENS_LINE and (isinstance(self.focused, Input) or len(self.screen_stack) > 1):
            return False
        return super().check_action(action, parameters)

    # -- keys and palette

    def action_help(self) -> None:
        """The keys of this screen."""
        from opsctl.tui.help import help_of
        from opsctl.tui.picker import Picker

        self.push_screen(Picker("keys: type to narrow", help_of(self.screen.active_bindings), fuzzy=False))

    def action_palette(self) -> None:
        """Everything that one can go to or do, by name."""
        from opsctl.tui.palette import choices
        from opsctl.tui.picker import Picker

        self.push_screen(Picker("go to, do, filter: type to narrow", choices(self)), self._chosen)

    def _chosen(self, take: Callable[[], object] | None) -> None:
        if take is not None:
            self.call_later(take)

    # -- the command line

    def action_command(self, text: str = "") -> None:
        """Type a command."""
        self._open_line()
        self.query_one_bar().ask(":", text, self.take_command, self._completions)

    def query_one_bar(self) -> Bar:
        """The input line, which is on the first screen whatever lies over it."""
        return self.screen_stack[0].query_one(Bar)

    def _open_line(self) -> None:
        if self._line is None and self.options.line is not None:
            self._line = self.options.line(self.composition)
            self.run_worker(self._learn(self._line), exit_on_error=False)

    async def _learn(self, line: CommandLine) -> None:
        self._grammar = await asyncio.to_thread(line.grammar)

    def _completions(self, text: str) -> Sequence[str]:
        from opsctl.tui.typed import completions

        return completions(text, self._grammar, self.known())

    def known(self) -> Known:
        """The names that there are."""
        from opsctl.errors import OpsctlError
        from opsctl.tui.tones import NAMES
        from opsctl.tui.typed import Known

        report = self.report
        numbers = tuple(one.episode for one in report.incidents) if report is not None else ()
        services: tuple[str, ...] = ()
        books: tuple[str, ...] = ()
        with suppress(OpsctlError):  # the banner says what is wrong with the files
            services = tuple(sorted(self.composition.catalogue.services))
            books = tuple(book.id for book in self.composition.runbooks)
        return Known(services, numbers, books, NAMES)

    def take_command(self, text: str) -> str:
        """Do what was typed; one line that says what is wrong with it, or ""."""
        from opsctl.errors import OpsctlError
        from opsctl.tui.typed import parse

        if not text.strip():
            return ""
        grammar = self._grammar
        if not grammar and self._line is not None:
            self._grammar = grammar = self._line.grammar()
        try:
            return self._do(parse(text, grammar, self.known(), self.now, utc=self.options.utc))
        except ValueError as wrong:
            return str(wrong)
        except OpsctlError as wrong:
            return str(wrong)

    def _do(self, typed: Typed) -> str:
        from opsctl.tui.typed import Ask, At, Length, Move, Order

        match typed:
            case Move(screen, changes):
                self.call_later(self.go, screen, **changes)
            case At(end):
                self.look(window=replace(self.spot.window, end=end))
            case Length(length):
                self.look(window=replace(self.spot.window, length=length))
            case Order(word, argument, force):
                return self._order(word, argument, force)
            case Ask(words):
                self.run_worker(self._ask(words), group="command", exit_on_error=False)
        return ""

    async def _ask(self, words: Sequence[str]) -> None:
        """What changes something goes to the desk, and is asked about; the rest is run and shown."""
        from opsctl.errors import OpsctlError
        from opsctl.tui.output import Output

        line = self._line
        if line is None:
            self.say("there is no command line here: a recorded session answers what was asked in it", bad=True)
            return
        try:
            action = await asyncio.to_thread(line.action, words)
        except OpsctlError as wrong:
            self.say(str(wrong), bad=True)
            return
        if action is not None:
            self.propose(action)
        else:
            await self.push_screen(Output(line, words))

    def _order(self, word: str, argument: str, force: bool) -> str:
        match word:
            case "q":
                self.exit(0)
            case "write":
                return self._write()
            case "ro":
                self.desk.allow(timedelta(0))
                self._tick()
            case "theme":
                self.theme = argument
            case "export":
                return self.export_to(Path(argument).expanduser(), force=force)
            case "live":
                self.action_live()
            case "help":
                self.call_later(self.action_help)
        return ""

    # -- times

    def action_go_to_time(self) -> None:
        """Type a time."""
        self.query_one_bar().ask("t", "", lambda text: self.take_command(f"at {text}") if text.strip() else "")

    # -- writing in a protected context

    def _write(self) -> str:
        context = self.composition.context
        why = self.desk.read_only
        if not context.protected:
            return why or f"context {context.name} is not protected: there is nothing to lift"
        if why and not why.startswith("context "):
            self.desk.allow(WRITABLE)  # refuses, and says why
        minutes = WRITABLE // timedelta(minutes=1)

        def typed(name: str) -> str:
            if name != context.name:
                return f"not lifted: expected {context.name}, got {name}"
            self.desk.allow(WRITABLE)
            self._tick()
            self.say(f"context {context.name} can be changed for {minutes} minutes; :ro ends that")
            return ""

        self.query_one_bar().ask(f"type {context.name} to lift its read-only for {minutes} minutes", "", typed)
        return ""

    # -- copying and opening

    def action_copy(self) -> None:
        """What the cursor is on."""
        self.copy_text(self.pane.under_cursor() if self.pane is not None else "")

    def action_copy_command(self) -> None:
        """The command that shows the same in a terminal."""
        import shlex

        words = self.pane.command() if self.pane is not None else ()
        self.copy_text(shlex.join(["opsctl", *self.composition.flags, *words]) if words else "")

    def copy_text(self, text: str) -> None:
        """Copy a text from anywhere, and say how."""
        from opsctl.tui.copying import copy, environment

        folder, now, driver = self.composition.context.state_dir / "export", self.now, self._driver

        def write(sequence: str) -> None:
            if driver is not None:
                driver.write(sequence)

        async def do() -> None:
            copied: Copied = await asyncio.to_thread(copy, text, environment(), write, folder, now)
            self.say(copied.said, bad=copied.bad)

        self.run_worker(do(), group="copy", exit_on_error=False)

    def action_open_link(self) -> None:
        """The page of what the cursor is on."""
        from opsctl.tui.opening import browser_of, start, web_address

        link = self.pane.link() if self.pane is not None else ""
        if not link:
            self.say("nothing here has a page of its own")
            return
        address = web_address(link)
        if address is None:
            self.say(f"not opened, since it is no http or https address: {link}", bad=True)
            return
        browser = browser_of(os.environ)
        if browser is None:
            self.say(f"no browser on this machine: {address}")
            self.copy_text(address)
            return

        async def do() -> None:
            wrong = await asyncio.to_thread(start, browser, address)
            self.say(wrong or f"opened {address}", bad=bool(wrong))

        self.run_worker(do(), group="open", exit_on_error=False)

    # -- export

    def action_export(self) -> None:
        """Ask for a file's name."""
        from opsctl.tui.exporting import file_name

        self.action_command(f"export {file_name(self.composition.context.name, self.screen_name, self.now)}")

    def export_to(self, path: Path, *, force: bool) -> str:
        """Write the view; one line that says what is wrong, or ""."""
        from opsctl.errors import UsageError
        from opsctl.tui.exporting import text_of, write_export

        rows = self.pane.export() if self.pane is not None else []
        try:
            if path.suffix.lower() == ".svg":
                text = self.export_screenshot(title=f"opsctl {self.screen_name}")
            else:
                text = text_of(rows, path.suffix, screen=self.screen_name, at=self.now)
            write_export(path, text, force=force)
        except UsageError as wrong:
            return str(wrong)
        self.say(f"written into {path}")
        return ""

    # -- what is too small, and the end

    def fit(self, size: Size) -> None:
        """Say what is too small to be read."""
        for small in self.screen_stack[0].query(Small):
            small.show(size)

    def hung_up(self) -> bool:
        """Whether the terminal is gone; then this ends."""
        if self.is_headless or not gone():
            return False
        self.exit(HUNG_UP)
        return True

    def _handle_exception(self, error: Exception) -> None:
        """A bug: the terminal is given back, and whoever opened the board says it in one line."""
        if self._exit and isinstance(error, (MountError, NoMatches, ScreenError)):
            self._close_messages_no_wait()  # it was told to leave while it opened: what it opens into is gone
            return
        self._return_code = BUG
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        if self.crash is None:
            self.crash = getattr(error, "error", None) or error
        self._close_messages_no_wait()

    def panic(self, *renderables: Any) -> None:
        """Textual found something that it cannot show."""
        self._handle_exception(RuntimeError(f"Textual gave up: {str(renderables[0])[:200] if renderables else ''}"))
