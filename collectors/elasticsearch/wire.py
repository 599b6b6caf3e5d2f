"""The official client over our own HTTP: one policy for deadlines, sizes, TLS, redirects and credentials.

The client's own transport limits each read of a socket, not the whole answer: a server that drips is read for ever.
Bodies stay bytes: what they mean is for `answers`. Must never log, warn, trace, or retry more than `opsctl.http`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import elastic_transport
from elastic_transport import ApiResponseMeta, BaseNode, HttpHeaders, NodeConfig, Serializer
from elastic_transport._node import NodeApiResponse
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError
from elasticsearch._otel import OpenTelemetry

from collectors.elasticsearch.answers import not_ours, refusal
from opsctl.core.signals import Reason
from opsctl.http import Client, Endpoint, HttpProblem, one_line

_SPOKEN = ("application/json", "application/vnd.elasticsearch+json")

for _name in ("elastic_transport", "elasticsearch"):
    logging.getLogger(_name).addHandler(logging.NullHandler())  # or its warnings go to stderr


class _Bytes(Serializer):
    """Bodies as they came; questions as the client makes them."""

    def __init__(self) -> None:
        self._json = elastic_transport.JsonSerializer()

    def loads(self, data: bytes) -> bytes:
        return data

    def dumps(self, data: Any) -> bytes:
        return self._json.dumps(data)


class _Quiet(Elasticsearch):
    """Without spans of its own, whatever the environment says: ours tell of the command, not of its parts."""

    def __init__(self, hosts: Any = None, **options: Any) -> None:
        super().__init__(hosts, **options)
        self._otel = OpenTelemetry(enabled=False)


def _node_class(http: Client) -> type[BaseNode]:
    """What the client's transport sends each request through."""

    class Node(BaseNode):
        def perform_request(
            self,
            method: str,
            target: str,
            body: bytes | None = None,
            headers: HttpHeaders | None = None,
            request_timeout: Any = elastic_transport.client_utils.DEFAULT,
        ) -> NodeApiResponse:
            begun = time.monotonic()
            seconds = request_timeout if isinstance(request_timeout, (int, float)) else None
            answer = http.request(
                method,
                target,
                body=body,
                headers=dict(headers or {}),
                timeout_seconds=seconds,
                idempotent=True,  # every question here may be asked twice
                packed=True,
            )
            came = HttpHeaders(answer.headers)
            came.pop("warning", None)  # deprecations are for who writes the client, and it would raise them in Python
            if answer.content_type not in _SPOKEN:
                came["content-type"] = "text/plain"  # the transport refuses labels that it does not know
            came["x-came-as"] = answer.content_type
            meta = ApiResponseMeta(answer.status, "1.1", came, time.monotonic() - begun, self.config)
            return NodeApiResponse(meta, answer.body)

    return Node


class Wire:
    """One server; each call takes what is left of a deadline and gives the body of a good answer, or HttpProblem."""

    def __init__(self, endpoint: Endpoint, **options: Any) -> None:
        self._http = Client(endpoint, **options)
        self._address = endpoint.address
        parts = urlsplit(endpoint.url)
        where = NodeConfig(
            parts.scheme.lower(),
            parts.hostname or "",
            parts.port or (443 if parts.scheme.lower() == "https" else 80),
            parts.path.rstrip("/"),
        )
        as_bytes = _Bytes()
        self._client = _Quiet(
            [where],
            node_class=_node_class(self._http),
            serializers={**dict.fromkeys(_SPOKEN, as_bytes), "text/*": as_bytes},
            max_retries=0,
            retry_on_status=(),
            meta_header=False,
            opaque_id="opsctl",
        )

    def ask(self, deadline: float, question: Callable[[Elasticsearch], Any]) -> bytes:
        """Ask one question of the client by `deadline` (monotonic seconds); raises `HttpProblem`, nothing else."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise HttpProblem(Reason.DEADLINE, "no time was left to ask")
        try:
            return bytes(question(self._client.options(request_timeout=left)).body)
        except ApiError as wrong:
            came_as = wrong.meta.headers.get("x-came-as") or ""
            if isinstance(wrong, UnsupportedProductError):
                raise not_ours(wrong.body, came_as) from wrong
            raise refusal(wrong.meta.status, wrong.body, came_as, self._address) from wrong
        except (elastic_transport.TransportError, ValueError, TypeError) as wrong:
            said = one_line(f"{type(wrong).__name__}: {wrong}", 120)
            raise HttpProblem(Reason.MALFORMED, f"the client cannot use the answer: {said}") from wrong

    @property
    def closed(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self._http.closed

    def close(self) -> None:
        """Cut every connection."""
        self._http.close()


def server_limit(deadline: float) -> str:
    """A little less than we wait, so that the server answers with what it has."""
    return f"{max(int((deadline - time.monotonic()) * 900), 1)}ms"
