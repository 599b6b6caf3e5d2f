"""A batch that fails: searched by halves, so that a bad question costs itself; bounded where the backend is to blame."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from opsctl.core.rules import Outcome
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, Sample, Vector
from opsctl.core.slo import BurnTable, Slo, WindowQueries
from opsctl.engine import CycleReport, Limits, run_cycle
from opsctl.engine.asking import GIVE_UP_AFTER, Asker
from opsctl.engine.batches import answered
from tests.unit.engine.fakes import AT, BACKEND, ONE_ROW, STANDARD, History, slo

Value_ = float | None | Failed[Any]
_SERVICES = re.compile(r's=~?"([^"]*)"')


class Server(History):
    """Counts by service; a question about any service that fails fails, as a server's would."""

    def __init__(self, of: Mapping[str, Value_] | Callable[[str], Value_]) -> None:
        super().__init__(lambda query, at: None)
        self.of = of if callable(of) else of.get

    @property
    def sizes(self) -> list[int]:
        return [len(_services(query)) for query, _ in self.instants]

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.instants.append((query, at))
        found: list[Sample] = []
        failed: Failed[Any] | None = None
        for service in _services(query):
            value = self.of(service)
            if isinstance(value, Failed):
                failed = failed or value
                value = 1.0 if value.reason is Reason.PARTIAL else None
            if value is not None:
                value = 0.0 if "bad{" in query else value
                found.append(Sample((("s", service),) if " by " in query else (), value))
        if failed is not None:
            came = Vector(tuple(found)) if failed.reason is Reason.PARTIAL else None
            return Failed(failed.reason, failed.message, self.name, came, failed.warnings)
        return Measured(Vector(tuple(found)), self.name) if found else Absent(self.name)


def _services(query: str) -> list[str]:
    match = _SERVICES.search(query)
    assert match is not None
    return match[1].split("|")


def ask(server: History, count: int, **settings: float) -> tuple[Asker, dict[str, Reading[Vector]]]:
    """`sum(x{s="N"})` of so many services, in one go."""
    asker = Asker(server, 10.0, lambda: 0.0)
    questions = [(f'sum(x{{s="{n}"}})', AT) for n in range(count)]
    found = answered(asker, questions, 1e9, hang_up=False)
    assert list(found) == questions
    return asker, {_services(text)[0]: reading for (text, _), reading in found.items()}


def failed(reason: Reason, message: str = "no", warnings: tuple[str, ...] = ()) -> Failed[Any]:
    return Failed(reason, message, BACKEND, None, warnings)


SPLIT = (Reason.REJECTED, Reason.TOO_LARGE, Reason.DEADLINE, Reason.OVERLOADED, Reason.MALFORMED, Reason.UNSUPPORTED)


def test_many_questions_are_one_and_each_has_its_own_answer() -> None:
    server = Server(lambda s: float(s) if int(s) % 3 else None)
    asker, found = ask(server, 2000)
    assert server.sizes == [2000]
    assert found["7"] == Measured(Vector((Sample((), 7.0),)), BACKEND)
    assert found["9"] == Absent(BACKEND)
    assert (asker.questions, asker.status()) == (1, "ok")


@pytest.mark.parametrize("reason", SPLIT)
def test_one_bad_question_costs_itself(reason: Reason) -> None:
    bad = failed(reason, "this one")
    server = Server(lambda s: bad if s == "1234" else 1.0)
    asker, found = ask(server, 2000)
    assert {service for service, reading in found.items() if isinstance(reading, Failed)} == {"1234"}
    assert found["1234"] == bad
    assert server.instants[-1][0] != server.instants[0][0]
    assert len(server.instants) <= 2 * 11 + 1
    assert 'sum(x{s="1234"})' in {query for query, _ in server.instants}  # asked as it is written
    assert asker.first_failure == bad


