"""Faults by script, for the local PagerDuty and the local Opsgenie: which request is treated badly, and how.

A script is a JSON list of rules; the first rule that acts on a request wins, and a request without one is served well:

    [{"match": {"path": "/v2/alerts*", "method": "POST", "action": "create", "alias": "opsctl/*", "nth": 2},
      "do": "status", "status": 429, "retry_after": 7}]

`match` may be left out, and so may each of its members; all that are there must hold:

| member                         | holds for                                                                           |
|--------------------------------|-------------------------------------------------------------------------------------|
| `path`, `alias` or `dedup_key` | a glob (`*`, `?`, `[…]`); case matters; the last two are one thing                  |
| `method`, `action`             | the method; what is asked for (trigger, create, acknowledge, close, list, …)        |
| `integration`                  | the name of the integration that an event is for                                    |
| `nth`, `from`, `to`            | the n-th, or the first to the last, of the requests that the members above hold for |
| `probability`, `seed`          | a share of what is left, drawn from a generator of the rule's own: repeatable       |
| `times`                        | at most as many times in all                                                        |

`do` is one of:

| `do`               | what happens                                                                                    |
|--------------------|-------------------------------------------------------------------------------------------------|
| `lose_request`     | nothing is carried out, and the connection is cut after `seconds` (0)                           |
| `lose_reply`       | it is carried out, and the connection is cut after `seconds` (0)                                |
| `slow`             | it is carried out at once and answered after `seconds` (1)                                      |
| `drip`             | it is carried out, and the answer comes a byte every `seconds` (0.2)                            |
| `status`           | nothing is carried out; `status` (500) is answered, with `retry_after` as a header if there     |
| `accept_invisible` | it is answered as if it were accepted, and nothing is ever carried out                          |
| `accept_later`     | it is accepted, and carried out after `seconds` (5)                                             |

Pure but for `reply`, which writes an answer the way that a fault wants it. Must never act on our own paths (`/_…`).
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

_DEFAULT_SECONDS: Mapping[str, float] = {
    "lose_request": 0.0,
    "lose_reply": 0.0,
    "slow": 1.0,
    "drip": 0.2,
    "status": 0.0,
    "accept_invisible": 0.0,
    "accept_later": 5.0,
}
KINDS = tuple(_DEFAULT_SECONDS)
LONGEST_SECONDS = 3600.0
NOT_CARRIED_OUT = frozenset({"lose_request", "status", "accept_invisible"})
"""The kinds after which the service's state is as it was; `accept_later` changes it later."""

_TEXTS = ("path", "method", "action", "integration", "alias", "dedup_key")
_COUNTS = ("nth", "from", "to", "times", "seed")


class BadScript(ValueError):
    """A script that is none; its message is one line that names the place."""


class Asked(NamedTuple):
    """A request as rules see it; `key` is its alias or dedup key, "" where it has none."""

    method: str
    path: str  # without a query
    action: str = ""
    key: str = ""
    integration: str = ""  # by name; the local PagerDuty's


class Fault(NamedTuple):
    """What is done to a request; `seconds` as the table above says."""

    kind: str
    seconds: float = 0.0
    status: int = 500
    retry_after: str | None = None

    @property
    def carried_out(self) -> bool:
        """Whether the service does what the request asks for, at once."""
        return self.kind not in NOT_CARRIED_OUT and self.kind != "accept_later"


class FaultScript:
    """The rules and their counts; threads take turns. A new script begins to count from 0."""

    def __init__(self, rules: object = ()) -> None:
        self._guard = threading.Lock()
        self._rules: list[_Rule] = []
        self.load(rules)

    def load(self, rules: object) -> None:
        """Take the place of the rules before; raises `BadScript` and changes nothing where one of them is wrong."""
        if not isinstance(rules, (list, tuple)):
            raise BadScript("the script: expected a list of rules")
        made = [_Rule(number, rule) for number, rule in enumerate(rules)]
        with self._guard:
            self._rules = made

    def next(self, asked: Asked) -> Fault | None:
        """What is done to this request, None if nothing is; to be asked once for each request."""
        if asked.path.startswith("/_"):
            return None
        with self._guard:
            return next((rule.fault for rule in self._rules if rule.acts_on(asked)), None)

    def shown(self) -> list[dict[str, Any]]:
        """The rules as they were written, with `seen` and `acted`: how many requests each held for and acted on."""
        with self._guard:
            return [dict(rule.written) | {"seen": rule.seen, "acted": rule.acted} for rule in self._rules]


