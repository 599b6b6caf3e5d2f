"""The client: asks, retries at most once, maps what goes wrong.

Must never put a header value or a credential into a message or a log.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlencode, urlsplit

from opsctl.core.hosts import is_loopback
from opsctl.core.signals import Reason
from opsctl.errors import OpsctlError
from opsctl.http.echoes import without_credentials
from opsctl.http.endpoint import Answer, Endpoint, HttpProblem, one_line, status_words, target_of
from opsctl.http.wire import CHUNK_BYTES, Late, Plain, Request, Tls, TooLarge

MIB = 1 << 20
_OVERHEAD_BYTES = MIB  # headers, chunk lines: what may come on the wire beside the body


class Client:
    """Asks one endpoint; used by many threads, at most `pool_size` requests at once, connections are kept alive."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        connect_seconds: float = 2.0,
        request_seconds: float = 10.0,
        max_body: int = 64 * MIB,
        pool_size: int = 8,
    ) -> None:
        self.endpoint = endpoint
        self._connect_seconds = connect_seconds
        self._request_seconds = request_seconds
        self._max_body = max_body
        self._scheme, self._host, self._port, self._path = target_of(endpoint)
        self._slots = threading.BoundedSemaphore(pool_size)
        self._lock = threading.Lock()
        self._idle: list[Plain] = []
        self._busy: set[Plain] = set()
        self._closed = False
        self._context: ssl.SSLContext | None = None
        self._credential: str | None = None

    def get(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float | None = None
    ) -> Answer:
        """GET; see `request`."""
        return self.request("GET", path, params=params, timeout_seconds=timeout_seconds)

    def post_form(
        self, path: str, form: Mapping[str, str], *, timeout_seconds: float | None = None, packed: bool = False
    ) -> Answer:
        """POST of a query that changes nothing, as a form; see `request`."""
        return self.request(
            "POST",
            path,
            body=urlencode(form).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout_seconds=timeout_seconds,
            idempotent=True,
            packed=packed,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
        idempotent: bool | None = None,
        packed: bool = False,
    ) -> Answer:
        """Ask; `path` is below the endpoint's own, `packed` accepts gzip. Raises `HttpProblem`, nothing else."""
        seconds = self._request_seconds if timeout_seconds is None else timeout_seconds
        request = Request(
            time.monotonic() + seconds, self._connect_seconds, self._max_body + _OVERHEAD_BYTES, lambda: self._closed
        )
        target = self._path + path + (f"?{urlencode(params)}" if params else "")
        retry = method in {"GET", "HEAD"} if idempotent is None else idempotent
        try:
            sent = self._headers(headers or {}, packed)
            answer = self._once(request, method, target, body, sent, retry)
            if answer.status == 401 and self._credential_changed():
                answer = self._once(request, method, target, body, self._headers(headers or {}, packed), retry)
        except Exception as wrong:
            raise self._problem(wrong, request, seconds) from wrong
        answer = without_credentials(answer, self._credential, self.endpoint.headers)
        self._refuse(answer)
        return answer

    @property
    def closed(self) -> bool:
        """Whether it was closed, also by a cycle that hung up: nothing more can be asked of it."""
        return self._closed

    def close(self) -> None:
        """Cut every connection, also those in use: their requests end as `deadline`."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for connection in self._busy:
                connection.interrupt()
        for connection in idle:
            _discard(connection)

    def _once(
        self, request: Request, method: str, target: str, body: bytes | None, headers: dict[str, str], retry: bool
    ) -> Answer:
        if not self._slots.acquire(timeout=request.left()):
            raise Late
        try:
            try:
                return self._exchange(self._take(), request, method, target, body, headers)
            except Stale as gone:
                if not retry:
                    raise gone.wrong from gone
            return self._exchange(self._fresh(), request, method, target, body, headers)
        finally:
            self._slots.release()

    def _exchange(
        self,
        connection: Plain,
        request: Request,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> Answer:
        """One request on one connection, which is kept when the answer was read whole and discarded otherwise."""
        connection.request_now = request
        kept = connection.sock is not None
        request.received = 0
        whole = False
        try:
            if not kept:
                connection.connect()
            connection.sock.settimeout(request.left())
            connection.request(method, target, body=body, headers=headers)
            answer = _read(connection.getresponse(), self._max_body)
            whole = True
            return answer
        except (ConnectionError, ssl.SSLEOFError) as wrong:
            if kept and request.received == 0 and not self._closed:
                raise Stale(wrong) from wrong
            raise
        finally:
            self._give_back(connection, whole)

    def _take(self) -> Plain:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
                if connection is not None:
                    self._busy.add(connection)
            if connection is None:
                return self._fresh()
            if connection.is_connected():
                return connection
            self._give_back(connection, whole=False)

    def _fresh(self) -> Plain:
        connection: Plain
        if self._scheme == "https":
            connection = Tls(self._host, self._port, self._tls())
        else:
            connection = Plain(self._host, self._port)
        with self._lock:
            self._busy.add(connection)
        return connection

    def _give_back(self, connection: Plain, whole: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            if whole and connection.sock is not None and not self._closed:
                self._idle.append(connection)
                return
        _discard(connection)

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                try:
                    self._context = ssl.create_default_context(cafile=self.endpoint.ca_file)
                    self._context.set_alpn_protocols(["http/1.1"])
                except OSError as wrong:
                    said = wrong.strerror or "no certificates in it"
                    raise HttpProblem(Reason.UNREACHABLE, f"ca_file {self.endpoint.ca_file}: {said}") from wrong
            return self._context

    def _headers(self, more: Mapping[str, str], packed: bool) -> dict[str, str]:
        provider = self.endpoint.authorization
        if provider is not None and self._credential is None:
            self._credential = provider()
        headers = {
            "User-Agent": "opsctl",
            "Accept-Encoding": "gzip" if packed and not is_loopback(self._host) else "identity",
            **self.endpoint.headers,
            **more,
        }
        if self._credential is not None:
            headers["Authorization"] = self._credential
        for name, value in headers.items():
            if not value.isprintable() or not value.isascii() or not name.isascii():
                raise HttpProblem(
                    Reason.AUTH if name == "Authorization" else Reason.REJECTED,
                    f"the value of the header {name} has a line break or a character that no header can carry",
                )
        return headers

    def _credential_changed(self) -> bool:
        """Read the credential again, as tokens in files are renewed; whether it is another one."""
        if self.endpoint.authorization is None:
            return False
        before, self._credential = self._credential, self.endpoint.authorization()
        return before != self._credential

    def _refuse(self, answer: Answer) -> None:
        status = answer.status
        if 300 <= status < 400:
            place = _clean_location(answer.headers.get("location", ""))
            raise HttpProblem(
                Reason.MALFORMED,
                f"answered a redirect ({status_words(status)}{place}), and redirects are not followed: "
                "is the URL right, or is there a login in front?",
                status=status,
            )
        if status in {401, 403, 407}:
            why = "the credentials were not accepted" if self.endpoint.authorization else "no credentials are set"
            if status == 403:
                why = "these credentials may not do this" if self.endpoint.authorization else why
            raise HttpProblem(Reason.AUTH, f"answered {status_words(status)}: {why}", status=status)

    def _problem(self, wrong: Exception, request: Request, seconds: float) -> HttpProblem:
        if isinstance(wrong, HttpProblem):
            return wrong
        if self._closed:
            return HttpProblem(Reason.DEADLINE, "given up: the time for all questions is over")
        if isinstance(wrong, OpsctlError):  # the credential could not be read
            return HttpProblem(Reason.AUTH, one_line(str(wrong)))
        if isinstance(wrong, Late) or time.monotonic() >= request.deadline:
            return HttpProblem(Reason.DEADLINE, f"no whole answer within {seconds:.3g} s")
        if isinstance(wrong, TooLarge):
            return HttpProblem(Reason.TOO_LARGE, f"the answer is larger than {_size(self._max_body)} (limits.body)")
        return _network_problem(wrong, request, self._host)


class Stale(Exception):
    """A kept-alive connection was gone before a byte came."""

    def __init__(self, wrong: Exception) -> None:
        super().__init__()
        self.wrong = wrong


def _discard(connection: Plain) -> None:
    with suppress(OSError):
        connection.close()
    connection.cut()


def _clean_location(location: str) -> str:
    with suppress(ValueError):
        parts = urlsplit(location)
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""
        return f" to {one_line(place + parts.path, 120)}" if place or parts.path else ""
    return ""


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"


def _read(response: http.client.HTTPResponse, cap: int) -> Answer:
    """The whole body, unpacked, at most `cap` bytes of it."""
    headers = {name.lower(): response.getheader(name, "") for name in response.headers}
    length = headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > cap:
        raise TooLarge
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", "", "gzip", "x-gzip"}:
        raise HttpProblem(Reason.MALFORMED, f"answered in an encoding that nobody asked for ({one_line(coding, 40)})")
    unpack = zlib.decompressobj(wbits=31) if "gzip" in coding else None
    parts: list[bytes] = []
    size = 0
    while chunk := response.read(CHUNK_BYTES):
        piece = unpack.decompress(chunk, cap + 1 - size) if unpack else chunk
        parts.append(piece)
        size += len(piece)
        if size > cap:
            raise TooLarge
    if response.length:  # http.client notices a chunked answer that is cut off, and not this one
        raise http.client.IncompleteRead(b"", response.length)
    if unpack and not unpack.eof:
        raise HttpProblem(Reason.MALFORMED, "the packed answer is cut off")
    return Answer(response.status, headers, b"".join(parts))


def _network_problem(wrong: Exception, request: Request, host: str) -> HttpProblem:
    match wrong:
        case socket.gaierror() | UnicodeError():
            return HttpProblem(Reason.UNREACHABLE, f"no such host: {host}")
        case ssl.SSLCertVerificationError():
            return HttpProblem(
                Reason.UNREACHABLE, f"TLS: the certificate is not accepted: {wrong.verify_message}; see ca_file"
            )
        case ssl.SSLError():
            return HttpProblem(Reason.UNREACHABLE, f"TLS: {(wrong.reason or 'failed').lower().replace('_', ' ')}")
        case TimeoutError():
            return HttpProblem(Reason.UNREACHABLE, f"no connection within {request.connect_seconds:g} s")
        case ConnectionRefusedError():
            return HttpProblem(Reason.UNREACHABLE, "connection refused")
        case ConnectionError():  # RemoteDisconnected too
            return HttpProblem(Reason.UNREACHABLE, "the connection was closed before an answer came")
        case http.client.IncompleteRead() | zlib.error():
            return HttpProblem(Reason.MALFORMED, f"the answer broke off or is garbled ({type(wrong).__name__})")
        case http.client.HTTPException():
            return HttpProblem(Reason.MALFORMED, f"did not answer in HTTP ({type(wrong).__name__})")
        case OSError():
            return HttpProblem(Reason.UNREACHABLE, one_line(wrong.strerror or type(wrong).__name__))
    raise wrong
