"""An address that takes our events over HTTP: exactly one request a call, whatever comes back.

The client's own second tries are switched off: the outbox owns every repeat. Must never raise for what the far side
does, and never put a credential into a message.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import replace

from opsctl.adapters.sinks.answers import delivered, failed, line
from opsctl.errors import OpsctlError
from opsctl.http import MIB, Answer, Client, Endpoint, HttpProblem
from opsctl.http.echoes import without_credentials
from opsctl.ports import Delivery


class Server:
    """One endpoint; its credential is read when the first request needs it, and again after it was not accepted."""

    def __init__(self, endpoint: Endpoint, *, answer_bytes: int = MIB) -> None:
        self.address = endpoint.address
        self._endpoint = endpoint
        self._answer_bytes = answer_bytes
        self._client: Client | None = None
        self._guard = threading.Lock()

    def get(self, path: str, timeout_seconds: float) -> Answer:
        """GET; `OpsctlError` where there is no whole answer."""
        return self._request("GET", path, None, {}, timeout_seconds)

    def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> Answer:
        """One POST of JSON; `HttpProblem` where there is no whole answer, another `OpsctlError` where none was made."""
        return self._request("POST", path, body, {"Content-Type": "application/json", **headers}, timeout_seconds)

    def hide(self, answer: Answer) -> Answer:
        """An answer that was not the wanted one, without anything that we sent to prove who we are."""
        client = self._client
        endpoint = client.endpoint if client is not None else self._endpoint
        known = endpoint.authorization() if client is not None and endpoint.authorization is not None else None
        return without_credentials(answer, known, endpoint.headers, is_data=False)

    def close(self) -> None:
        """Drop connections; the next request opens others."""
        with self._guard:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_seconds: float
    ) -> Answer:
        client = self._ready()
        try:
            return client.request(method, path, body=body, headers=headers, timeout_seconds=timeout_seconds)
        except HttpProblem as wrong:
            if wrong.status == 401:
                self._forget(client)
            raise

    def _ready(self) -> Client:
        with self._guard:
            if self._client is None:
                endpoint = self._endpoint
                if endpoint.authorization is not None:
                    header = endpoint.authorization()
                    # A constant: a client that reads another one after a 401 makes a second request.
                    endpoint = replace(endpoint, authorization=lambda: header)
                self._client = Client(endpoint, max_body=self._answer_bytes, pool_size=2)
            return self._client

    def _forget(self, client: Client) -> None:
        """The credential may have been renewed since it was read."""
        with self._guard:
            if self._client is client:
                self._client = None
        client.close()


def posted(
    server: Server,
    where: str,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout_seconds: float,
    accepted: Collection[int],
    *,
    hidden: str = "",
) -> tuple[Delivery, Answer | None]:
    """One request and what it means; `where` is the far side's name for people, `hidden` must not be in an answer."""
    try:
        answer = server.post(path, body, headers, timeout_seconds)
    except HttpProblem as wrong:
        return failed(wrong, where), None
    except OpsctlError as wrong:
        return Delivery("retry", None, line(f"no request was made: {wrong}")), None
    except Exception as wrong:  # noqa: BLE001 - a page must outlive any fault of the transport
        return Delivery("retry", None, line(f"{where}: {type(wrong).__name__}")), None
    if answer.status not in accepted:
        answer = server.hide(answer)
    for form in (hidden, hidden.replace("/", "\\/")) if hidden else ():
        answer = replace(answer, body=answer.body.replace(form.encode(), b"[redacted]"))
    return delivered(answer, accepted), answer
