"""An address of one's own: each event is one POST of versioned JSON, signed where there is a secret.

Signatures are those of Standard Webhooks 1 (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64` of
HMAC-SHA256 over `ID.TIMESTAMP.BODY`), for which there are libraries in most languages. Must never show the address's
path (at many receivers it is the secret), and never raise for what the far side does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from opsctl.adapters.sinks.answers import line
from opsctl.adapters.sinks.posting import Server, posted
from opsctl.errors import AuthError, OpsctlError
from opsctl.http import Endpoint
from opsctl.ports import Delivery, SinkEvent

KIND = "webhook"
SCHEMA = "opsctl/event/v1"
_ACCEPTED = range(200, 300)
_ENCODED = "whsec_"  # before a signing secret that is base64 of the key
_SHORTEST_PATH = 8
_REDIRECT = "a redirect, and redirects are not followed: is the url right, or is there a login in front?"


class Webhook:
    """One receiver; `signing` gives the secret, asked by the first event, and again after it was not accepted."""

    def __init__(
        self, name: str, endpoint: Endpoint, now: Callable[[], datetime], signing: Callable[[], str] | None = None
    ) -> None:
        self.name = f"{KIND}/{name}"
        self._now = now
        self._signing = signing
        self._secret: str | None = None
        self._server = Server(endpoint)
        parts = urlsplit(endpoint.url)
        self._where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._hidden = parts.path if len(parts.path) >= _SHORTEST_PATH else ""
        # The client's address has no slash at its end, which is another address at some receivers.
        self._tail = "/" if parts.path.endswith("/") or not parts.path else ""

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request, or none if there is no secret to sign it with (then `retry`)."""
        body = body_of(event)
        identifier = event.id or hashlib.sha256(body).hexdigest()
        headers = {"Idempotency-Key": identifier}
        if self._signing is not None:
            at = int(self._now().timestamp())
            try:
                self._secret = self._secret or self._signing()
                signature = sign(self._secret, identifier, at, body)
            except OpsctlError as wrong:
                return Delivery("retry", None, line(f"no request was made: {wrong}"))
            headers |= {"webhook-id": identifier, "webhook-timestamp": str(at), "webhook-signature": signature}
        delivery, _ = posted(
            self._server, self._where, self._tail, body, headers, timeout_seconds, _ACCEPTED, hidden=self._hidden
        )
        if delivery.status in (401, 403):
            self._secret = None
        if delivery.status is not None and 300 <= delivery.status < 400:  # where to may hold the path
            return replace(delivery, message=f"{self._where}: HTTP {delivery.status}: {_REDIRECT}")
        return delivery

    def channel(self, key: str) -> str:
        """No rate limit but the receiver's own (429)."""
        return ""

    def close(self) -> None:
        """Drop connections."""
        self._server.close()


def body_of(event: SinkEvent) -> bytes:
    """`{"schema": "opsctl/event/v1", "action", "key", "id", "to", "event"}`: `key` is the dedup key, `to` a route's."""
    inner = json.loads(event.body)
    return json.dumps(
        {
            "schema": SCHEMA,
            "action": inner.get("event_action"),
            "key": inner.get("dedup_key"),
            "id": event.id,
            "to": event.key,
            "event": inner,
        }
    ).encode()


def sign(secret: str, identifier: str, at: int, body: bytes) -> str:
    """The signature's header; `at` is in seconds since 1970. AuthError: the secret is not what it says it is."""
    key = secret.encode()
    if secret.startswith(_ENCODED):
        try:
            key = base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
        except (binascii.Error, ValueError):
            raise AuthError(
                f"the signing secret begins with {_ENCODED} and goes on with something that is not base64"
            ) from None
    signed = hmac.new(key, f"{identifier}.{at}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()
