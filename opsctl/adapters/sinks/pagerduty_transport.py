"""One request to an API of PagerDuty, through the `pagerduty` package as transport: exactly one, whatever comes back.

The package's own retries are switched off (it repeats 429 for ever and ignores `Retry-After`); who asks owns every
repeat. Must never take longer than it may, read more than it may, or show a secret, and never raise for what the far
side does.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsctl.core.frozen import dataclass
from opsctl.core.hosts import is_loopback
from opsctl.errors import ConfigError
from opsctl.http import Answer
from opsctl.http.echoes import masked, without_credentials

if TYPE_CHECKING:
    import httpx2
    from pagerduty.api_client import ApiClient

LINE_CHARACTERS = 400
_GRACE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one request; without a `status` there was no whole answer and `message` says why."""

    status: int | None
    message: str = ""  # one line, without secrets; "" for 2xx
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes = b""

    def decoded(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


Connect = Callable[..., "ApiClient"]
"""Makes a client of the package: (secret, base_url, **options)."""


def events_client(secret: str, base_url: str, **options: Any) -> ApiClient:
    """For Events v2; the secret is a routing key."""
    from pagerduty import EventsApiV2Client

    return EventsApiV2Client(secret, base_url=base_url, **options)


def rest_client(secret: str, base_url: str, **options: Any) -> ApiClient:
    """For REST v2; the secret is an API token."""
    from pagerduty import RestApiV2Client

    return RestApiV2Client(secret, base_url=base_url, **options)


class Transport:
    """One API at an address; `setting` is what names the address, `answer_bytes` the most that is read of an answer."""

    def __init__(self, url: str, *, setting: str, default: str, connect: Connect, answer_bytes: int) -> None:
        self.url, self._loopback = base_url(url, setting, default)
        self._connect = connect
        self._answer_bytes = answer_bytes
        self._client: ApiClient | None = None

    def request(self, method: str, path: str, secret: str, timeout_seconds: float, **more: Any) -> Reply:
        """Exactly one request; `more` are params, json and headers."""
        answer: list[Reply] = []
        # A server that drips its answer defeats any read timeout, so the whole request runs in a thread with a limit.
        thread = threading.Thread(
            target=lambda: answer.append(self._request(method, path, secret, timeout_seconds, more)),
            name="opsctl-pagerduty",
            daemon=True,
        )
        thread.start()
        thread.join(timeout_seconds)
        if thread.is_alive():
            thread.join(_GRACE_SECONDS)  # the transport's own timeout has the better message
        if not answer:
            self._client = None  # the thread still uses it; the next request gets a new one
            return Reply(None, f"no whole answer from {self.url} within {timeout_seconds:g} s")
        return answer[0]

    def close(self) -> None:
        """Drop connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _request(self, method: str, path: str, secret: str, timeout_seconds: float, more: Mapping[str, Any]) -> Reply:
        from pagerduty.errors import Error, HttpError

        try:
            client = self._ready(secret, timeout_seconds)
            return _reply(client.request(method, path, **more), secret)
        except HttpError as refused:  # 401 and 3xx
            return _reply(refused.response, secret)  # type: ignore[arg-type]
        except Error as failed:
            cause = failed.__cause__
            detail = f"{type(cause).__name__}: {cause}" if cause else str(failed)
            return Reply(None, line(f"{self.url}: {detail}", secret))
        except Exception as failed:  # noqa: BLE001 - a page must outlive any fault of the transport
            return Reply(None, line(f"{self.url}: {type(failed).__name__}: {failed}", secret))

    def _ready(self, secret: str, timeout_seconds: float) -> ApiClient:
        if self._client is None:
            self._client = self._one_request_client(secret)
        client = self._client
        client.auth_method = type(client.auth_method)(secret)
        client.timeout = timeout_seconds  # type: ignore[assignment]
        return client

    def _one_request_client(self, secret: str) -> ApiClient:
        """The package's client without its retries: one request a call, whatever comes back."""
        options: dict[str, Any] = {}
        if self._loopback:
            options = {"transport": _loopback_transport(), "trust_env": False}
        logging.getLogger("pagerduty").addHandler(logging.NullHandler())  # else its warnings go to stderr
        client = self._connect(secret, self.url, event_hooks={"response": [_cap(self._answer_bytes)]}, **options)
        client.headers["Accept-Encoding"] = "identity"
        client.retry = {429: 1, 500: 1, 502: 1, 503: 1, 504: 1}
        client.max_http_attempts = -1
        client.max_network_attempts = 0
        return client


def _loopback_transport() -> httpx2.HTTPTransport:
    """Plain http for the local PagerDuty: the package itself insists on an https address."""
    import httpx2

    class LoopbackTransport(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            assert is_loopback(request.url.host), f"plain http to {request.url.host} is not allowed"
            request.url = request.url.copy_with(scheme="http")
            return super().handle_request(request)

    return LoopbackTransport(verify=False)


def _cap(most_bytes: int) -> Callable[[httpx2.Response], None]:
    """A hook that lets nothing fill our memory."""
    import httpx2

    class Capped(httpx2.SyncByteStream):
        def __init__(self, stream: httpx2.SyncByteStream) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            seen = 0
            for chunk in self._stream:
                seen += len(chunk)
                if seen > most_bytes:
                    raise httpx2.ReadError(f"the answer is larger than {most_bytes} bytes")
                yield chunk

        @property
        def elapsed(self) -> timedelta | None:
            """How long it took, which the package asks the stream of."""
            return getattr(self._stream, "elapsed", None)

        def close(self) -> None:
            self._stream.close()

    def cap(response: httpx2.Response) -> None:
        response.stream = Capped(response.stream)  # type: ignore[arg-type]

    return cap


def _reply(response: httpx2.Response, secret: str) -> Reply:
    status, headers = response.status_code, {name.lower(): value for name, value in response.headers.items()}
    safe = without_credentials(Answer(status, headers, response.content), secret, {})  # before anything is cut off
    made = Reply(status, "", safe.headers, safe.body)
    if 200 <= status < 300:
        return made
    return Reply(status, line(f"HTTP {status}: {_said(made)}"), made.headers, made.body)


def _said(reply: Reply) -> str:
    """What an error says: Events v2 at its top level, REST v2 under `error`."""
    body = reply.decoded()
    if body is None:
        return reply.body[:300].decode("utf-8", "replace")
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    if not isinstance(body, dict):
        return str(body)[:300]
    errors = body.get("errors")
    parts = [body.get("message"), *(errors if isinstance(errors, list) else [])]
    return ": ".join(str(part) for part in parts if part)[:300]


def line(text: str, secret: str = "") -> str:
    """One short line without the secret."""
    safe = masked(text, secret) if secret else text
    return " ".join(safe.split())[:LINE_CHARACTERS]


def base_url(url: str, setting: str, default: str) -> tuple[str, bool]:
    """The https address that the package wants, and whether it stands for plain http to loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    base = parts._replace(path=parts.path.rstrip("/").removesuffix("/v2/enqueue"), query="", fragment="")
    if parts.scheme == "https" and host:
        return base.geturl(), False
    if parts.scheme == "http" and is_loopback(host):
        return base._replace(scheme="https").geturl(), True
    raise ConfigError(setting, None, f"{url} is neither https nor http to loopback", hint=f"the default is {default}")
