"""Lines as they come or as they were: filtered while they come, counted over time, grouped into patterns.

Must never fetch but through the question service, or show old, partial or skipped lines as if they were all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding

from opsctl.core.logs import FieldMatcher, LogRecord, texts_of
from opsctl.core.traces import is_trace_id
from opsctl.render.text import clean
from opsctl.tui.focus import Focus
from opsctl.tui.log_question import asked_of, filter_by, focus_changes
from opsctl.tui.log_ring import Gap, Picked
from opsctl.tui.log_rows import is_error, local, matching, phrases_of, service_width
from opsctl.tui.log_state import Standing, chip_row, standing_rows
from opsctl.tui.pane import Pane
from opsctl.tui.panes.log_parts import Counts, Flow, Patterns
from opsctl.tui.widgets.lines import Lines
from opsctl.tui.widgets.log_list import LogList
from opsctl.tui.widgets.log_record import Closed, PatternGrid, RecordView
from opsctl.tui.widgets.rows import Rows
from opsctl.views.log_filter import Filter, chips, command_words, filter_text, parse_filter
from opsctl.views.logs import one_line

VALUE_MOST = 1_000  # characters of a value that one filters by
EXPORT_CLIP = 20_000  # characters of one message
NONE_FITS = "no line fits; fewer words, a milder severity or a longer window may find some"
SAMPLE = 300  # lines that the width of services is measured on


class Logs(Pane):
    """The screen."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("P", "patterns", "patterns", id="logs.patterns"),
        Binding("e", "error(1)", "next error", id="logs.next-error"),
        Binding("E", "error(-1)", "previous error", show=False, id="logs.previous-error"),
        Binding("n", "match(1)", "next match", show=False, id="logs.next-match"),
        Binding("N", "match(-1)", "previous match", show=False, id="logs.previous-match"),
        Binding("T", "trace", "its trace", id="logs.trace"),
        Binding("D", "lines_of_trace", "lines of its trace", show=False, id="logs.lines-of-trace"),
        Binding("f", "by_value(True)", "keep value", id="logs.keep"),
        Binding("F", "by_value(False)", "drop value", show=False, id="logs.drop"),
        Binding("backspace", "drop_chip", "drop last condition", show=False, id="logs.drop-condition"),
        Binding("w", "wrap", "wrap", show=False, id="logs.wrap"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._matchers: tuple[FieldMatcher, ...] = ()  # that only this screen has
        # kept, not looked for: a worker may end when they are not mounted any more
        self.chips, self.state, self.bars = Rows(id="log-chips"), Rows(id="log-state"), Rows(id="log-bars")
        self.lines = LogList(id="log-list")
        self.record_view = RecordView(id="log-record")
        self.grid = PatternGrid(id="log-patterns", empty="no line, no pattern")
        self.flow = Flow(self)
        self.counts = Counts(self)
        self.patterns = Patterns(self)

    def compose(self) -> ComposeResult:
        """Conditions, what is going on, bars, lines; what lies over the lines."""
        yield from (self.chips, self.state, self.bars, self.lines, self.record_view, self.grid)

    def on_mount(self) -> None:
        """Only the lines, to begin with."""
        self._lay_over("")
        self.set_interval(1.0, self._tick)

    # -- parts

    def _lay_over(self, what: str) -> None:
        """Show the record or the patterns in place of the lines, or the lines."""
        if what != "log-patterns":
            self.patterns.close()
        for widget in (self.lines, self.record_view, self.grid):
            widget.display = widget.id == (what or "log-list")
            if widget.display and self.ops.pane is self:
                widget.focus()
                self.ops.call_after_refresh(self.ops.show_hints)

    @property
    def over(self) -> str:
        """What lies over the lines: `log-record`, `log-patterns` or nothing."""
        return next((one.id or "" for one in (self.record_view, self.grid) if one.display), "")

    def on_closed(self, event: Closed) -> None:
        """Back to the lines."""
        event.stop()
        self._lay_over("")

    # -- what is looked at

    def focus_on(self, focus: Focus) -> None:
        """Another question, or the same again."""
        self.lines.frozen = self.ops.on_hold  # it may have been turned on another screen
        self.flow.look(asked_of(focus, self._matchers))
        self.tell()

    def hidden(self) -> None:
        """Stop asking."""
        for group in ("logs", "logs-older", "log-counts", "log-patterns"):
            self.workers.cancel_group(self, group)

    def paused(self, on: bool) -> None:
        """Keep what comes aside, or show it."""
        self.lines.frozen = on
        self.came()

    def replace(self, picked: Picked) -> None:
        """Other lines; the cursor stays on its line where that is among them."""
        self.lines.show(picked, keep=self.lines.record)
        self.came()

    def came(self) -> None:
        """Lines came, or went."""
        self.lines.grown()
        self._style()
        self.tell()

    def _tick(self) -> None:
        self.counts.look()
        self.tell()

    def on_log_list_near_start(self) -> None:
        """Older lines, one page at a time."""
        self.flow.older()

    def on_log_list_followed(self) -> None:
        """Say whether it follows."""
        self.tell()

    def on_lines_moved(self, event: Lines.Moved) -> None:
        """Mark the cursor's time in the bars."""
        if event.lines is self.lines:
            self.counts.draw()

    def on_lines_opened(self, event: Lines.Opened) -> None:
        """The whole record, or the pattern's lines."""
        event.stop()
        if self.over == "log-patterns":
            self._follow_pattern()
        elif not self.over:
            self._open_record()

    def _open_record(self) -> None:
        record = self.lines.record
        if record is None or isinstance(record, Gap):
            return
        self._lay_over("log-record")
        self.record_view.show(record, utc=self.ops.options.utc, phrases=self.lines.look.phrases)

    @property
    def _filter(self) -> Filter:
        return self.flow.asked.filter if self.flow.asked is not None else Filter()

    # -- saying

    def _style(self) -> None:
        """Columns that these lines need, and what is underlined in them."""
        lines, ops = self.lines, self.ops
        newest = lines.picked.newest(SAMPLE)
        utc, now = ops.options.utc, local(ops.now, utc=ops.options.utc)
        days = {local(record.at, utc=utc).toordinal() for record in (*newest[:1], *newest[-1:])}
        lines.restyle(
            utc=utc,
            zone="UTC" if utc else f"{now:%z}",
            day=lines.look.day or bool(days - {now.toordinal()}),
            today=now.toordinal(),
            year=now.year,
            service=max(lines.look.service, service_width(newest)),
            phrases=phrases_of(self._filter.word_text),
        )

    def standing(self) -> Standing:
        """What is going on."""
        stream, lines, question = self.flow.stream, self.lines, self.flow.question
        if stream is None:
            return Standing(opening=True)
        age = self.ops.now - stream.good_at if stream.good_at is not None else None
        return Standing(
            live=stream.live,
            opening=question is None and stream.trouble is None,
            following=lines.following,
            paused=self.ops.on_hold,
            lines=len(lines.picked),
            waiting=lines.picked.waiting,
            rate=stream.pace.rate,
            dropped=lines.picked.ring.dropped,
            older=stream.has_older,
            full=stream.more_than_room,
            behind=stream.behind,
            skipped=stream.skipped,
            skips=stream.skips,
            trouble=stream.trouble,
            age=age if age is None or age > timedelta(0) else timedelta(0),
            notes=stream.notes,
            remarks=question.remarks if question is not None else (),
            said=self.patterns.said,
        )

    def tell(self) -> None:
        """Conditions and state, as they are now."""
        if not self.is_mounted or self.ops.pane is not self or self.flow.asked is None:
            return
        now = self.standing()
        self.chips.show([chip_row(self._filter, self.size.width)])
        self.state.show(standing_rows(now))
        self.lines.restyle(stale=now.trouble is not None and now.trouble.whole)
        empty = "" if now.opening or now.trouble is not None else NONE_FITS
        if empty != self.lines.empty:
            self.lines.empty = empty
            self.lines.redraw()
        self.counts.draw()

    def on_resize(self) -> None:
        """Bars have another width."""
        self.counts.look()
        self.tell()

    # -- filtering

    def filter_text(self) -> str | None:
        """The whole filter, as it is typed."""
        return filter_text(self._filter)

    def set_filter(self, text: str) -> str:
        """Take it, or say what is wrong with it."""
        try:
            self._take(parse_filter(text))
        except ValueError as wrong:
            return str(wrong)
        return ""

    def _take(self, found: Filter) -> None:
        changes, self._matchers = focus_changes(found, self.spot)
        if self.over:
            self._lay_over("")
        before = self.spot
        self.ops.look(**changes)
        if self.spot == before:  # only conditions of this screen changed
            self.focus_on(before)

    def action_drop_chip(self) -> None:
        """Without the condition that was added last."""
        every = chips(self._filter)
        if every:
            self._take(every[-1].without)

    def action_by_value(self, keep: bool) -> None:
        """Only lines with the value under the cursor, or only those without it."""
        field, value = self._value()
        if not field:
            self.ops.say("put the cursor on a field, or on severity, service or message (h l)")
        elif len(value) > VALUE_MOST:
            self.ops.say(f"{field} is too long to filter by")
        else:
            self._by(field, value, keep)

    def _value(self) -> tuple[str, str]:
        """The field under the cursor and its value; of several values the first."""
        if self.over == "log-record":
            row, record = self.record_view.row, self.record_view.record
            if row is None or record is None or row.field in ("", "@timestamp"):
                return "", ""
            if row.field in record.fields:
                return row.field, next(iter(texts_of(record.fields[row.field])), "")
            return row.field, row.value
        record = self.lines.record
        if record is None or isinstance(record, Gap) or self.over:
            return "", ""
        match self.lines.look.column:
            case "severity":
                return "log.level", record.severity
            case "service":
                return "service.name", record.service
        return "message", record.message[:VALUE_MOST]

    def _by(self, field: str, value: str, keep: bool) -> None:
        found = filter_by(self._filter, field, value, keep, self.ops.composition.catalogue.services)
        if found is None:
            self.ops.say("lines are dropped by a field: severity, service, or one of the record (enter)")
        elif found != self._filter:
            self._take(found)

    # -- moving

    def action_error(self, by: int) -> None:
        """The next or previous line of severity error or worse."""
        if not self.over and not self.lines.go_to(is_error, by):
            self.ops.say(f"no error {'below' if by > 0 else 'above'} among the lines that are here")

    def action_match(self, by: int) -> None:
        """The next or previous line with one of the words of the filter."""
        phrases = self.lines.look.phrases
        if not phrases:
            self.ops.say("no words to look for; / sets them")
        elif not self.over and not self.lines.go_to(matching(phrases), by):
            self.ops.say(f"no match {'below' if by > 0 else 'above'} among the lines that are here")

    def action_wrap(self) -> None:
        """Whole messages, or one row each."""
        self.lines.turn_wrap()

    def action_patterns(self) -> None:
        """What the lines that are here have in common."""
        if self.over == "log-patterns":
            self._lay_over("")
            return
        self._lay_over("log-patterns")
        self.patterns.open()

    def _follow_pattern(self) -> None:
        words = self.patterns.follow()
        if not words:
            self.ops.say("this pattern has no word that all its lines have")
            return
        self._take(replace(self._filter, words=words))

    # -- the trace of a line

    def _traced(self) -> LogRecord | None:
        record = self.record_view.record if self.over == "log-record" else self.lines.record
        if record is None or self.over == "log-patterns":
            return None
        if not is_trace_id(record.trace_id):
            self.ops.say("this line has no trace")
            return None
        return record

    async def action_trace(self) -> None:
        """The trace of the line, at its span."""
        record = self._traced()
        if record is not None:
            await self.ops.go("traces", trace_id=record.trace_id, span_id=record.span_id, subtree=False)

    def action_lines_of_trace(self) -> None:
        """All lines of the line's trace, of every service."""
        record = self._traced()
        if record is not None:
            self._take(Filter(trace_id=record.trace_id))

    # -- the same elsewhere

    def command(self) -> tuple[str, ...]:
        """The words after `opsctl` that show the same in a terminal."""
        words = command_words(self._filter)
        question = self.flow.question
        if question is None:
            return ("log", "search", *words)
        query = question.query
        if self.over == "log-patterns" or not question.live or self._filter.trace_id:
            end = () if question.live else ("--to", _written(query.end))
            verb = "patterns" if self.over == "log-patterns" else "search"
            return ("log", verb, "--since", _written(query.start), *end, *words)
        return ("log", "tail", *words)

    def export(self) -> list[list[str]]:
        """Every line that is here and fits; patterns or the record where they are on."""
        if self.over == "log-patterns":
            return self.grid.as_text()
        if self.over == "log-record":
            return self.record_view.as_text()
        rows = [["time", "severity", "service", "trace_id", "message"]]
        picked = self.lines.picked
        for record in picked.newest(len(picked)):
            cells = (record.severity, record.service, record.trace_id, one_line(record.message[:EXPORT_CLIP]))
            rows.append([_written(record.at), *map(clean, cells)])
        return rows

    def under_cursor(self) -> str:
        """The message, or the field of the record, whole; or the pattern."""
        if self.over == "log-record":
            row = self.record_view.row
            return row.value if row is not None else ""
        if self.over == "log-patterns":
            return self.grid.key
        record = self.lines.record
        return record.message if record is not None else ""


def _written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
