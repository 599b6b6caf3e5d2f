"""The six faults of the demo as data: what breaks, what must and must not ring, and what an engineer can do about it.

Nothing here computes: `controls.py` turns faults and mitigations into numbers and `model.py` into traffic. Timings are
minutes after the fault begins, on at least three days of healthy history; they follow from the arithmetic of the burn
windows, so a model that misses one is wrong, not the number.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from opsctl.core.frozen import dataclass

REGIONS = ("eu-1", "us-1")
# Autonomous system numbers that RFC 5398 keeps for documentation; the attack comes from the last two.
NETWORKS = tuple(f"AS{number}" for number in range(64496, 64508))
ATTACKERS = NETWORKS[-2:]


@dataclass(frozen=True, slots=True)
class Param:
    """One member of an action's JSON body; `low` and `high` bound an int, or the length of a text or a list."""

    name: str
    kind: Literal["int", "text", "choice", "networks"]
    low: int = 1
    high: int = 200
    choices: tuple[str, ...] = ()


_REASON = Param("reason", "text")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing the admin server can do: `PUT path` with the params as body does it, `DELETE path` undoes it."""

    name: str
    path: str
    summary: str
    params: tuple[Param, ...]
    undo: str | None


@dataclass(frozen=True, slots=True)
class MustFire:
    """A rule that has to ring: an SLO's name or an alert rule's, by which minute, and as what.

    `no_data` rings because the SLO's total is absent, not because a budget burns.
    """

    rule: str
    minutes: int
    severity: Literal["page", "ticket"] = "page"
    no_data: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the fault table; `must_not_page` holds service names, or `slo:NAME` for one objective."""

    name: str
    title: str
    what_happens: str
    service: str  # where it begins
    runbook: str
    actions: tuple[str, ...]
    must_fire: tuple[MustFire, ...]
    must_not_page: tuple[str, ...]


ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        action.name: action
        for action in (
            Action(
                "promo.shed",
                "/v1/promo/shed",
                "Answer this share of promo requests with 429 at the gateway (from about half the wallet copes again).",
                (Param("percent", "int", 1, 95), _REASON),
                "promo.unshed",
            ),
            Action(
                "wallet.failover",
                "/v1/wallet/failover",
                "Promote the wallet database's standby.",
                (Param("to", "choice", choices=("standby",)), _REASON),
                "wallet.failback",
            ),
            Action(
                "matchmaking.scale",
                "/v1/matchmaking/replicas",
                "Run this many matchmakers instead of the usual 12 (24 replace every stuck one).",
                (Param("replicas", "int", 1, 96), _REASON),
                "matchmaking.unscale",
            ),
            Action(
                "region.drain",
                "/v1/gateway/drain",
                "Give the region's players a new home in the other one.",
                (Param("region", "choice", choices=REGIONS), _REASON),
                "region.restore",
            ),
            Action(
                "chat.restart",
                "/v1/chat/restart",
                "Restart every chat instance.",
                (_REASON,),
                None,
            ),
            Action(
                "auth.block",
                "/v1/auth/block",
                "Refuse log-ins from these networks at the edge.",
                (Param("networks", "networks", 1, 8), _REASON),
                "auth.unblock",
            ),
        )
    }
)

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            Fault(
                name="promo-surge",
                title="A promotion surges",
                what_happens="Promo traffic grows forty-fold in 30 s; the wallet saturates, redemptions slow and fail.",
                service="promo",
                runbook="PromoSurge",
                actions=("promo.shed",),
                must_fire=(
                    MustFire("redemption-success", 3),
                    MustFire("wallet-op-success", 3),
                    MustFire("redemption-e2e-500ms", 15),
                ),
                must_not_page=("matchmaking", "chat"),
            ),
            Fault(
                name="wallet-db-slow",
                title="The wallet's database is slow",
                what_happens="The wallet's database is twenty times slower; payments, promo and market inherit it.",
                service="wallet",
                runbook="WalletDatabaseSlow",
                actions=("wallet.failover",),
                must_fire=(MustFire("wallet-op-success", 3), MustFire("payment-latency-2s", 15)),
                must_not_page=("auth", "matchmaking"),
            ),
            Fault(
                name="matchmaking-backlog",
                title="Matchmaking falls behind",
                what_happens="Most matchmakers are stuck: tickets expire and waits grow, on normal traffic.",
                service="matchmaking",
                runbook="MatchmakingBacklog",
                actions=("matchmaking.scale",),
                must_fire=(MustFire("matchmaking-success", 12), MustFire("matchmaking-wait-30s", 50)),
                must_not_page=("payments",),
            ),
            Fault(
                name="region-lost",
                title="Region eu-1 is lost",
                what_happens="eu-1 answers nothing, then its series vanish; the surviving edge counts the failures.",
                service="gateway",
                runbook="RegionLost",
                actions=("region.drain",),
                must_fire=(
                    MustFire("http-api-availability", 5),
                    MustFire("session-join-success", 12),
                    MustFire("RegionSilent", 12),
                ),
                must_not_page=("wallet", "chat"),
            ),
            Fault(
                name="service-silent",
                title="Chat goes silent",
                what_happens="Chat hangs and stops exporting; its series vanish and its callers see errors.",
                service="chat",
                runbook="ServiceSilent",
                actions=("chat.restart",),
                must_fire=(
                    MustFire("http-api-availability", 5),
                    MustFire("chat-delivery-500ms", 15, severity="ticket", no_data=True),
                ),
                must_not_page=("wallet",),
            ),
            Fault(
                name="login-attack",
                title="Credential stuffing",
                what_happens="Thirty times the usual wrong passwords, from two networks.",
                service="auth",
                runbook="CredentialStuffing",
                actions=("auth.block",),
                must_fire=(MustFire("CredentialStuffing", 10),),
                must_not_page=("slo:auth-availability",),
            ),
        )
    }
)

UNDO_OF: Mapping[str, str] = MappingProxyType({a.undo: a.name for a in ACTIONS.values() if a.undo is not None})
