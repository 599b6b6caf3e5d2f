"""Metrics of what players do: matchmaking, sessions, game servers, chat, leaderboards, live events, log-ins."""

from __future__ import annotations

import numpy as np

from opsctl.demo.families import (
    Counter,
    Family,
    Gauge,
    Histogram,
    combos,
    constant,
    spread,
    steady,
    weigh,
)
from opsctl.demo.faults import ATTACKERS, NETWORKS
from opsctl.demo.model import ATTACK_FACTOR, State
from opsctl.demo.noise import Floats

PLATFORMS = ("pc", "console", "mobile")
_PLATFORM_SHARES = (0.4, 0.25, 0.35)
# The attack's two networks are hosting providers: few players log in from there.
NETWORK_SHARES = (0.17, 0.15, 0.13, 0.12, 0.1, 0.09, 0.08, 0.06, 0.05, 0.03, 0.012, 0.008)
_WRONG_PASSWORD = 0.03
_TICKET_TIMEOUT_SECONDS = 110.0
EXPIRED_SHARE = 4e-4  # of tickets, on a good day


def _tickets(state: State) -> Floats:
    """Matched, cancelled by the player, expired, error."""
    flow = state.flows["matchmaking"]
    failed = flow.demand * flow.fail
    asked = flow.demand - failed
    expired = asked * np.maximum(flow.surplus, EXPIRED_SHARE)
    rest = asked - expired
    return np.stack([rest * 0.97, rest * 0.03, expired, failed])


def _ticket_wait(state: State) -> tuple[Floats, Floats]:
    load = state.flows["matchmaking"].load
    busy = np.minimum(load, 0.9999)
    mean = np.where(load >= 1.0, _TICKET_TIMEOUT_SECONDS, np.minimum(8.0 + 2.0 * busy**4 / (1.0 - busy), 60.0))
    variation = np.where(load >= 1.0, 0.25, 0.55)
    return mean[None], ((mean * variation) ** 2)[None]


def _waiting(state: State) -> Floats:
    """Tickets in the pool, by Little's law."""
    waiting: Floats = state.flows["matchmaking"].demand[None] * _ticket_wait(state)[0]
    return waiting


def _joins(state: State) -> Floats:
    """By platform: ok, error, timeout. Players whose home region is gone fail at the edge that still answers."""
    asked = _tickets(state)[0] + state.asked(120.0)
    failed = asked * (state.flows["sessions"].fail + 2e-5)
    lost = state.orphans * state.curve * 260.0
    results = np.stack([asked - failed, failed + lost * 0.4, lost * 0.6])
    return spread(_PLATFORM_SHARES, results)


def _ticks(share: float) -> Counter:
    name = "gaming_server_ticks_total" if share == 1.0 else "gaming_server_ticks_overrun_total"

    def rate(state: State) -> Floats:
        flow = state.flows["game-server"]
        return (flow.demand * (1.0 if share == 1.0 else np.maximum(share, flow.surplus)))[None]

    return Counter(name, "game-server", ({"tick_rate": "64"},), rate)


def _netcode(metric: str, per_tick: float) -> Counter:
    return Counter(
        metric,
        "game-server",
        ({"topology": "dedicated"},),
        lambda state: per_tick * state.flows["game-server"].demand[None],
    )


def _fleet(state: State) -> Floats:
    """Allocated, ready and starting game servers: the fleet follows its players with a buffer."""
    allocated = np.ceil(state.flows["game-server"].demand / 64.0 * 10.0)
    return np.stack([allocated, np.ceil(state.curve * 90.0), np.full(allocated.shape, 6.0)])


def attempts(state: State) -> Floats:
    """Rows as `_ATTEMPTS`: each kind by network. An attack is more wrong passwords from its networks, nothing else."""
    flow = state.flows["auth"]
    usual = flow.demand
    failed = usual * flow.fail
    kinds = [usual * 0.62 - failed, usual * 0.345, usual * _WRONG_PASSWORD, usual * 0.005, failed]
    rows = np.concatenate([weigh(NETWORK_SHARES, kind) for kind in kinds])
    extra = (ATTACK_FACTOR - 1.0) * _WRONG_PASSWORD / len(ATTACKERS)
    networks = len(NETWORKS)
    rows[2 * networks : 3 * networks] += state.levels.attack[:, None, :] * (extra * usual)[None]
    return rows


_ATTEMPTS = tuple(
    {"result": result, "reason": reason, "method": method, "network": network}
    for result, reason, method in (
        ("success", "ok", "password"),
        ("success", "ok", "oauth"),
        ("failure", "bad_password", "password"),
        ("failure", "locked", "password"),
        ("error", "internal", "password"),
    )
    for network in NETWORKS
)


