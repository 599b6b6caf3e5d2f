"""Request metrics as the instrumentations export them: OpenTelemetry HTTP, gRPC middleware, Envoy, edge workers."""

from __future__ import annotations

import numpy as np

from opsctl.demo.families import Counter, Family, Histogram, combos, outcomes, steady, time_of, weigh
from opsctl.demo.model import State, gateway_failures
from opsctl.demo.noise import Floats
from opsctl.demo.topology import GRPC, HTTP, NODE

HTTP_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
GRPC_BOUNDS = (0.005, 0.025, 0.1, 0.5, 2.5)
_ROUTES = (*(call.to for call in NODE["gateway"].calls), "web")
_METHODS = {"web": "GET", "leaderboard": "GET", "live-events": "GET"}
_METHOD_NAMES = {
    "sessions": "Join",
    "matchmaking": "CreateTicket",
    "game-server": "Sync",
    "wallet": "Transact",
    "fraud": "Score",
    "vault": "Detokenize",
    "inventory": "Mutate",
}


def http_labels(route: str, status: str, service: str) -> dict[str, str]:
    """The labels of HTTP requests to a route that were answered so."""
    return {
        "http_request_method": _METHODS.get(service, "POST"),
        "http_route": route,
        "http_response_status_code": status,
    }


def _service_http(service: str) -> Histogram:
    labels = tuple(http_labels(f"/v1/{service}", status, service) for status in ("200", "500"))
    return Histogram(
        "http_server_request_duration_seconds", service, labels, HTTP_BOUNDS, outcomes(service), time_of(service)
    )


def _gateway_rate(state: State) -> Floats:
    """Rows as `_gateway_http` names them: each route's 200s, each route's 503s, promo's 429s."""
    routes = gateway_failures(state)
    good = [routes[route][0] - routes[route][1] for route in _ROUTES]
    return np.stack([*good, *(routes[route][1] for route in _ROUTES), state.shed])


def _gateway_time(state: State) -> tuple[Floats, Floats]:
    own = NODE["gateway"]
    mean = np.full(state.curve.shape, own.own_seconds)
    variance = (own.variation * mean) ** 2
    behind = [state.flows[route] for route in _ROUTES[:-1]]
    means = [*(mean + flow.mean for flow in behind), 5.0 * mean]
    variances = [*(variance + flow.variance for flow in behind), 25.0 * variance]
    return np.stack([*means, *means, mean]), np.stack([*variances, *variances, variance])


def _gateway_http() -> Histogram:
    labels = [http_labels(f"/{route}", status, route) for status in ("200", "503") for route in _ROUTES]
    labels.append(http_labels("/promo", "429", "promo"))
    return Histogram(
        "http_server_request_duration_seconds", "gateway", tuple(labels), HTTP_BOUNDS, _gateway_rate, _gateway_time
    )


def grpc_labels(service: str) -> dict[str, str]:
    """The labels of gRPC requests to a service."""
    return {"grpc_service": f"gaming.v1.{service.title().replace('-', '')}", "grpc_method": _METHOD_NAMES[service]}


def _grpc(service: str) -> list[Family]:
    name = grpc_labels(service)
    codes = ("OK", "NotFound", "Unavailable", "DeadlineExceeded")

    def rate(state: State) -> Floats:
        flow = state.flows[service]
        failed = flow.demand * flow.fail
        good = flow.demand - failed
        return np.stack([good * 0.998, good * 0.002, failed * 0.8, failed * 0.2])

    def handled(state: State) -> Floats:
        return state.flows[service].demand[None]

    return [
        Counter("grpc_server_handled_total", service, tuple({**name, "grpc_code": code} for code in codes), rate),
        Histogram("grpc_server_handling_seconds", service, (name,), GRPC_BOUNDS, handled, time_of(service)),
    ]


def _envoy(state: State) -> Floats:
    """Edge 2xx, 4xx, 5xx, then the admin listener's 2xx, which is never part of an SLI."""
    rows = _gateway_rate(state)
    routes = len(_ROUTES)
    good = rows[:routes].sum(axis=0)
    admin = np.full(good.shape, 0.2)
    return np.stack([good * 0.995, good * 0.005 + rows[-1], rows[routes:-1].sum(axis=0), admin])


def _edge(share: float) -> Counter:
    name = "gaming_edge_requests_total" if share == 1.0 else "gaming_edge_errors_total"
    return Counter(name, "gateway", ({"worker": "router"},), lambda state: share * state.flows["gateway"].demand[None])


def _geo(metric: str, share: float) -> Counter:
    labels = combos(gateway=("geo-a", "geo-b"), geo=("EU", "NA", "APAC"))
    weights = [share * w for w in (0.28, 0.26, 0.06, 0.18, 0.16, 0.06)]
    return Counter(metric, "gateway", labels, lambda state: weigh(weights, state.flows["gateway"].demand))


def request_families() -> list[Family]:
    """Every family of this file."""
    edge = tuple({"envoy_http_conn_manager_prefix": "edge", "envoy_response_code_class": code} for code in "245")
    admin = {"envoy_http_conn_manager_prefix": "admin", "envoy_response_code_class": "2"}
    found: list[Family] = [
        _gateway_http(),
        *(_service_http(service) for service in HTTP),
        Counter("envoy_http_downstream_rq_xx", "gateway", (*edge, admin), _envoy),
        _edge(1.0),
        _edge(8e-6),
        Histogram(
            "gaming_edge_duration_seconds",
            "gateway",
            ({"worker": "router"},),
            (0.005, 0.025, 0.1),
            lambda state: state.flows["gateway"].demand[None],
            steady(0.003, 0.6),
        ),
        _geo("gaming_gateway_requests_total", 1.0),
        _geo("gaming_gateway_misroutes_total", 3e-6),
    ]
    for service in GRPC:
        found += _grpc(service)
    return found
