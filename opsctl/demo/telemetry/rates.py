"""How many traces of each kind a minute has: requests of the model, thinned out.

A kind is thinned by what the hour's forecast says, so a healthy platform keeps the same number of traces at night and
in the evening, a fault's own kind grows with the fault, and shares within a kind are those of all its requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from opsctl.demo.faults import NETWORKS, REGIONS
from opsctl.demo.model import Route, State, gateway_routes
from opsctl.demo.noise import Floats, events
from opsctl.demo.play import NETWORK_SHARES, attempts
from opsctl.demo.telemetry.draw import Draw, Ints
from opsctl.demo.telemetry.shapes import SHAPES, Shape
from opsctl.demo.topology import NODE

Variant = Literal["", "orphan", "shed", "campaign"]
LOGIN_REASONS = ("ok", "ok", "bad_password", "locked")  # rows of `attempts`, without those that are errors
LOGIN_METHODS = ("password", "oauth", "password", "password")
_VARIANT_CEILING = {"orphan": 1.0, "shed": 1.0, "campaign": 1.0}  # times the kind's usual rate


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind's requests a second, by region; `orphan`, `shed` and `campaign` end at the gateway."""

    shape: Shape
    variant: Variant
    rate: Floats
    hung: Floats  # share of them whose service never answers
    mix: Floats  # of log-ins, (kinds × networks, regions); of others empty

    @property
    def name(self) -> str:
        """Names the draws."""
        return f"{self.shape.name}/{self.variant}"

    def kept(self, curve: Floats, drawn: Floats) -> Ints:
        """How many traces of the minute are kept, by region."""
        forecast = _forecast(self.shape) * curve
        usual = self.shape.per_second / len(REGIONS) * 60.0
        ceiling = usual * (_VARIANT_CEILING[self.variant] if self.variant else self.shape.ceiling)
        return events(np.minimum(self.rate / forecast * usual, ceiling), drawn).astype(np.int64)


def _forecast(shape: Shape) -> float:
    """Requests a second that a region expects in the mean of a day."""
    if shape.root.service != "gateway":
        return NODE[shape.name].direct_rps / len(REGIONS)
    calls = {call.to: call.per_request for call in NODE["gateway"].calls}
    share = calls.get(shape.name, 1.0 - sum(calls.values()))
    return NODE["gateway"].direct_rps * share / len(REGIONS)


def asked(state: State) -> Iterator[Asked]:
    """Every kind of request in the one minute of `state`."""
    routes = gateway_routes(state)
    for shape in SHAPES:
        if shape.root.service == "gateway":
            yield from _routed(shape, routes[shape.name], state)
        else:
            rate = state.asked(NODE[shape.name].direct_rps)[:, 0]
            yield Asked(shape, "", rate, np.zeros(rate.shape), _NO_MIX)


_NO_MIX: Floats = np.zeros((0, len(REGIONS)))


def _routed(shape: Shape, route: Route, state: State) -> Iterator[Asked]:
    none = np.zeros(len(REGIONS))
    sent, again = route.sent[:, 0], route.again[:, 0]
    mix, hung = _NO_MIX, none
    if shape.name == "auth":
        mix = attempts(state)[: len(LOGIN_REASONS) * len(NETWORKS), :, 0]
        sent = attempts(state)[:, :, 0].sum(axis=0)
    elif shape.name == "chat":
        hung = (sent * state.levels.silent[0] + again) / np.maximum(sent + again, 1e-9)
    elif shape.name == "web":
        sent = np.maximum(sent - state.campaign[:, 0], 0.0)
        yield Asked(shape, "campaign", state.campaign[:, 0], none, _NO_MIX)
    elif shape.name == "promo":
        yield Asked(shape, "shed", state.shed[:, 0], none, _NO_MIX)
    yield Asked(shape, "", sent + again, hung, mix)
    yield Asked(shape, "orphan", route.orphans[:, 0], none, _NO_MIX)


def networks(draw: Draw, mix: Floats, region: Ints) -> tuple[Ints, Ints]:
    """The network of each request, and of a log-in also its row of LOGIN_REASONS."""
    if not len(mix):
        chosen = np.minimum(draw.pick(_shares(NETWORK_SHARES)), len(NETWORKS) - 1)
        return chosen, np.zeros(len(chosen), dtype=np.int64)
    grown = np.cumsum(mix, axis=0)
    wanted = draw.uniform() * grown[-1][region]
    cell = np.zeros(len(region), dtype=np.int64)
    for at in range(len(REGIONS)):
        here = region == at
        cell[here] = np.searchsorted(grown[:, at], wanted[here], side="right")
    cell = np.minimum(cell, len(mix) - 1)
    return cell % len(NETWORKS), cell // len(NETWORKS)


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]
