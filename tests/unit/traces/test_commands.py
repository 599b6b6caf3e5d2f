"""`trace` and `service` as typed: what they refuse, what they say of trouble, and their exit codes."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collectors.memory_traces import MemoryTraceSource
from opsctl.core.signals import Absent, Failed, Measured, Reason
from opsctl.core.traces import TracePage, trace_of
from opsctl.errors import ConfigError
from tests.contract.trace_world import span
from tests.unit.traces.stage import BASE_US, CATALOGUE, composition, run, source, traces


class Broken(MemoryTraceSource):
    """Answers everything with one failure."""

    def __init__(self, failed: Failed[Any]) -> None:
        super().__init__("jaeger http://127.0.0.1:9")
        self._failed = failed
        self.add(traces())

    def search(self, query: Any, timeout_seconds: float) -> Any:
        return self._failed

    def trace(self, trace_id: str, timeout_seconds: float) -> Any:
        return self._failed

    def dependencies(self, end: Any, lookback: timedelta, timeout_seconds: float) -> Any:
        return self._failed

    def services(self, timeout_seconds: float) -> Any:
        return self._failed


def failed(reason: Reason, message: str = "trouble", partial: Any = None) -> Failed[Any]:
    """A failure of the broken source."""
    return Failed(reason, message, "jaeger http://127.0.0.1:9", partial)


COMMANDS = (
    ["trace", "search", "shop"],
    ["trace", "show", "abc0"],
    ["trace", "compare", "abc0", "abc1"],
    ["service", "deps"],
)


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("reason", "code"),
    [(Reason.AUTH, 4), (Reason.UNREACHABLE, 3), (Reason.DEADLINE, 3), (Reason.MALFORMED, 3), (Reason.REJECTED, 2)],
)
def test_a_failed_backend_is_one_line_and_its_exit_code(
    argv: list[str], reason: Reason, code: int, tmp_path: Path
) -> None:
    """The backend is named, nothing is called healthy."""
    got, out, err = run(tmp_path, argv, Broken(failed(reason)))
    assert (got, out) == (code, "")
    assert err.splitlines()[-1] == "opsctl: jaeger http://127.0.0.1:9: trouble"
    got, out, err = run(tmp_path, [*argv, "--json"], Broken(failed(reason)))
    body = json.loads(out)
    assert (got, body["status"], body["error"], body["partial"]) == (code, reason.value, "trouble", False)
    assert body["backend"] == "jaeger http://127.0.0.1:9"


def test_partial_answers_are_shown_and_said(tmp_path: Path) -> None:
    """What came is printed, the trouble is on stderr, and the exit code is not that of success."""
    first = traces()[0]
    broken = Broken(failed(Reason.PARTIAL, "a shard is down", TracePage((first,))))
    code, out, err = run(tmp_path, ["trace", "search", "shop"], broken)
    assert code == 3
    assert first.trace_id in out
    assert "partial: a shard is down" in err
    code, out, _ = run(tmp_path, ["trace", "search", "shop", "--json"], broken)
    body = json.loads(out)
    assert (code, body["status"], body["partial"], len(body["traces"])) == (3, "partial", True, 1)
    shown = Broken(failed(Reason.PARTIAL, "a shard is down", first))
    code, out, err = run(tmp_path, ["trace", "show", "abc0", "-o", "table"], shown)
    assert code == 3
    assert "POST /buy" in out
    assert "partial: a shard is down" in err


def test_nothing_found_is_said_and_no_error(tmp_path: Path) -> None:
    """A known service without such traces."""
    code, out, err = run(tmp_path, ["trace", "search", "watch", "--error", "-o", "table"])
    assert (code, out) == (0, "")
    assert "no trace of watch fits between 2026-03-01T11:00:00Z and 2026-03-01T12:00:00Z" in err


def test_a_service_is_known_by_the_catalogues_name_and_the_backends(tmp_path: Path) -> None:
    """`wallet` is `purse` in Jaeger; a near word is suggested."""
    for name in ("wallet", "purse"):
        code, out, _ = run(tmp_path, ["trace", "search", name, "--json"])
        assert code == 0
        assert len(json.loads(out)["traces"]) == 4
    for form in ("table", "plain", "json"):
        code, out, err = run(tmp_path, ["trace", "search", "purs", "-o", form])
        assert (code, out) == (2, "")
        assert "did you mean purse?" in err
    assert "did you mean purse?" in run(tmp_path, ["trace", "search", "PURSE"])[2]
    code, out, err = run(tmp_path, ["trace", "search", "wallet", "--operation", "purse.Debt"])
    assert (code, out) == (2, "")
    assert err == "opsctl: memory has no operation purse.Debt of purse; did you mean purse.Debit?\n"
    code, out, err = run(tmp_path, ["trace", "search", "bank"])
    assert (code, out) == (2, "")
    assert "look at who needs it: shop" in err


@pytest.mark.parametrize(
    "argv",
    [["trace", "search", "shop"], ["trace", "show", "abc0", "-o", "table"], ["service", "show", "shop"]],
    ids=" ".join,
)
def test_what_is_offered_asks_the_same_context(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The global flags that were typed are in the next command; those of the environment hold for both."""
    offered = [line for line in run(tmp_path, ["--context", "t", *argv])[2].splitlines() if ": opsctl" in line]
    assert offered
    assert all(": opsctl --context t " in line for line in offered)
    monkeypatch.setenv("OPSCTL_CONTEXT", "t")
    assert "--context" not in run(tmp_path, argv)[2]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["trace", "search", "shop", "-a", "code"], "expected KEY=VALUE"),
        (["trace", "search", "shop", "-a", "=5"], "expected KEY=VALUE"),
        (["trace", "search", "shop", "--min-duration", "fast"], "--min-duration fast: expected a duration"),
        (["trace", "search", "shop", "--min-duration", "2s", "--max-duration", "1s"], "shorter than --min-duration"),
        (["trace", "search", "shop", "--limit", "0"], "limit"),
        (["trace", "search", "shop", "--since", "1m", "--to", "2m", "--limit", "1501"], "limit"),
        (["trace", "show", "xyz"], "hexadecimal"),
        (["trace", "show", "f" * 32], "has no trace"),
        (["trace", "show", "abc0", "--span", "77"], "has no span 77"),
        (["trace", "compare", "abc0", "1"], "has no trace 1"),
        (["service", "show", "walet"], "did you mean wallet?"),
        (["service", "deps", "walet"], "did you mean wallet?"),
    ],
)
def test_what_is_refused_is_said_in_one_line(argv: list[str], words: str, tmp_path: Path) -> None:
    """Exit 2, and nothing on stdout."""
    code, out, err = run(tmp_path, argv)
    assert (code, out) == (2, "")
    assert words in err