class _Rule:
    """One rule and how often it was asked."""

    def __init__(self, number: int, written: object) -> None:
        where = f"rule {number}"
        if not isinstance(written, Mapping):
            raise BadScript(f"{where}: expected an object with match and do")
        self.written = {name: value for name, value in written.items() if name not in {"seen", "acted"}}
        _only(where, self.written, ("match", "do", "seconds", "status", "retry_after"))
        self.match = _match(f"{where}: match", self.written.get("match", {}))
        self.fault = _fault(where, self.written)
        self.seen = 0
        self.acted = 0
        self._chance = random.Random(self.match.get("seed", 0))

    def acts_on(self, asked: Asked) -> bool:
        """Whether the rule acts on this request; counts it."""
        if not self._holds(asked):
            return False
        self.seen += 1
        first, last = self.match.get("from", 1), self.match.get("to", self.seen)
        if self.seen != self.match.get("nth", self.seen) or not first <= self.seen <= last:
            return False
        if self._chance.random() >= self.match.get("probability", 1.0):
            return False
        if self.acted >= self.match.get("times", self.acted + 1):
            return False
        self.acted += 1
        return True

    def _holds(self, asked: Asked) -> bool:
        match = self.match
        key = match.get("alias", match.get("dedup_key"))
        return (
            match.get("method", asked.method).upper() == asked.method
            and match.get("action", asked.action) == asked.action
            and match.get("integration", asked.integration) == asked.integration
            and fnmatchcase(asked.path, match.get("path", "*"))
            and (key is None or fnmatchcase(asked.key, key))
        )


def _match(where: str, match: object) -> dict[str, Any]:
    if not isinstance(match, Mapping):
        raise BadScript(f"{where}: expected an object")
    _only(where, match, (*_TEXTS, *_COUNTS, "probability"))
    for name in _TEXTS:
        if not isinstance(match.get(name, ""), str):
            raise BadScript(f"{where}.{name}: expected a text")
    for name in _COUNTS:
        value = match.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < (0 if name == "seed" else 1):
            raise BadScript(f"{where}.{name}: expected a whole number from {0 if name == 'seed' else 1}")
    _number(f"{where}.probability", match.get("probability", 1.0), 1.0)
    if "alias" in match and "dedup_key" in match:
        raise BadScript(f"{where}: alias and dedup_key are one thing, give one of them")
    return dict(match)


def _fault(where: str, rule: Mapping[str, Any]) -> Fault:
    kind = rule.get("do")
    if not isinstance(kind, str) or kind not in _DEFAULT_SECONDS:
        raise BadScript(f"{where}: do: expected one of {', '.join(KINDS)}")
    if kind != "status" and ("status" in rule or "retry_after" in rule):
        raise BadScript(f"{where}: status and retry_after go with do = status only")
    seconds = _number(f"{where}: seconds", rule.get("seconds", _DEFAULT_SECONDS[kind]), LONGEST_SECONDS)
    status = rule.get("status", 500)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise BadScript(f"{where}: status: expected an HTTP status from 200 to 599")
    after = rule.get("retry_after")
    text = str(after) if isinstance(after, (int, float, str)) and not isinstance(after, bool) else ""
    if after is not None and not (text and text.isascii() and text.isprintable()):
        raise BadScript(f"{where}: retry_after: expected a number, or a text that a header can carry")
    return Fault(kind, seconds, status, text or None)


def _only(where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise BadScript(f"{where}: unknown member {str(name)[:64]!r}; known: {', '.join(known)}")


def _number(where: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise BadScript(f"{where}: expected a number from 0 to {most:g}")
    return float(value)


def reply(
    handler: BaseHTTPRequestHandler, fault: Fault | None, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Write an answer the way that the fault wants it; the caller did, or did not do, what was asked.

    For `status` the caller passes the fault's status and a body of its own; `Retry-After` is added here.
    """
    kind = fault.kind if fault else ""
    if fault and kind != "drip" and kind != "accept_later":
        time.sleep(fault.seconds)
    if kind in {"lose_request", "lose_reply"}:
        cut(handler)
        return
    more = dict(headers)
    if fault and kind == "status" and fault.retry_after is not None:
        more["Retry-After"] = fault.retry_after
    handler.send_response(status)
    for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | more).items():
        handler.send_header(name, value)
    handler.end_headers()
    if fault and kind == "drip":
        handler.wfile.flush()
        for place in range(len(body)):
            time.sleep(fault.seconds)
            handler.wfile.write(body[place : place + 1])
            handler.wfile.flush()
        return
    handler.wfile.write(body)


def cut(handler: BaseHTTPRequestHandler) -> None:
    """End the connection without an answer: the other side sees a reset."""
    handler.close_connection = True
    with suppress(OSError):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
