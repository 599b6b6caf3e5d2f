"""The REST API v2: who may ask, how often, and what belongs to which path.

Strict where PagerDuty's documentation is: the exact form of `Authorization`, the `Accept` header with its version, a
`From` header of a known user on every change that the documentation has one for. Must never act on a refused request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from opsctl.demo.servers.incidents_file import IncidentsFile
from opsctl.demo.servers.pagerduty_account import Token, User
from opsctl.demo.servers.pagerduty_answers import Answer, Refusal, Request, decoded, error, invalid, not_found
from opsctl.demo.servers.pagerduty_clock import MinuteLimit
from opsctl.demo.servers.pagerduty_incidents import Incidents
from opsctl.demo.servers.pagerduty_maintenance import Maintenance
from opsctl.demo.servers.pagerduty_on_calls import Configured
from opsctl.demo.servers.pagerduty_references import Directory

REQUESTS_PER_MINUTE = 960
ACCEPT = "application/vnd.pagerduty+json;version=2"
_NO_FROM = 'You must specify a user\'s email address in the "From" header to perform this action'
_TOKEN = re.compile(r"Token token=(\S+)")


class Asked(NamedTuple):
    """A request that may be answered: the ids of its path, who asks, and as which user."""

    ids: tuple[str, ...]
    query: dict[str, list[str]]
    body: Any
    token: Token
    user: User | None

    @property
    def id(self) -> str:
        """The first id of the path."""
        return self.ids[0]


Handle = Callable[[Asked], Answer]


class Rest:
    """The API without HTTP."""

    def __init__(self, file: IncidentsFile, directory: Directory) -> None:
        self._account = directory.account
        self._limits = {one.name: MinuteLimit(REQUESTS_PER_MINUTE, file.clock) for one in self._account.tokens}
        self.maintenance = Maintenance(file, directory)
        self.incidents = Incidents(file, directory)
        self.configured = Configured(file, directory, self.maintenance)
        self._paths = [(re.compile(pattern), methods) for pattern, methods in self._table().items()]

    def _table(self) -> dict[str, dict[str, Handle]]:
        incidents, windows, configured = self.incidents, self.maintenance, self.configured
        return {
            "/incidents": {
                "GET": lambda asked: incidents.index(asked.query),
                "PUT": lambda asked: incidents.change_several(asked.body, _user(asked)),
            },
            "/incidents/([^/]+)": {
                "GET": lambda asked: incidents.show(asked.id, asked.query),
                "PUT": lambda asked: incidents.change(asked.id, asked.body, _user(asked)),
            },
            "/incidents/([^/]+)/alerts": {"GET": lambda asked: incidents.alerts(asked.id, asked.query)},
            "/incidents/([^/]+)/notes": {
                "GET": lambda asked: incidents.notes(asked.id),
                "POST": lambda asked: incidents.add_note(asked.id, asked.body, _user(asked)),
            },
            "/incidents/([^/]+)/log_entries": {"GET": lambda asked: incidents.log_entries(asked.id, asked.query)},
            "/maintenance_windows": {
                "GET": lambda asked: windows.index(asked.query),
                "POST": lambda asked: windows.create(asked.body, _user(asked)),
            },
            "/maintenance_windows/([^/]+)": {
                "GET": lambda asked: windows.show(asked.id, asked.query),
                "DELETE": lambda asked: windows.delete(asked.id),
            },
            "/services": {"GET": lambda asked: configured.services(asked.query)},
            "/services/([^/]+)": {"GET": lambda asked: configured.service(asked.id, asked.query)},
            "/services/([^/]+)/integrations/([^/]+)": {
                "GET": lambda asked: configured.integration(asked.ids[0], asked.ids[1])
            },
            "/users": {"GET": lambda asked: configured.users(asked.query)},
            "/users/me": {"GET": lambda asked: configured.me(asked.token, asked.query)},
            "/users/([^/]+)": {"GET": lambda asked: configured.user(asked.id, asked.query)},
            "/oncalls": {"GET": lambda asked: configured.on_calls(asked.query)},
            "/schedules": {"GET": lambda asked: configured.schedules(asked.query)},
            "/schedules/([^/]+)": {"GET": lambda asked: configured.schedule(asked.id)},
            "/escalation_policies": {"GET": lambda asked: configured.policies(asked.query)},
            "/escalation_policies/([^/]+)": {"GET": lambda asked: configured.policy(asked.id)},
            "/priorities": {"GET": lambda asked: configured.priorities(asked.query)},
            "/change_events": {"GET": lambda asked: configured.changes(asked.query)},
        }

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            token = self._token(request)
        except Refusal as refused:
            return refused.answer
        passes, left, reset = self._limits[token.name].take()
        headers = {
            "ratelimit-limit": str(REQUESTS_PER_MINUTE),
            "ratelimit-remaining": str(left),
            "ratelimit-reset": str(reset),
        }
        if not passes:
            return error(429, 2020, "Rate Limit Exceeded")._replace(headers=headers)
        try:
            answer = self._allowed(request, token)
        except Refusal as refused:
            answer = refused.answer
        return answer._replace(headers={**answer.headers, **headers})

    def _token(self, request: Request) -> Token:
        form = _TOKEN.fullmatch(request.headers.get("authorization", ""))
        found = self._account.token(form[1]) if form else None
        if found is None:
            raise Refusal(error(401, 2006, "Authentication failed"))
        return found

    def _allowed(self, request: Request, token: Token) -> Answer:
        handle, ids = self._handle(request)
        accept = request.headers.get("accept", "").replace(" ", "")
        if ACCEPT not in accept.split(","):
            raise Refusal(error(400, 2002, "Arguments Caused Error", f"Accept must be {ACCEPT}"))
        if request.method == "GET":
            return handle(Asked(ids, request.query, None, token, None))
        if not token.writes:
            raise Refusal(error(403, 2010, "Access Denied"))
        if request.method == "DELETE":
            return handle(Asked(ids, request.query, None, token, None))
        user = self._from(request)
        return handle(Asked(ids, request.query, _decoded(request), token, user))

    def _handle(self, request: Request) -> tuple[Handle, tuple[str, ...]]:
        for pattern, methods in self._paths:
            if (found := pattern.fullmatch(request.path)) and request.method in methods:
                return methods[request.method], found.groups()
        raise not_found()

    def _from(self, request: Request) -> User:
        """The user of a change: the documentation wants a `From` header, also with the token of a user."""
        email = request.headers.get("from", "").strip()
        if not email:
            raise Refusal(error(400, 2016, _NO_FROM))
        found = next((one for one in self._account.users if one.email.casefold() == email.casefold()), None)
        if found is None:
            raise Refusal(error(400, 1008, "Requester User Not Found"))
        return found


def _user(asked: Asked) -> User:
    assert asked.user is not None
    return asked.user


def _decoded(request: Request) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if kind != "application/json":
        raise Refusal(error(400, 2002, "Arguments Caused Error", "Content-Type must be application/json"))
    try:
        return decoded(request.body)
    except ValueError as wrong:
        raise invalid("The request is not JSON") from wrong
