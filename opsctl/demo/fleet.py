"""Gauges of what the services run on: targets, pools, databases, caches, queues."""

from __future__ import annotations

import numpy as np

from opsctl.demo.families import Family, Gauge, Of, combos, constant
from opsctl.demo.model import STORE_SLOWDOWN, State
from opsctl.demo.noise import Floats
from opsctl.demo.topology import SERVICES

LAG_SECONDS = 0.4  # a ticket's wait in its queue
LAG_SECONDS_UNSERVED = 60.0  # added to it where no ticket is served
_REDIS_BYTES = 8.0 * 2**30


def _up(service: str) -> Gauge:
    """Prometheus's own: 0 while a target does not answer; gone when the region's Prometheus is."""

    def value(state: State) -> Floats:
        silent = state.levels.chat_gone if service == "chat" else np.zeros(state.minutes.shape, dtype=np.bool_)
        return np.broadcast_to(1.0 - silent, (1, *state.curve.shape))

    return Gauge("up", service, ({"job": "gaming", "instance": f"{service}:9090"},), value)


def _busy(service: str) -> Gauge:
    return Gauge(
        "gaming_pool_busy_ratio",
        service,
        ({},),
        lambda state: np.minimum(state.flows[service].load, 1.0)[None],
        0.02,
    )


def _wallet_connections(state: State) -> Floats:
    busy: Floats = np.minimum(4.0 + 26.0 * state.flows["wallet"].load, 100.0)
    return busy[None]


def _wallet_transaction(state: State) -> Floats:
    slow = 0.2 * (1.0 + (STORE_SLOWDOWN - 1.0) * state.levels.store_slow)
    return np.broadcast_to(slow, (1, *state.curve.shape))


def _redis_memory(state: State) -> Floats:
    return (_REDIS_BYTES * (0.45 + 0.08 * state.curve))[None]


def _lag(state: State) -> Floats:
    """Messages not yet consumed: matchmaking's tickets and promo's redemption events."""
    tickets, promo = state.flows["matchmaking"], state.flows["promo"]
    lag = LAG_SECONDS + LAG_SECONDS_UNSERVED * tickets.surplus
    return np.stack([tickets.demand * lag, promo.demand * (0.5 + 30.0 * promo.fail)])


def _store(metric: str, service: str, of: Of, jitter: float = 0.0, **labels: str) -> Gauge:
    return Gauge(metric, service, (labels,), of, jitter)


def fleet_families() -> list[Family]:
    """Every family of this file."""
    found: list[Family] = [_up(service) for service in SERVICES]
    found += [_busy(service) for service in SERVICES]
    found += [
        _store("pg_up", "wallet", constant(1.0), datname="wallet"),
        _store("pg_up", "auth", constant(1.0), datname="auth"),
        _store("pg_stat_activity_count", "wallet", _wallet_connections, 0.05, datname="wallet", state="active"),
        _store("pg_settings_max_connections", "wallet", constant(100.0), datname="wallet"),
        _store("pg_stat_activity_max_tx_duration", "wallet", _wallet_transaction, 0.4, datname="wallet"),
        _store("redis_up", "sessions", constant(1.0), instance="redis-sessions:6379"),
        _store("redis_memory_used_bytes", "sessions", _redis_memory, 0.01, instance="redis-sessions:6379"),
        _store("redis_memory_max_bytes", "sessions", constant(_REDIS_BYTES), instance="redis-sessions:6379"),
        _store("mongodb_up", "inventory", constant(1.0), instance="mongodb-items:27017"),
        Gauge(
            "kafka_consumergroup_lag",
            "matchmaking",
            combos(consumergroup=("matchmaking-tickets", "promo-redemptions")),
            _lag,
            0.1,
        ),
    ]
    return found