def test_warnings_freeze_only_what_is_left() -> None:
    partial = failed(Reason.PARTIAL, "shard 2", ("shard 2 timed out",))
    asker, found = ask(Server(lambda s: partial if s in ("3", "700") else 2.0), 1000)
    frozen = {service: reading for service, reading in found.items() if isinstance(reading, Failed)}
    assert set(frozen) == {"3", "700"}
    assert frozen["3"].partial == Vector((Sample((), 1.0),))
    assert frozen["3"].warnings == ("shard 2 timed out",)
    assert asker.status() == "partial"


@pytest.mark.parametrize("reason", [Reason.UNREACHABLE, Reason.AUTH])
def test_a_backend_that_is_not_there_or_denies_is_not_asked_in_parts(reason: Reason) -> None:
    server = Server(lambda s: failed(reason))
    asker, found = ask(server, 2000)
    assert len(server.instants) == 1
    assert set(map(type, found.values())) == {Failed}
    assert asker.first_failure is not None
    assert asker.first_failure.reason is reason


@pytest.mark.parametrize("reason", [Reason.REJECTED, Reason.TOO_LARGE, Reason.OVERLOADED, Reason.MALFORMED])
def test_what_fails_alike_for_everybody_is_not_asked_of_everybody(reason: Reason) -> None:
    server = Server(lambda s: failed(reason, "always this"))
    _, found = ask(server, 2000)
    assert len(server.instants) < 20
    assert {(reading.reason, reading.message) for reading in found.values()} == {(reason, "always this")}  # type: ignore[union-attr]


def test_a_shard_that_is_down_keeps_what_came_of_each() -> None:
    server = Server(lambda s: failed(Reason.PARTIAL, "a shard is down", ("shard",)))
    _, found = ask(server, 2000)
    assert len(server.instants) < 20
    assert set(found.values()) == {
        Failed(Reason.PARTIAL, "a shard is down", BACKEND, Vector((Sample((), 1.0),)), ("shard",))
    }


def test_failures_in_words_of_their_own_are_each_asked_for() -> None:
    """Two requests a question is the most that it comes to."""
    server = Server(lambda s: failed(Reason.REJECTED, f"about {s}"))
    _, found = ask(server, 500)
    assert {service: reading.message for service, reading in found.items()} == {  # type: ignore[union-attr]
        str(n): f"about {n}" for n in range(500)
    }
    assert len(server.instants) <= 2 * 500 + 12


def test_half_of_a_batch_that_fails_alike_does_not_blind_the_other() -> None:
    bad = failed(Reason.REJECTED, "too many samples")
    _, found = ask(Server(lambda s: bad if int(s) < 900 else 1.0), 1000)
    assert sum(isinstance(reading, Failed) for reading in found.values()) == 900


def test_a_server_that_does_not_heed_the_pattern_is_asked_one_by_one() -> None:
    class Wrong(Server):
        def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
            super().instant(query, at, timeout_seconds)
            labels = (("s", "somebody"),) if " by " in query else ()
            return Measured(Vector((Sample(labels, 5.0),)), self.name)

    asker, found = ask(Wrong({}), 4)
    assert set(found.values()) == {Measured(Vector((Sample((), 5.0),)), BACKEND)}
    assert asker.status() == "ok"


def test_a_batch_that_heals_is_no_failure_of_the_backend() -> None:
    """A server that takes 16 KiB only: the halves fit."""

    class Short(Server):
        def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
            whole = super().instant(query, at, timeout_seconds)
            return failed(Reason.TOO_LARGE, "413") if len(query) > 5000 else whole

    server = Short(lambda s: 1.0)
    asker, found = ask(server, 2000)
    assert set(map(type, found.values())) == {Measured}
    assert (asker.status(), asker.first_failure) == ("ok", None)
    assert len(server.instants) < 10


def test_a_source_states_its_own_cap() -> None:
    server = Server(lambda s: 1.0)
    server.query_bytes = 300  # type: ignore[attr-defined]
    ask(server, 100)
    assert max(len(query) for query, _ in server.instants) <= 300
    assert 1 < len(server.instants) < 10
    alone = Server(lambda s: 1.0)
    alone.query_bytes = 0  # type: ignore[attr-defined]
    ask(alone, 100)
    assert alone.sizes == [1] * 100


# In a cycle


