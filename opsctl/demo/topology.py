"""Who calls whom, how often, how fast and with how much room: the platform's shape as data.

`services.yaml` tells users the same services, tiers, teams and dependencies (a test keeps the two together); the
numbers here are the simulation's own. Nothing here knows a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from opsctl.core.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """A callee and how many calls one request makes on average; a failed call fails the request."""

    to: str
    per_request: float = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """One service; rates are a day's mean over both regions.

    `headroom` is capacity over the forecast (the fleet follows the daily curve). Over capacity, requests wait for
    `queue_timeout_seconds` and the surplus fails. `direct_rps` is what does not come from another service of ours.
    """

    name: str
    direct_rps: float
    own_seconds: float
    headroom: float
    calls: tuple[Call, ...] = ()
    store_seconds: float = 0.0  # in its own datastores, per request
    variation: float = 0.55  # standard deviation over mean of one request's time
    error_ratio: float = 1e-5
    queue_timeout_seconds: float = 1.0
    third_party: bool = False


# Callers come before callees: demand flows down this order, failures and delays flow up it.
NODES: tuple[Node, ...] = (
    Node(
        "gateway",
        8000,
        0.004,
        headroom=14,
        error_ratio=5e-6,
        calls=(
            Call("auth", 0.075),
            Call("sessions", 0.1),
            Call("matchmaking", 0.05),
            Call("payments", 0.015),
            Call("promo", 0.01875),
            Call("chat", 0.25),
            Call("inventory", 0.05),
            Call("market", 0.025),
            Call("leaderboard", 0.1125),
        ),
    ),
    Node(
        "promo",
        0,
        0.030,
        headroom=60,
        calls=(Call("wallet", 0.9), Call("fraud"), Call("inventory", 0.2)),
        store_seconds=0.004,
    ),
    Node("payments", 0, 0.035, headroom=5, calls=(Call("wallet"), Call("fraud"), Call("vault"), Call("psp"))),
    Node("market", 0, 0.025, headroom=5, calls=(Call("wallet", 0.9), Call("inventory", 0.75)), store_seconds=0.012),
    Node("referral", 50, 0.030, headroom=5, calls=(Call("wallet", 0.5), Call("fraud"))),
    Node("live-events", 300, 0.020, headroom=5, calls=(Call("game-server", 0.1), Call("cdn"))),
    Node("matchmaking", 0, 0.012, headroom=3, calls=(Call("sessions", 0.5), Call("game-server")), store_seconds=0.003),
    Node("chat", 0, 0.015, headroom=5, calls=(Call("sessions", 0.1),), store_seconds=0.002),
    Node("leaderboard", 0, 0.006, headroom=5, store_seconds=0.002),
    Node("game-server", 5570, 0.003, headroom=4, calls=(Call("sessions", 0.05), Call("inventory", 0.02))),
    Node("auth", 0, 0.045, headroom=6, store_seconds=0.006),
    Node("sessions", 0, 0.004, headroom=6, store_seconds=0.001),
    Node("wallet", 40, 0.006, headroom=7, store_seconds=0.020, queue_timeout_seconds=3.0),
    Node("fraud", 30, 0.016, headroom=30, store_seconds=0.002),
    Node("vault", 10, 0.010, headroom=5, store_seconds=0.005),
    Node("inventory", 0, 0.010, headroom=8, store_seconds=0.010),
    Node("kyc", 20, 0.5, headroom=5, calls=(Call("kyc-vendor"),)),
    Node("psp", 0, 0.38, headroom=40, variation=0.4, error_ratio=2e-5, third_party=True),
    Node("kyc-vendor", 0, 14.0, headroom=40, variation=0.8, third_party=True),
    Node("cdn", 0, 0.008, headroom=40, third_party=True),
)

NODE: Mapping[str, Node] = MappingProxyType({node.name: node for node in NODES})
SERVICES: tuple[str, ...] = tuple(node.name for node in NODES if not node.third_party)

# Which protocol a service answers in: its request metrics follow from it. Chat is WebSocket and has its own.
HTTP = ("auth", "payments", "promo", "market", "referral", "live-events", "leaderboard", "kyc")
GRPC = ("sessions", "matchmaking", "game-server", "wallet", "fraud", "vault", "inventory")


def forecast_rps() -> Mapping[str, float]:
    """Every service's expected mean rate over both regions, from the direct rates and the calls."""
    rps = {node.name: node.direct_rps for node in NODES}
    for node in NODES:
        for call in node.calls:
            rps[call.to] += rps[node.name] * call.per_request
    return rps
