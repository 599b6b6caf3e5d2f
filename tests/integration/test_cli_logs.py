"""`opsctl log` as people and programs use it, on lines in memory with a clock that stands still."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collectors.memory_logs import MemoryLogs
from collectors.memory_traces import MemoryTraceSource
from opsctl.app import Composition
from opsctl.cli.frame import Frame
from opsctl.cli.log import fitting
from opsctl.cli.main import main
from opsctl.core.logs import LogPage, LogQuery, LogRecord
from opsctl.core.signals import Failed, Reading, Reason
from opsctl.core.traces import Span, Trace
from opsctl.files.settings import load_settings
from tests.contract.log_world import BEGAN, LINES, SPAN, STACK, TRACE, records

NOW = BEGAN + timedelta(minutes=10)
OTHER_SPAN = "00f067aa0ba902b7"
CATALOGUE = """services:
  - {name: pay, tier: 1, team: money, selectors: {elasticsearch: payments}}
  - {name: wallet, tier: 1, team: money}
  - {name: debit, tier: 1, team: money, selectors: {elasticsearch: {service.name: wallet, event.action: debit}}}
"""


@dataclass
class Clock:
    """Stands still; a sleep moves it, and calls what a test wants to happen meanwhile."""

    at: datetime = NOW
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        """The time of day."""
        return self.at

    def monotonic(self) -> float:
        """Seconds."""
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)
        self.meanwhile()


@dataclass
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of stdout."""
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        """Stdout as a document."""
        return json.loads(self.out)


class Away(MemoryLogs):
    """A source that can be away."""

    wrong: Failed[LogPage] | None = None

    def search(self, query: LogQuery, timeout_seconds: float, **options: Any) -> Reading[LogPage]:
        """As the test says."""
        return self.wrong if self.wrong is not None else super().search(query, timeout_seconds, **options)


@pytest.fixture
def logs() -> Away:
    """The contract's lines."""
    one = Away()
    one.add(records())
    return one


@pytest.fixture
def clock() -> Clock:
    """At the end of the contract's ten minutes."""
    return Clock()


@pytest.fixture
def opsctl(
    logs: Away, clock: Clock, fixed_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Said]:
    """Run one command."""
    monkeypatch.setenv("COLUMNS", "120")
    (fixed_home / "services.yaml").write_text(CATALOGUE)
    (fixed_home / "opsctl.toml").write_text('[contexts.t]\ncatalogue = "services.yaml"\n')
    span = Span(TRACE, SPAN, None, "pay", "payments", "server", 0, 10)
    below = Span(TRACE, OTHER_SPAN, SPAN, "debit", "wallet", "client", 1, 5)
    traces = MemoryTraceSource()
    traces.add([Trace(TRACE, (span, below))])
    settings = load_settings(None, None, env={}, cwd=fixed_home)
    composition = Composition(settings, clock, log_source=logs, trace_source=traces)

    def run(line: str) -> Said:
        code = main(shlex.split(line), clock=clock, compose_with=lambda _: composition)
        return Said(code, *capsys.readouterr())

    return run


def messages(said: Said) -> list[str]:
    """Of `-o json`."""
    assert said.code == 0, said.err
    return [record["message"] for record in said.json["records"]]


def test_a_table_has_its_histogram_above_and_the_newest_first(opsctl: Callable[[str], Said]) -> None:
    """Bars for every step, columns, one line a record, and on stderr what comes next."""
    said = opsctl("--utc log search --since 10m -s pay -o table")
    assert said.code == 0
    bars, head, *rows = said.lines
    assert bars.endswith("3 lines, 10s a column")
    assert len(bars.split("  ")[0]) == 60
    assert head.split() == ["time", "severity", "service", "message"]
    assert [row.split()[:3] for row in rows] == [
        ["12:00:30.000Z", "ERROR", "payments"],
        ["12:00:20.123Z", "WARN", "payments"],
        ["12:00:10.000Z", "INFO", "payments"],
    ]
    assert rows[0].split("payments", 1)[1].strip().startswith("payment failed\\nTraceback (most recent call last):\\n")
    assert said.err == f"next: opsctl trace show {TRACE}\n"


