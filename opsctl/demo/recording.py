"""A story that a real Prometheus can be started on: days of health, a fault, its mitigation, and an hour after it.

What the bundled rules and runbooks ask for is recorded, summed over labels that none of them looks at: few enough
series for `promtool tsdb create-blocks-from openmetrics`. Must never be told what a rule made of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from opsctl.core.frozen import dataclass
from opsctl.demo.controls import Bools
from opsctl.demo.faults import ATTACKERS, FAULTS
from opsctl.demo.noise import Floats
from opsctl.demo.openmetrics import OpenMetricsWriter
from opsctl.demo.platform import Platform, Store
from opsctl.demo.series import LabelSets

HISTORY = timedelta(days=3)
AFTER = timedelta(minutes=85)  # of the recording, from the fault's beginning on
SERIES_MAX = 400
_LOOK = timedelta(minutes=2)  # that a person takes from the page to the runbook

# Sample name -> the labels to keep.
SELECT: Mapping[str, Collection[str]] = MappingProxyType(
    {
        "up": ("service", "region"),
        "http_server_request_duration_seconds_count": ("service", "http_route", "http_response_status_code"),
        "grpc_server_handled_total": ("grpc_code",),
        "envoy_http_downstream_rq_xx": ("envoy_http_conn_manager_prefix", "envoy_response_code_class"),
        "gaming_edge_requests_total": (),
        "gaming_edge_errors_total": (),
        "gaming_gateway_requests_total": (),
        "gaming_gateway_misroutes_total": (),
        "gaming_auth_attempts_total": ("result", "reason", "network"),
        "gaming_session_join_total": ("result",),
        "gaming_matchmaking_tickets_total": ("outcome",),
        "gaming_matchmaking_wait_seconds_bucket": ("le",),
        "gaming_matchmaking_wait_seconds_count": (),
        "gaming_matchmaking_workers": ("service", "region"),
        "agones_gameservers_count": ("service", "type", "region"),
        "gaming_server_ticks_total": (),
        "gaming_server_ticks_overrun_total": (),
        "gaming_input_latency_seconds_bucket": ("le",),
        "gaming_input_latency_seconds_count": (),
        "gaming_netcode_predictions_total": (),
        "gaming_netcode_corrections_total": (),
        "gaming_netcode_state_checks_total": (),
        "gaming_netcode_desync_total": (),
        "gaming_chat_delivery_seconds_bucket": ("le",),
        "gaming_chat_delivery_seconds_count": (),
        "gaming_leaderboard_data_age_seconds_bucket": ("le",),
        "gaming_leaderboard_data_age_seconds_count": (),
        "redis_key_size": ("service", "key", "region"),
        "gaming_live_rounds_total": ("result",),
        "gaming_live_settle_seconds_bucket": ("le",),
        "gaming_live_settle_seconds_count": (),
        "gaming_event_feed_age_seconds_bucket": ("le",),
        "gaming_event_feed_age_seconds_count": (),
        "gaming_payment_transactions_total": ("outcome",),
        "gaming_payment_duration_seconds_bucket": ("le",),
        "gaming_payment_duration_seconds_count": (),
        "gaming_wallet_operations_total": ("result",),
        "gaming_wallet_duration_seconds_bucket": ("le",),
        "gaming_wallet_double_spend_total": ("service", "region"),
        "gaming_wallet_ledger_imbalance_minor_units": ("service", "currency", "region"),
        "gaming_redemption_total": ("result",),
        "gaming_redemption_duration_seconds_bucket": ("stage", "le"),
        "gaming_redemption_duration_seconds_count": ("stage",),
        "gaming_market_trades_total": ("result",),
        "gaming_inventory_mutations_total": ("result",),
        "gaming_inventory_duplicate_items_total": ("service", "region"),
        "gaming_referral_bonus_total": ("result",),
        "gaming_vault_requests_total": ("result",),
        "gaming_pan_leak_detected_total": ("service", "region"),
        "gaming_fraud_score_duration_seconds_bucket": ("le",),
        "gaming_fraud_score_duration_seconds_count": (),
        "gaming_fraud_fail_open_total": ("service", "region"),
        "gaming_kyc_duration_seconds_bucket": ("le",),
        "gaming_kyc_duration_seconds_count": (),
    }
)

# What the fault's runbook orders: the recording has its effect.
ORDERS: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {
        "promo-surge": ("promo.shed", {"percent": "60"}),
        "wallet-db-slow": ("wallet.failover", {"to": "standby"}),
        "matchmaking-backlog": ("matchmaking.scale", {"replicas": "24"}),
        "region-lost": ("region.drain", {"region": "eu-1"}),
        "service-silent": ("chat.restart", {}),
        "login-attack": ("auth.block", {"networks": ",".join(ATTACKERS)}),
    }
)


class Relay:
    """Passes samples on to those who listen."""

    def __init__(self, *stores: Store) -> None:
        self.stores = stores

    def add(
        self, metric: str, label_sets: LabelSets, ts_ms: NDArray[np.int64], values: Floats, present: Bools | None = None
    ) -> None:
        """As `SeriesStore.add`."""
        for store in self.stores:
            store.add(metric, label_sets, ts_ms, values, present)


@dataclass(frozen=True, slots=True)
class Recording:
    """When things happen in it."""

    fault: str
    start: datetime
    begin: datetime  # of the fault
    mitigated: datetime
    end: datetime

    def order(self, action: str, params: Mapping[str, str]) -> str:
        """What the admin server answers to the runbook; `ValueError` for another order than the recorded one."""
        recorded, expected = ORDERS[self.fault]
        given = {name: value for name, value in params.items() if name != "reason"}
        if action != recorded or {**given, "networks": ""} != {**expected, "networks": ""}:
            wanted = ", ".join(f"{name} {value}" for name, value in expected.items())
            raise ValueError(f"this is a recording: it was made with {recorded}{f' ({wanted})' if wanted else ''}")
        return f"{action}: done, as recorded"


def plan_recording(fault: str, end: datetime) -> Recording:
    """Times of a story that ends at `end`: the runbook comes two minutes after the first rule must have fired."""
    begin = end - AFTER
    mitigated = begin + timedelta(minutes=FAULTS[fault].must_fire[0].minutes) + _LOOK
    return Recording(fault, begin - HISTORY, begin, mitigated, end)


def record(recording: Recording, seed: int, store: Store) -> Platform:
    """Plays the recording into a store and answers the platform as it is at its end."""
    platform = Platform(seed, recording.start, store)
    platform.inject(recording.fault, recording.begin)
    platform.advance(recording.mitigated)
    action, params = ORDERS[recording.fault]
    platform.mitigate(action, recording.mitigated, {**params, "reason": "recorded"})
    platform.advance(recording.end)
    return platform


def writer() -> OpenMetricsWriter:
    """Takes what of the platform is recorded."""
    return OpenMetricsWriter(SELECT, series_limit=SERIES_MAX)
