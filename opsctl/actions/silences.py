"""Making a silence and ending one: whom it stops telling of what, and the change of the context's file.

Must never write a silence that takes everything, or a file that says anything else than before but for the one change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.actions.action import Acting, Done, EndSilence, MakeSilence, Planned, Risk
from opsctl.core.alert_rows import AlertRow, alert_rows, effect, matching
from opsctl.core.frozen import dataclass
from opsctl.core.routing import Silence
from opsctl.core.slo import Severity
from opsctl.core.windows import format_duration
from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.files.silence_file import SilenceFile

_SHOWN = 8  # alerts of a preview: what else is said stays on the screen


def new_silence(
    now: datetime,
    matchers: Sequence[str],
    length: timedelta,
    reason: str,
    owner: str,
    *,
    starts: datetime | None = None,
    hours: str | None = None,
) -> Silence:
    """A silence from what a person types, from `starts` or the minute that is on.

    UsageError in the words of the flags of `opsctl alert silence`. Whether it may be is the desk's to say.
    """
    from opsctl.files.hours import parse_hours
    from opsctl.files.matchers import matchers_of
    from opsctl.files.silences import digest

    begin = _minute(now) if starts is None else starts.replace(microsecond=0)
    reason, owner = (" ".join(text.split()) for text in (reason, owner))
    for flag, text in (("--reason", reason), ("--owner", owner)):
        if not text or not text.isprintable():
            raise UsageError(f"{flag}: expected one line of printable text")
    try:
        spans = parse_hours(hours) if hours else None
        ends = begin + length
    except OverflowError:
        raise UsageError(f"--for {format_duration(length)}: expected at most 90d") from None
    except ValueError as wrong:
        raise UsageError(f"--hours {hours}: {wrong}") from None
    found = matchers_of("-l", matchers)
    return Silence(digest(owner, reason, found, begin), owner, reason, found, begin, ends, spans)


def silence_file(acting: Acting) -> SilenceFile:
    """The file of the context; UsageError where it names none."""
    from opsctl.files.silence_file import SilenceFile

    context = acting.context
    if context.silences is None:
        hint = f'add silences = "silences.yaml" to [contexts.{context.name}]'
        raise UsageError(f"context {context.name} names no file of silences", hint=hint)
    return SilenceFile(context.silences, context.namespace, acting.catalogue)


def known_silence(silences: Sequence[Silence], word: str) -> Silence:
    """The one silence of that id, or that begins so; UsageError otherwise."""
    found = [one for one in silences if one.id == word]
    found = found or [one for one in silences if len(word) >= 4 and one.id.startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{word} names {len(found)} silences: {', '.join(one.id for one in found)}")
    from opsctl.files.text import meant

    raise UsageError(f"no such silence: {word}", hint=meant(word, [one.id for one in silences]))


def reach(acting: Acting, made: Silence) -> tuple[str, ...]:
    """What a silence does to the alerts that there are: a count, the first of them, how many are pages."""
    now = acting.clock.now()
    rows = alert_rows(acting.journal().alerts(), acting.routing, now)
    if problem := acting.journal().problem:
        return (f"what fires is not known: {problem}",)
    found = matching(rows, made.matchers)
    when = "now" if made.active(now) else "when it begins" if now < made.starts else "in its hours"
    head = f"{len(found)} of {len(rows)} alerts would be silenced {when}" + (":" if found else "")
    return (head, *_listed([effect(row) for row in found]), *_pages(found))


def _listed(lines: Sequence[str]) -> list[str]:
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*(f"  {line}" for line in lines[:_SHOWN]), *more]


def _pages(found: Sequence[AlertRow]) -> tuple[str, ...]:
    pages = sum(1 for row in found if row.alert.severity is Severity.PAGE)
    if not pages:
        return ()
    return (f"{pages} of them {'is a page' if pages == 1 else 'are pages'}",)


@dataclass(frozen=True, slots=True)
class Silences:
    """What can be done about silences, by `who`."""

    acting: Acting
    who: str

    # -- a new one

    def plan_new(self, made: Silence) -> Planned:
        """Whom it stops telling; UsageError where such a silence may not be."""
        file = silence_file(self.acting)
        _check(file, made)
        file.with_one_more(made)
        length = format_duration(made.ends - made.starts)
        hours = f", within {made.hours}" if made.hours else ""
        lines = (
            f"from {_time(made.starts)} until {_time(made.ends)} ({length}){hours}",
            f"{made.owner}: {made.reason}",
            *reach(self.acting, made),
            f"goes into {file.path}; alerts are judged as ever",
        )
        return Planned(f"Silence {_matchers(made)}", lines, self._command(made), Risk.MEDIUM)

    def _command(self, made: Silence) -> tuple[str, ...]:
        words = ["alert", "silence"]
        for one in made.matchers:
            words += ["-l", str(one)]
        words += ["--for", format_duration(made.ends - made.starts), "--reason", made.reason]
        if made.owner != self.who:
            words += ["--owner", made.owner]
        if made.starts != _minute(self.acting.clock.now()):
            words += ["--from", f"{made.starts:%Y-%m-%dT%H:%M:%SZ}"]
        if made.hours is not None:
            words += ["--hours", str(made.hours)]
        return tuple(words)

    def make(self, made: Silence) -> Done:
        """Write it into the file."""
        file = silence_file(self.acting)
        _check(file, made)
        file.write(lambda: file.with_one_more(made))
        return Done((f"written into {file.path}; `opsctl alert silence end {made.id}` ends it early",), changed=True)

    # -- the end of one

    def plan_end(self, name: str) -> Planned:
        """Who is told again; UsageError where there is no such silence, or it has not begun."""
        file, found, at = self._ending(name)
        title, command = f"End silence {found.id}", ("alert", "silence", "end", found.id)
        if at is None:
            return Planned(title, (_over(found),), command, Risk.MEDIUM)
        file.with_end(found.id, at)
        lines = (f"{found.owner}: {found.reason}", _matchers(found), f"would end {_time(found.ends)}")
        return Planned(title, (*lines, *self._held(found, at), f"changes {file.path}"), command, Risk.MEDIUM)

    def _held(self, found: Silence, at: datetime) -> list[str]:
        """What it holds for, of which the next run tells."""
        rows = alert_rows(self.acting.journal().alerts(), self.acting.routing, at)
        if problem := self.acting.journal().problem:
            return [f"what it holds for is not known: {problem}"]
        held = [row for row in rows if any(one.id == found.id for one in row.silences)]
        many = "1 alert" if len(held) == 1 else f"{len(held)} alerts"
        head = f"it holds for {many}; the next run tells of what still fires"
        return [head, *_listed([f"{row.alert.rule_name}: {row.state}" for row in held])]

    def end(self, name: str) -> Done:
        """End it in the file; its entry stays."""
        file, found, at = self._ending(name)
        if at is None:
            return Done((_over(found),))
        file.write(lambda: file.with_end(found.id, at))
        said = f"ended silence {found.id} of {found.owner}: {found.reason}"
        beside = f"written into {file.path}; the next run tells of what still fires"
        return Done((said,), changed=True, beside=(beside,))

    def _ending(self, name: str) -> tuple[SilenceFile, Silence, datetime | None]:
        """The file, the silence, and when it would end; None where it is over."""
        file, now = silence_file(self.acting), self.acting.clock.now()
        found = known_silence(file.read(), name)
        if now >= found.ends:
            return file, found, None
        if now <= found.starts:
            line = found.origin.rpartition(":")[2]
            raise UsageError(f"silence {found.id} has not begun", hint=f"take it out of {file.path}, line {line}")
        return file, found, max(_minute(now), found.starts + timedelta(seconds=1))

    # -- by what was asked for

    def plan(self, action: MakeSilence | EndSilence) -> Planned:
        """What it would do."""
        return self.plan_new(action.silence) if isinstance(action, MakeSilence) else self.plan_end(action.id)

    def apply(self, action: MakeSilence | EndSilence) -> Done:
        """Do it."""
        return self.make(action.silence) if isinstance(action, MakeSilence) else self.end(action.id)


def _check(file: SilenceFile, made: Silence) -> None:
    """Refuse what no silence may be, in the words of the flags."""
    from opsctl.files.silences import faults

    flags = {"matchers": "-l " + _matchers(made), "ends": "--for"}
    for key, words in faults(made.matchers, made.starts, made.ends, file.namespace, file.catalogue):
        raise UsageError(f"{flags[key]}: {words}")


def _matchers(made: Silence) -> str:
    return ", ".join(map(str, made.matchers))


def _over(found: Silence) -> str:
    return f"silence {found.id} is over since {_time(found.ends)}"


def _minute(now: datetime) -> datetime:
    """The minute that is on: a run judges a moment that is past, and would not see what begins or ends after it."""
    return now.replace(second=0, microsecond=0)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%MZ}"
