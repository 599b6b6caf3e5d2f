"""The local PagerDuty without HTTP: a request in, a reply out; both of its APIs, faults by script, and our own side.

Ours, for tests and the demo, are `/` and everything that begins with `/_`: incidents, log, requests, changes, faults,
person and clock. Must never answer 202 before the event is on disk, unless a fault says so.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from opsctl.demo.servers.events_v2 import (
    BODY_BYTES,
    EVENTS_PER_MINUTE,
    accepted,
    accepted_change,
    errors_of,
    errors_of_change,
    refusal,
)
from opsctl.demo.servers.faults_script import Asked, BadScript, Fault, FaultScript
from opsctl.demo.servers.incidents_file import IncidentsFile
from opsctl.demo.servers.pagerduty_account import Account, read_account
from opsctl.demo.servers.pagerduty_answers import Answer, Refusal, Request, decoded, plain, throttled
from opsctl.demo.servers.pagerduty_clock import MinuteLimit
from opsctl.demo.servers.pagerduty_queries import time_of
from opsctl.demo.servers.pagerduty_references import Directory
from opsctl.demo.servers.pagerduty_rest import Rest

ENQUEUE, ENQUEUE_CHANGE = "/v2/enqueue", "/v2/change/enqueue"
_REQUESTS_KEPT = 20_000
_ADDRESS = "https://pagerduty.invalid"


class Reply(NamedTuple):
    """An answer, and the fault that says how it is sent, if one is."""

    answer: Answer
    fault: Fault | None = None

    @property
    def lost(self) -> bool:
        """Whether the connection ends without it."""
        return self.fault is not None and self.fault.kind in {"lose_request", "lose_reply"}


class Service:
    """Everything it is, without HTTP; `keys` are routing keys by integration, or a whole account."""

    def __init__(
        self,
        file: IncidentsFile,
        keys: Mapping[str, str] | Account,
        faults: FaultScript | None = None,
        address: str = _ADDRESS,
    ) -> None:
        self.file = file
        self.account = keys if isinstance(keys, Account) else read_account(keys)
        self.faults = faults or FaultScript()
        self.requests: deque[dict[str, Any]] = deque(maxlen=_REQUESTS_KEPT)
        self._directory = Directory(self.account, address)
        self.rest = Rest(file, self._directory)
        self._limits = {name: MinuteLimit(EVENTS_PER_MINUTE, file.clock) for name in self.account.keys}
        self._guard = threading.Lock()

    def serve_at(self, address: str) -> None:
        """Where its resources say that they are."""
        self._directory.base = address

    def reply(self, request: Request) -> Reply:
        """Answer one request the way that the script wants it."""
        if request.path == "/" or request.path.startswith("/_"):
            return Reply(self.ours(request))
        event = _event(request.body) if request.path.startswith("/v2/") else None
        fault = self.faults.next(_asked(request, event, self._integration(event) or ""))
        answer = self._done(request, event, fault)
        with self._guard:
            self.requests.append(
                {
                    "method": request.method,
                    "path": request.path,
                    "query": request.target.partition("?")[2],
                    "status": answer.status if not (fault and fault.kind.startswith("lose_")) else 0,
                    "fault": fault.kind if fault else None,
                }
            )
        return Reply(answer, fault)

    def _done(self, request: Request, event: Any, fault: Fault | None) -> Answer:
        if fault is not None and fault.kind in {"status", "lose_request"}:
            status = fault.status if fault.kind == "status" else 0
            if request.path.startswith("/v2/"):
                self.file.refused(status, self._integration(event) or "", event, [], f"fault {fault.kind}")
            return Answer(status, plain(status, request.path))
        if request.path in {ENQUEUE, ENQUEUE_CHANGE}:
            if request.method != "POST":
                body = {"status": "method not allowed", "message": "POST only"}
                return Answer(405, body, {"Allow": "POST"})
            take = self.enqueue if request.path == ENQUEUE else self.enqueue_change
            return take(request.body, fault)
        if request.path.startswith("/v2/"):
            return Answer(404, {"status": "not found", "message": f"no such path: {request.path}"})
        return self.rest.answer(request)

    # -- events

    def enqueue(self, raw: bytes, fault: Fault | None = None) -> Answer:
        """One event."""
        checked = self._checked(raw, errors_of)
        if isinstance(checked, Answer):
            return checked
        integration, event = checked
        instead = "invisible" if fault and fault.kind == "accept_invisible" else ""
        if not instead and self.rest.maintenance.ongoing(self.account.service(integration)):
            instead = "maintenance"
        later = fault.seconds if fault and fault.kind == "accept_later" else 0.0
        return Answer(202, accepted(self.file.apply(integration, event, instead, later).dedup_key))

    def enqueue_change(self, raw: bytes, fault: Fault | None = None) -> Answer:
        """One change event."""
        checked = self._checked(raw, errors_of_change)
        if isinstance(checked, Answer):
            return checked
        integration, event = checked
        if fault is None or fault.kind not in {"accept_invisible", "accept_later"}:
            self.file.change(integration, event)
        return Answer(202, accepted_change())

    def _checked(self, raw: bytes, rules: Callable[[Any], list[str]]) -> Answer | tuple[str, dict[str, Any]]:
        """The integration and the event, if both are good and the limit is not reached."""
        if len(raw) > BODY_BYTES:
            self.file.refused(413, "", None, ["body too large"])
            return Answer(413, {"status": "payload too large", "message": "Event exceeds the maximum size of 512 KB"})
        event = _event(raw)
        errors, integration = rules(event), self._integration(event)
        if not errors and integration is None:
            errors = ["Invalid routing key"]
        if errors or integration is None:
            self.file.refused(400, integration or "", event, errors)
            return Answer(400, refusal(errors))
        if not self._limits[integration].take()[0]:
            self.file.refused(429, integration, event, [])
            return Answer(429, throttled())
        return integration, event

    def _integration(self, event: Any) -> str | None:
        return self.account.integration(event.get("routing_key")) if isinstance(event, dict) else None

    # -- ours

    def ours(self, request: Request) -> Answer:
        """Our own side; what is wrong is told in one line."""
        table: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("GET", "/"): self._summary,
            ("GET", "/_incidents"): self._incidents,
            ("GET", "/_log"): self._log,
            ("GET", "/_requests"): self._seen,
            ("GET", "/_changes"): lambda _: Answer(200, {"changes": self.file.changes()}),
            ("GET", "/_faults"): lambda _: Answer(200, {"rules": self.faults.shown()}),
            ("PUT", "/_faults"): self._load_faults,
            ("POST", "/_person"): self._person,
            ("GET", "/_clock"): lambda _: Answer(200, {"now": self.file.clock.now().isoformat()}),
            ("POST", "/_clock"): self._move_clock,
        }
        handle = table.get((request.method, request.path))
        if handle is None:
            return Answer(404, {"status": "not found", "message": f"no such path: {request.path}"})
        try:
            return handle(request)
        except (ValueError, KeyError, TypeError) as wrong:
            return Answer(400, {"status": "bad request", "message": f"{request.path}: {wrong}"})

    def _summary(self, request: Request) -> Answer:
        found = self.file.incidents()
        states = ("triggered", "acknowledged", "resolved")
        counts = {state: sum(one["status"] == state for one in found) for state in states}
        return Answer(200, {"service": "local PagerDuty: Events v2 and REST v2", "incidents": counts})

    def _incidents(self, request: Request) -> Answer:
        query = {name: values[-1] for name, values in request.query.items()}
        return Answer(200, {"incidents": self.file.incidents(query.get("dedup_key"), query.get("status"))})

    def _log(self, request: Request) -> Answer:
        return Answer(200, {"log": self.file.log(int(request.query.get("after", ["0"])[-1]))})

    def _seen(self, request: Request) -> Answer:
        """`GET /_requests`: what was asked of either API since the start; a status of 0 is no answer."""
        with self._guard:
            return Answer(200, {"requests": list(self.requests)})

    def _load_faults(self, request: Request) -> Answer:
        """`PUT /_faults`: a list of rules, or an object with the list as `rules`."""
        document = decoded(request.body)
        try:
            self.faults.load(document.get("rules") if isinstance(document, dict) else document)
        except BadScript as wrong:
            return Answer(400, {"status": "bad request", "message": f"/_faults: {wrong}"})
        return Answer(200, {"rules": self.faults.shown()})

    def _person(self, request: Request) -> Answer:
        """`POST /_person` {do: acknowledge|resolve, dedup_key or incident, user}: an act in PagerDuty's own pages."""
        wanted = decoded(request.body)
        status = {"acknowledge": "acknowledged", "resolve": "resolved"}[wanted["do"]]
        user = self.account.user(wanted.get("user") or self.account.users[0].id)
        if user is None:
            raise ValueError(f"no user {wanted['user']!r}")
        member, column = ("incident", "id") if "incident" in wanted else ("dedup_key", "dedup_key")
        rows = self.file.rows(
            f"SELECT * FROM incidents WHERE {column} = ? ORDER BY status = 'resolved', number DESC", (wanted[member],)
        )
        if not rows or rows[0]["status"] == "resolved":
            return Answer(404, {"status": "not found", "message": f"no open incident with {member} {wanted[member]!r}"})
        try:
            self.rest.incidents.by_person(rows[0], status, user)
        except Refusal as refused:
            return refused.answer
        return self.rest.incidents.show(rows[0]["id"], {})

    def _move_clock(self, request: Request) -> Answer:
        """`POST /_clock` {advance: seconds} or {at: ISO 8601}."""
        wanted = decoded(request.body)
        if "at" in wanted:
            self.file.clock.set(time_of(wanted["at"]))
        else:
            self.file.clock.advance(timedelta(seconds=wanted["advance"]))
        return Answer(200, {"now": self.file.clock.now().isoformat()})


def _asked(request: Request, event: Any, integration: str) -> Asked:
    known = event if isinstance(event, dict) else {}
    action = "change" if request.path == ENQUEUE_CHANGE else str(known.get("event_action") or "")
    return Asked(request.method, request.path, action, str(known.get("dedup_key") or ""), integration)


def _event(raw: bytes) -> Any:
    try:
        return decoded(raw)
    except ValueError:
        return None
