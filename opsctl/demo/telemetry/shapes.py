"""What happens inside one request, by kind of request: operations, in order, as data.

Who calls whom, how often and how fast is `topology.py`'s; here are the names and attributes under which instrumented
services show it. Nothing here knows a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from types import MappingProxyType
from typing import Literal

from opsctl.core.frozen import dataclass
from opsctl.core.traces import SpanKind, Value

Timing = Literal["service", "store", "part", "proxy", "consumer"]
_NOTHING: Mapping[str, Value] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Step:
    """An operation within another one; `chance` is that of a request that comes so far.

    `timing` says where its time comes from: the service's own flow, the caller's datastores, a part of the caller's own
    time, all that is below it, or (a consumer) nothing that the caller waits for.
    """

    name: str
    service: str  # whose span it is
    kind: SpanKind
    timing: Timing
    attributes: Mapping[str, Value] = field(default_factory=lambda: _NOTHING)
    chance: float = 1.0
    only_accepted: bool = False  # not where the request was turned down for a reason of the business
    share: float = 0.0  # of the caller's own time, or of its datastores' time
    steps: tuple[Step, ...] = ()
    action: str = ""  # event.action of its log line; without one it writes none
    saying: str = ""  # the line's text when all is well
    keyed: bool = False  # moves money: carries the idempotency key
    node: str = ""  # of the model, where it is not `service`


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request: where it comes in, and how many traces a second of a healthy platform are kept.

    `route` is the gateway's route or, without a gateway, the service that is asked directly.
    """

    name: str
    root: Step
    per_second: float  # over both regions
    ceiling: float = 6.0  # times `per_second` that are kept at most
    verdicts: tuple[tuple[str, float], ...] = ()  # reasons to turn a request down, and their shares


def _http(method: str, route: str) -> Mapping[str, Value]:
    return {"http.request.method": method, "http.route": route}


def _grpc(service: str, method: str) -> Mapping[str, Value]:
    name = f"gaming.v1.{service.title().replace('-', '')}"
    return {"rpc.system": "grpc", "rpc.service": name, "rpc.method": method}


def _db(service: str, system: str, operation: str, target: str, share: float = 1.0, namespace: str = "") -> Step:
    attributes: dict[str, Value] = {"db.system.name": system, "db.operation.name": operation}
    attributes |= {"db.collection.name": target, "server.address": f"{system.split('.')[-1]}-{service}"}
    if namespace:
        attributes["db.namespace"] = namespace
    return Step(f"{operation} {target}", service, "client", "store", attributes, share=share)


def _message(service: str, system: str, destination: str, share: float = 1.0) -> Step:
    attributes: Mapping[str, Value] = {
        "messaging.system": system,
        "messaging.destination.name": destination,
        "messaging.operation.type": "send",
    }
    return Step(f"send {destination}", service, "producer", "store", attributes, share=share)


def _wallet(op: str, chance: float = 1.0, only_accepted: bool = False, stage: str = "") -> Step:
    method = {"credit": "Credit", "debit": "Debit", "balance": "GetBalance"}[op]
    statement = ("SELECT", "accounts") if op == "balance" else ("INSERT", "ledger_entries")
    return Step(
        f"wallet.{op}",
        "wallet",
        "server",
        "service",
        {**_grpc("wallet", method), "gaming.wallet.op": op, **_stage(stage)},
        chance,
        only_accepted,
        steps=(_db("wallet", "postgresql", *statement, namespace="wallet"),),
        action=f"wallet-{op}",
        saying=f"wallet {op} booked" if op != "balance" else "wallet balance read",
        keyed=op != "balance",
    )


def _stage(stage: str) -> Mapping[str, Value]:
    return {"gaming.stage": stage} if stage else {}


def _fraud(stage: str = "") -> Step:
    return Step(
        "fraud.score",
        "fraud",
        "server",
        "service",
        {**_grpc("fraud", "Score"), **_stage(stage)},
        steps=(_db("fraud", "redis", "HGETALL", "fraud:features"),),
        action="fraud-score",
        saying="request scored",
    )


def _sessions(chance: float = 1.0) -> Step:
    return Step(
        "session.join",
        "sessions",
        "server",
        "service",
        _grpc("sessions", "Join"),
        chance,
        steps=(_db("sessions", "redis", "GET", "session"),),
        action="session-join",
        saying="session joined",
    )