def test_piped_it_is_plain(opsctl: Callable[[str], Said]) -> None:
    """Tab-separated, one line a record, UTC, whole messages escaped on their line; no histogram."""
    said = opsctl("log search --since 10m -s pay --oldest-first")
    assert said.lines[0] == "time\tseverity\tservice\ttrace_id\tmessage"
    assert said.lines[1] == f"2026-03-01T12:00:10.000Z\tINFO\tpayments\t{TRACE}\tpayment accepted for order 4711"
    assert said.lines[3].split("\t")[4] == STACK.replace("\n", "\\n")
    assert len(said.lines) == 4


def test_json_is_versioned_and_whole(opsctl: Callable[[str], Said]) -> None:
    """The stack trace with its line ends, the fields, the counts, and how it went."""
    body = opsctl("log search --since 10m -s pay --json").json
    assert body["schema"] == "opsctl/log/search/v1"
    assert (body["status"], body["error"], body["partial"], body["more"]) == ("measured", None, False, False)
    assert body["backend"] == "memory"
    assert body["histogram"]["total"] == sum(body["histogram"]["counts"]) == 3
    assert set(body) == {
        *("schema", "start", "end", "backend", "status", "error", "partial", "warnings"),
        *("notes", "oldest_first", "more", "histogram", "records"),
    }
    assert set(body["histogram"]) == {"step_seconds", "total", "counts"}
    first = body["records"][0]
    assert set(first) == {"at", "severity", "service", "message", "trace_id", "span_id", "id", "fields"}
    assert first["message"] == STACK
    assert first["trace_id"] == TRACE
    assert first["fields"] == {"event.action": "pay", "http.response.status_code": 500}


def test_ndjson_is_a_versioned_record_a_line(opsctl: Callable[[str], Said]) -> None:
    """Each line is a document."""
    rows = [json.loads(line) for line in opsctl("log search --since 10m --limit 5 -o ndjson").lines]
    assert len(rows) == 5
    assert {row["schema"] for row in rows} == {"opsctl/log/record/v1"}


