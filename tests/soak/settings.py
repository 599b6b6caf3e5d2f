"""How patient the worlds are: the shipped policy, compressed. Only numbers."""

from __future__ import annotations

from datetime import timedelta

from opsctl.core.policy import Policy

POLICY = Policy(
    hold_open=timedelta(minutes=2),
    reopen_after=timedelta(minutes=6),
    repeat_interval=timedelta(minutes=20),
    not_after=timedelta(minutes=15),
)
HOLD_SECONDS = POLICY.hold_open.total_seconds()
REOPEN_SECONDS = POLICY.reopen_after.total_seconds()
NOT_AFTER_SECONDS = POLICY.not_after.total_seconds()
MINUTES = 40
"""So long things go wrong in a world."""
QUIET = 24
"""So many quiet, fault-free minutes follow, of which the last ones are the bound for closing what is open."""
