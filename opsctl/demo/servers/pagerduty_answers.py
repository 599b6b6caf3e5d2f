"""What the local PagerDuty answers: requests and answers without HTTP, and the documented bodies of errors.

Pure. Must never use a code that PagerDuty's documentation does not list or its clients have not seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Answer(NamedTuple):
    """An HTTP answer; a body of None is none at all (204)."""

    status: int
    body: Mapping[str, Any] | None
    headers: Mapping[str, str] = {}


class Request(NamedTuple):
    """An HTTP request; names of headers are in small letters."""

    method: str
    target: str  # path and query, as it was sent
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """Values by name; `statuses[]` is a name of its own, and values are never split at commas."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


def decoded(raw: bytes) -> Any:
    """A JSON document; ValueError where it is none, is nested without end, or has half a character in it."""
    try:
        made = json.loads(raw)
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(made, ensure_ascii=False).encode()
    except RecursionError as wrong:
        raise ValueError("nested too deeply") from wrong
    return made


class Refusal(Exception):
    """A request that the REST API refuses; carries its answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def error(status: int, code: int, message: str, *errors: str) -> Answer:
    """An error of the REST API; `code` is PagerDuty's own, of its table of error codes."""
    said: dict[str, Any] = {"message": message, "code": code}
    if errors:
        said["errors"] = list(errors)
    return Answer(status, {"error": said})


def invalid(*errors: str) -> Refusal:
    """400: the request is not what the API takes."""
    return Refusal(error(400, 2001, "Invalid Input Provided", *errors))


def not_found() -> Refusal:
    """404: no such path or resource."""
    return Refusal(error(404, 2100, "Not Found"))


_MESSAGES = {
    400: (2001, "Invalid Input Provided"),
    401: (2006, "Authentication failed"),
    403: (2010, "Access Denied"),
    404: (2100, "Not Found"),
    408: (2016, "The request took too long to process"),
    429: (2020, "Rate Limit Exceeded"),
}


def plain(status: int, path: str) -> Mapping[str, Any]:
    """The body of a status that nothing in the request asked for, in the words of the API that the path belongs to."""
    if path.startswith("/v2/"):
        if status == 429:
            return throttled()
        word = "invalid event" if status == 400 else "internal error" if status >= 500 else "refused"
        return {"status": word, "message": f"The request was answered with {status}", "errors": []}
    code, message = _MESSAGES.get(status, (2000, "An internal error has occurred. PagerDuty team has been notified."))
    return error(status, code, message).body or {}


def throttled() -> dict[str, Any]:
    """The body of a 429 of the Events API."""
    return {
        "status": "throttle exceeded",
        "message": "Requests for this service are arriving too quickly.  Please retry later.",
    }
