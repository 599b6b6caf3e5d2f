"""PagerDuty's Events v2, through the `pagerduty` package as transport: exactly one request a call.

The package's own retries are switched off (it repeats 429 for ever and ignores `Retry-After`); the outbox owns every
repeat. Must never put a routing key anywhere but into the request, and never raise for what the far side does.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsctl.core.hosts import is_loopback
from opsctl.errors import ConfigError, OpsctlError
from opsctl.ports import Delivery, SinkEvent

if TYPE_CHECKING:
    import httpx2
    from pagerduty import EventsApiV2Client

    from opsctl.files import context as files

EVENTS_URL = "https://events.pagerduty.com"
DEFAULT_ROUTE = "default"
FALLBACK = "fallback"
_ANSWER_BYTES = 64 * 1024
_LONGEST_RETRY_AFTER_SECONDS = 600.0
_RETRY_STATUSES = frozenset({408, 425, 429})

RoutingKeys = Mapping[str, Callable[[], str]]
"""Team → how to get its routing key; `default` is for teams without one."""


class PagerDuty:
    """One PagerDuty account's events; a routing key is read when the first event needs it, and kept."""

    def __init__(self, keys: RoutingKeys, events_url: str = EVENTS_URL) -> None:
        self.name = "pagerduty"
        self._keys = keys
        self._url, self._loopback = _base_url(events_url)
        self._known: dict[str, str] = {}
        self._client: EventsApiV2Client | None = None

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request, or none if there is no key for the route (then `retry`)."""
        try:
            key = self._key(event.key)
        except OpsctlError as wrong:
            return Delivery("retry", None, f"no request was made: {_line(str(wrong))}")
        answer: list[Delivery] = []
        # A server that drips its answer defeats any read timeout, so the whole request runs in a thread with a limit.
        thread = threading.Thread(
            target=lambda: answer.append(self._request(_own(event.body), key, timeout_seconds)),
            name="opsctl-pager",
            daemon=True,
        )
        thread.start()
        thread.join(timeout_seconds)
        if thread.is_alive():
            thread.join(0.25)  # the transport's own timeout has the better message
        if not answer:
            self._client = None  # the thread still uses it; the next request gets a new one
            return Delivery("retry", None, f"no whole answer from {self._url} within {timeout_seconds:g} s")
        return answer[0]

    def channel(self, key: str) -> str:
        """Names of the same routing key share one rate limit; the channel is a digest, not the key."""
        try:
            secret = self._key(key)
        except OpsctlError:
            return f"{self.name}/route/{key}"
        return f"{self.name}/{hashlib.sha256(secret.encode()).hexdigest()[:12]}"

    def close(self) -> None:
        """Drop connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _key(self, team: str) -> str:
        name = team if team in self._keys else DEFAULT_ROUTE
        if name not in self._known:
            if name not in self._keys:
                raise ConfigError(
                    "pagerduty.routing_keys",
                    None,
                    f"no key for team {team or '(none)'} and no default",
                    hint="add one",
                )
            self._known[name] = self._keys[name]().strip()
        return self._known[name]

    def _request(self, body: dict[str, Any], key: str, timeout_seconds: float) -> Delivery:
        from pagerduty.errors import Error, HttpError

        try:
            client = self._ready(key, timeout_seconds)
            return _delivery(client.post("/v2/enqueue", json=body), key)
        except HttpError as refused:  # 401 and 3xx
            return _delivery(refused.response, key)  # type: ignore[arg-type]
        except Error as failed:
            cause = failed.__cause__
            detail = f"{type(cause).__name__}: {cause}" if cause else str(failed)
            return Delivery("retry", None, _line(f"{self._url}: {detail}", key))
        except Exception as failed:  # noqa: BLE001 - a page must outlive any fault of the transport
            return Delivery("retry", None, _line(f"{self._url}: {type(failed).__name__}: {failed}", key))

    def _ready(self, key: str, timeout_seconds: float) -> EventsApiV2Client:
        from pagerduty.events_api_v2_client import RoutingKeyAuthMethod

        if self._client is None:
            self._client = _one_request_client(key, self._url, loopback=self._loopback)
        self._client.auth_method = RoutingKeyAuthMethod(key)  # type: ignore[no-untyped-call]
        self._client.timeout = timeout_seconds  # type: ignore[assignment]
        return self._client


