"""The local Opsgenie's API without HTTP: a request in, an answer and perhaps a fault out.

The order is Opsgenie's: the key's form, the key, the rate, the path, the rights, the body. Must never carry out what it
refuses, nor answer 202 before the request is in the file.
"""

from __future__ import annotations

import hmac
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlencode

from opsctl.demo.servers import opsgenie_rules as rules
from opsctl.demo.servers.faults_script import Asked, Fault, FaultScript
from opsctl.demo.servers.opsgenie_file import AlertsFile, Line, searched, shown
from opsctl.demo.servers.opsgenie_file import Asked as Request

JSM_PREFIX = "/jsm/ops/integration"
_VERBS = ("acknowledge", "close", "notes")
_SORTS = ("createdAt", "updatedAt", "tinyId", "alias", "message", "status", "count", "lastOccurredAt", "source")


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = {}


def said(status: int, message: str, **more: Any) -> Answer:
    """An answer that says something; `took` and `requestId` come later."""
    return Answer(status, {"message": message} | more)


class BadKeys(ValueError):
    """API keys that are none; one line that shows no key."""


class Key(NamedTuple):
    """An integration's key and what it may do."""

    integration: str
    secret: str
    read: bool = True
    write: bool = True


class Keys(NamedTuple):
    """Every key of the account."""

    all: tuple[Key, ...]

    @classmethod
    def read(cls, given: Any) -> Keys:
        """Of the form that `opsgenie` documents; `BadKeys` says what is wrong."""
        if not isinstance(given, dict) or not given:
            raise BadKeys('keys: expected JSON {"integration": "API key"}')
        return cls(tuple(_key(name, value) for name, value in given.items()))

    def find(self, secret: str) -> Key | None:
        """The integration whose key this is."""
        return next((key for key in self.all if hmac.compare_digest(key.secret.encode(), secret.encode())), None)


def _key(name: str, value: Any) -> Key:
    rights = dict(value) if isinstance(value, dict) else {"key": value}
    secret = rights.pop("key", None)
    if not isinstance(secret, str) or not rules.is_key(secret):
        raise BadKeys(f"keys: {name[:40]}: expected an API key in the form of a UUID")
    if set(rights) - {"read", "write"} or not all(isinstance(right, bool) for right in rights.values()):
        raise BadKeys(f"keys: {name[:40]}: expected key, and read and write as true or false")
    return Key(name, secret, **rights)


class Rates(NamedTuple):
    """Requests that an account may make; Opsgenie's numbers depend on the plan and on how many users it has."""

    per_minute: int = 600
    per_second: int = 60


class _Limiter:
    """Two rolling windows, as documented; reading and searching have another one than the rest."""

    def __init__(self, rates: Rates) -> None:
        self._windows = ((60, rates.per_minute), (1, rates.per_second))
        self._recent: deque[float] = deque()
        self._guard = threading.Lock()

    def throttled(self) -> int:
        """The period that is used up, in seconds, or 0 if the request may pass."""
        now = time.monotonic()
        with self._guard:
            while self._recent and now - self._recent[0] >= 60:
                self._recent.popleft()
            for period, most in self._windows:
                if sum(now - at < period for at in self._recent) >= most:
                    return period
            self._recent.append(now)
        return 0


class _Route(NamedTuple):
    """What a path asks for; `kind` and `identifier` name the alert."""

    action: str  # create, acknowledge, close, notes, list, get, request
    identifier: str = ""
    kind: str = "id"
    query: Mapping[str, str] = {}