def test_strict_dependencies_exit_1_on_a_finding(tmp_path: Path) -> None:
    """`ledger` is declared and was not seen; of the watch alone everything agrees."""
    assert run(tmp_path, ["service", "deps"])[0] == 0
    assert run(tmp_path, ["service", "deps", "--strict"])[0] == 1
    assert run(tmp_path, ["service", "deps", "watch", "--strict"])[0] == 0


def test_no_dependencies_are_no_agreement(tmp_path: Path) -> None:
    """An empty backend says so; --strict cannot pass on it."""
    empty = MemoryTraceSource()
    code, _, err = run(tmp_path, ["service", "deps"], empty)
    assert code == 0
    assert "no dependencies are recorded" in err
    assert "agree" not in err
    assert run(tmp_path, ["service", "deps", "--strict"], empty)[0] == 3


def test_a_failed_signal_costs_only_its_column(tmp_path: Path) -> None:
    """`service ls` prints the rest, names who failed, and does not exit 0."""
    code, out, err = run(tmp_path, ["service", "ls", "--json"], Broken(failed(Reason.UNREACHABLE, "refused")))
    body = json.loads(out)
    assert code == 3
    assert body["services"][0]["signals"] == {"metrics": None, "traces": None, "logs": None}
    states = {one["signal"]: one["status"] for one in body["backends"]}
    assert states == {"metrics": "not_configured", "traces": "unreachable", "logs": "not_configured"}
    code, out, err = run(tmp_path, ["service", "ls", "-o", "table"], Broken(failed(Reason.AUTH, "answered 401")))
    assert code == 4
    assert "traces: jaeger http://127.0.0.1:9: answered 401" in err
    assert "shop" in out


def test_no_trace_backend_is_a_configuration_error(tmp_path: Path) -> None:
    """It says which setting to add."""
    with pytest.raises(ConfigError, match=r"no \[contexts\.t\.jaeger\] and no \[contexts\.t\.zipkin\]"):
        _ = composition(tmp_path, None).traces


def test_the_configured_backend_is_opened(tmp_path: Path) -> None:
    """Jaeger or Zipkin, by name; selectors follow."""
    for kind in ("jaeger", "zipkin"):
        opened = composition(tmp_path, None, f'[contexts.t.{kind}]\nurl = "http://127.0.0.1:9"\n')
        assert opened.traces.name == f"{kind} http://127.0.0.1:9"
        opened.close()


