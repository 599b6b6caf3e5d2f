"""A local Opsgenie as tests see it: requests with a key, and looks at what it keeps."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

from opsctl.demo.servers.opsgenie import LocalOpsgenie

KEY = "eb243592-faa2-4ba2-a551-1afdf565c889"
TEAM_KEY = "513085b8-caf3-4f91-aa23-be5fdefc3570"


class Reply(NamedTuple):
    """What came back; header names are in lower case."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


class Opsgenie:
    """Asks one."""

    def __init__(self, local: LocalOpsgenie, prefix: str = "") -> None:
        self.local = local
        self.prefix = prefix

    def call(self, method: str, path: str, body: Any = None, key: str | None = KEY, **headers: str) -> Reply:
        """A request; `body` is JSON unless it is bytes."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"Content-Type": "application/json"} | ({"Authorization": f"GenieKey {key}"} if key else {}) | named
        request = urllib.request.Request(self.local.address + path, raw, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return _reply(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as refused:
            return _reply(refused.code, refused.read(), refused.headers)

    def create(self, alias: str, message: str = "broken", **fields: Any) -> Reply:
        """An alert."""
        return self.call("POST", f"{self.prefix}/v2/alerts", {"message": message, "alias": alias} | fields)

    def act(self, alias: str, verb: str, **fields: Any) -> Reply:
        """Acknowledge, close or notes, by alias."""
        path = f"{self.prefix}/v2/alerts/{urllib.parse.quote(alias, safe='')}/{verb}?identifierType=alias"
        return self.call("POST", path, fields)

    def result(self, accepted: Reply) -> dict[str, Any]:
        """How an accepted request went, as soon as it was carried out."""
        assert accepted.status == 202, accepted
        until = time.monotonic() + 5
        while time.monotonic() < until:
            found = self.call("GET", f"{self.prefix}/v2/alerts/requests/{accepted.body['requestId']}")
            if found.status == 200:
                return found.body["data"]  # type: ignore[no-any-return]
            time.sleep(0.01)
        raise AssertionError("the request was not carried out within 5 s")

    def alerts(self, alias: str) -> list[dict[str, Any]]:
        """Everything that it keeps of an alias, oldest first."""
        return self.call("GET", f"/_alerts?{urllib.parse.urlencode({'alias': alias})}").body["alerts"]  # type: ignore[no-any-return]

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """Behave badly from now on."""
        assert self.call("PUT", "/_faults", list(rules)).status == 200

    def person(self, do: str, alias: str, user: str = "ana@example.com") -> Reply:
        """Somebody acts."""
        return self.call("POST", "/_person", {"do": do, "alias": alias, "user": user})

    def log(self) -> list[dict[str, Any]]:
        """Every request of the API."""
        return self.call("GET", "/_log").body["log"]  # type: ignore[no-any-return]


def _reply(status: int, raw: bytes, headers: Any) -> Reply:
    return Reply(status, json.loads(raw or b"{}"), {name.lower(): value for name, value in headers.items()})
