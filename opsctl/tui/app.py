"""The application: one header, one screen at a time, what they look at together, and the way back.

Must never fetch in a widget's thread of painting, act but through the desk, or paint text from outside as markup.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Resize
from textual.message import Message
from textual.widgets import ContentSwitcher

from opsctl.app import Composition
from opsctl.render.text import clean
from opsctl.tui.banner import banner
from opsctl.tui.focus import Focus, Place
from opsctl.tui.hands import Hands
from opsctl.tui.options import Options
from opsctl.tui.pane import Pane
from opsctl.tui.panes import PANES, pane_class
from opsctl.tui.queries import Queries
from opsctl.tui.report import News, Report, Trouble
from opsctl.tui.tones import THEMES
from opsctl.tui.widgets.bar import Bar
from opsctl.tui.widgets.header import Banner, Header, Heading, Hints, Tabs
from opsctl.tui.widgets.small import Small

if TYPE_CHECKING:  # what the first paint does not need
    from opsctl.actions import Desk
    from opsctl.tui.memory import Memory
    from opsctl.tui.recorder import Recorder
    from opsctl.tui.reporting import Feed

TICK_SECONDS = 1.0
_PLACES = 50  # that one can go back to


class Reported(Message):
    """News of the schedule; an older one that nobody has looked at yet is replaced."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self.news = news

    def can_replace(self, message: Message) -> bool:
        """A flood coalesces to the newest; an old session's report replaces no new one."""
        return isinstance(message, Reported) and isinstance(message.news, Report) and not message.news.old


