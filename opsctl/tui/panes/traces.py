"""Traces: those of a service in the shared window, and one of them as a waterfall with its critical path.

Must never ask more often than a person reads, and never show an old or a partial answer as a whole new one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding

from opsctl.core.signals import Failed, Reading, Reason, came
from opsctl.core.traces import Trace, TracePage, trace_id_of
from opsctl.files.secrets import hide
from opsctl.render.text import clean, shortened
from opsctl.tui.focus import Focus, Window
from opsctl.tui.pane import Pane
from opsctl.tui.panes.trace_view import TraceView
from opsctl.tui.trace_filter import LIMIT, TraceFilter, parsed
from opsctl.tui.trace_hints import hint_for, our_names
from opsctl.tui.trace_words import (
    SORTS,
    between,
    search_command,
    search_lines,
    services_lines,
    ui_link,
)
from opsctl.tui.tree import Tree
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.said import Said
from opsctl.tui.widgets.trace_list import TraceList, trace_rows
from opsctl.tui.widgets.waterfall import as_text
from opsctl.views.services import name_in_traces
from opsctl.views.words import ago

AGAIN_SECONDS = 15.0
"""So old is a search before it is made again, while it is seen, live and not paused."""
LOOK_SECONDS = 1.0
_LIST = frozenset({"sort", "reverse", "errors_only", "choose"})
_Asked = tuple[str, Window, TraceFilter]


class Traces(Pane):
    """Services with spans, traces of one, one trace: what the focus says."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("s", "sort", "sort", id="traces.sort"),
        Binding("S", "reverse", "reverse", show=False, id="traces.reverse"),
        Binding("z", "errors_only", "errors only", id="traces.errors-only"),
        Binding("c", "choose", "choose a service", id="traces.choose"),
        Binding("d", "logs(True)", "logs", id="traces.logs"),
        Binding("D", "logs(False)", "logs of the trace", show=False, id="traces.logs-of-trace"),
        Binding("R", "again", "ask again", show=False, id="traces.again"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.mode = "services"
        self._filters: dict[str, TraceFilter] = {}  # by service, without `error`: that is the focus's
        self._service_words = ""
        self._unanswered = False  # which services there are
        self._sort, self._reverse = "time", False
        self._asked: _Asked | None = None  # what was searched for last
        self._asked_at = 0.0
        self._page: TracePage | None = None  # of what was asked
        self._when: tuple[datetime, datetime] | None = None  # what the page is of
        self._reading: Reading[TracePage] | None = None
        self._hint = ""

    def compose(self) -> ComposeResult:
        """Both faces; one is seen."""
        yield Said(id="traces-head", most=6)
        yield TraceList(id="traces-grid")
        yield TraceView(id="trace-view")

    def on_mount(self) -> None:
        """Look at the clock."""
        self.view.display = False
        self.set_interval(LOOK_SECONDS, self._poll)

    @property
    def view(self) -> TraceView:
        """The face for one trace."""
        return self.query_one(TraceView)

    @property
    def grid(self) -> TraceList:
        """The face for many."""
        return self.query_one(TraceList)

    def _head(self, lines: Any) -> None:
        self.query_one("#traces-head", Said).show(lines)

    # -- what is looked at

    def focus_on(self, focus: Focus) -> None:
        """A trace, a service, or neither."""
        if focus.trace_id:
            self._open(trace_id_of(focus.trace_id), focus.span_id)
        elif focus.service:
            self._list()
        else:
            self._face("services")
            self._note_asked()
            self.run_worker(self._load_services(), group="traces", exclusive=True)

    def _face(self, mode: str) -> None:
        self.mode = mode
        one = mode == "trace"
        self.grid.display = self.query_one("#traces-head").display = not one
        self.view.display = one
        focused = self.app.focused
        if self.ops.pane is self and (focused is None or self in focused.ancestors):
            (self.view.lines if one else self.grid).focus()
        self.app.call_after_refresh(self.ops.show_hints)

    def paused(self, on: bool) -> None:
        """Go on with what is due."""
        if not on:
            self._poll()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys of the list do nothing in a trace."""
        return not (action in _LIST and self.mode == "trace")

    # -- services

    async def _load_services(self) -> None:
        if not self._unanswered:
            self._head([(("asking for services …", "dim"),)])
        reading = await self.ops.queries.trace_services()
        if self.mode != "services":
            return
        self._unanswered = isinstance(reading, Failed)
        known = came(reading)
        names = our_names(self.ops.composition, known or ())
        shown = [name for name in names if self._service_words in name.lower()]
        self.grid.empty = ""
        self.grid.show_services(shown)
        self._head(services_lines(reading, len(shown), len(names)))

    # -- the list

    @property
    def filter(self) -> TraceFilter:
        """What is searched for: the service's filter, and whether all screens look at errors only."""
        return replace(self._filters.get(self.spot.service, TraceFilter()), error=self.spot.errors_only)

    def _list(self) -> None:
        self._face("list")
        asked = (self.spot.service, self.spot.window, self.filter)
        if asked != self._asked or self._reading is None:
            self._asked, self._page, self._reading = asked, None, None
            self.grid.empty = ""
            self.grid.show_traces(())
            self._head([((f"asking for traces of {self._what()} …", "dim"),)])
            self._search()
        else:
            self._poll()

    def _poll(self) -> None:
        """Search again where that is due."""
        due = asyncio.get_running_loop().time() - self._asked_at >= AGAIN_SECONDS
        if not due or self.ops.pane is not self or self.ops.on_hold:
            return
        if self.mode == "list" and self.spot.window.live:
            self._search()
        elif self.mode == "services" and self._unanswered:
            self.focus_on(self.spot)

    def _note_asked(self) -> None:
        self._asked_at = asyncio.get_running_loop().time()

    def _search(self) -> None:
        self._note_asked()
        self.run_worker(self._searched(), group="traces", exclusive=True)

    async def _searched(self) -> None:
        asked, ops = self._asked, self.ops
        if asked is None:
            return
        service, window, wanted = asked
        start, end = window.bounds(ops.now)
        name = name_in_traces(ops.composition.catalogue, ops.composition.context, service)
        reading = await ops.queries.traces(wanted.query(name, start, end))
        hint = await hint_for(ops.queries, reading, name, wanted)
        if asked != self._asked:
            return
        self._reading, self._hint = reading, hint
        page: TracePage | None = came(reading)
        if not isinstance(reading, Failed) or page is not None or self._when is None or self._page is None:
            self._page, self._when = page, (start, end)
        await self._show()

    def _what(self) -> str:
        service, _, wanted = self._asked or ("", None, TraceFilter())
        return shortened(f"{service} {wanted.text}".strip(), 200)

    async def _show(self) -> None:
        """Rows of the page that is there; made where that stalls nobody."""
        reading, page, when = self._reading, self._page, self._when
        if reading is None or when is None:
            return
        utc, now = self.ops.options.utc, self.ops.now
        old = isinstance(reading, Failed) and page is not None and reading.partial is None
        sort, reverse = self._sort, self._reverse
        traces = page.traces if page is not None else ()
        made = await asyncio.to_thread(trace_rows, traces, now, by=sort, reverse=reverse, old=old, utc=utc)
        if reading is not self._reading or (sort, reverse) != (self._sort, self._reverse) or self.mode == "services":
            return
        lines = list(
            search_lines(
                reading,
                what=self._what(),
                when=between(*when, utc=utc),
                order=SORTS[sort][reverse],
                hint=self._hint,
            )
        )
        if old:
            lines.append(((f"these are of {between(*when, utc=utc)}, ~{ago(now - when[1])} old", "stale"),))
        self._head(lines)
        self.grid.show_traces(made)

    # -- one trace

    def _open(self, trace_id: str, span_id: str) -> None:
        self._face("trace")
        if self.view.trace_id == trace_id and self.view.shown is not None:
            self.view.go(span_id)
        else:
            self._ask(trace_id, span_id)

    def _ask(self, trace_id: str, span_id: str) -> None:
        self.view.asking(trace_id)
        self.run_worker(self._load(trace_id, span_id), group="trace", exclusive=True)

    async def _load(self, trace_id: str, span_id: str) -> None:
        reading = await self.ops.queries.trace(trace_id)
        trace: Trace | None = came(reading)
        if self.view.trace_id != trace_id:
            return
        if trace is None:
            self.view.missing(reading)
            return
        try:
            tree = await asyncio.to_thread(Tree, trace)
        except Exception as wrong:  # noqa: BLE001  one trace cannot be shown, the night goes on
            said = hide(f"a bug in opsctl: {type(wrong).__name__}: {wrong}")
            self.view.missing(Failed(Reason.MALFORMED, said, reading.backend))
            return
        if self.view.trace_id != trace_id:
            return
        if not self.spot.service and trace.root.service:
            self.ops.set_quietly(service=our_names(self.ops.composition, [trace.root.service])[0])
        self.view.show(tree, reading, span_id)

    def on_trace_view_selected(self, message: TraceView.Selected) -> None:
        """Note the span, for whatever screen is next."""
        message.stop()
        if self.ops.pane is self and self.mode == "trace":
            self.ops.set_quietly(span_id=message.span_id)

    async def on_trace_view_left(self, message: TraceView.Left) -> None:
        """The list; where one came from another screen, that is one more step back."""
        message.stop()
        places = self.ops._places
        if places and places[-1].screen == "traces":
            await self.ops.action_back()
            return
        self.ops.set_quietly(trace_id="", span_id="", subtree=False)
        self.focus_on(self.spot)

    # -- keys

    def on_lines_opened(self, message: Lines.Opened) -> None:
        """Enter on a service or a trace."""
        message.stop()
        key = self.grid.key
        if not key:
            return
        if self.mode == "services":
            self.ops.look(service=key)
        else:
            self.ops.look(trace_id=key, span_id="", subtree=False)

    async def action_sort(self) -> None:
        """By time, how long it took, errors."""
        names = list(SORTS)
        self._sort, self._reverse = names[(names.index(self._sort) + 1) % len(names)], False
        await self._show()

    async def action_reverse(self) -> None:
        """The other way round."""
        self._reverse = not self._reverse
        await self._show()

    def action_errors_only(self) -> None:
        """Only traces in which a span of the service failed, or all."""
        self.ops.look(errors_only=not self.spot.errors_only)

    def action_choose(self) -> None:
        """The services that have spans."""
        self.ops.look(service="", trace_id="", span_id="")

    def action_again(self) -> None:
        """Ask once more, now."""
        if self.mode == "trace":
            self._ask(self.view.trace_id, self.view.span_id)
        elif self.mode == "list":
            self._search()
        else:
            self.focus_on(self.spot)

    async def action_logs(self, below: bool) -> None:
        """The log lines of the span and all below it, or of the whole trace."""
        trace, span_id = self._chosen()
        if trace is None:
            self.ops.say("no trace is chosen")
            return
        await self.ops.go(
            "logs",
            trace_id=trace.trace_id,
            span_id=span_id if below else "",
            subtree=below and bool(span_id),
            errors_only=False,
        )

    def _chosen(self) -> tuple[Trace | None, str]:
        """The trace that the cursor is in, and the span that it is on."""
        if self.mode == "trace":
            tree = self.view.shown
            return (tree.trace, self.view.span_id) if tree is not None else (None, "")
        traces = self._page.traces if self.mode == "list" and self._page is not None else ()
        return next((trace for trace in traces if trace.trace_id == self.grid.key), None), ""

    # -- the filter

    def filter_text(self) -> str | None:
        """The one that is on."""
        return {"list": self.filter.text, "services": self._service_words}.get(self.mode)

    def set_filter(self, text: str) -> str:
        """Search by this."""
        if self.mode == "services":
            self._service_words = text.strip().lower()
            self.focus_on(self.spot)
            return ""
        try:
            wanted = parsed(text)
        except ValueError as wrong:
            return str(wrong)
        self._filters[self.spot.service] = replace(wanted, error=False)
        if wanted.error != self.spot.errors_only:
            self.ops.look(errors_only=wanted.error)
        else:
            self._list()
        return ""

    def command(self) -> tuple[str, ...]:
        """What to type for the same."""
        if self.mode == "trace":
            span = ("--span", self.view.span_id) if self.view.span_id else ()
            return ("trace", "show", self.view.trace_id, *span)
        if self.mode == "list":
            return search_command(self.spot.service, self.filter.flags, self.spot.window, LIMIT)
        return ("service", "list")

    def export(self) -> list[list[str]]:
        """Every row."""
        if self.mode == "trace":
            tree = self.view.shown
            return as_text(tree) if tree is not None else []
        return self.grid.as_text()

    def under_cursor(self) -> str:
        """The id of the span or the trace, or a service's name."""
        return self.view.span_id if self.mode == "trace" else clean(self.grid.key)

    def link(self) -> str:
        """The backend's own page of the trace."""
        composition = self.ops.composition
        trace, _ = self._chosen()
        if trace is None or composition.trace_source is not None:
            return ""
        return ui_link(composition.context, trace.trace_id)
