"""Where a backend is, what it answered, and what went wrong in words.

Must never put a header value, a credential or a URL's user and query into a message or a `repr`.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import field
from urllib.parse import urlsplit

from opsctl.core.frozen import dataclass
from opsctl.core.hosts import is_loopback
from opsctl.core.signals import Reason
from opsctl.errors import ExitCode, OpsctlError, UsageError

_IN_HOSTS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_:%")


class HttpProblem(OpsctlError):
    """No usable answer; `message` is one line that does not name the backend, so callers put its name before it."""

    def __init__(self, reason: Reason, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.exit_code = ExitCode.AUTH if reason is Reason.AUTH else ExitCode.UNKNOWN


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a backend is and how it lets us in; `authorization` gives a whole header value, asked on first use."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    authorization: Callable[[], str] | None = field(default=None, repr=False)
    allow_http: bool = False

    @property
    def address(self) -> str:
        """The URL for people: no user, no query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of any status but 3xx, 401, 403 and 407; header names are in lower case, the body is unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def one_line(text: str, limit: int = 300) -> str:
    """A text from outside on one line, cut at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def status_problem(answer: Answer) -> HttpProblem | None:
    """What a status that is not 2xx means when the body says nothing better; None for 2xx."""
    status = answer.status
    if 200 <= status < 300:
        return None
    said = f"answered {status_words(status)}"
    if answer.content_type in {"text/html", "application/xhtml+xml"}:
        said += " with an HTML page"
    else:
        text = one_line(answer.body[:400].decode(errors="replace"), 200)
        said += f": {text}" if text and text not in said else ""
    return HttpProblem(_status_reason(status), said, status=status)


def _status_reason(status: int) -> Reason:
    if status in {401, 403, 407}:
        return Reason.AUTH
    if status in {429, 503}:
        return Reason.OVERLOADED
    if status in {408, 504}:
        return Reason.DEADLINE
    if status == 502:
        return Reason.UNREACHABLE
    return Reason.REJECTED if 400 <= status < 500 and status != 404 else Reason.MALFORMED


def status_words(status: int) -> str:
    return f"{status} {http.client.responses.get(status, '')}".rstrip()


def _ascii(host: str) -> str:
    """A host as the wire has it: IDNA for names, no other characters than a name or an address has. ValueError."""
    name = host if host.isascii() else host.encode("idna").decode()
    if not set(name) <= _IN_HOSTS:
        raise ValueError(name)
    return name.replace("%25", "%")


def target_of(endpoint: Endpoint) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of an endpoint, or an error that shows no credential."""
    try:
        parts = urlsplit(endpoint.url)
        scheme, host, port = parts.scheme.lower(), _ascii(parts.hostname or ""), parts.port
    except ValueError:
        raise UsageError("a backend's url is not a URL: expected https://HOST[:PORT][/PREFIX]") from None
    if scheme not in {"http", "https"} or not host:
        shown = "a backend's url" if "@" in endpoint.url else f"url {one_line(endpoint.url, 80)!r}"
        raise UsageError(f"{shown}: expected https://HOST[:PORT][/PREFIX]")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"url {endpoint.address}: no user, query or fragment may be in it", hint="use token_file or basic"
        )
    if scheme == "http" and not endpoint.allow_http and not is_loopback(host):
        raise UsageError(
            f"url {endpoint.address}: plain http leaves this machine", hint="use https, or allow_http = true"
        )
    return scheme, host, port or (443 if scheme == "https" else 80), parts.path.rstrip("/")