class Api:
    """One account."""

    def __init__(
        self, file: AlertsFile, keys: Keys, faults: FaultScript | None = None, rates: Rates = Rates(), lag_ms: int = 0
    ) -> None:
        self._file = file
        self._keys = keys
        self._faults = faults or FaultScript()
        self._limits = {domain: _Limiter(rates) for domain in ("alert", "search")}
        self._lag_ms = lag_ms

    def answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> tuple[Answer, Fault | None]:
        """To one request; a fault says how its answer is to be written."""
        headers = {name.lower(): value for name, value in headers.items()}
        began = time.perf_counter()
        identity = str(uuid.uuid4())
        line = Line(None, method, target.partition("?")[0][:600], request=identity)
        answer, fault, line = self._checked(method, target, headers, raw, line)
        cut = fault is not None and fault.kind in {"lose_request", "lose_reply"}
        if answer.status != 202 or (fault is not None and fault.kind == "accept_invisible"):
            self._file.log(line._replace(status=None if cut else answer.status, errors=_why(answer)))
        took = round(time.perf_counter() - began, 3)
        state = {"X-RateLimit-State": "OK"} | dict(answer.headers)
        stamps = {"X-Request-ID": identity, "X-Response-Time": str(took)}
        return Answer(answer.status, dict(answer.body) | {"took": took, "requestId": identity}, state | stamps), fault

    def _checked(
        self, method: str, target: str, headers: Mapping[str, str], raw: bytes, line: Line
    ) -> tuple[Answer, Fault | None, Line]:
        key = self._authenticated(headers.get("authorization") or "")
        if isinstance(key, Answer):
            return key, None, line
        line = line._replace(integration=key.integration)
        route = _route(method, target)
        domain = "search" if isinstance(route, _Route) and route.action == "list" else "alert"
        period = self._limits[domain].throttled()
        if period:
            return _too_many(period), None, line
        if isinstance(route, Answer):
            return route, None, line
        line = line._replace(action=route.action)
        if not (key.write if method == "POST" else key.read or route.action == "request"):
            return said(403, rules.NOT_ALLOWED, code=rules.NOT_ALLOWED_CODE), None, line
        if method == "POST":
            return self._post(key, route, headers, raw, line)
        return self._get(route, line)

    def _authenticated(self, header: str) -> Key | Answer:
        scheme, _, secret = header.partition(" ")
        if scheme != "GenieKey" or not secret:
            return said(401, rules.UNKNOWN_KEY)
        if not rules.is_key(secret):
            return said(422, rules.NO_KEY_FORMAT)
        return self._keys.find(secret) or said(401, rules.UNKNOWN_KEY)

    def _post(
        self, key: Key, route: _Route, headers: Mapping[str, str], raw: bytes, line: Line
    ) -> tuple[Answer, Fault | None, Line]:
        body = _body(headers.get("content-type") or "", raw)
        if isinstance(body, Answer):
            return body, None, line
        if route.action == "create":
            errors = rules.create_errors(body)
        else:
            errors = rules.action_errors(body, note_required=route.action == "notes")
        alias = str(body.get("alias") or "")[:600] if route.action == "create" else self._alias(route)
        line = line._replace(alias=alias)
        if errors:
            return said(422, rules.UNPROCESSABLE, errors=errors), None, line
        fault = self._faults.next(Asked("POST", line.path, route.action, alias, line.integration))
        line = line._replace(fault=fault.kind if fault else "")
        if fault is not None and fault.kind == "status":
            return _broken(fault), fault, line
        if fault is not None and fault.kind == "lose_request":
            return Answer(503, {}), fault, line  # never written: the connection is cut
        if fault is None or fault.kind != "accept_invisible":
            later = round(fault.seconds * 1000) if fault is not None and fault.kind == "accept_later" else self._lag_ms
            status = None if fault is not None and fault.kind == "lose_reply" else 202
            request = Request(route.action, route.kind, route.identifier, body)
            self._file.accept(key.integration, request, line._replace(status=status), later)
        return Answer(202, {"result": rules.ACCEPTED}), fault, line

    def _alias(self, route: _Route) -> str:
        if route.kind == "alias":
            return route.identifier
        found = self._file.alert(route.kind, route.identifier)
        return str(found["alias"]) if found else ""

    def _get(self, route: _Route, line: Line) -> tuple[Answer, Fault | None, Line]:
        alias = self._alias(route) if route.action == "get" else ""
        fault = self._faults.next(Asked("GET", line.path, route.action, alias, line.integration))
        line = line._replace(alias=alias, fault=fault.kind if fault else "")
        if fault is not None and fault.kind == "status":
            return _broken(fault), fault, line
        match route.action:
            case "request":
                found = self._file.request(route.identifier)
                missing = said(404, rules.NOT_PROCESSED)._replace(
                    headers={"X-Opsgenie-Errortype": "RequestNotProcessed"}
                )
                return Answer(200, {"data": found}) if found else missing, fault, line
            case "get":
                alert = self._file.alert(route.kind, route.identifier)
                return Answer(200, {"data": alert}) if alert else said(404, rules.NOT_THERE), fault, line
        return self._list(route.query, line.path), fault, line

    def _list(self, query: Mapping[str, str], path: str) -> Answer:
        try:
            terms = rules.read_query(query.get("query", ""))
        except rules.BadQuery as wrong:
            return said(422, rules.UNPROCESSABLE, errors={"query": str(wrong)})
        page = _page(query)
        if isinstance(page, Answer):
            return page
        offset, limit, sort, order = page
        rows = [(row, searched(row)) for row in self._file.alerts()]
        rows = [(row, alert) for row, alert in rows if all(rules.holds(term, alert) for term in terms)]
        rows.sort(key=lambda pair: (str(pair[1][sort]).rjust(20), pair[0]["tiny"]), reverse=order == "desc")
        shown_rows = [shown(row, full=False) for row, _ in rows[offset : offset + limit]]
        return Answer(200, {"data": shown_rows, "paging": _paging(path, query, page, len(rows))})


