"""A fault changes one thing and the call graph carries it on; mitigations take it back within two minutes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from opsctl.demo.controls import Controls, Track
from opsctl.demo.faults import ACTIONS, ATTACKERS, FAULTS
from opsctl.demo.model import Model, State
from opsctl.demo.noise import events, series_id, uniform
from opsctl.demo.platform import Platform
from opsctl.demo.topology import NODES, SERVICES, forecast_rps
from tests.unit.demo.samples import Kept

TEN = 10 * 60.0  # epoch seconds at which the faults below begin
MITIGATIONS: Mapping[str, tuple[str, dict[str, str]]] = {
    "promo-surge": ("promo.shed", {"percent": "60"}),
    "wallet-db-slow": ("wallet.failover", {"to": "standby"}),
    "matchmaking-backlog": ("matchmaking.scale", {"replicas": "24"}),
    "region-lost": ("region.drain", {"region": "eu-1"}),
    "service-silent": ("chat.restart", {}),
    "login-attack": ("auth.block", {"networks": ",".join(ATTACKERS)}),
}


def _state(controls: Controls, minutes: int = 60) -> State:
    span = np.arange(1, minutes + 1, dtype=np.int64)
    return Model(7).state(span, controls.levels(span))


def _under(fault: str) -> State:
    controls = Controls()
    controls.inject(fault, TEN, TEN + 3600)
    return _state(controls)


def test_healthy_platform_hardly_fails() -> None:
    """Every service fails less than one in ten thousand, and none is near its capacity."""
    state = _state(Controls(), 1440)
    for name in SERVICES:
        assert float(state.flows[name].fail.max()) < 1e-4, name
        assert float(state.flows[name].load.max()) < 0.5, name


def test_forecast_is_the_table() -> None:
    """The rates that follow from the calls are those of the platform's table."""
    table = {
        "gateway": 8000, "auth": 600, "sessions": 1500, "matchmaking": 400, "game-server": 6000, "chat": 2000,
        "leaderboard": 900, "inventory": 700, "wallet": 500, "payments": 120, "promo": 150, "market": 200,
        "referral": 50, "live-events": 300, "fraud": 350, "vault": 130, "kyc": 20,
    }  # fmt: skip
    forecast = forecast_rps()
    for name, rps in table.items():
        assert forecast[name] == pytest.approx(rps, rel=0.01), name


def test_callees_come_after_callers() -> None:
    """The order of the nodes is the one in which demand flows, or a service would miss some of it."""
    order = [node.name for node in NODES]
    for node in NODES:
        assert all(order.index(call.to) > order.index(node.name) for call in node.calls), node.name


def test_surge_reaches_its_peak_in_half_a_minute() -> None:
    """The first minute averages three quarters of the surge, the second all of it: gateway × 8, promo × 40."""
    calm, state = _state(Controls()), _under("promo-surge")
    for service, factor in (("gateway", 8.0), ("promo", 40.0)):
        grown = state.flows[service].demand / calm.flows[service].demand
        assert grown[0, 9] == pytest.approx(1.0)
        assert grown[0, 10] == pytest.approx(1.0 + 0.75 * (factor - 1.0), rel=0.01)
        assert grown[0, 11] == pytest.approx(factor, rel=0.01)


def test_saturated_wallet_hurts_its_callers_and_nobody_else() -> None:
    """Failures spread from callee to caller along the calls: who does not need the wallet does not notice."""
    for fault in ("promo-surge", "wallet-db-slow"):
        state = _under(fault)
        for name in ("wallet", "promo", "payments", "market", "referral"):
            assert float(state.flows[name].fail[:, 20].min()) > 0.1, (fault, name)
        for name in ("auth", "sessions", "matchmaking", "chat", "game-server", "inventory", "fraud"):
            assert float(state.flows[name].fail[:, 20].max()) < 1e-4, (fault, name)


def test_slow_store_slows_its_callers() -> None:
    """At twenty times the database's time, a payment takes more than two seconds."""
    state = _under("wallet-db-slow")
    assert float(state.flows["payments"].mean[:, 5].max()) < 1.0
    assert float(state.flows["payments"].mean[:, 20].min()) > 2.0


def test_shedding_too_little_does_not_help() -> None:
    """Shedding is arithmetic, not a switch: at 30 % the wallet is still over its capacity, at 60 % it is not."""
    loads = {}
    for percent in (30, 60):
        controls = Controls()
        controls.inject("promo-surge", TEN, TEN + 3600)
        controls.mitigate("promo.shed", TEN + 600, {"percent": str(percent)})
        loads[percent] = float(_state(controls).flows["wallet"].load[0, 40])
    assert loads[30] > 1.0 > loads[60]


