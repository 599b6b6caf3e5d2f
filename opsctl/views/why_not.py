"""Why nobody was paged, for any minute of the past: was it breached, was it told, did somebody see it, what stopped it.

Facts come from the journal alone. Must never say more than it knows: a minute without a run is "not judged".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from opsctl.core.frozen import dataclass
from opsctl.core.rules import Outcome
from opsctl.ports import Attempt, Incident, Moment, VerdictSpan
from opsctl.ports.history import History, PastRun
from opsctl.views.words import ago

Answer = Literal["yes", "no", "unknown", "not judged"]
BLIND_AFTER = timedelta(minutes=5)
"""A minute that is further from the last run than this was not judged."""
_BREACHED = {Outcome.FAIL.value, Outcome.WARN.value}
_HEALTHY = {Outcome.PASS.value, Outcome.NO_EVENTS.value, Outcome.LOW_CONFIDENCE.value}


@dataclass(frozen=True, slots=True)
class About:
    """A rule, as far as the configuration knows it."""

    uid: str
    name: str
    service: str = ""
    severity: str = ""


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Four answers for one rule at a time; `stopped` says what stood between the breach and a person."""

    rule: About
    at: datetime
    breached: Answer
    breach: str
    paged: Answer
    page: str
    seen: Answer
    sight: str
    stopped: str = ""
    incident: str = ""
    digest: str = ""  # of the evidence of the verdict

    @property
    def well(self) -> bool:
        """Whether nothing is to be explained: healthy, or told and seen."""
        return self.breached == "no" or (self.paged == "yes" and not self.stopped)


def why_not(history: History, rule: About, at: datetime) -> WhyNot:
    """The answers for one rule."""
    run = history.run_before(at, notify=False)
    span = history.verdicts_at(at).get(rule.uid)
    past = [one for one in history.incidents_at(at) if one.rule_uid == rule.uid]
    open_ = next((one for one in reversed(past) if one.resolved is None or one.resolved > at), None)
    breached, breach = _breached(history, run, span, at)
    if open_ is not None:
        return _with_incident(history, rule, at, (breached, breach), span, open_)
    if run is None and breached == "not judged":
        unknown = "this journal does not reach back so far"
        return WhyNot(rule, at, breached, breach, "unknown", unknown, "unknown", unknown, "not known")
    stopped = "" if breached == "no" else _without_incident(history, run, span, past, at)
    return WhyNot(
        rule, at, breached, breach, "no", "no incident was open", "no", "there was nothing to see", stopped,
        digest=_digest(span, at),
    )  # fmt: skip


def _breached(history: History, run: PastRun | None, span: VerdictSpan | None, at: datetime) -> tuple[Answer, str]:
    if run is None or span is None or at - run.started > BLIND_AFTER:
        return "not judged", _silence_of_runs(history, run, span, at)
    if run.at - span.last_at > BLIND_AFTER:
        return (
            "not judged",
            f"last judged at {_time(span.last_at)}, {span.outcome}: later runs were not about this rule",
        )
    words = f"{span.outcome.replace('_', ' ')} since {_time(span.first_at)}"
    shown = f"{words}; at {_time(span.last_at)}: {span.headline}"
    if span.outcome in _BREACHED:
        return "yes", shown
    return ("no" if span.outcome in _HEALTHY and span.fresh else "unknown"), shown


def _silence_of_runs(history: History, run: PastRun | None, span: VerdictSpan | None, at: datetime) -> str:
    """Why a minute was not judged at all."""
    if run is None:
        begins = history.begins()
        text = "the journal is empty" if begins is None else f"this journal begins at {_time(begins)}"
        aside = history.set_aside()
        return text + (f"; an earlier one was corrupt and moved to {aside[-1]}" if aside else "")
    if at - run.started > BLIND_AFTER:
        later = history.run_after(at)
        until = f" to {_time(later.started)}" if later else ""
        return f"opsctl did not run from {_time(run.started)}{until}"
    return "no run before judged this rule: it was not loaded, or the runs were about other services"


