"""The live platform sends everything once, at its time, whatever the clock does and whatever backends do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from opsctl.core.logs import LogRecord
from opsctl.core.traces import Trace
from opsctl.demo.emit.delivery import Delivery
from opsctl.demo.emit.exposition import Exposition
from opsctl.demo.emit.live import LivePlatform
from opsctl.demo.platform import Platform
from opsctl.demo.telemetry.minutes import Telemetry

START = datetime(2026, 3, 2, 18, 0, 0, tzinfo=UTC)


class Sink:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def deliver(self, items: Sequence[Any]) -> None:
        self.items += items


class Wall:
    """A wall clock by hand."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def _live() -> tuple[LivePlatform, Wall, Sink, Sink]:
    wall, traces, lines, exposition = Wall(START), Sink(), Sink(), Exposition()
    platform = Platform(7, START - timedelta(minutes=20), exposition)
    return LivePlatform(platform, Telemetry(7, platform.state), exposition, traces, lines, wall), wall, traces, lines


def test_every_trace_and_line_is_sent_once_when_it_is_over() -> None:
    """Second by second over two minutes, everything that ended by then and nothing else, each once, in order."""
    live, wall, traces, lines = _live()
    for second in range(150):
        wall.at = START + timedelta(seconds=second)
        live.step()
        assert all(trace.start_us + trace.duration_us <= wall.at.timestamp() * 1e6 for trace in traces.items)
        assert all(record.at <= wall.at for record in lines.items)
    minute = int(START.timestamp() // 60)
    made = [trace for at in (1, 2, 3) for trace in live.telemetry.traces(minute + at)]
    over = {t.trace_id for t in made if t.start_us + t.duration_us <= wall.at.timestamp() * 1e6}
    assert [type(item) for item in (traces.items[0], lines.items[0])] == [Trace, LogRecord]
    assert len(traces.items) == len(over) == len({trace.trace_id for trace in traces.items})
    assert {trace.trace_id for trace in traces.items} == over
    said = [r.id for at in (1, 2, 3) for r in live.telemetry.records(minute + at) if r.at <= wall.at]
    assert sorted(record.id for record in lines.items) == sorted(said)


def test_a_pause_is_made_up_for_and_a_long_one_only_in_part() -> None:
    """After three minutes of sleep nothing is missing; after an hour the last minutes are there."""
    live, wall, traces, _ = _live()
    live.step()
    wall.at = START + timedelta(minutes=3)
    live.step()
    per_minute = [len(live.telemetry.traces(int(START.timestamp() // 60) + at)) for at in (1, 2, 3)]
    assert len(traces.items) >= sum(per_minute) - 40
    before = len(traces.items)
    wall.at = START + timedelta(minutes=63)
    live.step()
    assert 4 * 1000 < len(traces.items) - before < 7 * 1300


def test_catching_up_and_living_on_sends_nothing_twice() -> None:
    """The minutes before the present, then the present."""
    live, wall, traces, lines = _live()
    wall.at = START + timedelta(seconds=30)
    live.catch_up(3)
    caught = len(traces.items)
    assert 3 * 1000 < caught < 3 * 1400
    for second in range(30, 100):
        wall.at = START + timedelta(seconds=second)
        live.step()
    assert len({trace.trace_id for trace in traces.items}) == len(traces.items) > caught + 1000
    assert len({record.id for record in lines.items}) == len(lines.items)


def test_a_backend_that_raises_stops_nothing() -> None:
    """Whatever a client library raises is counted and said once, with what it said."""
    said: list[str] = []

    def send(items: Sequence[int]) -> tuple[int, str]:
        raise ValueError("no route")

    delivery: Delivery[int] = Delivery("a backend", send, said.append, batch=2)
    delivery.deliver([1, 2, 3])
    delivery.deliver([4])
    assert (delivery.sent, delivery.lost) == (0, 4)
    assert said == ["a backend does not take what the platform sends; it is counted and lost: ValueError: no route"]


def test_a_backend_that_failed_is_left_in_peace_for_a_while() -> None:
    """Asked once, not once a batch: what comes meanwhile is counted without waiting; afterwards it is asked again."""
    asked: list[int] = []

    def send(items: Sequence[int]) -> tuple[int, str]:
        asked.append(len(items))
        return 0, "away"

    delivery: Delivery[int] = Delivery("a backend", send, lambda text: None, batch=1, pause_seconds=0.2)
    delivery.deliver([1, 2, 3])
    assert (asked, delivery.lost) == ([1], 3)
    time.sleep(0.25)
    delivery.deliver([4])
    assert (asked, delivery.lost) == ([1, 1], 4)


def test_what_arrives_in_part_is_counted_in_part() -> None:
    """Two of three: one is lost, said, and the next whole batch says that it works again."""
    said: list[str] = []
    answers = iter([(2, "full"), (3, "")])
    delivery: Delivery[int] = Delivery("a backend", lambda items: next(answers), said.append, 3, pause_seconds=0.0)
    delivery.deliver([1, 2, 3])
    delivery.deliver([4, 5, 6])
    assert (delivery.sent, delivery.lost, len(said)) == (5, 1, 2)
    assert said[1].endswith("again; 1 were lost")