def _inventory(op: str, chance: float = 1.0, only_accepted: bool = False) -> Step:
    action = {"grant": "item-mint", "consume": "item-consume", "transfer": "item-transfer"}[op]
    return Step(
        f"inventory.{op}",
        "inventory",
        "server",
        "service",
        {**_grpc("inventory", "Mutate"), "gaming.inventory.op": op},
        chance,
        only_accepted,
        steps=(
            _db("inventory", "mongodb", "find", "items", 0.4, "items"),
            _db("inventory", "aws.dynamodb", "TransactWriteItems", "item_owners", 0.6),
        ),
        action=action,
        saying=f"item {op} written",
    )


def _vault() -> Step:
    return Step(
        "vault.detokenize",
        "vault",
        "server",
        "service",
        _grpc("vault", "Detokenize"),
        steps=(_db("vault", "postgresql", "SELECT", "tokens", namespace="vault"),),
        action="card-detokenize",
        saying="payment reference resolved",
    )


def _third_party(caller: str, name: str, call: str) -> Step:
    attributes: Mapping[str, Value] = {**_http("POST" if call != "fetch" else "GET", f"/{call}"), "peer.service": name}
    return Step(f"{name} {call}", caller, "client", "service", {**attributes, "server.address": name}, node=name)


def _game_server(chance: float = 1.0) -> Step:
    return Step(
        "match.sync",
        "game-server",
        "server",
        "service",
        _grpc("game-server", "Sync"),
        chance,
        steps=(_sessions(0.05), _inventory("consume", 0.02)),
        action="match-sync",
        saying="match state synchronised",
    )


def _promo() -> Step:
    account = Step(
        "account",
        "promo",
        "internal",
        "part",
        _stage("accounting"),
        share=0.58,
        steps=(_message("promo", "kafka", "promo-redemptions"),),
    )
    return Step(
        "promo.redeem",
        "promo",
        "server",
        "service",
        _http("POST", "/v1/promo"),
        steps=(
            Step("validate", "promo", "internal", "part", _stage("validation"), share=0.37),
            account,
            _fraud("fraud"),
            _wallet("credit", 0.9, only_accepted=True, stage="wallet"),
            _inventory("grant", 0.2, only_accepted=True),
        ),
        action="promo-redeem",
        saying="promotion redeemed",
        keyed=True,
    )


def _payments() -> Step:
    return Step(
        "payment.authorize",
        "payments",
        "server",
        "service",
        _http("POST", "/v1/payments"),
        steps=(_fraud(), _vault(), _third_party("payments", "psp", "authorize"), _wallet("debit")),
        action="payment-authorize",
        saying="payment authorised",
        keyed=True,
    )


def _market() -> Step:
    return Step(
        "market.buy",
        "market",
        "server",
        "service",
        _http("POST", "/v1/market"),
        steps=(
            _db("market", "cassandra", "SELECT", "offers", namespace="market"),
            _wallet("debit", 0.9),
            _inventory("transfer", 0.75),
        ),
        action="market-buy",
        saying="trade settled",
        keyed=True,
    )


def _referral() -> Step:
    return Step(
        "referral.credit",
        "referral",
        "server",
        "service",
        _http("POST", "/v1/referral"),
        steps=(_fraud(), _wallet("credit", 0.5, only_accepted=True)),
        action="referral-credit",
        saying="referral bonus granted",
        keyed=True,
    )


def _matchmaking() -> Step:
    enqueue = _message("matchmaking", "kafka", "matchmaking-tickets", 0.7)
    worker = Step(
        "process matchmaking-tickets",
        "matchmaking",
        "consumer",
        "consumer",
        {**enqueue.attributes, "messaging.operation.type": "process"},
        action="ticket-match",
        saying="ticket matched",
    )
    return Step(
        "ticket.create",
        "matchmaking",
        "server",
        "service",
        _grpc("matchmaking", "CreateTicket"),
        steps=(
            _sessions(0.5),
            _game_server(),
            _db("matchmaking", "redis", "ZADD", "tickets", 0.3),
            replace(enqueue, steps=(worker,)),
        ),
        action="ticket-create",
        saying="matchmaking ticket created",
    )


