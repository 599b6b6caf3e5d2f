"""What a metric family of the platform is, and the times that histograms are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np

from opsctl.core.frozen import dataclass
from opsctl.demo.model import State
from opsctl.demo.noise import Floats

Combo = Mapping[str, str]
Of = Callable[[State], Floats]  # -> (combos, regions, minutes)


@dataclass(frozen=True, slots=True)
class Counter:
    """Events per second, by combination of labels; `region` and `service` are added to each."""

    metric: str
    service: str
    combos: tuple[Combo, ...]
    rate: Of


@dataclass(frozen=True, slots=True)
class Histogram:
    """Log-normal times (or ages): events per second, and mean and variance that broadcast to the rate's shape."""

    metric: str
    service: str
    combos: tuple[Combo, ...]
    bounds: tuple[float, ...]
    rate: Of
    time: Callable[[State], tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value at the minute's end; `jitter` is the relative width of its noise."""

    metric: str
    service: str
    combos: tuple[Combo, ...]
    value: Of
    jitter: float = 0.0


Family = Counter | Histogram | Gauge


def combos(**labels: Sequence[str]) -> tuple[Combo, ...]:
    """Every combination of the labels' values, the last label varying fastest."""
    return tuple(dict(zip(labels, values, strict=True)) for values in product(*labels.values()))


def weigh(weights: Sequence[float], of: Floats) -> Floats:
    """The rate split by weights: (weights, regions, minutes)."""
    split: Floats = np.asarray(weights, dtype=np.float64)[:, None, None] * of[None]
    return split


def spread(first: Sequence[float], then: Floats) -> Floats:
    """Each row of `then` split by weights: (weights × rows, regions, minutes), rows varying fastest."""
    split = np.asarray(first, dtype=np.float64)[:, None, None, None] * then[None]
    return split.reshape(-1, *then.shape[1:])


def steady(mean_seconds: float, variation: float) -> Callable[[State], tuple[Floats, Floats]]:
    """A time that nothing changes; `variation` is standard deviation over mean."""
    mean = np.full((1, 1, 1), mean_seconds)
    variance = np.full((1, 1, 1), (mean_seconds * variation) ** 2)
    return lambda _: (mean, variance)


def time_of(service: str) -> Callable[[State], tuple[Floats, Floats]]:
    """The service's own request time."""

    def time(state: State) -> tuple[Floats, Floats]:
        flow = state.flows[service]
        return flow.mean[None], flow.variance[None]

    return time


def outcomes(service: str) -> Of:
    """Requests that succeed and requests that fail: (2, regions, minutes)."""

    def rate(state: State) -> Floats:
        flow = state.flows[service]
        failed = flow.demand * flow.fail
        return np.stack([flow.demand - failed, failed])

    return rate


def constant(value: float) -> Of:
    """A gauge, or a rate, that stays."""

    def of(state: State) -> Floats:
        return np.full((1, *state.curve.shape), value)

    return of


def lognormal_share(bounds: Floats, mean: Floats, variance: Floats) -> Floats:
    """P(time ≤ bound) of a log-normal with that mean and variance; bounds are added as a last-but-one axis.

    The normal distribution by Abramowitz and Stegun 7.1.26: off by less than 1.5e-7.
    """
    sigma_squared = np.log1p(variance / np.square(mean))
    mu = np.log(mean) - 0.5 * sigma_squared
    z = (np.log(bounds)[:, None] - mu[..., None, :]) / np.sqrt(2.0 * sigma_squared)[..., None, :]
    x = np.abs(z)
    t = 1.0 / (1.0 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    half_tail = 0.5 * series * np.exp(-x * x)
    share: Floats = np.where(z < 0.0, half_tail, 1.0 - half_tail)
    return share
