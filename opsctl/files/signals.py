"""Who answers an expression: metrics, logs or traces, decided by the names of the series that it reads.

One expression has one signal, since one backend answers it. Must never guess: an expression of two is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from opsctl.core.signals import Signal
from opsctl.core.slo import WindowQueries
from opsctl.files.nodes import Node, Problems
from opsctl.promql import PromqlError, Selector, parse, rewrite
from opsctl.series.names import PAIR_FAILED, PAIR_REQUESTS, SIGNAL_OF, SPAN_SUBJECT, SUBJECT_LABELS, signal_of


def signals_read(text: str) -> tuple[Signal, ...]:
    """The signals of an expression; metrics where it cannot be parsed, which is noted where it is read."""
    if not any(name in text for name in SIGNAL_OF):
        return (Signal.METRICS,)
    try:
        return signal_of(rewrite.metric_names(text))
    except PromqlError:
        return (Signal.METRICS,)


def signal_or_problem(texts: Iterable[str], at: Node, problems: Problems) -> Signal:
    """The one signal of expressions that belong together; several are noted at `at`."""
    found = set().union(*(signals_read(text) for text in texts))
    if len(found) > 1:
        problems.add(at, mixed(found), hint="split it: each rule asks one backend")
    return next((signal for signal in Signal if signal in found), Signal.METRICS)


def mixed(signals: Iterable[Signal]) -> str:
    """What is wrong with an expression of several signals."""
    names = " and ".join(str(signal) for signal in Signal if signal in set(signals))
    return f"one signal per expression, this reads series of {names}"


def signal_of_queries(queries: Mapping[timedelta, WindowQueries], at: Node, problems: Problems) -> Signal:
    """The signal of an objective's queries: both sides have to be of one."""
    first = next(iter(queries.values()), None)  # the windows differ by their durations only
    return signal_or_problem((first.part, first.total) if first else (), at, problems)


def watched(text: str, metrics: tuple[str, ...]) -> tuple[str, ...]:
    """What has to be there so that an expression of logs or spans sees anything: its subjects, not its events.

    Every service's records are series of one name, so the name alone says little: the service stays with it.
    """
    if signals_read(text) == (Signal.METRICS,):
        return metrics
    found = [one for one in rewrite.selectors(parse(text)) if one.metric in metrics]
    return tuple(dict.fromkeys(_subject(one) for one in found))


def _subject(selector: Selector) -> str:
    import json

    metric = selector.metric or ""
    kept = SUBJECT_LABELS.get(metric, SPAN_SUBJECT)
    matchers = [one for one in selector.matchers if one.op in {"=", "=~"} and one.value and one.name in kept]
    inner = ",".join(f"{one.name}{one.op}{json.dumps(one.value, ensure_ascii=False)}" for one in matchers)
    return f"{PAIR_REQUESTS if metric == PAIR_FAILED else metric}{{{inner}}}"