class OpsctlApp(Hands):
    """Everything that one person looks at; returns the exit code."""

    CSS_PATH = "opsctl.tcss"
    TITLE = "opsctl"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[Any]] = [
        *(Binding(e.key, f"open_screen('{e.name}')", e.title, show=False, id=f"screen.{e.name}") for e in PANES),
        Binding("left_square_bracket", "shift(-1)", "earlier", show=False, id="time.earlier"),
        Binding("right_square_bracket", "shift(1)", "later", show=False, id="time.later"),
        Binding("minus", "zoom(1)", "longer window", show=False, id="time.longer"),
        Binding("plus", "zoom(-1)", "shorter window", show=False, id="time.shorter"),
        Binding("L", "live", "live", show=False, id="time.live"),
        Binding("escape", "back", "back", show=False, id="app.back"),
        Binding("Q", "back_keep_time", "back, keep the time", show=False, id="app.back-keep-time"),
        Binding("q", "leave", "back / quit", show=False, id="app.leave"),
        Binding("ctrl+c", "interrupt", "quit", show=False, priority=True, id="app.interrupt"),
        Binding("space", "pause", "pause", id="app.pause"),
        Binding("slash", "filter", "filter", priority=True, id="app.filter"),
        Binding("x", "leader", "act …", id="app.leader"),
        Binding("f5,ctrl+r", "refresh_now", "refresh", show=False, id="app.refresh"),
    ]

    def __init__(
        self,
        composition: Composition,
        feed: Feed,
        desk: Desk,
        options: Options | None = None,
        *,
        queries: Queries | None = None,
        memory: Memory | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__()
        self.options = options or Options()
        self.composition = composition
        self.feed = feed
        self.desk = desk
        self.queries = queries or Queries(composition)
        self._memory, self._recorder = memory, recorder
        self.parting: list[str] = []  # what is said on stderr once the terminal is as it was
        self.last_good: dict[str, datetime] = {}  # when each backend's answers came whole
        self.spot = Focus()
        self.report: Report | None = None
        self.trouble: Trouble | None = None
        self.screen_name = self.options.screen
        self.on_hold = False
        self._held: Report | None = None
        self._held_count = 0
        self._places: list[Place] = []
        self._panes: dict[str, Pane] = {}
        self._interrupted_at = float("-inf")
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.options.theme
        self.rebind()

    # -- building

    def compose(self) -> ComposeResult:
        """The frame; screens come when they are looked at."""
        yield Header()
        yield Tabs()
        yield Banner()
        yield ContentSwitcher(id="panes")
        yield Hints()
        yield Bar()
        yield Small()

    async def on_mount(self) -> None:
        """Begin."""
        self.attend()
        await self.open_screen(self.screen_name)
        self.run_worker(self._recall(), exit_on_error=False)
        self.feed.start(self._post)
        self.set_interval(TICK_SECONDS, self._tick)
        self._tick()

    def _post(self, news: News) -> None:
        """In the feed's thread."""
        self.post_message(Reported(news))
        if isinstance(news, Report):
            if self._recorder is not None:
                self._recorder.report(news)
            if self._memory is not None:
                self._memory.keep(news)

    async def _recall(self) -> None:
        """The last session's last report, until there is one of this session."""
        old = await asyncio.to_thread(self._memory.recall) if self._memory is not None else None
        if old is not None:
            self.post_message(Reported(old))

    @property
    def now(self) -> datetime:
        """The context's clock."""
        return self.composition.clock.now()

    @property
    def pane(self) -> Pane | None:
        """The screen that is seen."""
        return self._panes.get(self.screen_name)

    # -- screens

    async def open_screen(self, name: str, *, remember: bool = True) -> None:
        """Look at a screen, with what is looked at now."""
        before = self.pane
        if remember and before is not None and name != self.screen_name:
            self._remember()
        switcher = self.query_one(ContentSwitcher)
        if name not in self._panes:
            fresh = pane_class(name)(id=f"pane-{name}")
            self._panes[name] = fresh
            await switcher.mount(fresh)
        if before is not None and name != self.screen_name:
            before.hidden()
        self.screen_name = name
        switcher.current = f"pane-{name}"
        self.query_one(Tabs).show(name)
        pane = self._panes[name]
        pane.focus_on(self.spot)
        if self.report is not None:
            pane.update_report(self.report)
        self._focus_first(pane)
        self.call_after_refresh(self.show_hints)

    def _focus_first(self, pane: Pane) -> None:
        focused = self.focused
        if focused is not None and pane in focused.ancestors:
            return
        for widget in pane.query("*"):
            if widget.focusable and widget.display:
                widget.focus()
                return

    async def action_open_screen(self, name: str) -> None:
        """A digit."""
        await self.open_screen(name)

    async def go(self, name: str, **changes: Any) -> None:
        """Another screen with another focus, in one step that `esc` takes back."""
        self._remember()
        self.spot = replace(self.spot, **changes)
        self._look()
        await self.open_screen(name, remember=False)

    def look(self, **changes: Any) -> None:
        """Change what all screens look at; `esc` takes it back."""
        focus = replace(self.spot, **changes)
        if focus == self.spot:
            return
        self._remember()
        self.spot = focus
        self._changed()

    def set_quietly(self, **changes: Any) -> None:
        """Note what the cursor is on, without a step back for it and without telling the screen that says it."""
        self.spot = replace(self.spot, **changes)

    def _remember(self) -> None:
        place = Place(self.screen_name, self.spot)
        if not self._places or self._places[-1] != place:
            self._places = [*self._places[1 - _PLACES :], place]

    def _changed(self) -> None:
        self._look()
        pane = self.pane
        if pane is not None:
            pane.focus_on(self.spot)
        self._tick()

    def _look(self) -> None:
        self.feed.look_at(self.spot.window.end, self.spot.window.length)

    async def action_back(self) -> None:
        """Where one was before, at that time."""
        await self._back(keep_time=False)

    async def action_back_keep_time(self) -> None:
        """Where one was before, at the time that is on."""
        await self._back(keep_time=True)

    async def _back(self, *, keep_time: bool) -> bool:
        bar = self.query_one(Bar)
        if bar.display:
            bar.close()
            return True
        if not self._places:
            return False
        place = self._places.pop()
        window = self.spot.window
        self.spot = replace(place.focus, window=window) if keep_time else place.focus
        self._look()
        await self.open_screen(place.screen, remember=False)
        self._tick()
        return True

    # -- time

    def action_shift(self, steps: int) -> None:
        """Half a window earlier or later."""
        self.look(window=self.spot.window.shifted(steps, self.now))

    def action_zoom(self, steps: int) -> None:
        """A longer or a shorter window."""
        self.look(window=self.spot.window.zoomed(steps))

    def action_live(self) -> None:
        """Follow the clock."""
        self.look(window=replace(self.spot.window, end=None))
        if self.on_hold:
            self.action_pause()

    def action_pause(self) -> None:
        """Hold still; what comes meanwhile is counted, and shown when it goes on."""
        self.on_hold = not self.on_hold
        held, self._held, self._held_count = self._held, None, 0
        if not self.on_hold and held is not None:
            self._show(held)
        if self.pane is not None:
            self.pane.paused(self.on_hold)
        self._tick()

    def action_refresh_now(self) -> None:
        """A cycle now."""
        self.feed.refresh()

    # -- reports

    def on_reported(self, message: Reported) -> None:
        """News of the schedule."""
        news = message.news
        if isinstance(news, Trouble):
            if news.ends is not None:
                self.parting.append(news.text)
                self.exit(news.ends)
            self.trouble = news
            self._tick()
            return
        self.trouble = None
        if news.old and self.report is not None:
            return
        self.last_good |= {one.name: news.made for one in news.backends if one.status == "ok"}
        if self.on_hold:
            shown = self.report.number if self.report is not None else 0
            self._held, self._held_count = news, max(1, news.number - shown)
            self._tick()
            return
        self._show(news)

    def _show(self, report: Report) -> None:
        self.report = report
        if self.pane is not None:
            self.pane.update_report(report)
        self._tick()

    def _tick(self) -> None:
        """What changes with the time alone."""
        if not self.is_running or self.hung_up() or not self.query(Header):
            return
        self.query_one(Header).show(self._heading())
        elsewhere = (pane for name, pane in self._panes.items() if name != self.screen_name)
        notices = tuple((f"! {said}", "warn") for pane in elsewhere for said in pane.notices())
        self.query_one(Banner).show((*notices, *banner(self.report, self.trouble, self.size.width)))

    def _heading(self) -> Heading:
        context, now, window, until = self.composition.context, self.now, self.spot.window, self.desk.writable_until
        return Heading(
            context=context.name,
            protected=context.protected,
            read_only=self.desk.read_only,
            writable_seconds=max(0, round((until - now).total_seconds())) if until is not None else None,
            window=window.length,
            end=window.end,
            paused=self.on_hold,
            waiting=self._held_count,
            replay=bool(self.options.replay),
            report=self.report,
            now=now.replace(microsecond=0),
            utc=self.options.utc,
        )

    def on_resize(self, event: Resize) -> None:
        """The frame says what fits."""
        self.fit(event.size)
        self._tick()
        self.show_hints()

    # -- saying

    def say(self, text: str, *, bad: bool = False) -> None:
        """A short notice; text from anywhere."""
        severity: Literal["error", "information"] = "error" if bad else "information"
        self.notify(clean(text), severity=severity, timeout=8 if bad else 5, markup=False)

    # -- the filter

    def action_filter(self) -> None:
        """The screen's filter, the last one to begin with."""
        pane = self.pane
        before = pane.filter_text() if pane is not None else None
        if pane is None or before is None:
            self.say("this screen has no filter")
            return
        self.query_one(Bar).ask("/", before, pane.set_filter)

    # -- leaving

    async def action_leave(self) -> None:
        """Back; at the board, the end."""
        if self.screen_name == PANES[0].name or not await self._back(keep_time=False):
            await self.action_quit()

    def left(self, seconds: float) -> tuple[str, ...]:
        """Once it is over: what screens have to say in the terminal, each within so long."""
        return (*self.parting, *(line for pane in self._panes.values() for line in pane.left(seconds)))

    async def action_interrupt(self) -> None:
        """Ctrl-C: at once with nothing under way, else the second one."""
        if self._sure("ctrl+c"):
            self.exit(130)

    async def action_quit(self) -> None:
        """The end; with something under way the second time."""
        if self._sure("q"):
            self.exit(0)

    def _sure(self, key: str) -> bool:
        """Whether nothing is cut short, or somebody says it twice; in seconds of the wall, whatever the context's."""
        now = time.monotonic()
        if self.busy() and now - self._interrupted_at > 3:
            self._interrupted_at = now
            self.say(f"{self.busy()}; {key} again leaves")
            return False
        return True
