"""The cycle over the embedded engine: counters in memory, real PromQL, an outage that takes its own series away."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from collectors.memory import MemorySource
from opsctl.core.alerts import AlertState, Cause
from opsctl.core.memory import Memory
from opsctl.core.rules import Outcome
from opsctl.core.slo import WindowQueries
from opsctl.core.windows import format_duration
from opsctl.engine import run_cycle
from opsctl.promql.engine import Engine
from opsctl.promql.store import SeriesStore
from tests.unit.engine.fakes import AT, MINUTE, ONE_ROW, rule, slo

HOURS, ERRORS_AT, GONE_AT = 6, 240, 300  # minutes


def source() -> MemorySource:
    """600 redemptions a minute; all fail from minute 240; the series end at minute 300."""
    minutes = np.arange(GONE_AT + 1)
    total = 600.0 * minutes
    bad = 600.0 * np.clip(minutes - ERRORS_AT, 0, None)
    stamps = (round(AT.timestamp()) + 60 * minutes.astype(np.int64)) * 1000
    store = SeriesStore()
    series = [{"result": "ok"}, {"result": "error"}]
    store.add("redemptions_total", series, stamps, np.stack([total - bad, bad]))
    return MemorySource(Engine(store))


def ours():
    base = slo(burn=ONE_ROW)
    queries = {}
    for window in base.queries:
        w = format_duration(window)
        queries[window] = WindowQueries(
            f'sum(increase(redemptions_total{{result="error"}}[{w}]))', f"sum(increase(redemptions_total[{w}]))"
        )
    return slo(burn=ONE_ROW, queries=queries)


def test_a_real_outage_minute_by_minute() -> None:
    """It pages within five minutes, stays when the series vanish, and a rule file's alert resolves as Prometheus's does."""
    backend, memory = source(), Memory()
    silent = rule('sum(increase(redemptions_total{result="error"}[5m])) > 100', name="Errors", uid="Errors")
    first_page, seen = None, []
    for minute in range(230, GONE_AT + 30):
        report = run_cycle([ours(), silent], backend, AT + minute * MINUTE, memory)
        memory = report.memory
        verdict, alerting = report.verdicts
        seen.append((verdict.outcome, alerting.outcome))
        if first_page is None and verdict.outcome is Outcome.FAIL:
            first_page = minute
    assert first_page is not None
    assert first_page - ERRORS_AT <= 3
    assert seen[0] == (Outcome.PASS, Outcome.PASS)
    assert seen[-1] == (Outcome.NO_DATA, Outcome.PASS)
    (alert,) = verdict.alerts
    assert (alert.state, alert.cause, alert.since) == (AlertState.FIRING, Cause.BURN, AT + first_page * MINUTE)
    assert alert.frozen is not None
    assert alert.frozen.startswith("no data since")


def test_memory_or_not_the_embedded_engine_gives_the_same_state() -> None:
    backend, memory = source(), Memory()
    for minute in range(236, GONE_AT + 25):
        at = AT + minute * MINUTE
        carried = run_cycle([ours()], backend, at, memory)
        memory = carried.memory
        if minute % 8 == 0:
            alone = run_cycle([ours()], backend, at)
            assert [(a.cause, a.state, a.since) for a in alone.alerts] == [
                (a.cause, a.state, a.since) for a in carried.alerts
            ], minute


def test_a_service_that_is_not_there_wakes_nobody() -> None:
    backend = source()
    strange = slo(
        burn=ONE_ROW, queries={w: WindowQueries("sum(increase(a[5m]))", "sum(increase(b[5m]))") for w in ours().queries}
    )
    report = run_cycle([strange], backend, AT + timedelta(hours=4))
    assert report.verdicts[0].never_had_data
    assert report.alerts == ()
