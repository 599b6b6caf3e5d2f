"""The daemon's own numbers: what they count, and that they stay few."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from opsctl.adapters.journal.page_times import PageTimes
from opsctl.adapters.sinks.observed import observed
from opsctl.daemon.metrics import Left, Numbers
from opsctl.loop import Pulse
from opsctl.ports import Delivery, SinkEvent, Sinks
from opsctl.sender import SendReport
from tests.unit.paging.world import ACCEPTED, LOST, T0

NOW = T0 + timedelta(minutes=10)


def numbers() -> Numbers:
    return Numbers("prod", 'na"me\n', "1.0", timedelta(minutes=1), Pulse(0.0), lambda: NOW)


def page(episode: int = 1, **changes: Any) -> PageTimes:
    given: dict[str, Any] = {
        "episode": episode,
        "route": "pagerduty/money",
        "decided": T0,
        "accepted": None,
        "visible": None,
        "open": True,
        "taken": False,
        "waits": True,
        "dead": False,
    }
    return PageTimes(**given | changes)


def value(of: Numbers, name: str, **labels: str) -> float | None:
    for line in of.page("")[0].decode().splitlines():
        if re.match(rf"{name}{{", line) and all(f'{key}="{text}"' in line for key, text in labels.items()):
            return float(line.rpartition(" ")[2])
    return None


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def test_latencies_are_counted_once_and_what_was_there_at_the_start_is_not() -> None:
    ours = numbers()
    ours.leave(Left(NOW, pages=(page(1, accepted=after(1)),)))
    ours.leave(Left(NOW, pages=(page(1, accepted=after(1)), page(2, accepted=after(7)))))
    ours.leave(Left(NOW, pages=(page(1, accepted=after(1), visible=after(40)), page(2, accepted=after(7)))))
    ours.leave(Left(NOW, pages=(page(1, accepted=after(1), visible=after(40), open=False),)))
    assert value(ours, "opsctl_page_latency_seconds_count", stage="accepted") == 1
    assert value(ours, "opsctl_page_latency_seconds_sum", stage="accepted") == 7
    assert value(ours, "opsctl_page_latency_seconds_sum", stage="visible") == 40


def test_pages_that_have_not_arrived() -> None:
    """A person who acknowledged knows; a closed one is over; whether it is visible, only a reader can tell."""
    pages = (
        page(1),
        page(2, dead=True, waits=False, decided=after(60)),
        page(3, taken=True),
        page(4, open=False),
        page(5, accepted=after(1)),
        page(6, accepted=NOW - timedelta(seconds=119)),
        page(7, accepted=after(1), route="alertmanager/"),
    )
    ours = numbers()
    ours.leave(Left(NOW, pages=pages, readers=frozenset({"pagerduty"})))
    assert value(ours, "opsctl_pages_undelivered") == 2
    assert value(ours, "opsctl_pages_undelivered_oldest_age_seconds") == 600
    assert value(ours, "opsctl_dead_letters") == 1
    assert value(ours, "opsctl_pages_not_visible") == 1
    ours.leave(Left(NOW, pages=pages))
    assert value(ours, "opsctl_pages_not_visible") is None


def test_an_empty_outbox_is_no_age() -> None:
    ours = numbers()
    ours.leave(Left(NOW, waiting=(after(0), after(5))))
    assert value(ours, "opsctl_outbox_oldest_age_seconds") == 600
    ours.leave(Left(NOW))
    assert (value(ours, "opsctl_outbox_queued"), value(ours, "opsctl_outbox_oldest_age_seconds")) == (0, 0)


def test_deliveries_are_counted_by_sink_and_outcome_from_zero() -> None:
    class Flaky:
        name = "webhook/chat"
        answers = iter((LOST, ACCEPTED, ACCEPTED))
        closed = False

        def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
            return next(self.answers)

        def channel(self, key: str) -> str:
            return f"channel of {key}"

        def close(self) -> None:
            self.closed = True

    ours, sink = numbers(), Flaky()
    sinks = observed(Sinks({sink.name: sink}), ours.delivery, lambda: 0.0)
    ours.sinks(sinks.by_name)
    assert value(ours, "opsctl_deliveries_total", sink="webhook/chat", outcome="permanent") == 0
    told = [sinks.by_name["webhook/chat"].send(SinkEvent("k", "{}")) for _ in range(3)]
    assert told == [LOST, ACCEPTED, ACCEPTED]
    assert sinks.by_name["webhook/chat"].channel("k") == "channel of k"
    sinks.close()
    assert sink.closed
    assert value(ours, "opsctl_deliveries_total", sink="webhook/chat", outcome="accepted") == 2
    assert value(ours, "opsctl_deliveries_total", sink="webhook/chat", outcome="retry") == 1


def test_what_counts_a_delivery_cannot_stop_it() -> None:
    class Sink:
        name = "s"

        def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
            return ACCEPTED

        def channel(self, key: str) -> str:
            return ""

        def close(self) -> None: ...

    def tell(name: str, delivery: Delivery, seconds: float) -> None:
        raise ValueError

    assert observed(Sinks({"s": Sink()}), tell, lambda: 0.0).by_name["s"].send(SinkEvent("k", "{}")) == ACCEPTED


def test_series_do_not_grow_with_what_happens() -> None:
    """A thousand pages, deliveries and runs are the series of the first."""
    ours = numbers()

    def happen(count: int) -> int:
        for number in range(count):
            ours.cycle("completed", 1.0)
            ours.delivery("pagerduty", ACCEPTED, 0.1)
            ours.sent(SendReport())
            ours.leave(Left(NOW, pages=(page(number, accepted=after(number)),)))
        return len([line for line in ours.page("")[0].decode().splitlines() if line.startswith("opsctl_")])

    assert happen(2) == happen(1000)


def test_both_formats_are_given_and_label_values_are_escaped() -> None:
    ours = numbers()
    plain, kind = ours.page("text/plain")
    assert kind.startswith("text/plain; version=0.0.4")
    assert b'namespace="na\\"me\\\\x0a"' in plain
    om, kind = ours.page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert om.endswith(b"# EOF\n")
