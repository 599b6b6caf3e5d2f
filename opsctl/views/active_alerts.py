"""Every alert that is pending or firing, as just judged, beside what the journal knows of who is told.

Pure. Must never join an alert of now with a journal's row of another time, or call one over that nobody judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from opsctl.core.alert_rows import AlertRow, alert_rows, to_words
from opsctl.core.alerts import Alert, AlertState
from opsctl.core.commands import JournalAlert
from opsctl.core.frozen import dataclass
from opsctl.core.keys import key_of
from opsctl.core.routing import Routing, labels_of
from opsctl.core.rules import Verdict
from opsctl.core.slo import Severity
from opsctl.ports import Incident

_RANK = {"firing": 0, "held": 1, "pending": 2}
_LOUD = tuple(Severity)


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """One alert. `row` is the journal's word on who is told (of its group, where it is in one); `aside` says where the
    alert is from, if it is not of the cycle that was asked for.
    """

    key: str
    alert: Alert
    state: str  # firing, pending, held: under the line, its incident kept open
    labels: Mapping[str, str]
    verdict: Verdict | None = None
    row: AlertRow | None = None
    incident: Incident | None = None
    aside: str = ""

    @property
    def judged(self) -> bool:
        """Whether the cycle itself listed it."""
        return not self.aside

    @property
    def to(self) -> str:
        """Where it is told of, in words; "" where that is not known."""
        if self.row is not None:
            return to_words(self.row.to)
        return self.incident.route.rstrip("/") if self.incident is not None else ""

    @property
    def number(self) -> str:
        """Its incident's."""
        return f"#{self.incident.episode}" if self.incident is not None else ""

    @property
    def withheld(self) -> str:
        """Why nobody is told."""
        return self.row.why_withheld if self.row is not None else ""


def active_alerts(
    verdicts: Sequence[Verdict],
    stale: Iterable[Alert],
    rows: Iterable[AlertRow],
    incidents: Iterable[Incident],
    namespace: str,
    at: datetime,
    *,
    live: bool,
    routing: Routing | None = None,
) -> list[ActiveAlert]:
    """Firing ones first, pages first, then the oldest; `routing` says where those go that the journal has not.

    At another time than now (`live` false) the journal's rows, which are of now, are left out.
    """
    known = {row.key: row for row in rows} if live else {}
    of_group = {key: row for row in known.values() for _, key in row.alert.members}
    episodes = _episodes(incidents, at, live=live)
    found: dict[str, ActiveAlert] = {}
    for verdict, alert in _judged(verdicts, stale):
        key = key_of(namespace, alert)
        before = found.get(key)
        if before is not None and (before.state == "firing" or alert.state is not AlertState.FIRING):
            continue
        row = known.get(key) or of_group.get(key) or (_would_go(key, alert, routing, at) if live else None)
        incident = episodes.get(row.key if row is not None else key) or episodes.get(key)
        labels = labels_of(alert, namespace)
        found[key] = ActiveAlert(key, alert, alert.state.value, labels, verdict, row, incident)
    judged = {verdict.rule.uid: verdict for verdict in verdicts}
    for row in known.values():
        if row.key not in found and not any(key in found for _, key in row.alert.members):
            found[row.key] = _of_journal(row, judged, episodes)
    return sorted(found.values(), key=_order)


def _order(one: ActiveAlert) -> tuple[int, int, datetime, str, str]:
    return _RANK.get(one.state, 3), _LOUD.index(one.alert.severity), one.alert.since, one.alert.rule_name, one.key


def _judged(verdicts: Iterable[Verdict], stale: Iterable[Alert]) -> Iterable[tuple[Verdict | None, Alert]]:
    for verdict in verdicts:
        for alert in verdict.alerts:
            if alert.state is not AlertState.INACTIVE:
                yield verdict, alert
    for alert in stale:
        if alert.state is not AlertState.INACTIVE:
            yield None, alert


def _episodes(incidents: Iterable[Incident], at: datetime, *, live: bool) -> dict[str, Incident]:
    """By key the incident that is open, or was at that time."""
    found: dict[str, Incident] = {}
    for one in incidents:
        is_open = one.resolved is None if live else one.opened <= at and (one.resolved is None or one.resolved > at)
        if is_open:
            found.setdefault(one.key, one)
    return found


def _would_go(key: str, alert: Alert, routing: Routing | None, at: datetime) -> AlertRow | None:
    return None if routing is None else alert_rows({key: JournalAlert(key, alert, "")}, routing, at)[0]


def _of_journal(row: AlertRow, judged: Mapping[str, Verdict], episodes: Mapping[str, Incident]) -> ActiveAlert:
    verdict = judged.get(row.alert.rule_uid)
    if row.state == "held":
        aside = "under its line again; its incident is held open for a while"
    elif verdict is None:
        aside = "of another run: no rule with this uid was judged here"
    elif verdict.fresh:
        aside = "of the last run with --notify; judged just now it is over"
    else:
        aside = "of the last run with --notify; just now nobody could judge it"
    return ActiveAlert(row.key, row.alert, row.state, row.labels, verdict, row, episodes.get(row.key), aside)


def counted(found: Iterable[ActiveAlert]) -> dict[str, int]:
    """How many are in each state."""
    out = {"firing": 0, "pending": 0, "held": 0}
    for one in found:
        out[one.state] = out.get(one.state, 0) + 1
    return out
