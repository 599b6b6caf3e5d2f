"""Reads back what PagerDuty made of our events: open incidents, those that were asked for, maintenance windows.

Must never conclude from what was not asked or not answered, and never take another tool's incident for ours: ours are
those whose alerts have a key that begins with `opsctl/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import cast

from opsctl.adapters.sinks.pagerduty_rest import (
    Budget,
    Resource,
    Rest,
    Unanswered,
    items_of,
    of_id,
    text_of,
    time_of,
)
from opsctl.adapters.sinks.pagerduty_services import Services, find_or_none
from opsctl.core.events import DETAIL_LINES
from opsctl.core.keys import PREFIX
from opsctl.core.routing import GROUP
from opsctl.core.seen import Seen, SeenIncident, SeenOrigin, SeenStatus

MOST_REQUESTS = 200
MOST_ALERT_LISTS = 50
_OPEN = ("triggered", "acknowledged")
_SERVICES_SHARE = 0.4  # of the time: what is not found by then is done without
_PEOPLE = frozenset({"user", "user_reference"})


class PagerDutyReader:
    """One account's incidents."""

    def __init__(self, rest: Rest, services: Services, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.name = "pagerduty"
        self._rest = rest
        self._services = services
        self._now = now

    def look(self, keys: Sequence[str], known: Mapping[str, str], timeout_seconds: float = 5.0) -> Seen:
        """The newest incident of each dedup key, the first keys first; `known` are keys by id from earlier looks."""
        work = _Look(self._rest, self._services, known, Budget(timeout_seconds, MOST_REQUESTS), self._now())
        try:
            work.run(keys, timeout_seconds)
        except Unanswered as wrong:
            work.failed(wrong)
        except Exception as wrong:  # noqa: BLE001 - a page must outlive any fault of a look
            work.whole = False
            work.failed(Unanswered(f"the look ended early: {type(wrong).__name__}"))
        return work.seen()

    def close(self) -> None:
        """Drop connections."""
        self._rest.close()


class _Look:
    """One look while it is going on."""

    def __init__(self, rest: Rest, services: Services, known: Mapping[str, str], budget: Budget, at: datetime) -> None:
        self.rest = rest
        self.services = services
        self.known = known
        self.budget = budget
        self.at = at
        self.found: dict[str, SeenIncident] = {}
        self.absent: set[str] = set()
        self.others: set[str] = set()
        self.unknown: dict[str, Resource] = {}  # open incidents whose keys are still to be asked, newest first
        self.maintenance: Mapping[str, str] = MappingProxyType({})
        self.whole = False
        self.problems: list[str] = []

    def run(self, keys: Sequence[str], seconds: float) -> None:
        """The open ones first, then each key that is not among them, then whose the others are."""
        self._places(seconds)
        self._open_ones()
        for key in keys:
            if key not in self.found:
                self._newest(key)
        for incident in tuple(self.unknown.values())[:MOST_ALERT_LISTS]:
            self._alerts(incident)

    def failed(self, wrong: Unanswered) -> None:
        """Note what could not be read; once each."""
        if str(wrong) not in self.problems:
            self.problems.append(str(wrong))

    def seen(self) -> Seen:
        """Everything that is known so far."""
        return Seen(
            at=self.at,
            incidents=MappingProxyType(dict(self.found)),
            absent=frozenset(self.absent),
            complete=self.whole and not self.unknown,
            maintenance=self.maintenance,
            problem="; ".join(self.problems) or None,
            others=frozenset(self.others),
        )

    def _go_on(self, wrong: Unanswered) -> None:
        """Only this question failed: the others may be answered."""
        self.failed(wrong)
        if wrong.final:
            raise wrong

    def _places(self, seconds: float) -> None:
        share = Budget(seconds * _SERVICES_SHARE, MOST_REQUESTS // 2)
        wrong = find_or_none(self.services, share)
        if wrong is not None:
            # What ran out is this share only; what else is final would meet the next question too.
            if share.seconds > 0:
                self._go_on(wrong)
            return
        try:
            self.maintenance = self.services.maintenance(self.budget)
        except Unanswered as failed:
            self._go_on(failed)

    def _open_ones(self) -> None:
        params: dict[str, object] = {"statuses[]": list(_OPEN), "date_range": "all", "sort_by": "created_at:desc"}
        if self.services.all_found:
            params["service_ids[]"] = sorted({place.id for place in self.services.places.values()})
        listing = self.rest.listed("/incidents", "incidents", self.budget, params)
        self.whole = listing.whole
        for incident in listing.items:
            self._open_one(incident)
        if listing.failed is not None:
            self._go_on(listing.failed)

    def _open_one(self, incident: Resource) -> None:
        id_ = text_of(incident, "id")
        own = text_of(incident, "incident_key")  # only where a service makes no alerts
        if own:
            self._take(incident, own)
        elif id_ in self.known and not _several(incident):
            self._take(incident, self.known[id_])
        elif id_:
            self.unknown[id_] = incident
        else:
            self.whole = False

    def _newest(self, key: str) -> None:
        try:
            incident = newest(self.rest, key, self.budget)
            if incident is None:
                self.absent.add(key)
            elif _is_open(incident) and (_several(incident) or text_of(incident, "id") not in self.known):
                # Who takes it over must know which key of the sink reaches it.
                self._alerts(incident)
            else:
                self._take(incident, key)
                self.unknown.pop(text_of(incident, "id"), None)
        except Unanswered as wrong:
            self._go_on(wrong)

    def _alerts(self, incident: Resource) -> None:
        """The keys of an incident are those of its alerts; one that is closed is closed, though others keep it open."""
        id_ = text_of(incident, "id")
        listing = self.rest.listed(of_id("/incidents/{}/alerts", id_), "alerts", self.budget, {})
        for alert in listing.items:
            self._take(incident, text_of(alert, "alert_key"), alert)
        if listing.failed is not None:
            self._go_on(listing.failed)
        elif listing.whole:
            self.unknown.pop(id_, None)

    def _origin(self, alert: Resource | None) -> SeenOrigin | None:
        """What its event said of where it comes from."""
        body = alert.get("body") if alert is not None else None
        details = body.get("details") if isinstance(body, Mapping) else None
        namespace, uids = text_of(details, "namespace"), _uids(details)
        if alert is None or not namespace or not uids:
            return None
        to = self.services.key_of(text_of(alert, "integration", "id")) or text_of(details, "team")
        return SeenOrigin(namespace, uids, text_of(details, "rule"), to)

    def _take(self, incident: Resource, key: str, alert: Resource | None = None) -> None:
        if not key.startswith(PREFIX):
            self.others.add(text_of(incident, "id"))
            return
        one = _seen(incident, key, alert, self._origin(alert))
        if one is None:
            self.whole = False
            return
        was = self.found.get(key)
        if was is None or (one.open, one.created) > (was.open, was.created):
            self.found[key] = one
            self.absent.discard(key)  # a search may lag behind the list


def _uids(details: object) -> tuple[str, ...]:
    """The rules behind an alert, as its event said; none where that may not be all of them."""
    found = details.get("alerts") if isinstance(details, Mapping) else None
    if isinstance(found, list):
        whole = len(found) < DETAIL_LINES and all(isinstance(one, str) for one in found)
        return tuple(found) if whole else ()
    uid = text_of(details, "rule_uid")
    return () if not uid or uid.startswith(GROUP) else (uid,)


def newest(rest: Rest, key: str, budget: Budget) -> Resource | None:
    """The newest incident with an alert of this key, None if there is none; `Unanswered` where that is not known."""
    params = {"incident_key": key, "date_range": "all", "sort_by": "created_at:desc", "limit": 1}
    page = rest.get("/incidents", budget, params)
    if not isinstance(page.get("incidents"), list):
        raise Unanswered("/incidents: the answer has no incidents")
    return next(iter(items_of(page, "incidents")), None)


def _is_open(incident: Resource) -> bool:
    return text_of(incident, "status") in _OPEN


def _several(incident: Resource) -> bool:
    """Whether it has alerts of more than one key, or may have."""
    counts = incident.get("alert_counts")
    number = counts.get("all") if isinstance(counts, Mapping) else None
    return not isinstance(number, int) or number > 1


def _seen(incident: Resource, key: str, alert: Resource | None, origin: SeenOrigin | None) -> SeenIncident | None:
    """One incident as one of its keys sees it; None where it makes no sense."""
    status, id_ = text_of(incident, "status"), text_of(incident, "id")
    created = time_of(incident, "created_at")
    if status not in (*_OPEN, "resolved") or not id_ or created is None:
        return None
    changed = time_of(incident, "last_status_change_at") or time_of(incident, "resolved_at") or created
    who, by_person = _who(incident, status)
    if alert is not None and text_of(alert, "status") == "resolved" and status != "resolved":
        status, who, by_person = "resolved", "", False
        changed = time_of(alert, "resolved_at") or changed
    url = text_of(incident, "html_url")
    return SeenIncident(key, id_, cast("SeenStatus", status), created, changed, who, by_person, url, origin)


def _who(incident: Resource, status: str) -> tuple[str, bool]:
    """The person behind the status, if it is one."""
    by: object = incident.get("last_status_change_by")
    if status == "acknowledged":
        acknowledgements = items_of(incident, "acknowledgements")
        if acknowledgements:
            by = acknowledgements[-1].get("acknowledger")
    person = text_of(by, "type") in _PEOPLE
    name = " ".join((text_of(by, "summary") or text_of(by, "name")).split())
    return (name or "a person", True) if person else ("", False)