def _messages(state: State) -> Floats:
    flow = state.flows["chat"]
    served = flow.demand * (1.0 - state.levels.silent)  # one that hangs counts nothing
    return np.stack([served * 0.994, served * 0.006, served * 1e-5])


def _delivery(state: State) -> tuple[Floats, Floats]:
    flow = state.flows["chat"]
    return (flow.mean + 0.07)[None], (flow.variance + 0.045**2)[None]


def _matchmaking() -> list[Family]:
    outcomes = combos(outcome=("matched", "cancelled", "expired", "error"))
    return [
        Counter("gaming_matchmaking_tickets_total", "matchmaking", outcomes, _tickets),
        Histogram(
            "gaming_matchmaking_wait_seconds",
            "matchmaking",
            ({},),
            (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0),
            lambda state: state.flows["matchmaking"].demand[None],
            _ticket_wait,
        ),
        Gauge("open_match_dev_query_total_active_tickets", "matchmaking", ({},), _waiting, 0.05),
        Gauge(
            "gaming_matchmaking_workers",
            "matchmaking",
            ({},),
            lambda state: np.broadcast_to(np.round(state.levels.matchmakers / 2.0), (1, *state.curve.shape)),
        ),
        Counter(
            "gaming_session_join_total",
            "sessions",
            combos(platform=PLATFORMS, result=("ok", "error", "timeout")),
            _joins,
        ),
        Gauge("gaming_sessions_active", "sessions", ({},), lambda state: state.asked(90_000.0)[None], 0.02),
    ]


def _servers() -> list[Family]:
    inputs = combos(transport=("udp", "websocket"), platform=PLATFORMS)
    weights = [t * p for t in (0.8, 0.2) for p in _PLATFORM_SHARES]
    return [
        _ticks(1.0),
        _ticks(4e-5),
        Histogram(
            "gaming_input_latency_seconds",
            "game-server",
            inputs,
            (0.02, 0.05, 0.1, 0.2, 0.5),
            lambda state: weigh(weights, 0.5 * state.flows["game-server"].demand),
            steady(0.041, 0.36),
        ),
        _netcode("gaming_netcode_predictions_total", 3.0),
        _netcode("gaming_netcode_corrections_total", 0.024),
        _netcode("gaming_netcode_state_checks_total", 0.5),
        _netcode("gaming_netcode_desync_total", 2e-6),
        Gauge("agones_gameservers_count", "game-server", combos(type=("Allocated", "Ready", "Starting")), _fleet, 0.02),
    ]


def _social() -> list[Family]:
    return [
        Counter("gaming_chat_messages_total", "chat", combos(result=("delivered", "blocked", "error")), _messages),
        Histogram(
            "gaming_chat_delivery_seconds",
            "chat",
            ({},),
            (0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
            lambda state: _messages(state)[:1],
            _delivery,
        ),
        Counter("gaming_auth_attempts_total", "auth", _ATTEMPTS, attempts),
        Histogram(
            "gaming_leaderboard_data_age_seconds",
            "leaderboard",
            ({},),
            (1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
            lambda state: state.flows["leaderboard"].demand[None],
            steady(20.0, 0.8),
        ),
        Gauge("redis_key_size", "leaderboard", ({"key": "lb:global"},), constant(1_250_000.0), 0.001),
    ]


def _live() -> list[Family]:
    def rounds(state: State) -> Floats:
        return weigh((1.0 - 8e-6, 8e-6), state.asked(24.0))

    def viewers(state: State) -> Floats:
        return state.asked(40_000.0)[None]

    return [
        Counter("gaming_live_rounds_total", "live-events", combos(result=("settled", "error")), rounds),
        Histogram(
            "gaming_live_settle_seconds",
            "live-events",
            ({},),
            (0.25, 0.5, 1.0, 2.0, 5.0),
            lambda state: state.asked(24.0)[None],
            steady(0.55, 0.45),
        ),
        Histogram(
            "gaming_event_feed_age_seconds",
            "live-events",
            ({},),
            (0.5, 1.0, 2.0, 5.0, 10.0, 30.0),
            lambda state: state.flows["live-events"].demand[None],
            steady(1.1, 0.6),
        ),
        Gauge("gaming_event_viewers", "live-events", ({},), viewers, 0.02),
    ]


def play_families() -> list[Family]:
    """Every family of this file."""
    return [*_matchmaking(), *_servers(), *_social(), *_live()]
