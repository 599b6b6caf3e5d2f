"""Metrics of what is worth money: payments, wallets, promotions, markets, items, fraud, the card vault, KYC."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from opsctl.demo.families import (
    Counter,
    Family,
    Gauge,
    Histogram,
    Of,
    combos,
    constant,
    spread,
    time_of,
    weigh,
)
from opsctl.demo.model import State
from opsctl.demo.noise import Floats

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
STAGES = ("e2e", "validation", "accounting", "fraud", "wallet")
_CAMPAIGNS = ("welcome", "weekend", "partner")
_CAMPAIGN_SHARES = (0.25, 0.6, 0.15)


def _split(service: str, good: Sequence[float], over: Sequence[float] = (1.0,)) -> Of:
    """By `over`: the requests that succeed split by `good`, then those that fail."""

    def rate(state: State) -> Floats:
        flow = state.flows[service]
        failed = flow.demand * flow.fail
        return spread(over, np.concatenate([weigh(good, flow.demand - failed), failed[None]]))

    return rate


def _demand(service: str, weights: Sequence[float] = (1.0,)) -> Of:
    return lambda state: weigh(weights, state.flows[service].demand)


def _redemptions() -> list[Family]:
    results = (
        ("ok", "ok"),
        ("rejected", "expired_code"),
        ("rejected", "already_used"),
        ("rejected", "unknown_code"),
        ("error", "dependency"),
    )
    labels = tuple(
        {"campaign": campaign, "result": result, "reason": reason}
        for campaign in _CAMPAIGNS
        for result, reason in results
    )
    return [
        Counter(
            "gaming_redemption_total", "promo", labels, _split("promo", (0.92, 0.04, 0.03, 0.01), _CAMPAIGN_SHARES)
        ),
        Histogram(
            "gaming_redemption_duration_seconds",
            "promo",
            combos(stage=STAGES),
            _SECONDS,
            _demand("promo", (1.0,) * len(STAGES)),
            _stage_time,
        ),
    ]


def _stage_time(state: State) -> tuple[Floats, Floats]:
    promo, wallet, fraud = (state.flows[name] for name in ("promo", "wallet", "fraud"))
    ones = np.ones(state.curve.shape)
    means = [promo.mean, 0.012 * ones, 0.022 * ones, fraud.mean, wallet.mean]
    variances = [promo.variance, 0.006**2 * ones, 0.012**2 * ones, fraud.variance, wallet.variance]
    return np.stack(means), np.stack(variances)


def _payments() -> list[Family]:
    labels = combos(psp=("alpha", "beta"), method=("card", "voucher"), geo=("EU", "NA"))
    weights = [p * m * g for p in (0.7, 0.3) for m in (0.85, 0.15) for g in (0.55, 0.45)]
    outcomes = tuple({**combo, "outcome": outcome} for combo in labels for outcome in ("approved", "declined", "error"))
    return [
        Counter("gaming_payment_transactions_total", "payments", outcomes, _split("payments", (0.93, 0.07), weights)),
        Histogram(
            "gaming_payment_duration_seconds",
            "payments",
            combos(psp=("alpha", "beta")),
            _SECONDS,
            _demand("payments", (0.7, 0.3)),
            time_of("payments"),
        ),
    ]


def _operations(metric: str, service: str, op: dict[str, float], good: dict[str, float], bad: str = "error") -> Counter:
    labels = combos(op=tuple(op), result=(*good, bad))
    return Counter(metric, service, labels, _split(service, tuple(good.values()), tuple(op.values())))


def _results(metric: str, service: str, good: dict[str, float]) -> Counter:
    return Counter(metric, service, combos(result=(*good, "error")), _split(service, tuple(good.values())))


def _never(metric: str, service: str) -> Counter:
    """A counter of what must not happen: at zero from the start, so that the first event is an increase."""
    return Counter(metric, service, ({},), constant(0.0))


def _wallet() -> list[Family]:
    return [
        _operations(
            "gaming_wallet_operations_total",
            "wallet",
            {"debit": 0.45, "credit": 0.35, "balance": 0.2},
            {"ok": 0.985, "insufficient": 0.015},
        ),
        Histogram("gaming_wallet_duration_seconds", "wallet", ({},), _SECONDS, _demand("wallet"), time_of("wallet")),
        _never("gaming_wallet_double_spend_total", "wallet"),
        Gauge("gaming_wallet_ledger_imbalance_minor_units", "wallet", combos(currency=("EUR", "USD")), _balanced),
    ]


def _balanced(state: State) -> Floats:
    return np.zeros((2, *state.curve.shape))


def _items() -> list[Family]:
    return [
        _operations(
            "gaming_inventory_mutations_total",
            "inventory",
            {"grant": 0.4, "consume": 0.45, "transfer": 0.15},
            {"ok": 0.997, "conflict": 0.003},
        ),
        _never("gaming_inventory_duplicate_items_total", "inventory"),
        _results("gaming_market_trades_total", "market", {"ok": 0.985, "rejected": 0.015}),
        Counter(
            "gaming_referral_bonus_total",
            "referral",
            ({"result": "ok", "reason": "ok"}, {"result": "rejected", "reason": "ring"}, _DEPENDENCY),
            _split("referral", (0.98, 0.02)),
        ),
    ]


_DEPENDENCY = {"result": "error", "reason": "dependency"}


def _risk() -> list[Family]:
    def decided(service: str, shares: Sequence[float]) -> Callable[[State], Floats]:
        return lambda state: weigh(shares, state.flows[service].demand * (1.0 - state.flows[service].fail))

    verdicts = combos(decision=("allow", "review", "deny"))
    return [
        Histogram(
            "gaming_fraud_score_duration_seconds",
            "fraud",
            ({},),
            (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
            _demand("fraud"),
            time_of("fraud"),
        ),
        Counter("gaming_fraud_decisions_total", "fraud", verdicts, decided("fraud", (0.965, 0.02, 0.015))),
        _never("gaming_fraud_fail_open_total", "fraud"),
        _operations(
            "gaming_vault_requests_total",
            "vault",
            {"tokenize": 0.3, "detokenize": 0.7},
            {"ok": 0.999, "denied": 0.001},
        ),
        _never("gaming_pan_leak_detected_total", "vault"),
        Histogram(
            "gaming_kyc_duration_seconds",
            "kyc",
            ({},),
            (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0),
            _demand("kyc"),
            time_of("kyc"),
        ),
        Counter(
            "gaming_kyc_decisions_total",
            "kyc",
            combos(decision=("approved", "review", "rejected")),
            decided("kyc", (0.9, 0.07, 0.03)),
        ),
    ]


def money_families() -> list[Family]:
    """Every family of this file."""
    return [*_redemptions(), *_payments(), *_wallet(), *_items(), *_risk()]
