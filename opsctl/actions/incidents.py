"""Acknowledging, resolving and noting: what each would do, and doing it. First the journal, then whoever was told.

Must never say that something was done which is not written down, or that it got through where it did not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Union

from opsctl.actions.action import Acknowledge, Acting, Done, Planned, Resolve, Risk, WriteNote
from opsctl.actions.sending import Sending, Sent
from opsctl.core.frozen import dataclass
from opsctl.core.routing import split_target
from opsctl.core.windows import format_duration
from opsctl.errors import ActionError, UsageError
from opsctl.ports import Incident, Journal

IncidentAction = Union[Acknowledge, Resolve, WriteNote]

_LATER = "the next `opsctl check --notify` sends what is left"


@dataclass(frozen=True, slots=True)
class Incidents:
    """What can be done about an incident, by `who`."""

    acting: Acting
    sending: Sending
    who: str

    # -- what it would do

    def plan(self, action: IncidentAction) -> Planned:
        """What it would do; UsageError where it cannot be done, ActionError where the journal is not to be trusted."""
        found = self.incident(action.episode)
        if isinstance(action, WriteNote):
            words = note_words(action.text, self.who)
            self.takes_note(found)
            return self._planned(found, "Note on", ("note", words), Risk.LOW, (words, self._note_goes(found)))
        if isinstance(action, Acknowledge):
            return self._planned(found, "Acknowledge", ("ack",), Risk.LOW, (self._ack_reaches(found),))
        return self._planned(found, "Resolve", ("resolve",), Risk.MEDIUM, self._resolve_reaches(found))

    def _planned(
        self, found: Incident, verb: str, words: tuple[str, ...], risk: Risk, reach: tuple[str, ...]
    ) -> Planned:
        command = ("incident", words[0], f"#{found.episode}", *self._as_argument(words[1:]))
        if found.resolved is not None:
            reach = (f"resolved already ({_time(found.resolved)}): nothing would change",)
        lines = (self._state(found), *((found.summary,) if found.summary else ()), *reach)
        return Planned(f"{verb} #{found.episode} {found.rule_name}", lines, command, risk)

    @staticmethod
    def _as_argument(words: tuple[str, ...]) -> tuple[str, ...]:
        """A text that begins with a dash is no flag."""
        return ("--", *words) if any(word.startswith("-") for word in words) else words

    def _state(self, found: Incident) -> str:
        long = format_duration(timedelta(seconds=int((self.acting.clock.now() - found.opened).total_seconds())))
        of = f" of {found.service}" if found.service else ""
        return f"{found.severity}{of}, team {found.team or 'unknown'}; {found.state}, open for {long}"

    def _ack_reaches(self, found: Incident) -> str:
        if found.acknowledged is not None:
            return f"acknowledged already ({_time(found.acknowledged)}): nothing would change"
        if not found.route:
            return "nobody was told of it: it is noted here only"
        return f"{_place(found)} stops notifying; the alert goes on"

    def _resolve_reaches(self, found: Incident) -> tuple[str, ...]:
        paging = self.acting.context.paging
        first = f"closes it at {_place(found)}" if found.route else "nobody was told of it: it is closed here only"
        again = f"another incident opens, after {format_duration(paging.reopen_after)} at the earliest"
        match found.state:
            case "firing":
                return first, f"its alert fires: while it does, {again}"
            case "held":
                return first, "its alert is under its line and the incident is held open: it would close by itself"
            case _:
                return first, f"if its alert fires, {again}"

    def _note_goes(self, found: Incident) -> str:
        if not found.route:
            return f"nobody was told of it: it is noted here only, by {self.who}"
        return f"goes into the journal and to {_place(found)}, by {self.who}"

    # -- doing it

    def apply(self, action: IncidentAction) -> Done:
        """Write it down and send it; ActionError where it could not be written down."""
        journal, found = self.journal(), self.incident(action.episode)
        if isinstance(action, WriteNote):
            return self._note(journal, found, action.text)
        if found.resolved is not None:
            return Done((f"{_name(found)} is resolved already",))
        return self._close(journal, found, action)

    def _close(self, journal: Journal, found: Incident, action: Acknowledge | Resolve) -> Done:
        verb, past = ("acknowledge", "acknowledged") if isinstance(action, Acknowledge) else ("resolve", "resolved")
        write = journal.acknowledge if isinstance(action, Acknowledge) else journal.resolve
        now = self.acting.clock.now()
        changed = write(found.episode, self.who, now, now + self.acting.context.paging.not_after)
        if journal.problem:  # the write found out: what was read before is not where it was written
            raise ActionError(f"#{found.episode} is not {past}: {journal.problem}")
        said = (f"{past} {_name(found)}" if changed else f"{_name(found)} is {past} already",)
        if not found.route:
            beside = f"#{found.episode} is a {found.severity}: nobody was told of it, so this is noted here only"
            return Done(said, changed=changed, beside=(beside,))
        sent = self.sending.send(journal, found.episode, verb, now)
        if sent.state == "delivered":
            return Done(said, changed=changed, warnings=sent.warnings)
        problem = f"{verb} of #{found.episode} is written down but did not reach {_place(found)}"
        return Done(() if changed else said, problem, changed, warnings=sent.warnings, hint=_LATER)

    def _note(self, journal: Journal, found: Incident, text: str) -> Done:
        words = note_words(text, self.who)
        self.takes_note(found)
        now = self.acting.clock.now()
        done = journal.note(found.episode, self.who, words, now, now + self.acting.context.paging.not_after)
        if journal.problem:
            raise ActionError(f"#{found.episode} has no note: {journal.problem}")
        if not done:
            raise ActionError(f"#{found.episode} has no note: it was closed meanwhile")
        said = (f"noted on {_name(found)}",)
        if not found.route:
            beside = f"nobody was told of #{found.episode}, so this is noted here only"
            return Done(said, changed=True, beside=(beside,))
        sent = self.sending.send(journal, found.episode, "note", now)
        if sent.state == "delivered":
            return Done(said, changed=True, warnings=sent.warnings)
        return _note_lost(found, sent)

    # -- what both ask

    def journal(self) -> Journal:
        """The journal, if its incidents can be believed; ActionError otherwise."""
        return trusted(self.acting.journal())

    def incident(self, episode: int) -> Incident:
        """The incident of that number, open or not."""
        journal = self.journal()
        for everything in (False, True):
            for one in journal.incidents(include_resolved=everything):
                if one.episode == episode:
                    return one
        raise UsageError(f"no such incident: #{episode}", hint="`opsctl incident ls --all` lists them")

    def takes_note(self, found: Incident) -> None:
        """Refuse what takes none: a resolved incident; PagerDuty takes notes by REST only."""
        if found.resolved is not None:
            raise UsageError(f"{_name(found)} is resolved: a note goes on an open incident")
        context = self.acting.context
        by_pagerduty = bool(found.route) and split_target(found.route)[0] == "pagerduty"
        if by_pagerduty and (context.pagerduty is None or context.pagerduty.rest is None):
            setting = f"contexts.{context.name}.pagerduty.rest"
            raise UsageError(
                f"a note on #{found.episode} goes by PagerDuty's REST API, and {setting} is not set",
                hint='rest = { token_file = "…", from = "you@example.com" }',
            )


def trusted(journal: Journal) -> Journal:
    """The journal, if its incidents can be believed; ActionError otherwise."""
    if journal.problem:
        raise ActionError(f"{journal.problem}: its incidents are not known")
    return journal


def note_words(text: str, who: str, *, cut: bool = False) -> str:
    """What is said, if it is something and fits; `cut`: there is more of it."""
    from opsctl.core.events import NOTE_CHARACTERS

    words = text.encode("utf-8", "replace").decode().strip()
    if words in ("", "-"):  # a dash alone is stdin's name: no command could write it
        raise UsageError("the note is empty", hint="write TEXT, or - and the text on stdin")
    room = NOTE_CHARACTERS - len(f"{who}: ")
    if len(words) > room:
        more = " or more" if cut else ""
        raise UsageError(f"the note has {len(words):,}{more} characters: at most {room:,} fit")
    return words


def _note_lost(found: Incident, sent: Sent) -> Done:
    note = f"the note on #{found.episode} is written down and"
    if sent.state == "refused":
        return Done((), f"{note} {_place(found)} refused it: {sent.error}", True, warnings=sent.warnings)
    problem = f"{note} has not reached {_place(found)}: {sent.error}"
    return Done((), problem, True, warnings=sent.warnings, hint=_LATER)


def _name(found: Incident) -> str:
    return f"#{found.episode} {found.rule_name}"


def _place(found: Incident) -> str:
    return found.route.rstrip("/")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