@pytest.mark.parametrize(
    ("flags", "want"),
    [
        ("payment", {"payment accepted for order 4711", "payment declined: insufficient funds", STACK}),
        ("'payment declined'", {"payment declined: insufficient funds"}),
        ("payment funds", {"payment declined: insufficient funds"}),
        ("-s pay --severity warning", {"payment declined: insufficient funds", STACK}),
        ("-s debit", {"Wallet debit accepted", "wallet lock timeout after 250 ms"}),
        ("-s wall*", {"wallet started", "Wallet debit accepted", "wallet lock timeout after 250 ms"}),
        ("-s pay -s lobby --severity error", {STACK, LINES[10].message}),
        (f"--trace {TRACE.upper()} --span {OTHER_SPAN}", {"payment declined: insufficient funds"}),
        (f"--trace {TRACE} --subtree {OTHER_SPAN}", {"payment declined: insufficient funds"}),
        (f"--trace {TRACE} --subtree {SPAN}", {line.message for line in LINES if line.trace == TRACE}),
        ("-w event.action=debit", {"Wallet debit accepted", "wallet lock timeout after 250 ms"}),
        ("-w event.action=~'de.*' -w log.level!=ERROR", {"Wallet debit accepted"}),
        ("-w http.response.status_code=402", {"payment declined: insufficient funds"}),
        ("-w 'event.action!~.+' --severity fatal", {"out of memory"}),
    ],
)
def test_what_is_said_must_hold(opsctl: Callable[[str], Said], flags: str, want: set[str]) -> None:
    """Words, services through the catalogue, severity, trace, spans, a subtree of them, fields."""
    assert set(messages(opsctl(f"log search --since 10m --json {flags}"))) == want


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--severity loud", "--severity loud: expected one of trace, debug"),
        ("--trace xyz", "--trace xyz: expected at most 32 hexadecimal digits"),
        ("--span 00f067aa0ba902b7ff", "at most 16"),
        (f"--subtree {SPAN}", "--subtree needs --trace"),
        (f"--trace {TRACE} --subtree abc", "has no such span"),
        (f"--trace {'1' * 32} --subtree {SPAN}", "memory has no such trace"),
        ("-w event.action", "expected FIELD=VALUE"),
        ("-w event.acton=pay", "near it: event.action"),
        ("-w event.action=~(", "memory: "),
        ("-s nobody*", "fits no service of the catalogue"),
        ("-s debit -s wallet", "ask for it alone"),
        ("--query-string a:b", "no query language"),
        ("--limit 0", "limit"),
        ("--limit 10001", "limit"),
        ("--since 2026-03-01T12:05:00Z --to 2026-03-01T12:00:00Z", "the end is before the start"),
        ("-o yaml", "expected one of table, wide, plain, json, ndjson"),
        ("--json -o table", "contradict"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(opsctl: Callable[[str], Said], flags: str, words: str) -> None:
    """With what was expected."""
    said = opsctl(f"log search {flags}")
    assert said.code == 2, said
    assert said.err.count("\n") == 1
    assert words in said.err


def test_nothing_found_is_said(opsctl: Callable[[str], Said]) -> None:
    """On stderr, and exit 0: it was looked."""
    said = opsctl("log search nonesuch -o table")
    between = "between 2026-03-01T11:10:00Z and 2026-03-01T12:10:00Z"
    assert (said.code, said.out, said.err) == (0, "", f"nothing: no line fits {between}: nonesuch\n")
    assert opsctl("log search nonesuch --json").json["status"] == "absent"


@pytest.mark.parametrize("verb", ["search", "patterns"])
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_misspelt_service_is_no_silence(opsctl: Callable[[str], Said], logs: Away, verb: str, form: str) -> None:
    """Exit 2 with what was probably meant; one of the catalogue, or one that only the logs know, may be quiet."""
    said = opsctl(f"log {verb} -s walet -o {form}")
    assert (said.code, said.out) == (2, "")
    words = "--service walet: neither the catalogue nor the logs of this time have it; did you mean wallet?"
    assert said.err == f"opsctl: {words}\n"
    for known in ("pay", "payments", "wallet"):
        said = opsctl(f"log {verb} -s {known} nonesuch -o {form}")
        assert said.code == 0, said
    logs.add([LogRecord(NOW - timedelta(seconds=1), "x", "INFO", "of-nobody", "", "", {}, "other")])
    assert opsctl(f"log {verb} -s of-nobody nonesuch -o {form}").code == 0


def test_a_tail_of_a_misspelt_service_says_so_and_waits(opsctl: Callable[[str], Said]) -> None:
    """It may be new, so it is followed; nobody waits for ever for a typing error."""
    said = opsctl("log tail -s walet --for 2s")
    assert (said.code, said.out) == (0, "")
    assert said.err.endswith("did you mean wallet?; waiting for its first line\n")
    assert "waiting" not in opsctl("log tail -s wallet --for 2s").err


@pytest.mark.parametrize(("rows", "shown"), [(24, 17), (8, 10), (500, 100)])
def test_on_a_terminal_the_newest_line_stays_in_sight(rows: int, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many lines as fit, ten at least; a number that was asked for, and what goes into a pipe, are not cut."""
    terminal = Frame()
    monkeypatch.setattr(Frame, "stdout_is_terminal", True)
    monkeypatch.setattr("opsctl.cli.log.get_terminal_size", lambda *_: os.terminal_size((80, rows)))
    assert fitting(terminal, None, 100, "table") == shown
    assert fitting(terminal, 300, 100, "table") == 300
    assert fitting(terminal, None, 100, "json") == 100
    monkeypatch.setattr(Frame, "stdout_is_terminal", False)
    assert fitting(terminal, None, 100, "table") == 100


def test_what_a_log_says_cannot_become_a_command(opsctl: Callable[[str], Said], logs: Away) -> None:
    """A trace id is offered for the shell only where it is one, and the context that was typed is in the command."""
    evil = LogRecord(NOW - timedelta(seconds=1), "x", "FATAL", "pay", "x; touch /tmp/a\x1b[31m\u202e", "", {}, "evil")
    logs.add([evil])
    said = opsctl("log search --since 10m -o table")
    assert "touch" not in said.err
    assert "\x1b" not in said.err
    assert f"next: opsctl trace show {TRACE}" in said.err
    assert f"next: opsctl --context t trace show {TRACE}" in opsctl("--context t log search -o table").err


def test_more_lines_than_shown_are_counted(opsctl: Callable[[str], Said]) -> None:
    """The reader knows what is missing."""
    said = opsctl("log search --since 10m --limit 2 -o table")
    assert f"the newest 2 of {len(LINES)} lines; --limit shows more" in said.err
    assert opsctl("log search --since 10m --limit 2 --json").json["more"] is True


@pytest.mark.parametrize(
    ("reason", "code"),
    [(Reason.UNREACHABLE, 3), (Reason.DEADLINE, 3), (Reason.AUTH, 4), (Reason.REJECTED, 2), (Reason.TOO_LARGE, 3)],
)
def test_a_failure_is_one_line_and_its_exit_code(
    opsctl: Callable[[str], Said], logs: Away, reason: Reason, code: int
) -> None:
    """In every form; JSON says it too."""
    logs.wrong = Failed(reason, "out of order", "elasticsearch https://x")
    for form in ("table", "plain", "ndjson", "json"):
        said = opsctl(f"log search -o {form}")
        assert (said.code, said.err) == (code, "opsctl: elasticsearch https://x: out of order\n")
        assert bool(said.out) is (form == "json")
        if form != "ndjson":
            said = opsctl(f"log patterns -o {form}")
            assert (said.code, bool(said.out)) == (code, form == "json")
    assert opsctl("log search --json").json["status"] == reason.value
    assert opsctl("log patterns").code == code
    assert opsctl("log tail --for 1s").code == code


def test_a_partial_answer_is_shown_and_is_no_success(opsctl: Callable[[str], Said], logs: Away) -> None:
    """What came is printed, what is missing is said, exit 3."""
    page = LogPage(tuple(records()[:2]))
    logs.wrong = Failed(Reason.PARTIAL, "2 of 5 shards did not answer: r", "elasticsearch https://x", page)
    said = opsctl("log search -o plain")
    assert said.code == 3
    assert len(said.lines) == 3
    assert said.err.startswith("partial: 2 of 5 shards did not answer: r\n")
    body = opsctl("log search --json").json
    assert (body["status"], body["partial"], len(body["records"])) == ("partial", True, 2)


def test_without_a_backend_the_setting_is_named(fixed_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As for Prometheus."""
    (fixed_home / "opsctl.toml").write_text("[contexts.t]\n")
    assert main(["log", "search"]) == 2
    assert "context t has no [contexts.t.elasticsearch]" in capsys.readouterr().err


# -- tail


def later(second: float, message: str, severity: str = "INFO", name: str | None = None) -> LogRecord:
    """A line so long after now."""
    return LogRecord(NOW + timedelta(seconds=second), message, severity, "wallet", id=name or message)


def test_tail_begins_with_the_last_lines_and_follows(opsctl: Callable[[str], Said], logs: Away, clock: Clock) -> None:
    """Each new line once, in order of time, a late one too; the header once; `--for` ends it."""
    coming = {1: [later(0.5, "new one")], 2: [later(1.5, "new two"), later(-3, "late")], 4: [later(3.5, "last")]}
    clock.meanwhile = lambda: logs.add(coming.pop(len(clock.slept), []))
    said = opsctl("--utc log tail -n 2 --for 6s -o table")
    assert said.code == 0
    assert said.lines[0].split() == ["time", "severity", "service", "message"]
    assert [line.rpartition("  ")[2] for line in said.lines[1:]] == [
        "burst 5",
        "burst 6",
        "new one",
        "late",
        "new two",
        "last",
    ]
    assert said.err == ""
    assert sum(clock.slept) == 6


@pytest.mark.parametrize("lines", [0, 2])
def test_tail_does_not_show_older_lines_as_new(
    opsctl: Callable[[str], Said], logs: Away, clock: Clock, lines: int
) -> None:
    """Of a busy log only the last lines that were asked for, then what comes, also what comes late."""
    logs.add([later(-5 + number / 10, f"busy {number}") for number in range(40)])
    clock.meanwhile = lambda: logs.add([later(-4, "late")]) if len(clock.slept) == 1 else None
    said = opsctl(f"--utc log tail -n {lines} --for 3s -o ndjson")
    assert said.code == 0
    shown = [json.loads(line)["message"] for line in said.lines]
    assert shown == ["busy 38", "busy 39", "late"][2 - lines :]


def test_tail_filters_as_search_does(opsctl: Callable[[str], Said], logs: Away, clock: Clock) -> None:
    """Service, severity and fields."""
    clock.meanwhile = lambda: logs.add([later(1, "good"), later(1, "bad", "ERROR")]) if len(clock.slept) == 1 else None
    said = opsctl("log tail -n 0 -s wallet --severity error --for 3s -o ndjson")
    assert [json.loads(line)["message"] for line in said.lines] == ["bad"]


def test_tail_json_is_a_line_each(opsctl: Callable[[str], Said]) -> None:
    """A stream has no end to close a document at."""
    said = opsctl("log tail -n 3 --for 1s --json")
    assert [json.loads(line)["schema"] for line in said.lines] == ["opsctl/log/record/v1"] * 3


def test_tail_lives_through_an_outage(opsctl: Callable[[str], Said], logs: Away, clock: Clock) -> None:
    """Said once when it goes and once when it is back; what came meanwhile is shown."""

    def meanwhile() -> None:
        n = len(clock.slept)
        if n == 2:
            logs.wrong = Failed(Reason.UNREACHABLE, "connection refused", "elasticsearch https://x")
            logs.add([later(1.5, "while away")])
        if n == 5:
            logs.wrong = None

    clock.meanwhile = meanwhile
    said = opsctl("log tail -n 1 --for 60s -o plain")
    assert said.code == 0
    assert [line.split("\t")[-1] for line in said.lines[1:]] == ["burst 6", "while away"]
    assert said.err == "elasticsearch https://x: connection refused; waiting for it\nmemory: answers again\n"


def test_tail_ends_at_what_will_not_change(opsctl: Callable[[str], Said], logs: Away, clock: Clock) -> None:
    """A credential that was revoked is not waited for."""

    def meanwhile() -> None:
        logs.wrong = Failed(Reason.AUTH, "answered 401", "elasticsearch https://x")

    clock.meanwhile = meanwhile
    said = opsctl("log tail --for 1h")
    assert said.code == 4
    assert len(clock.slept) == 1


def test_tail_says_once_that_a_part_is_missing(opsctl: Callable[[str], Said], logs: Away, clock: Clock) -> None:
    """And shows the rest of it when the shards are back."""

    def meanwhile() -> None:
        n = len(clock.slept)
        logs.wrong = None
        if n in {1, 2}:
            page = LogPage((later(0.5, "came"),))
            logs.wrong = Failed(Reason.PARTIAL, "1 of 5 shards did not answer", "elasticsearch https://x", page)
        if n == 3:
            logs.add([later(0.5, "came"), later(0.4, "was missing")])

    clock.meanwhile = meanwhile
    said = opsctl("log tail -n 0 --for 5s -o plain")
    assert [line.split("\t")[-1] for line in said.lines[1:]] == ["came", "was missing"]
    assert said.err.splitlines() == ["partial: 1 of 5 shards did not answer", "memory: answers again"]


def test_ctrl_c_ends_a_tail(opsctl: Callable[[str], Said], clock: Clock) -> None:
    """One line on stderr and the house's exit code; what was printed stays."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    clock.meanwhile = interrupt
    said = opsctl("log tail -n 1 -o plain")
    assert (said.code, said.err) == (130, "opsctl: interrupted\n")
    assert len(said.lines) == 2


# -- patterns


def test_patterns_have_counts_shares_and_who(opsctl: Callable[[str], Said]) -> None:
    """Most frequent first."""
    said = opsctl("--utc log patterns --since 10m -s ticker -s burst -s lobby -o table")
    assert said.code == 0
    assert said.lines[0].split() == ["count", "share", "severity", "services", "first", "last", "pattern"]
    first = said.lines[1].split()
    assert (first[0], first[1], first[3], first[4]) == ("20", "64.5", "INFO", "ticker")
    assert said.lines[1].endswith("tick <num>")


def test_a_very_long_pattern_does_not_fill_the_screen(opsctl: Callable[[str], Said], logs: Away) -> None:
    """A table has its beginning; plain and JSON have all that was looked at."""
    logs.add([LogRecord(NOW - timedelta(seconds=1), "x" * 50_000, "FATAL", "wallet", "", "", {}, "long")])
    said = opsctl("log patterns --since 1m -o table")
    assert said.code == 0
    assert len(said.lines) < 15
    assert "…" in said.lines[-1]
    assert max(map(len, opsctl("log patterns --since 1m -o plain").lines)) > 300


def test_patterns_as_json(opsctl: Callable[[str], Said]) -> None:
    """Versioned, with an example and its trace."""
    body = opsctl("log patterns --since 10m -s pay --json").json
    assert (body["schema"], body["lines"], body["older_lines_unread"]) == ("opsctl/log/patterns/v1", 3, False)
    assert set(body) == {
        *("schema", "start", "end", "new_since", "backend", "status", "error", "partial", "warnings"),
        *("notes", "lines", "older_lines_unread", "before", "total", "patterns"),
    }
    assert set(body["patterns"][0]) == {
        *("template", "count", "share_ratio", "severity", "severities", "services"),
        *("first", "last", "example", "trace_id"),
    }
    by = {pattern["template"]: pattern for pattern in body["patterns"]}
    assert by["payment accepted for order <num>"]["example"] == "payment accepted for order 4711"
    assert by["payment failed"]["trace_id"] == TRACE
    assert by["payment failed"]["severities"] == {"ERROR": 1}
    assert by["payment failed"]["share_ratio"] == pytest.approx(1 / 3)


def test_new_patterns_are_those_that_the_time_before_did_not_have(opsctl: Callable[[str], Said], logs: Away) -> None:
    """The same words with other numbers are not new."""
    logs.add([later(-20, "tick 99")])
    assert opsctl("log patterns --since 10m --new 1m").err == "no new pattern\n"
    logs.add([later(-10, "ledger mismatch 7", "ERROR")])
    said = opsctl("log patterns --since 10m --new 1m -o plain")
    assert [line.split("\t")[-1] for line in said.lines[1:]] == ["ledger mismatch <num>"]
    body = opsctl("log patterns --since 10m --new 1m --json").json
    assert body["total"] == 1
    assert body["before"]["lines"] == len(LINES)
    for wrong in ("0s", "10m", "1h"):
        assert opsctl(f"log patterns --since 10m --new {wrong}").code == 2


def test_patterns_say_what_they_did_not_read(opsctl: Callable[[str], Said]) -> None:
    """Of the newest lines only, and how many patterns are not shown."""
    said = opsctl("log patterns --since 10m --lines 10 --limit 1")
    assert "of the newest 10 lines; --lines reads more" in said.err
    assert "1 of 2 patterns; --limit shows more" in said.err
    assert len(said.lines) == 2


def test_newest_orders_by_first_seen(opsctl: Callable[[str], Said]) -> None:
    """Not by count."""
    said = opsctl("log patterns --since 10m --newest -s ticker -s burst -s lobby")
    assert said.lines[1].endswith("burst <num>")


def test_patterns_read_page_by_page(opsctl: Callable[[str], Said], monkeypatch: pytest.MonkeyPatch) -> None:
    """More lines than one page has are counted once each."""
    monkeypatch.setattr("opsctl.cli.log_patterns.PAGE", 4)
    body = opsctl("log patterns --since 10m --json").json
    assert body["lines"] == len(LINES) == sum(pattern["count"] for pattern in body["patterns"])


def test_the_log_commands_import_no_client_of_their_own(opsctl: Callable[[str], Said]) -> None:
    """Lines in memory need neither Elasticsearch's client nor numpy."""
    import subprocess
    import sys

    program = (
        "import sys\nimport opsctl.cli.log, opsctl.cli.log_tail, opsctl.cli.log_patterns, opsctl.render.logs\n"
        "assert not {'elasticsearch', 'numpy', 'rich', 'textual'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_records_survive_their_own_json(opsctl: Callable[[str], Said]) -> None:
    """What `-o ndjson` prints is the record again."""
    rows = [json.loads(line) for line in opsctl("log search --since 10m --limit 100 -o ndjson").lines]
    for row in rows:
        row.pop("schema")
    again = {
        msgspec.convert(row | {"trace_id": row["trace_id"] or "", "span_id": row["span_id"] or ""}, LogRecord).message
        for row in rows
    }
    assert again == {line.message for line in LINES}