@pytest.mark.parametrize("fault", FAULTS)
def test_mitigation_heals_within_minutes_and_undo_brings_it_back(fault: str) -> None:
    """Truth names the fault, is healthy three minutes after the mitigation, and ill again after its undo."""
    start = datetime(2026, 3, 2, 18, tzinfo=UTC)
    platform = Platform(7, start, Kept())
    service = FAULTS[fault].service
    platform.inject(fault, start)
    before = platform.truth(start + timedelta(minutes=5))
    assert before.faults == (fault,)
    assert before.services[service].fault == fault
    assert before.services[service].why
    action, params = MITIGATIONS[fault]
    platform.mitigate(action, start + timedelta(minutes=10), params)
    after = platform.truth(start + timedelta(minutes=13))
    assert {name: s.why for name, s in after.services.items() if not s.healthy} == {}
    undo = ACTIONS[action].undo
    if undo is not None:
        platform.mitigate(undo, start + timedelta(minutes=20), params)
        assert platform.truth(start + timedelta(minutes=25)).services[service].fault == fault


def test_truth_blames_each_service_on_its_own_fault() -> None:
    """Under two faults at once, each service is put down to the one that hurts it, and callers name the callee."""
    start = datetime(2026, 3, 2, 18, tzinfo=UTC)
    platform = Platform(7, start, Kept())
    platform.inject("wallet-db-slow", start)
    platform.inject("service-silent", start)
    truth = platform.truth(start + timedelta(minutes=5))
    assert truth.faults == ("wallet-db-slow", "service-silent")
    assert truth.services["chat"].fault == "service-silent"
    assert truth.services["payments"].fault == "wallet-db-slow"
    assert "calls wallet" in truth.services["payments"].why
    assert truth.services["auth"].healthy
    assert not truth.healthy
    assert platform.truth(start - timedelta(minutes=5)).healthy


def test_region_drain_moves_players_and_refuses_to_drain_both() -> None:
    """Players of the drained region are served by the other; the other cannot be drained too."""
    controls = Controls()
    controls.mitigate("region.drain", TEN, {"region": "eu-1"})
    state = _state(controls)
    assert state.home[:, 30].tolist() == [0.0, 2.0]
    with pytest.raises(ValueError, match="eu-1 is drained already"):
        controls.mitigate("region.drain", TEN, {"region": "us-1"})
    assert controls.mitigate("region.restore", TEN + 60, {}) == "eu-1 takes its players back"
    assert controls.mitigate("region.restore", TEN + 60, {}) == "no region was drained"


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("promo.shed", {}),
        ("promo.shed", {"percent": "96"}),
        ("promo.shed", {"percent": "-1"}),
        ("matchmaking.scale", {"replicas": "many"}),
        ("region.drain", {"region": "mars-1"}),
        ("auth.block", {"networks": " , "}),
    ],
)
def test_senseless_orders_are_refused(action: str, params: dict[str, str]) -> None:
    """An order out of its bounds is an error that names the parameter and changes nothing."""
    controls = Controls()
    with pytest.raises(ValueError, match="expected"):
        controls.mitigate(action, TEN, params)
    assert _state(controls).flows["promo"].demand.tobytes() == _state(Controls()).flows["promo"].demand.tobytes()


def test_level_turns_from_where_it_is() -> None:
    """A turn in the middle of a ramp starts at the level reached, and later turns leave earlier times alone."""
    track = Track()
    track.turn(100.0, 1.0, 100.0)
    early = track.at(np.array([50.0, 150.0]))
    track.turn(150.0, 0.0, 50.0)
    assert early.tolist() == track.at(np.array([50.0, 150.0])).tolist() == [0.0, 0.5]
    assert track.at(np.array([175.0, 200.0, 900.0])).tolist() == [0.25, 0.0, 0.0]


def test_events_are_right_in_the_mean_also_when_rare() -> None:
    """Noise does not bias: one event in a hundred minutes stays one in a hundred, and many keep their mean."""
    ids = np.array([series_id(7, f"series/{i}") for i in range(50)], dtype=np.uint64)
    drawn = uniform(ids, np.arange(2000, dtype=np.int64))
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    for expected in (0.01, 0.5, 3.0, 40.0, 1e5):
        counted = events(np.full(drawn.shape, expected), drawn)
        assert counted.min() >= 0
        assert counted.mean() == pytest.approx(expected, rel=0.05)
