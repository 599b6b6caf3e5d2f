"""What `opsctl doctor` says of routes and silences: what is never reached, forgotten, or about to end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.cli.doctor_checks import Finding, fail, ok, some, warn
from opsctl.errors import ConfigErrors, ExitCode, OpsctlError

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.core.routing import Routing, Silence
    from opsctl.core.rules import Rule
    from opsctl.views.alerts import AlertRow

FORGOTTEN = timedelta(days=30)
SOON = timedelta(hours=1)
_OWN = ("alertname", "rule_uid", "service", "team", "severity")
_OF_OPSCTL = ("BackendStale", "RuleStale")


def routing_findings(composition: Composition, *, journal: bool) -> Iterator[Finding]:
    """Every finding; `journal` says whether there is one to ask what fires."""
    from opsctl.files.routing_notes import route_notes

    context = composition.context
    notes = route_notes(context.routes, composition.catalogue)
    for note in notes:
        yield warn("routes", note)
    if context.routes and not notes:
        yield ok("routes", f"{len(context.routes)}, each takes something")
    if context.silences is not None:
        yield from _silences(composition, journal)


def _silences(composition: Composition, journal: bool) -> Iterator[Finding]:
    from opsctl.files.silences import load_silences

    context = composition.context
    assert context.silences is not None
    try:
        found = load_silences(context.silences, context.namespace, composition.catalogue)
    except ConfigErrors as several:
        yield from (fail("silences", ExitCode.USAGE, str(wrong)) for wrong in several.errors)
        return
    except OpsctlError as wrong:
        todo = "until then no silence holds"
        if not context.silences.exists():
            todo += "; `opsctl alert silence` writes the first one"
        yield fail("silences", ExitCode.USAGE, str(wrong), todo)
        return
    now = composition.clock.now()
    holding = [one for one in found if one.active(now)]
    yield ok("silences", f"{len(found)}, {len(holding) or 'none'} {'hold' if len(holding) > 1 else 'holds'} now")
    yield from _forgotten(found, now)
    yield from _useless(composition, [one for one in found if one.ends > now], journal, now)
    if journal:
        yield from _ending(composition.routing, _firing(composition, now), now)


def _forgotten(found: tuple[Silence, ...], now: datetime) -> Iterator[Finding]:
    old = [one.id for one in found if now - one.ends > FORGOTTEN]
    if old:
        yield warn("silences", f"{len(old)} over for more than 30 days: {some(old)}", "take them out of the file")


def _useless(composition: Composition, live: list[Silence], journal: bool, now: datetime) -> Iterator[Finding]:
    """Silences that no rule and no alert can fulfil."""
    try:
        rules = composition.rules.rules
    except OpsctlError:
        return  # said where the files were read
    rows = _rows(composition, now) if journal else []
    for one in live:
        alive = any(all(matcher.holds(row.labels) for matcher in one.matchers) for row in rows)
        if not alive and not _of_opsctl(one) and not any(_possible(one, rule, now) for rule in rules):
            what = f"{one.id} of {one.owner} fits no rule: {', '.join(map(str, one.matchers))} ({one.origin})"
            yield warn("silences", what, "is a name misspelled? nobody is spared anything")


def _of_opsctl(silence: Silence) -> bool:
    """Whether it may be about an alert of opsctl's own, which no file has."""
    named = [one for one in silence.matchers if one.name in ("alertname", "service", "cause")]
    own = [{"alertname": name, "service": "opsctl", "cause": "stale"} for name in _OF_OPSCTL]
    return bool(named) and any(all(one.holds(labels) for one in named) for labels in own)


def _possible(silence: Silence, rule: Rule, now: datetime) -> bool:
    """Whether an alert of the rule can fulfil what its file says for certain; other labels only its series know."""
    from opsctl.core.routing import labels_of
    from opsctl.views.alerts import alert_of

    labels = labels_of(alert_of(rule, now))
    certain = [one for one in silence.matchers if one.name in _OWN and labels.get(one.name)]
    return all(one.holds(labels) for one in certain)


def _rows(composition: Composition, now: datetime) -> list[AlertRow]:
    from opsctl.views.alerts import alert_rows

    return alert_rows(composition.journal().alerts(), composition.routing, now)


def _firing(composition: Composition, now: datetime) -> list[AlertRow]:
    return [row for row in _rows(composition, now) if row.state == "firing"]


def _ending(routing: Routing, firing: list[AlertRow], now: datetime) -> Iterator[Finding]:
    """Silences that end soon while what they silence fires: somebody is about to be told."""
    from opsctl.core.routing import ends_soon
    from opsctl.views.alerts import matching, to_words
    from opsctl.views.words import ago

    for one in ends_soon(routing.silences, now, SOON):
        rows = matching(firing, one.matchers)
        if rows:
            names = some(sorted({row.alert.rule_name for row in rows}))
            what = f"{one.id} of {one.owner} ends in {ago(one.ends - now)} and {names} still fires"
            where = some(sorted({to_words(row.to) for row in rows}))
            yield warn("silences", what, f"{where} is told then: put it right, or write another silence")
