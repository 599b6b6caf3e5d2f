"""From orders to traffic: how many requests each service gets in each minute, how many fail and how long they take.

Structural: a fault changes one thing (demand, a database's speed, a region), and the call graph carries it on. Demand
flows from callers to callees, failures and delays flow back. Everything is a function of the minute alone: no queue is
carried from one minute to the next, so a minute computed alone equals the same minute of a long pass.
All arrays are (regions, minutes), rates are per second, times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from opsctl.demo.controls import MATCHMAKERS, Levels
from opsctl.demo.faults import REGIONS
from opsctl.demo.noise import Floats, Ids, Minutes, series_id, uniform
from opsctl.demo.topology import NODE, NODES, Node, forecast_rps

SWING = 0.6  # the daily curve's share above and below its mean
_PEAK_HOUR = np.array([19.75, 20.25])  # by region, UTC: close together, or a lost region could hide in its night
GATEWAY_SURGE = 8.0
PROMO_SURGE = 40.0
STORE_SLOWDOWN = 20.0
STUCK_SHARE = 0.985
ATTACK_FACTOR = 30.0
RECONNECTS = 1.5  # attempts that a failed chat connection adds
_WIGGLE = 0.02
_FORECAST = forecast_rps()


@dataclass(slots=True)
class Flow:
    """One service's minutes: demand asked of it, the share that fails, and its time as mean and variance.

    Of the mean, `wait` is spent in the queue and `store` in its own datastores.
    """

    demand: Floats
    fail: Floats
    mean: Floats
    variance: Floats
    surplus: Floats  # share over capacity
    load: Floats  # demand over capacity
    wait: Floats
    store: Floats


@dataclass(frozen=True, slots=True)
class Route:
    """What the gateway is asked for on one route."""

    sent: Floats  # on to the service
    again: Floats  # attempts that failed ones add
    orphans: Floats  # of players whose home region does not answer: they fail here

    @property
    def asked(self) -> Floats:
        """All of it."""
        asked: Floats = self.sent + self.again + self.orphans
        return asked


@dataclass(slots=True)
class State:
    """The platform over some minutes."""

    minutes: Minutes
    levels: Levels
    home: (
        Floats  # share of the usual players a region serves: 1, less when lost or drained, more when it took others in
    )
    curve: Floats
    flows: dict[str, Flow]
    calls: dict[tuple[str, str], Floats]  # requests of a caller that call a callee
    orphans: Floats  # share of the other region's players that knock here and whose home does not answer
    campaign: Floats  # requests of the promotion's landing pages at the gateway
    shed: Floats  # promo requests answered with 429

    def asked(self, per_second: float) -> Floats:
        """A rate over both regions that follows the players and nothing else."""
        asked: Floats = self.curve * self.home * (per_second / len(REGIONS))
        return asked


def daily_curve(minutes: Minutes) -> Floats:
    """The share of a day's mean traffic in each region's minutes: 0.4 in the morning, 1.6 in the evening."""
    hour = ((minutes - 0.5) / 60.0) % 24.0
    curve: Floats = 1.0 + SWING * np.cos((hour[None, :] - _PEAK_HOUR[:, None]) * (np.pi / 12.0))
    return curve


class Model:
    """The call graph, ready to compute any minutes."""

    def __init__(self, seed: int) -> None:
        names = [f"demand/{node.name}/{region}" for node in NODES for region in REGIONS]
        self._ids: Ids = np.array([series_id(seed, name) for name in names], dtype=np.uint64)

    def state(self, minutes: Minutes, levels: Levels) -> State:
        """Traffic, failures and times of those minutes."""
        curve = daily_curve(minutes)
        kept = (1.0 - levels.lost) * (1.0 - levels.drained)
        home = kept + levels.drained[::-1] * (1.0 - levels.lost)
        orphans = (levels.lost * (1.0 - levels.drained))[::-1] * (1.0 - levels.lost)
        zero = np.zeros(curve.shape)
        state = State(minutes, levels, home, curve, {}, {}, orphans * (curve[::-1] / curve), zero, zero)
        wiggle = 1.0 + _WIGGLE * (2.0 * uniform(self._ids, minutes) - 1.0).reshape(len(NODES), *curve.shape)
        demand = {node.name: state.asked(node.direct_rps) * wiggle[i] for i, node in enumerate(NODES)}
        for node in NODES:
            self._send(state, node, demand)
        for node in reversed(NODES):
            state.flows[node.name] = self._serve(state, node, demand[node.name])
        return state

    def _send(self, state: State, node: Node, demand: dict[str, Floats]) -> None:
        """Adds what this node's requests ask of others."""
        base = demand[node.name]
        for call in node.calls:
            asked = base * call.per_request
            if node.name == "gateway":
                asked = self._surge(state, call.to, asked)
            state.calls[node.name, call.to] = asked
            demand[call.to] = demand[call.to] + asked
        if node.name == "gateway":
            surge = state.levels.surge
            state.campaign = base * surge * (GATEWAY_SURGE - 1.0)
            demand["gateway"] = base + state.campaign

    def _surge(self, state: State, to: str, asked: Floats) -> Floats:
        if to == "auth":  # some who follow the promotion log in first
            return asked * (1.0 + state.levels.surge)
        if to != "promo":
            return asked
        wanted = asked * (1.0 + state.levels.surge * (PROMO_SURGE - 1.0))
        state.shed = wanted * state.levels.shed
        return wanted - state.shed

    def _serve(self, state: State, node: Node, demand: Floats) -> Flow:
        """One node's failures and times, from its load and its callees, which are done already."""
        store = np.full(demand.shape, node.store_seconds)
        room = np.ones(demand.shape)
        if node.name == "wallet":
            slowdown = 1.0 + (STORE_SLOWDOWN - 1.0) * state.levels.store_slow
            store = store * slowdown
            room = room / slowdown  # a pool of connections serves as many fewer
        if node.name == "matchmaking":
            room = room * _matchmakers(state.levels)
        forecast = _FORECAST[node.name] / len(REGIONS) * state.curve * node.headroom
        load = demand / (forecast * room)
        surplus = np.maximum(1.0 - 1.0 / np.maximum(load, 1.0), 0.0)
        own = node.own_seconds + store
        wait = _wait(node, load, own)
        mean = own + wait
        variance = (node.variation * own) ** 2 + (0.25 * wait) ** 2
        succeed = np.full(demand.shape, 1.0 - node.error_ratio)
        if node.name == "chat":
            succeed = succeed * (1.0 - state.levels.silent)
        if node.name != "matchmaking":  # its surplus are tickets that expire: answers, not errors
            succeed = succeed * (1.0 - surplus)
        for call in node.calls:
            callee = state.flows[call.to]
            share = self._share(state, node, call.to, call.per_request, demand)
            mean = mean + callee.mean * share
            variance = variance + callee.variance * share
            succeed = succeed * (1.0 - callee.fail * share)
        return Flow(demand, 1.0 - succeed, mean, variance, surplus, load, wait, store)

    def _share(self, state: State, node: Node, to: str, per_request: float, demand: Floats) -> Floats | float:
        """The share of this node's requests that need the callee."""
        if node.name != "gateway":
            return per_request
        share: Floats = state.calls[node.name, to] / np.maximum(demand, 1e-9)
        return share


