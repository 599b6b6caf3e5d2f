"""Alertmanager's API v2: an incident is an alert that is said again before it ends, the way a Prometheus does it.

Alertmanager knows an alert by its labels, so ours are made of what the dedup key is made of, and `opsctl_key` is that
key: whatever is open under a key is ended by its resolve. It has neither acknowledgements nor notes. Must never send a
label that one of its versions refuses, and never raise for what the far side does.

Which alerts end when: "Clients" and "Alerts API" in Prometheus's documentation of Alertmanager.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from opsctl.adapters.sinks.posting import Server, posted
from opsctl.core.events import SEVERITIES, clip
from opsctl.core.routing import GROUP
from opsctl.http import Answer
from opsctl.ports import Delivery, SinkEvent

NAME = "alertmanager"
ALERTS = "/api/v2/alerts"
FALLBACK = "fallback"
"""The key of what another sink refused."""
KEY_LABEL = "opsctl_key"
LASTS = timedelta(minutes=4)
"""Without a word an alert ends after four times the interval at which it is said again, which is a minute."""
_VALUE_CHARACTERS = 1024
_TEXT_CHARACTERS = 16 * 1024
_WORDS = {theirs: ours.value for ours, theirs in SEVERITIES.items()}
_FARTHEST = timedelta(days=1)
_SURELY_OVER = timedelta(seconds=5)
"""An end that lies ahead when it arrives ends nothing: of two such ends Alertmanager keeps the later one."""
_ADDRESS = re.compile(
    r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?([/?#]([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
"""What Alertmanager surely takes for a link: for another one it refuses the whole alert."""
_NO_ACKNOWLEDGEMENT = "Alertmanager has no acknowledgements, nothing was sent; a silence there keeps it quiet"
_NO_NOTES = "Alertmanager has no notes"
_A_PAGE = "HTTP 200 with an HTML page: is the url right, or is there a login in front?"
_OTHER_TIME = "HTTP 200, and its clock is not ours: said again by its own"
_NOTHING_OPEN = "nothing was sent: nothing is known to be open, and what is not said again ends by itself"


class FarSide:
    """What is known of an Alertmanager: how far its clock is from ours, and what it showed open under each key."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.known = False  # whether an answer told of its clock
        self._now = now
        self._ahead = timedelta(0)
        self._open: dict[str, tuple[dict[str, str], ...]] = {}

    def now(self) -> datetime:
        """Our clock."""
        return self._now()

    def its_now(self) -> datetime:
        """Its clock, as far as it is known."""
        return self._now() + self._ahead

    def earliest(self) -> datetime:
        """Over by both clocks."""
        return self._now() + min(self._ahead, timedelta(0))

    def latest(self) -> datetime:
        """Not over by either clock."""
        return self._now() + max(self._ahead, timedelta(0))

    def heard(self, headers: Mapping[str, str]) -> None:
        """Read its clock off an answer; a clock that is more than a day off is no clock."""
        try:
            ahead = parsedate_to_datetime(headers.get("date", "")) - self._now()
        except (ValueError, TypeError, OverflowError):
            return
        self.known = True
        self._ahead = ahead if abs(ahead) <= _FARTHEST else timedelta(0)

    def showed(self, found: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
        """The label sets of everything open by key, as of a look."""
        self._open = {key: tuple(dict(one) for one in sets) for key, sets in found.items()}

    def open_under(self, key: str) -> tuple[dict[str, str], ...]:
        """The label sets that the last look showed open under a key."""
        return self._open.get(key, ())


class Alertmanager:
    """One Alertmanager; not the load balancer before several, since they do not tell each other of alerts.

    An alert lasts for `lasts` without a word from us; one that another sink refused is said less often, and lasts for
    `refused_lasts`.
    """

    def __init__(
        self,
        server: Server,
        namespace: str,
        far: FarSide,
        lasts: timedelta = LASTS,
        refused_lasts: timedelta | None = None,
    ) -> None:
        self.name = NAME
        self._server = server
        self._namespace = namespace
        self._far = far
        self._lasts = lasts
        self._refused_lasts = refused_lasts or lasts

    def send(self, event: SinkEvent, timeout_seconds: float = 5.0) -> Delivery:
        """Exactly one request; none for what Alertmanager has no word for."""
        said: Mapping[str, Any] = json.loads(event.body)
        match said.get("event_action"):
            case "trigger":
                alerts = [self._trigger(said, self._refused_lasts if event.key == FALLBACK else self._lasts)]
            case "resolve":
                alerts = self._resolve(said)
            case "acknowledge":
                return Delivery("accepted", None, _NO_ACKNOWLEDGEMENT)
            case _:
                return Delivery("permanent", None, _NO_NOTES)
        if not alerts:
            return Delivery("accepted", None, _NOTHING_OPEN)
        return self._post(alerts, timeout_seconds)

    def _post(self, alerts: Sequence[_Alert], timeout_seconds: float) -> Delivery:
        knew = self._far.known
        body = json.dumps([one.body() for one in alerts]).encode()
        delivery, answer = posted(self._server, self._server.address, ALERTS, body, {}, timeout_seconds, (200,))
        if answer is None:
            return delivery
        self._far.heard(answer.headers)
        if _is_page(answer):
            return replace(delivery, outcome="retry", message=_A_PAGE)
        # The first answer tells of its clock: what was said by ours may be over before it began, or not over at all.
        if delivery.outcome == "accepted" and not knew and any(one.is_missed(self._far.its_now()) for one in alerts):
            return replace(delivery, outcome="retry", message=_OTHER_TIME)
        return delivery

    def channel(self, key: str) -> str:
        """No rate limit."""
        return ""

    def close(self) -> None:
        """Drop connections."""
        self._server.close()

    def _trigger(self, event: Mapping[str, Any], lasts: timedelta) -> _Alert:
        starts = min(_since(event) or self._far.now(), self._far.earliest())
        labels, annotations = labels_of(event, self._namespace), annotations_of(event)
        return _Alert(labels, annotations, starts, self._far.latest() + lasts, _link(event), is_on=True)

    def _resolve(self, event: Mapping[str, Any]) -> list[_Alert]:
        """Everything that may be open under the key: what its trigger said, and what the last look showed."""
        sets = [labels_of(event, self._namespace)] if event.get("payload") else []
        sets += [one for one in self._far.open_under(str(event.get("dedup_key"))) if one not in sets]
        ends = self._far.earliest() - _SURELY_OVER
        starts = min(_since(event) or ends, ends)
        return [_Alert(labels, annotations_of(event), starts, ends) for labels in sets]


@dataclass(frozen=True)
class _Alert:
    """One alert of a request."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts: datetime
    ends: datetime
    link: str = ""
    is_on: bool = False

    def body(self) -> dict[str, Any]:
        """As the API takes it."""
        times = {"startsAt": _text(self.starts), "endsAt": _text(self.ends)}
        link = {"generatorURL": self.link} if _ADDRESS.fullmatch(self.link) else {}
        return {"labels": self.labels, "annotations": self.annotations, **times, **link}

    def is_missed(self, its_now: datetime) -> bool:
        """Whether it says the wrong thing at that time."""
        return (self.ends > its_now) is not self.is_on


def labels_of(event: Mapping[str, Any], namespace: str) -> dict[str, str]:
    """What Alertmanager knows the alert by: the same for every event of a key, as long as the rule's file says so."""
    payload = _mapping(event.get("payload"))
    details = _mapping(payload.get("custom_details"))
    identity = {str(name): str(value) for name, value in _mapping(details.get("identity")).items()}
    uid = str(details.get("rule_uid") or "")
    own = {
        "alertname": details.get("rule") or payload.get("class") or "opsctl",
        "severity": _WORDS.get(str(payload.get("severity")), "page"),
        "service": details.get("service") or payload.get("component") or payload.get("source"),
        "team": details.get("team") or payload.get("group"),
        "namespace": namespace,
        "rule_uid": uid,
        KEY_LABEL: event.get("dedup_key"),
    }
    if uid.startswith(GROUP):  # its members come and go, and with them its name, service and team
        own |= {"alertname": "Group of " + ", ".join(value for _, value in sorted(identity.items()))}
        own |= {"service": None, "team": None}
    labels = {name: clip(str(value), _VALUE_CHARACTERS) for name, value in own.items() if value}
    for name, value in sorted(identity.items()):
        _add(labels, label_name(name), clip(value, _VALUE_CHARACTERS))
    return labels


def _add(labels: dict[str, str], name: str, value: str) -> None:
    """A label whose name is taken by another value is `exported_…`, the way Prometheus does it."""
    if not value:
        return  # an empty label is none
    while labels.get(name, value) != value:
        name = f"exported_{name}"
    labels[name] = value


def label_name(name: str) -> str:
    """A name that every version takes: letters, digits and underscores, no digit first."""
    safe = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"_{safe}" if not safe or safe[0].isdigit() else safe


def annotations_of(event: Mapping[str, Any]) -> dict[str, str]:
    """What people read; it may change from one event of a key to the next."""
    payload = _mapping(event.get("payload"))
    details = _mapping(payload.get("custom_details"))
    evidence, members = details.get("evidence"), details.get("alerts")
    runbook = str(details.get("runbook") or "")
    texts = {
        "summary": payload.get("summary"),
        "description": details.get("description"),
        "evidence": "\n".join(map(str, evidence)) if isinstance(evidence, list) else None,
        "runbook_url" if runbook.startswith(("https://", "http://")) else "runbook": runbook,
        "link": _link(event),
        "incident": details.get("incident"),
        "alerts": "\n".join(map(str, members)) if isinstance(members, list) else None,
        "look": details.get("look"),
    }
    return {name: clip(str(text), _TEXT_CHARACTERS) for name, text in texts.items() if text}


def _is_page(answer: Answer) -> bool:
    """Whether a page for people says that all is well, as a login or a proxy does; Alertmanager says nothing."""
    return answer.status == 200 and ("html" in answer.content_type or answer.body.lstrip()[:1] == b"<")


def _link(event: Mapping[str, Any]) -> str:
    """The first link that is not the runbook's."""
    links = event.get("links")
    found = [_mapping(one) for one in links] if isinstance(links, list) else []
    return next((str(one.get("href") or "") for one in found if one.get("text") != "runbook"), "")


def _since(event: Mapping[str, Any]) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(_mapping(event.get("payload")).get("timestamp")))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