def test_memory_keeps_the_newest_up_to_its_bound() -> None:
    """The first that came go first; one that comes again replaces itself; one trace is kept whatever its size."""
    small = MemoryTraceSource(max_spans=4)
    small.add(traces()[:1])
    small.add(traces()[1:2])
    assert isinstance(small.trace("abc0", 1), Absent)
    assert isinstance(small.trace("abc1", 1), Measured)
    small.add(traces()[1:2])
    small.add(traces()[2:3])
    assert isinstance(small.trace("abc1", 1), Measured)
    assert isinstance(small.trace("abc2", 1), Measured)
    small.add(traces()[5:6])
    assert isinstance(small.trace("f01d", 1), Measured)


def test_hostile_text_reaches_no_terminal(tmp_path: Path) -> None:
    """Names, attributes and ids with escape sequences, in every form of output."""
    evil = "\x1b]0;owned\x07\x1b[2J"
    one = span(0xE, 1, None, f"svc{evil}", f"op{evil}", "server", BASE_US, 5, "error", note=evil, **{evil: evil})
    kept = source()
    from opsctl.core.traces import Trace

    kept.add([Trace(one.trace_id, (one,), (f"warning {evil}",))])
    named = msgspec.structs.replace(one, trace_id=f"e{evil};ls", span_id=f"5{evil};ls", service="evil-ids")
    kept.add([Trace(named.trace_id, (named,))])
    for argv in (
        ["trace", "search", f"svc{evil}"],
        ["trace", "search", f"svc{evil}", "-o", "table"],
        ["trace", "show", "e", "-o", "table"],
        ["trace", "show", "e"],
        ["trace", "show", "e", "--json"],
        ["trace", "show", "e", "--span", "1", "-o", "table"],
        ["trace", "compare", "e", "abc0", "-o", "table"],
        ["service", "deps", "-o", "table"],
        ["trace", "search", evil],
        ["trace", "search", "evil-ids"],
    ):
        _, out, err = run(tmp_path, argv, kept)
        for line in (out + err).splitlines():
            assert line.replace("\t", " ").isprintable(), argv
    assert "opsctl trace show 'e\\x1b]0;owned\\x07\\x1b[2J;ls'" in err


def test_what_a_backend_says_reaches_no_terminal_raw(tmp_path: Path) -> None:
    """Messages of failures and partial answers too."""
    evil = "\x1b[2Jgone\x07"
    for partial in (None, TracePage(traces()[:1])):
        broken = Broken(failed(Reason.PARTIAL, evil, partial))
        for argv in (["trace", "search", "shop"], ["service", "ls"]):
            _, out, err = run(tmp_path, argv, broken)
            assert all(line.replace("\t", " ").isprintable() for line in (out + err).splitlines())


def test_a_list_of_services_cuts_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 80 columns every service and every signal's word is whole; what does not fit is counted."""
    needs = "shop, wallet, watch, ledger, bank"
    long = f"  - {{name: a-service-with-a-name, tier: 1, team: third-parties, depends_on: [{needs}]}}\n"
    monkeypatch.setattr("tests.unit.traces.stage.CATALOGUE", CATALOGUE + long)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    lines = run(tmp_path, ["service", "ls", "-o", "table"])[1].splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert lines[0].split() == ["service", "tier", "team", "metrics", "traces", "logs", "depends", "on"]
    assert any(line.startswith("a-service-with-a-name") and line.endswith(" shop +4") for line in lines)


def test_counts_of_calls_are_never_cut(tmp_path: Path) -> None:
    """Names of any length are folded: a number that lost digits is another number."""
    name = "a-service-with-a-very-long-name-of-its-own-that-nobody-can-type"
    spans = [span(1, 1, None, name, "root", "server", BASE_US, 10_000)]
    spans += [span(1, 2 + n, 1, f"{name}-b", "call", "server", BASE_US + n, 10) for n in range(1234)]
    memory = MemoryTraceSource()
    memory.add([trace_of(spans[0].trace_id, spans)])
    code, out, _ = run(tmp_path, ["service", "deps", "-o", "table"], memory)
    assert code == 0
    assert "1,234" in out


def test_a_third_party_is_looked_for_at_who_calls_it(tmp_path: Path) -> None:
    """It sends no spans: a search for its own would be refused."""
    err = run(tmp_path, ["service", "show", "bank"])[2]
    assert "next: opsctl trace search shop --error --since 15m" in err
    assert "trace search bank" not in err
