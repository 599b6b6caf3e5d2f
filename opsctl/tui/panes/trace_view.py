"""One trace: its waterfall, and beside or below it the selected span with its log lines.

Must never fetch by itself but what somebody looks at, and never lay out a line that is not seen.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from opsctl.core.logs import LogPage
from opsctl.core.signals import Reading
from opsctl.core.traces import Span, Trace
from opsctl.tui.trace_words import (
    LOG_LINES,
    SCOPES,
    log_paragraphs,
    log_query,
    missing_lines,
    scope_pieces,
    span_paragraphs,
    trace_lines,
)
from opsctl.tui.tree import Tree
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.prose import Prose
from opsctl.tui.widgets.said import Said
from opsctl.tui.widgets.waterfall import LEGEND, WaterfallLines

if TYPE_CHECKING:
    from opsctl.tui.app import OpsctlApp

WIDE = 110
"""Columns from which the span stands beside the waterfall."""
SETTLE_SECONDS = 0.2
"""So long the cursor stays on a span before its log lines are asked for."""
_KEPT_PAGES = 50
_PARTS = ("", "span", "logs")
"""What stands below a narrow waterfall."""


class TraceView(Widget):
    """Shown in place of the list while a trace is looked at."""

    DEFAULT_CSS = """
    TraceView { height: 1fr; width: 1fr; layout: vertical; }
    TraceView #trace-body { height: 1fr; layout: vertical; }
    TraceView.wide #trace-body { layout: horizontal; }
    TraceView #trace-side { height: 45%; width: 1fr; }
    TraceView.wide #trace-side { height: 1fr; width: 40%; border-left: solid $secondary 50%; padding-left: 1; }
    TraceView WaterfallLines { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("n", "error(1)", "next error", id="traces.next-error"),
        Binding("N", "error(-1)", "error before", show=False, id="traces.error-before"),
        Binding("p", "waited", "critical path", id="traces.next-on-path"),
        Binding("z,plus", "fold", "fold", show=False, id="traces.fold"),
        Binding("u", "unfold_all", "unfold all", id="traces.unfold-all"),
        Binding("tab", "side", "span / logs", id="traces.side"),
        Binding("v", "scope", "whose logs", show=False, id="traces.log-scope"),
        Binding("J", "scroll_span(1)", "scroll the span down", show=False, id="traces.span-down"),
        Binding("K", "scroll_span(-1)", "scroll the span up", show=False, id="traces.span-up"),
        Binding("escape", "leave", "to the list", show=False, id="traces.to-list"),
    ]

    class Selected(Message):
        """The cursor is on another span."""

        def __init__(self, span_id: str) -> None:
            super().__init__()
            self.span_id = span_id

    class Left(Message):
        """Back to the list."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.shown: Tree | None = None
        self.trace_id = ""  # what is shown, or was asked for
        self.scope = SCOPES[0]
        self._below = ""
        self._pages: dict[tuple[str, str, str], Reading[LogPage] | None] = {}

    def compose(self) -> ComposeResult:
        """Head, waterfall, side."""
        yield Said(id="trace-head", most=6)
        with Widget(id="trace-body"):
            yield WaterfallLines(id="waterfall")
            with Vertical(id="trace-side"):
                yield Prose(id="span")
                yield Said(id="log-head", most=1)
                yield Prose(id="span-logs")

    @property
    def ops(self) -> OpsctlApp:
        """The app."""
        return cast("OpsctlApp", self.app)

    @property
    def lines(self) -> WaterfallLines:
        """The waterfall."""
        return self.query_one(WaterfallLines)

    # -- what is shown

    def asking(self, trace_id: str) -> None:
        """A trace was asked for."""
        self.trace_id, self.shown = trace_id, None
        self.lines.show(None)
        self._head([(("asking for trace ", "dim"), (trace_id, "strong"), (" …", "dim"))])
        self._arrange()

    def missing(self, reading: Reading[Trace]) -> None:
        """There is nothing to look at."""
        self._head(missing_lines(self.trace_id, reading))
        self._arrange()

    def show(self, tree: Tree, reading: Reading[Trace], span_id: str = "") -> None:
        """A trace, the cursor on a span of it or on the one that tells most."""
        self.shown = tree
        self._pages.clear()
        lines = list(trace_lines(tree, reading, legend=LEGEND, utc=self.ops.options.utc))
        place = tree.place_of(span_id) if span_id else -1
        if span_id and place < 0:
            lines.insert(1, ((f"! span {span_id} is not in what came of this trace", "warn"),))
        self._head(lines)
        self.lines.show(tree, place if place >= 0 else tree.first_place())
        self._arrange()
        self._select()

    def go(self, span_id: str) -> None:
        """Put the cursor on a span of the trace that is shown."""
        if self.shown is None or not span_id or span_id == self.span_id:
            return
        place = self.shown.place_of(span_id)
        if place >= 0:
            self.lines.show(self.shown, place)

    def _head(self, lines: Any) -> None:
        self.query_one("#trace-head", Said).show(lines)

    @property
    def span(self) -> Span | None:
        """What the cursor is on."""
        tree = self.shown
        return tree.span(self.lines.cursor) if tree is not None and tree.rows else None

    @property
    def span_id(self) -> str:
        """Its id; "" where there is none."""
        span = self.span
        return span.span_id if span is not None else ""

    # -- layout

    def on_mount(self) -> None:
        """Begin without a trace."""
        self._arrange()

    def on_resize(self) -> None:
        """Beside or below."""
        self._arrange()

    def _arrange(self) -> None:
        width = self.size.width or self.app.size.width
        wide = width >= WIDE
        self.set_class(wide, "wide")
        there = self.shown is not None
        self.query_one("#trace-side").display = there and (wide or bool(self._below))
        self.query_one("#span").display = wide or self._below == "span"
        for name in ("#log-head", "#span-logs"):
            self.query_one(name).display = wide or self._below == "logs"

    # -- the selected span

    def on_lines_moved(self, message: Lines.Moved) -> None:
        """Another row."""
        message.stop()
        if message.lines is self.lines:
            self._select()

    def _select(self) -> None:
        span, tree = self.span, self.shown
        if span is None or tree is None:
            return
        self.post_message(self.Selected(span.span_id))
        run, _ = tree.rows[self.lines.cursor]
        which = "the first that failed" if span.failed else "the longest"
        note = f"{which} of ×{len(run)}; enter unfolds them" if len(run) > 1 else ""
        self.query_one("#span", Prose).show(span_paragraphs(tree.trace, span, note))
        self.query_one("#span", Prose).scroll_to(y=0, animate=False)
        self._show_logs()

    def _show_logs(self) -> None:
        span, tree = self.span, self.shown
        if span is None or tree is None:
            return
        self.query_one("#log-head", Said).show([scope_pieces(self.scope)])
        key = self._key(tree, span)
        if key in self._pages:
            self._logs(log_paragraphs(self._pages[key], self.scope, utc=self.ops.options.utc))
            return
        self._logs([(("…", "dim"),)])
        if self.query_one("#span-logs").display and self.query_one("#trace-side").display:
            self.run_worker(self._load_logs(tree, span, key), group="span-logs", exclusive=True)

    def _key(self, tree: Tree, span: Span) -> tuple[str, str, str]:
        return tree.trace.trace_id, self.scope, "" if self.scope == "trace" else span.span_id

    def _logs(self, lines: Any) -> None:
        self.query_one("#span-logs", Prose).show(lines)
        self.query_one("#span-logs", Prose).scroll_to(y=0, animate=False)

    async def _load_logs(self, tree: Tree, span: Span, key: tuple[str, str, str]) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        query = log_query(tree.trace, span, self.scope)
        reading = None
        if query is not None:
            reading = await self.ops.queries.logs(query, limit=LOG_LINES, oldest_first=True)
        if len(self._pages) >= _KEPT_PAGES:
            self._pages.clear()
        self._pages[key] = reading
        now = self.span
        if self.shown is tree and now is not None and self._key(tree, now) == key:
            self._logs(log_paragraphs(reading, self.scope, utc=self.ops.options.utc))

    # -- keys

    def action_error(self, by: int) -> None:
        """The next row with a span that failed, or the one before."""
        self._to(self.shown.next_error(self.lines.cursor, by) if self.shown else -1, "no span of it failed")

    def action_waited(self) -> None:
        """The next row on the critical path."""
        self._to(self.shown.next_waited(self.lines.cursor) if self.shown else -1, "nothing of it took time")

    def _to(self, place: int, otherwise: str) -> None:
        if place < 0:
            self.ops.say(otherwise)
        else:
            self.lines.cursor = place

    def action_fold(self) -> None:
        """Unfold a row, or fold it."""
        if self.shown is not None and self.shown.rows:
            self.lines.show(self.shown, self.shown.toggle(self.lines.cursor))
            self._select()

    def on_lines_opened(self, message: Lines.Opened) -> None:
        """Enter."""
        message.stop()
        self.action_fold()

    def action_unfold_all(self) -> None:
        """Each span on its row, or what repeats on one."""
        if self.shown is not None and self.shown.rows:
            self.lines.show(self.shown, self.shown.toggle_all(self.lines.cursor))
            self._select()

    def action_side(self) -> None:
        """Narrow: the span, its logs, or neither, below; wide: whose logs."""
        if self.has_class("wide"):
            self.action_scope()
            return
        self._below = _PARTS[(_PARTS.index(self._below) + 1) % len(_PARTS)]
        self._arrange()
        self.call_after_refresh(self._settled)

    def _settled(self) -> None:
        self.lines.see(self.lines.cursor)
        self._select()

    def action_scope(self) -> None:
        """Lines of the span, of all below it, of the trace."""
        self.scope = SCOPES[(SCOPES.index(self.scope) + 1) % len(SCOPES)]
        if not self.has_class("wide") and self._below != "logs":
            self._below = "logs"
            self._arrange()
        self._show_logs()

    def action_scroll_span(self, by: int) -> None:
        """Its attributes, or its lines where only they are seen."""
        part = self.query_one("#span" if self.query_one("#span").display else "#span-logs", Prose)
        part.scroll_relative(y=by * 3, animate=False)

    def action_leave(self) -> None:
        """Back to the list."""
        self.post_message(self.Left())
