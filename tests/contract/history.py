"""One description of samples, written both as OpenMetrics for a real server and into a store of the embedded engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf, nan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.promql.store import SeriesStore

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)
COUNT = 60
END = START + STEP * (COUNT - 1)

HOSTILE = (
    'quo"te',
    "back\\slash",
    "new\nline",
    "esc\x1b[31mred",
    "tab\there",
    "ünï → 漢字 🎲",
    '{a="b"} or 1',
    "-- '; drop",
    " ",
)


@dataclass(frozen=True)
class Recorded:
    """One series: a value a minute, None where there was no sample."""

    metric: str
    labels: Mapping[str, str]
    values: tuple[float | None, ...]


def _every(value: float) -> tuple[float | None, ...]:
    return (value,) * COUNT


def recorded() -> tuple[Recorded, ...]:
    """All series of the contract."""
    return (
        *(
            Recorded("requests_total", {"service": service, "code": code}, tuple(rate * i for i in range(COUNT)))
            for service, code, rate in (("wallet", "200", 600.0), ("wallet", "500", 6.0), ("lobby", "200", 60.0))
        ),
        Recorded("resets_total", {}, tuple(float(i % 20) for i in range(COUNT))),
        *(
            Recorded("took_seconds_bucket", {"le": le}, tuple(share * i for i in range(COUNT)))
            for le, share in (("0.1", 5.0), ("0.5", 9.0), ("+Inf", 10.0))
        ),
        Recorded("level", {"kind": "nan"}, _every(nan)),
        Recorded("level", {"kind": "inf"}, _every(inf)),
        Recorded("level", {"kind": "minus"}, _every(-inf)),
        Recorded("level", {"kind": "tiny"}, _every(1e-300)),
        Recorded("level", {"kind": "zero"}, _every(0.0)),
        Recorded("vanished", {}, tuple(1.0 if i < 20 else None for i in range(COUNT))),
        Recorded("gappy", {}, tuple(float(i) if i % 10 < 5 else None for i in range(COUNT))),
        *(Recorded("hostile", {"text": text}, _every(float(i))) for i, text in enumerate(HOSTILE)),
    )


def openmetrics() -> str:
    """The samples as OpenMetrics text, for promtool."""
    lines: list[str] = []
    told: set[str] = set()
    start = int(START.timestamp())
    for series in recorded():
        if series.metric not in told:
            told.add(series.metric)
            lines.append(f"# TYPE {series.metric} unknown")
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in series.labels.items())
        lines += [
            f"{series.metric}{{{labels}}} {_shown(value)} {start + 60 * i}"
            for i, value in enumerate(series.values)
            if value is not None
        ]
    return "\n".join([*lines, "# EOF", ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _shown(value: float) -> str:
    if value != value:
        return "NaN"
    return {inf: "+Inf", -inf: "-Inf"}.get(value, repr(value))


def fill(store: SeriesStore) -> None:
    """The same samples into a store."""
    import numpy as np

    times = np.array([int(START.timestamp() * 1000) + 60_000 * i for i in range(COUNT)], dtype=np.int64)
    by_metric: dict[str, list[Recorded]] = {}
    for series in recorded():
        by_metric.setdefault(series.metric, []).append(series)
    for metric, group in by_metric.items():
        values = np.array([[0.0 if v is None else v for v in one.values] for one in group], dtype=np.float64)
        present = np.array([[v is not None for v in one.values] for one in group])
        store.add(metric, [dict(one.labels) for one in group], times, values, present=present)
