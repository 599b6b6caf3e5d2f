"""Reads back which of our alerts an Alertmanager has, so that delivery is verified and not believed.

An alert that is over is not in its answer: what the whole list does not name is not open. An alert that a silence or
an inhibition of Alertmanager's own suppresses is still open. Must never say "there is none" unless the whole list was
read, and never raise for what the far side does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

from opsctl.adapters.sinks.alertmanager import ALERTS, KEY_LABEL, NAME, FarSide
from opsctl.adapters.sinks.answers import line
from opsctl.adapters.sinks.posting import Server
from opsctl.core.events import clip
from opsctl.core.routing import GROUP
from opsctl.core.seen import Seen, SeenIncident, SeenOrigin
from opsctl.errors import OpsctlError
from opsctl.http import MIB, status_problem

ANSWER_BYTES = 64 * MIB
_FLAGS = (("active", "true"), ("silenced", "true"), ("inhibited", "true"), ("unprocessed", "true"))
_VALUE_CHARACTERS = 1024


class AlertmanagerReader:
    """One request a look: every open alert of our namespace."""

    def __init__(self, server: Server, namespace: str, far: FarSide) -> None:
        self.name = NAME
        self._server = server
        self._namespace = clip(namespace, _VALUE_CHARACTERS)
        self._far = far

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        """Every open alert of ours by its key; `known` is not needed, the labels hold the key."""
        at = self._far.now()
        try:
            rows = self._rows(timeout_seconds)
        except OpsctlError as wrong:
            return Seen(at, problem=line(f"cannot be read: {wrong}"))
        except (ValueError, TypeError, RecursionError):
            return Seen(at, problem="cannot be read: the answer is not Alertmanager's JSON")
        except Exception as wrong:  # noqa: BLE001 - a look must never stop a page
            return Seen(at, problem=line(f"cannot be read: {type(wrong).__name__}"))
        return self._seen(at, rows, keys)

    def close(self) -> None:
        """Drop connections."""
        self._server.close()

    def _rows(self, timeout_seconds: float) -> list[Any]:
        filters = (("filter", f'{KEY_LABEL}=~".+"'), ("filter", f"namespace={_quoted(self._namespace)}"))
        answer = self._server.get(f"{ALERTS}?{urlencode((*_FLAGS, *filters))}", timeout_seconds)
        self._far.heard(answer.headers)
        problem = status_problem(answer)
        if problem is not None:
            raise problem
        rows = json.loads(answer.body)
        if not isinstance(rows, list):
            raise ValueError
        return rows

    def _seen(self, at: datetime, rows: Sequence[Any], keys: Sequence[str]) -> Seen:
        found: dict[str, SeenIncident] = {}
        sets: dict[str, list[Mapping[str, str]]] = {}
        unreadable = 0
        for row in rows:
            try:
                labels, one = self._incident(row)
            except (ValueError, TypeError, KeyError, AttributeError):
                unreadable += 1
                continue
            if labels.get("namespace", "") != self._namespace or not one.key:
                continue
            sets.setdefault(one.key, []).append(labels)
            if one.key not in found or one.created > found[one.key].created:
                found[one.key] = one
        self._far.showed(sets)
        if unreadable:
            problem = f"{unreadable} of {len(rows)} alerts cannot be read"
            return Seen(at, MappingProxyType(found), problem=problem)
        absent = frozenset(key for key in keys if key not in found)
        return Seen(at, MappingProxyType(found), absent, complete=True)

    def _incident(self, row: Any) -> tuple[Mapping[str, str], SeenIncident]:
        labels = {str(name): str(value) for name, value in row["labels"].items()}
        # The fingerprint is of the labels, which the next incident of the key has too: the number tells them apart.
        annotations = row.get("annotations", {})
        number = str(annotations.get("incident", ""))
        key = labels.get(KEY_LABEL, "")
        return labels, SeenIncident(
            key=key,
            id=clip(f"{row['fingerprint']}{number}", 80),
            status="triggered",
            created=_time(row["startsAt"]),
            changed=_time(row["updatedAt"]),
            url=f"{self._server.address}/#/alerts?filter={quote(f'{{{KEY_LABEL}={_quoted(key)}}}', safe='')}",
            origin=_origin(labels, str(annotations.get("alerts", ""))),
        )


def _origin(labels: Mapping[str, str], members: str) -> SeenOrigin | None:
    """The rule behind an alert, or those of a group's members."""
    uid = labels.get("rule_uid", "")
    uids = tuple(members.split("\n")) if uid.startswith(GROUP) else (uid,)
    if not all(uids):
        return None
    return SeenOrigin(labels.get("namespace", ""), uids, labels.get("alertname", ""), labels.get("team", ""))


def _quoted(text: str) -> str:
    """A matcher's value, as Alertmanager's own client writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