def _route(method: str, target: str) -> _Route | Answer:
    """What a request asks for, or why there is no such thing."""
    path, _, text = target.partition("?")
    jsm = path.startswith(JSM_PREFIX + "/")
    parts = tuple(unquote(part) for part in path.removeprefix(JSM_PREFIX if jsm else "").split("/")[1:])
    query = {name: values[-1] for name, values in parse_qs(text).items()}
    found: dict[str, _Route] = {}
    match parts:
        case ("v2", "alerts"):
            found = {"POST": _Route("create"), "GET": _Route("list", query=query)}
        case ("v2", "alerts", "requests", identifier) if identifier:
            found = {"GET": _Route("request", identifier)}
        case ("v2", "alerts", identifier) if identifier and not jsm:
            found = {"GET": _Route("get", identifier, query.get("identifierType", "id"))}
        case ("v2", "alerts", identifier, verb) if identifier and verb in _VERBS:
            found = {"POST": _Route(verb, identifier, query.get("identifierType", "id"))}
    if jsm and found.get("GET", _Route("request")).action != "request":
        del found["GET"]
    if not found:
        return said(404, f"No handler found for {method} {path[:200]}")
    if method not in found:
        return said(405, f"Request method '{method}' not supported")
    route = found[method]
    if route.kind not in rules.IDENTIFIER_TYPES:
        wanted = f"should be one of [ {', '.join(rules.IDENTIFIER_TYPES)} ]"
        return said(422, rules.UNPROCESSABLE, errors={"identifierType": wanted})
    return route


def _body(content_type: str, raw: bytes) -> dict[str, Any] | Answer:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return said(415, f"Content type '{content_type[:80]}' not supported")
    try:
        body = decoded(raw)
    except ValueError:
        return said(400, rules.NO_JSON)
    return body if isinstance(body, dict) else said(400, rules.NO_JSON)


def decoded(raw: bytes) -> Any:
    """A JSON document; ValueError where it is none, is nested without end, or has half a character in it."""
    try:
        made = json.loads(raw, parse_constant=_refuse)
        if b"\\ud" in raw.lower():
            json.dumps(made, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    except RecursionError as wrong:
        raise ValueError("nested too deeply") from wrong
    return made


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _too_many(period: int) -> Answer:
    headers = {"X-RateLimit-State": "THROTTLED", "X-RateLimit-Reason": "ACCOUNT"}
    return said(429, rules.TOO_MANY)._replace(headers=headers | {"X-RateLimit-Period-In-Sec": str(period)})


def _broken(fault: Fault) -> Answer:
    if fault.status == 429:
        state = {"X-RateLimit-State": "THROTTLED", "X-RateLimit-Reason": "ACCOUNT"}
        return said(429, rules.TOO_MANY)._replace(headers=state)
    return said(fault.status, "an error by the script of faults")


def _why(answer: Answer) -> Any:
    return answer.body.get("errors") or answer.body.get("message")


def _page(query: Mapping[str, str]) -> tuple[int, int, str, str] | Answer:
    """Offset, limit, sort and order."""
    errors: dict[str, str] = {}
    numbers = {"offset": 0, "limit": rules.PAGE_DEFAULT}
    for name in numbers:
        text = query.get(name, str(numbers[name]))
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            errors[name] = "should be a whole number"
        else:
            numbers[name] = int(text)
    if not errors and not 1 <= numbers["limit"] <= rules.PAGE_MOST:
        errors["limit"] = f"should be from 1 to {rules.PAGE_MOST}"
    if not errors and numbers["offset"] + numbers["limit"] > rules.DEEPEST:
        errors["offset"] = f"offset and limit should not exceed {rules.DEEPEST} together"
    sort, order = query.get("sort", "createdAt"), query.get("order", "desc")
    if sort not in _SORTS:
        errors["sort"] = f"should be one of [ {', '.join(_SORTS)} ]"
    if order not in {"asc", "desc"}:
        errors["order"] = "should be one of [ asc, desc ]"
    if errors:
        return said(422, rules.UNPROCESSABLE, errors=errors)
    return numbers["offset"], numbers["limit"], sort, order


def _paging(path: str, query: Mapping[str, str], page: tuple[int, int, str, str], total: int) -> dict[str, str]:
    """Links to other pages, as paths: `next` only where there is one."""
    offset, limit, sort, order = page

    def link(at: int) -> str:
        return f"{path}?{urlencode({**query, 'offset': at, 'limit': limit, 'sort': sort, 'order': order})}"

    links = {"first": link(0), "last": link(max(0, (total - 1) // limit * limit))}
    return {"next": link(offset + limit)} | links if offset + limit < total else links