def open_pagerduty(settings: files.PagerDuty, resolve: Callable[[files.Secret], str]) -> PagerDuty:
    """The PagerDuty of a context; a key named `fallback` is for what the others refuse."""
    keys = {team: partial(resolve, secret) for team, secret in settings.routing_keys.items()}
    return PagerDuty(keys, settings.events_url or EVENTS_URL)


def _one_request_client(key: str, url: str, *, loopback: bool) -> EventsApiV2Client:
    """The package's client without its retries: one request a call, whatever comes back."""
    import httpx2
    from pagerduty import EventsApiV2Client

    class LoopbackTransport(httpx2.HTTPTransport):
        """Plain http for the local PagerDuty: the package itself insists on an https address."""

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            assert is_loopback(request.url.host), f"plain http to {request.url.host} is not allowed"
            request.url = request.url.copy_with(scheme="http")
            return super().handle_request(request)

    class Capped(httpx2.SyncByteStream):
        """An answer of PagerDuty is a few hundred bytes; nothing may fill our memory."""

        def __init__(self, stream: httpx2.SyncByteStream) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            seen = 0
            for chunk in self._stream:
                seen += len(chunk)
                if seen > _ANSWER_BYTES:
                    raise httpx2.ReadError(f"the answer is larger than {_ANSWER_BYTES} bytes")
                yield chunk

        def close(self) -> None:
            self._stream.close()

    def cap(response: httpx2.Response) -> None:
        response.stream = Capped(response.stream)  # type: ignore[arg-type]

    options: dict[str, Any] = {"transport": LoopbackTransport(verify=False), "trust_env": False} if loopback else {}
    logging.getLogger("pagerduty").addHandler(logging.NullHandler())  # else its warnings go to stderr
    client = EventsApiV2Client(key, base_url=url, event_hooks={"response": [cap]}, **options)
    client.headers["Accept-Encoding"] = "identity"
    client.retry = {429: 1, 500: 1, 502: 1, 503: 1, 504: 1}
    client.max_http_attempts = -1
    client.max_network_attempts = 0
    return client


def _own(body: str) -> dict[str, Any]:
    """The event as PagerDuty takes it: what ends an incident has no payload."""
    event: dict[str, Any] = json.loads(body)
    if event.get("event_action") != "trigger":
        event.pop("payload", None)
    return event


def _delivery(response: httpx2.Response, key: str) -> Delivery:
    status = response.status_code
    message = _line(f"HTTP {status}: {_said(response)}", key)
    if status == 202:
        return Delivery("accepted", status, "")
    if 400 <= status < 500 and status not in _RETRY_STATUSES:
        return Delivery("permanent", status, message)
    return Delivery("retry", status, message, _retry_after(response.headers.get("Retry-After")))


def _said(response: httpx2.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text[:300]
    if not isinstance(body, dict):
        return str(body)[:300]
    errors = body.get("errors")
    parts = [body.get("message"), *(errors if isinstance(errors, list) else [])]
    return ": ".join(str(part) for part in parts if part)[:300]


def _retry_after(text: str | None) -> float | None:
    """Seconds, of a number or an HTTP date; capped, so that no answer can silence a page for long."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS) if seconds == seconds else None


def _line(text: str, key: str = "") -> str:
    """One short line without the routing key."""
    safe = text.replace(key, "***") if key else text
    return " ".join(safe.split())[:400]


def _base_url(url: str) -> tuple[str, bool]:
    """The https address that the package wants, and whether it stands for plain http to loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    base = parts._replace(path=parts.path.rstrip("/").removesuffix("/v2/enqueue"), query="", fragment="")
    if parts.scheme == "https" and host:
        return base.geturl(), False
    if parts.scheme == "http" and is_loopback(host):
        return base._replace(scheme="https").geturl(), True
    raise ConfigError(
        "pagerduty.events_url",
        None,
        f"{url} is neither https nor http to loopback",
        hint=f"the default is {EVENTS_URL}",
    )