def _auth() -> Step:
    return Step(
        "user.login",
        "auth",
        "server",
        "service",
        _http("POST", "/v1/auth"),
        steps=(
            _db("auth", "postgresql", "SELECT", "accounts", 0.7, "auth"),
            _db("auth", "redis", "INCR", "login:attempts", 0.3),
        ),
        action="user-login",
        saying="user logged in",
    )


def _chat() -> Step:
    return Step(
        "chat.send",
        "chat",
        "server",
        "service",
        {"network.protocol.name": "websocket"},
        steps=(_sessions(0.1), _message("chat", "nats", "chat.messages")),
        action="chat-message",
        saying="message delivered",
    )


def _leaderboard() -> Step:
    return Step(
        "leaderboard.top",
        "leaderboard",
        "server",
        "service",
        _http("GET", "/v1/leaderboard"),
        steps=(_db("leaderboard", "redis", "ZREVRANGE", "lb:global"),),
        action="leaderboard-read",
        saying="leaderboard read",
    )


def _live_events() -> Step:
    return Step(
        "event.feed",
        "live-events",
        "server",
        "service",
        _http("GET", "/v1/live-events"),
        steps=(_game_server(0.1), _third_party("live-events", "cdn", "fetch")),
        action="feed-read",
        saying="event feed served",
    )


def _kyc() -> Step:
    return Step(
        "kyc.decide",
        "kyc",
        "server",
        "service",
        _http("POST", "/v1/kyc"),
        steps=(_third_party("kyc", "kyc-vendor", "decide"),),
        action="kyc-decision",
        saying="identity checked",
    )


def _edge(method: str, to: str, upstream: Step | None) -> Step:
    """The gateway's span, and below it its request to the service."""
    steps: tuple[Step, ...] = ()
    if upstream is not None:
        attributes: Mapping[str, Value] = {"http.request.method": method, "peer.service": to, "server.address": to}
        steps = (Step(f"egress {to}", "gateway", "client", "proxy", attributes, share=0.2, steps=(upstream,)),)
    return Step(
        f"{method} /{to}",
        "gateway",
        "server",
        "service",
        _http(method, f"/{to}"),
        steps=steps,
        action="http-request",
        saying=f"{method} /{to}",
    )


ALWAYS_SAMPLED = frozenset({"promo", "payments", "market", "referral", "wallet", "auth"})
"""Kinds whose traces say that all of them are kept, money and log-ins: there a missing span proves something."""

PROMO_REASONS = (("expired_code", 0.04), ("already_used", 0.03), ("unknown_code", 0.01))

# The rates add up to 20 a second; sampling keeps more of what is worth money and of what is rare.
SHAPES: tuple[Shape, ...] = (
    Shape("promo", _edge("POST", "promo", _promo()), 3.0, ceiling=7.0, verdicts=PROMO_REASONS),
    Shape("payments", _edge("POST", "payments", _payments()), 2.5, verdicts=(("declined", 0.07),)),
    Shape("auth", _edge("POST", "auth", _auth()), 2.5),
    Shape("chat", _edge("POST", "chat", _chat()), 2.0, verdicts=(("blocked", 0.006),)),
    Shape("matchmaking", _edge("POST", "matchmaking", _matchmaking()), 1.5),
    Shape("web", _edge("GET", "web", None), 1.5),
    Shape("market", _edge("POST", "market", _market()), 1.2, verdicts=(("rejected", 0.015),)),
    Shape("sessions", _edge("POST", "sessions", _sessions()), 1.0),
    Shape("inventory", _edge("POST", "inventory", _inventory("consume")), 1.0),
    Shape("leaderboard", _edge("GET", "leaderboard", _leaderboard()), 0.8),
    Shape("game-server", _game_server(), 0.8),
    Shape("referral", _referral(), 0.6, verdicts=(("ring", 0.02),)),
    Shape("live-events", _live_events(), 0.6),
    Shape("kyc", _kyc(), 0.4, verdicts=(("review", 0.07), ("rejected", 0.03))),
    Shape("wallet", _wallet("balance"), 0.3),
    Shape("fraud", _fraud(), 0.2),
    Shape("vault", _vault(), 0.1),
)