def objectives(count: int, burn: BurnTable = ONE_ROW) -> list[Slo]:
    def query(window: timedelta, n: int, name: str) -> str:
        return f'sum(increase({name}{{s="{n}"}}[{window.total_seconds():.0f}s]))'

    windows = (*burn.windows(), timedelta(days=30))
    return [
        slo(
            f"slo-{n}",
            burn=burn,
            queries={w: WindowQueries(query(w, n, "bad"), query(w, n, "all")) for w in windows},
        )
        for n in range(count)
    ]


def outcomes(report: CycleReport) -> list[Outcome]:
    return [verdict.outcome for verdict in report.verdicts]


def test_a_cycle_asks_once_a_window_and_side() -> None:
    server = Server(lambda s: 100.0)
    report = run_cycle(objectives(300), server, AT)
    assert server.sizes == [300] * 4 + [250, 50] * 2  # a budget reads 30 days, and a server works with one processor
    assert report.backends[0].queries == 8
    asked = report.verdicts[17].evidence.asked
    assert asked[0].expression == 'sum(increase(bad{s="17"}[300s]))'


def test_a_dead_backend_is_given_up_on_after_few_requests() -> None:
    server = Server(lambda s: failed(Reason.UNREACHABLE, "connection refused"))
    report = run_cycle(objectives(300), server, AT)
    assert set(outcomes(report)) == {Outcome.UNKNOWN}
    assert len(server.instants) <= GIVE_UP_AFTER


def test_one_service_that_times_out_everywhere_does_not_end_the_asking() -> None:
    """Fourteen requests in a row without an answer are not fourteen questions without one."""
    server = Server(lambda s: failed(Reason.DEADLINE, "query timed out") if s == "7" else 100.0)
    report = run_cycle(objectives(40, STANDARD), server, AT)
    assert [v.rule.uid for v in report.verdicts if v.outcome is not Outcome.PASS] == ["slo-7"]


class Slow(Server):
    """Takes ten seconds of a simulated clock and says that it was too long."""

    def __init__(self) -> None:
        super().__init__(lambda s: failed(Reason.DEADLINE, "query timed out"))
        self.clock = 0.0

    def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
        self.clock += timeout_seconds
        return super().instant(query, at, timeout_seconds)

    def monotonic(self) -> float:
        return self.clock


def test_the_search_ends_with_the_cycle() -> None:
    server = Slow()
    report = run_cycle(objectives(300), server, AT, limits=Limits(), monotonic=server.monotonic)
    assert server.clock == 30
    assert set(outcomes(report)) == {Outcome.UNKNOWN}
    assert len(server.instants) == 4 + 3  # batches have half of a request's time, their halves somewhat less


def test_a_search_that_ran_out_of_time_blames_nobody() -> None:
    """What was wrong with one question of a batch is not said of the others."""

    class Rejects(Slow):
        def __init__(self) -> None:
            super().__init__()
            self.of = lambda s: failed(Reason.REJECTED, "column 5: that one") if s == "7" else 100.0

    server = Rejects()
    report = run_cycle(objectives(300), server, AT, limits=Limits(), monotonic=server.monotonic)
    said = {v.headline for v in report.verdicts}
    assert not any("column 5" in line for line in said)
    assert any("no answer before the cycle's deadline" in line for line in said)


def test_who_was_answered_before_the_deadline_keeps_the_answer() -> None:
    """The search for one slow question ran out of time."""

    class OneSlow(Slow):
        def instant(self, query: str, at: datetime, timeout_seconds: float) -> Reading[Vector]:
            if "299" in _services(query):
                return super().instant(query, at, timeout_seconds)
            return Server.instant(self, query, at, timeout_seconds)

        def __init__(self) -> None:
            super().__init__()
            self.of = lambda s: failed(Reason.DEADLINE, "query timed out") if s == "299" else 100.0

    server = OneSlow()
    report = run_cycle(objectives(300), server, AT, limits=Limits(), monotonic=server.monotonic)
    measured = [v for v in report.verdicts if v.evidence.asked[0].result == "measured"]
    assert len(measured) == 150
