"""Reads back what Opsgenie made of our events, so that delivery is verified and not believed.

One search finds every open alert of ours, one the newest closed ones; what neither shows is asked for by its alias, and
then by an id that an earlier look remembered: searches lag behind, and an alias names only an open alert. Must never
say "there is none" on anything but Opsgenie's own 404 for each API key.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from opsctl.adapters.sinks.answers import line, said
from opsctl.adapters.sinks.opsgenie import ALERTS, NAME, SOURCE, Account, alias_of
from opsctl.adapters.sinks.posting import Server
from opsctl.core.keys import PREFIX
from opsctl.core.seen import Seen, SeenIncident
from opsctl.core.signals import Reason
from opsctl.errors import OpsctlError
from opsctl.http import HttpProblem

_PAGE = 100  # the most that Opsgenie gives at once
_DEEPEST = 20_000  # "Sum of offset and limit should be lower than 20000"
_OPEN = f"status: open AND source: {SOURCE}"
_CLOSED = f"status: closed AND source: {SOURCE}"
_MACHINES = frozenset({"", SOURCE, "Alert API", "System", "Alert Policy"})
_WEB = {"api.opsgenie.com": "https://app.opsgenie.com", "api.eu.opsgenie.com": "https://app.eu.opsgenie.com"}
_LEAST_SECONDS = 0.05
_MISSING: Mapping[str, Any] = MappingProxyType({})


class _Stopped(Exception):
    """No more is asked with this API key in this look; the message is one line."""


class OpsgenieReader:
    """The alerts of one account, read with each of its API keys: a team's key may show that team's alerts only."""

    def __init__(self, account: Account, now: Callable[[], datetime]) -> None:
        self.name = NAME
        self._account = account
        self._now = now
        self._web = _WEB.get(urlsplit(account.url).netloc, "")

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        """The newest alert of each dedup key, the first keys first; `known` are keys by id from earlier looks."""
        look = _Look(self._web, time.monotonic() + timeout_seconds)
        servers = self._account.servers
        at = self._now()
        whole = all([look.search(server, _OPEN, "createdAt", _DEEPEST, keys) for server in servers])
        wanted = [key for key in dict.fromkeys(keys) if key not in look.incidents]
        if wanted:
            for server in servers:
                look.search(server, _CLOSED, "updatedAt", _PAGE, keys)
        ids: dict[str, list[str]] = {}
        for identity, key in known.items():
            ids.setdefault(key, []).append(identity)
        look.searching = False
        for key in wanted:
            look.ask(servers, key, ids.get(key, ()))
        return Seen(
            at,
            MappingProxyType(look.incidents),
            frozenset(look.absent),
            complete=whole and bool(servers),
            problem="; ".join(dict.fromkeys(look.problems)) or None,
        )

    def close(self) -> None:
        """Drop connections."""
        self._account.close()


class _Look:
    """One look: what was found so far, and which API keys are not asked any more."""

    def __init__(self, web: str, until: float) -> None:
        self.incidents: dict[str, SeenIncident] = {}
        self.absent: set[str] = set()
        self.problems: list[str] = []
        self.searching = True
        self._web = web
        self._until = until
        self._stopped: set[int] = set()

    def search(self, server: Server, query: str, sort: str, most: int, keys: Sequence[str]) -> bool:
        """Add what a search finds, of at most `most`; false if it did not read all of it."""
        known = {alias_of(key): key for key in keys}
        for offset in range(0, most, _PAGE):
            body = self._get(
                server,
                ALERTS,
                {"query": query, "limit": str(_PAGE), "offset": str(offset), "sort": sort, "order": "desc"},
            )
            if body is None or not self._add(server, body.get("data"), known):
                return False
            rows = body["data"]
            if len(rows) < _PAGE:
                return True
        return False

    def _add(self, server: Server, rows: Any, known: Mapping[str, str]) -> bool:
        if not isinstance(rows, list):
            self._stop(server, "an answer without alerts in it")
            return False
        for row in rows:
            try:
                incident = _incident(row, known, self._web)
            except (ValueError, KeyError, TypeError, OverflowError) as wrong:
                self._stop(server, f"an alert that cannot be read ({type(wrong).__name__})")
                return False
            before = self.incidents.get(incident.key)
            if before is None or (incident.open, incident.created) > (before.open, before.created):
                self.incidents[incident.key] = incident
        return True

    def ask(self, servers: Sequence[Server], key: str, ids: Sequence[str]) -> None:
        """Ask for one key by its alias, then by ids that it had; or note that there is none."""
        by_alias = [self._one(server, key, "alias", alias_of(key)) for server in servers]
        found = self.incidents.get(key)
        if found is not None:
            if not found.open and None in by_alias:
                del self.incidents[key]  # a newer one may be open: not known
            return
        by_id = [self._one(server, key, "id", one) for server in servers for one in ids]
        nowhere = servers and all(there is False for there in (*by_alias, *by_id))
        if nowhere and key not in self.incidents:
            self.absent.add(key)

    def _one(self, server: Server, key: str, kind: str, identifier: str) -> bool | None:
        """Whether there is one; None if that could not be learnt."""
        path = f"{ALERTS}/{quote(identifier, safe=':')}"
        body = self._get(server, path, {"identifierType": kind}, may_be_missing=True)
        if body is _MISSING:
            return False
        found = body is not None and self._add(server, [body.get("data")], {alias_of(key): key})
        return True if found else None

    def _get(
        self, server: Server, path: str, params: Mapping[str, str], *, may_be_missing: bool = False
    ) -> Mapping[str, Any] | None:
        """The answer's JSON; None where there is none, `_MISSING` for Opsgenie's own 404 where there may be one."""
        left = self._until - time.monotonic()
        if id(server) in self._stopped:
            return None
        if left < _LEAST_SECONDS:
            self._stop(server, "not everything was read in time" if self.searching else "")
            return None
        try:
            answer = server.get(f"{path}?{urlencode(params)}", left)
        except OpsctlError as wrong:
            late = isinstance(wrong, HttpProblem) and wrong.reason is Reason.DEADLINE and not self.searching
            self._stop(server, "" if late else str(wrong))
            return None
        body = _object(answer.body)
        if answer.status == 200 and body is not None:
            return body
        if answer.status == 404 and may_be_missing and body is not None and "requestId" in body:
            return _MISSING  # anything else that says 404 is not Opsgenie: a proxy, a wrong path
        self._stop(server, f"answered {answer.status}: {said(answer)}")
        return None

    def _stop(self, server: Server, why: str) -> None:
        """Ask no more with this key; that the time is over for single keys is no problem, and "" here."""
        self._stopped.add(id(server))
        self.problems += [line(why)] if why else []


def _object(raw: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _incident(row: Any, known: Mapping[str, str], web: str) -> SeenIncident:
    """An alert as it is seen; `known` are dedup keys by alias."""
    alias, identity = str(row["alias"]), str(row["id"])
    given = row.get("report")
    report: Mapping[str, Any] = given if isinstance(given, dict) else {}
    created = datetime.fromisoformat(row["createdAt"])
    if created.tzinfo is None:
        raise ValueError("a time without a zone")
    if row["status"] == "closed":
        status, after, who = "resolved", report.get("closeTime"), report.get("closedBy")
    elif row["status"] != "open":
        raise ValueError(f"status {str(row['status'])[:40]!r}")
    elif row.get("acknowledged"):
        status, after, who = "acknowledged", report.get("ackTime"), report.get("acknowledgedBy") or row.get("owner")
    else:
        status, after, who = "triggered", 0, ""
    changed = created + timedelta(milliseconds=after) if isinstance(after, (int, float)) else None
    who = str(who or "")
    return SeenIncident(
        known.get(alias) or _key_of(alias),
        identity,
        status,  # type: ignore[arg-type]
        created,
        changed or datetime.fromisoformat(row["updatedAt"]),
        who,
        by_person=who not in _MACHINES,
        url=f"{web}/alert/detail/{quote(identity)}/details" if web else "",
    )


def _key_of(alias: str) -> str:
    """The dedup key of an alias of ours."""
    prefix = alias_of(PREFIX)
    return PREFIX + alias.removeprefix(prefix) if alias.startswith(prefix) else alias