def _matchmakers(levels: Levels) -> Floats:
    """Capacity relative to the usual: stuck ones do nothing, those beyond the usual twelve are new and work."""
    usual = np.minimum(levels.matchmakers, MATCHMAKERS) * (1.0 - STUCK_SHARE * levels.stuck)
    extra = np.maximum(levels.matchmakers - MATCHMAKERS, 0.0)
    capacity: Floats = np.maximum((usual + extra) / MATCHMAKERS, 1e-3)
    return capacity


def _wait(node: Node, load: Floats, own: Floats) -> Floats:
    """Time in the queue: none while there is room, up to the queue's timeout when there is not."""
    busy = np.minimum(load, 0.9999)
    wait: Floats = np.minimum(own * busy**8 / (1.0 - busy), node.queue_timeout_seconds)
    return np.where(load >= 1.0, node.queue_timeout_seconds, wait)


def gateway_routes(state: State) -> Mapping[str, Route]:
    """Requests by the gateway's route: nine services, and `web` for everything else."""
    own = NODE["gateway"].error_ratio
    routes: dict[str, Route] = {}
    demand = state.flows["gateway"].demand
    routed = np.zeros(demand.shape)
    nothing = np.zeros(demand.shape)
    for call in NODE["gateway"].calls:
        sent = state.calls["gateway", call.to]
        failed = sent * (1.0 - (1.0 - own) * (1.0 - state.flows[call.to].fail))
        again = failed * RECONNECTS if call.to == "chat" else nothing
        orphans = state.orphans * state.curve * (call.per_request * _FORECAST["gateway"] / len(REGIONS))
        routes[call.to] = Route(sent, again, orphans)
        routed = routed + sent
    rest = np.maximum(demand - routed - state.shed, 0.0)
    share = 1.0 - sum(call.per_request for call in NODE["gateway"].calls)
    orphans = state.orphans * state.curve * (share * _FORECAST["gateway"] / len(REGIONS))
    routes["web"] = Route(rest, nothing, orphans)
    return routes


def gateway_failures(state: State) -> Mapping[str, tuple[Floats, Floats]]:
    """Requests and failed ones by the gateway's route: a route fails as its service does, and for orphans always."""
    own = NODE["gateway"].error_ratio
    found: dict[str, tuple[Floats, Floats]] = {}
    for to, route in gateway_routes(state).items():
        ratio = own if to == "web" else 1.0 - (1.0 - own) * (1.0 - state.flows[to].fail)
        found[to] = (route.asked, route.sent * ratio + route.again + route.orphans)
    return found