def _without_incident(
    history: History, run: PastRun | None, span: VerdictSpan | None, past: Sequence[Incident], at: datetime
) -> str:
    if run is None or span is None or at - run.started > BLIND_AFTER:
        return "nothing judged it, so nothing was decided"
    notified = history.run_before(at, notify=True)
    if notified is None or at - notified.started > BLIND_AFTER:
        return "the runs were without --notify: they judge and tell nobody"
    if span.outcome not in _BREACHED:
        outcome = span.outcome.replace("_", " ")
        return f"the verdict was {outcome}: no data pages only after `stale_after`, or the rule's `for`"
    closed = past[-1] if past else None
    if closed is not None and closed.resolved is not None and closed.resolved > span.first_at:
        words = f"#{closed.episode} was closed at {_time(closed.resolved)} ({closed.reason})"
        return f"{words}: a new one waits for `reopen_after`"
    return "pending: it has to hold for as long as its rule says before it fires"


def _with_incident(
    history: History,
    rule: About,
    at: datetime,
    breach: tuple[Answer, str],
    span: VerdictSpan | None,
    incident: Incident,
) -> WhyNot:
    moments = [one for one in history.timeline(incident.episode) if one.at <= at]
    attempts = [one for one in history.attempts(incident.episode) if one.action == "trigger"]
    told = next((one for one in attempts if one.outcome == "accepted" and (one.ended or one.started) <= at), None)
    if told is not None:
        when = told.ended or told.started
        paged: tuple[Answer, str] = ("yes", f"{told.sink.rstrip('/')} took it at {_time(when)}, "
                                     f"{_length(when - incident.opened)} after the decision")  # fmt: skip
        stopped = ""
    else:
        paged, stopped = (
            ("no", f"decided at {_time(incident.opened)}"),
            _not_told(history, incident, moments, attempts, at),
        )
    seen = _seen(incident, moments, at, told=told is not None)
    if told is not None and seen[0] == "no" and "not visible" in seen[1]:
        stopped = seen[1]
    return WhyNot(
        rule, at, *breach, *paged, *seen, stopped,
        incident=f"#{incident.episode}", digest=_digest(span, at),
    )  # fmt: skip


def _not_told(
    history: History, incident: Incident, moments: Sequence[Moment], attempts: Sequence[Attempt], at: datetime
) -> str:
    held = next((one for one in reversed(moments) if one.kind in ("withheld", "released")), None)
    if held is not None and held.kind == "withheld":
        return f"{held.text} (since {_time(held.at)})"
    made = [one for one in attempts if one.started <= at]
    if made:
        last = made[-1]
        words = last.message or "its outcome is not known: the process ended, or the answer was lost"
        later = next((one for one in attempts if one.outcome == "accepted" and one.started > at), None)
        after = f"; taken at {_time(later.ended or later.started)}" if later else ""
        count = f"{len(made)} attempt{'s' if len(made) > 1 else ''} by then"
        return f"{count}, the last to {last.sink.rstrip('/')} at {_time(last.started)}: {words}{after}"
    if any(one.kind == "trigger queued" for one in moments):
        run = history.run_before(at, notify=True)
        died = run is not None and run.ended is None
        return "decided and written down, not sent yet" + ("; the run did not live to send it" if died else "")
    return f"nobody is told: {incident.severity}, and no route takes it"


def _seen(incident: Incident, moments: Sequence[Moment], at: datetime, *, told: bool) -> tuple[Answer, str]:
    taken = next((one for one in moments if one.kind == "acknowledged"), None)
    if taken is not None:
        return "yes", f"acknowledged at {_time(taken.at)} by {taken.who or 'somebody'}"
    if incident.visible is not None and incident.visible <= at:
        return "unknown", f"open before their eyes since {_time(incident.visible)}, acknowledged by nobody"
    lost = next((one for one in reversed(moments) if one.kind == "unseen"), None)
    if lost is not None:
        return "no", f"accepted and not visible there at {_time(lost.at)}"
    if told:
        return "unknown", "accepted; whether somebody looked is not known here"
    return "no", "nobody was told"


def _digest(span: VerdictSpan | None, at: datetime) -> str:
    """Of the evidence that the verdict was made from, where the journal has that very one."""
    return span.digest if span is not None and span.last_at <= at else ""


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def _length(passed: timedelta) -> str:
    seconds = max(passed / timedelta(seconds=1), 0)
    return f"{seconds:.1f} s" if seconds < 60 else ago(passed)
