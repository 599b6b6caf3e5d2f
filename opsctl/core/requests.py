"""How services count their requests: the protocols that metrics are known of, and PromQL for rate, failures, duration.

Pure: texts only. Must never add what two protocols mean by different things: a quantile is of one protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from opsctl.core.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Protocol:
    """How one kind of service counts its requests: `total` and `buckets` are metrics, `bad` picks what failed."""

    name: str
    total: str
    bad: str
    buckets: str


PROTOCOLS = (
    Protocol(
        "http",
        "http_server_request_duration_seconds_count",
        'http_response_status_code=~"5.."',
        "http_server_request_duration_seconds_bucket",
    ),
    Protocol(
        "grpc",
        "grpc_server_handled_total",
        'grpc_code=~"Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss|Unimplemented"',
        "grpc_server_handling_seconds_bucket",
    ),
    Protocol("websocket", "gaming_chat_messages_total", 'result="error"', "gaming_chat_delivery_seconds_bucket"),
)


def request_rate(by: Iterable[str], window: str) -> str:
    """Requests a second over a window such as `5m`, of all protocols together."""
    names = ", ".join(by)
    return _together("sum", names, lambda one: f"sum by ({names}) (rate({one.total}[{window}]))")


def failure_rate(by: Iterable[str], window: str) -> str:
    """Failed requests a second, of all protocols together; nothing where none failed."""
    names = ", ".join(by)
    return _together("sum", names, lambda one: f"sum by ({names}) (rate({one.total}{{{one.bad}}}[{window}]))")


def slowest(quantile: float, by: Iterable[str], window: str) -> str:
    """A quantile of the request time in seconds: of the protocol where it is highest."""
    names = ", ".join(by)

    def of(one: Protocol) -> str:
        return f"histogram_quantile({quantile:g}, sum by (le, {names}) (rate({one.buckets}[{window}])))"

    return _together("max", names, of)


def _together(how: str, names: str, of: Callable[[Protocol], str]) -> str:
    union = " or ".join(f'label_replace({of(one)}, "protocol", "{one.name}", "", "")' for one in PROTOCOLS)
    return f"{how} by ({names}) ({union})"
