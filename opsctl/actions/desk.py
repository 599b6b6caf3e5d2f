"""The desk: plans, refuses and carries out what a person asks for, whichever screen or command they ask through.

Must never act where it is read-only: that is decided here, at the time of the call, and not in a widget or a flag.
"""

from __future__ import annotations

import getpass
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from opsctl.actions.action import (
    Acting,
    Action,
    Done,
    Planned,
    Risk,
)
from opsctl.actions.incidents import Incidents
from opsctl.actions.sending import Sending
from opsctl.errors import Refused

READ_ONLY = "--read-only"


def user() -> str:
    """The name that this user has on this host."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


class Desk:
    """One context's actions, for as many threads as like.

    `read_only` is why nothing may ever be changed ("" where something may); `flags` are the global flags that lead to
    this context, which go in front of every command that is named.
    """

    def __init__(self, acting: Acting, *, read_only: str = "", flags: Sequence[str] = (), who: str = "") -> None:
        self.who = who or user()
        self._acting = acting
        self._never = read_only
        self._flags = tuple(flags)
        self._guard = threading.Lock()
        self._allowed: tuple[datetime, datetime] | None = None  # from, until
        self._incidents = Incidents(acting, Sending(acting), self.who)

    # -- may anything be changed

    @property
    def read_only(self) -> str:
        """Why nothing may be changed now; "" where something may."""
        if self._never:
            return self._never
        context = self._acting.context
        if context.protected and self.writable_until is None:
            return f"context {context.name} is protected"
        return ""

    @property
    def writable_until(self) -> datetime | None:
        """Until when a protected context may be changed; None where that was not allowed, or is over."""
        with self._guard:
            allowed = self._allowed
        if allowed is None or self._never:
            return None
        begun, until = allowed
        return until if begun <= self._acting.clock.now() < until else None  # a clock set back allows nothing more

    def allow(self, length: timedelta) -> None:
        """Let a protected context be changed for so long, or no longer (0); Refused under --read-only."""
        if self._never:
            raise Refused(f"{self._never}: nothing can be changed", hint="start opsctl without it")
        if not self._acting.context.protected:
            return
        now = self._acting.clock.now()
        with self._guard:
            self._allowed = (now, now + length)

    def check_writable(self, what: str) -> None:
        """Refused where nothing may be changed now; `what` is what is not done."""
        why = self.read_only
        if not why:
            return
        hint = "start opsctl without it" if self._never else "it has to be allowed first"
        raise Refused(f"read-only ({why}): not done: {what}", hint=hint)

    # -- actions

    def plan(self, action: Action) -> Planned:
        """What it would do, on what and how far it reaches; nothing is changed, so it is never refused."""
        return self._guarded(self._incidents.plan(action))  # type: ignore[arg-type]

    def apply(self, action: Action) -> Done:
        """Do it: the journal first, then whoever is told; blocks for at most `limits.send`. Refused where read-only."""
        self.check_writable(type(action).__name__)
        return self._incidents.apply(action)  # type: ignore[arg-type]

    def _guarded(self, planned: Planned) -> Planned:
        """The same with what a protected context asks for, and the flags that lead here."""
        context = self._acting.context
        made = replace(planned, command=(*self._flags, *planned.command))
        return replace(made, risk=Risk.HIGH, confirm=context.name) if context.protected else made
