"""How patient delivery is. Only numbers: must never decide anything (`core/commands.py` does)."""

from __future__ import annotations

from datetime import timedelta

from opsctl.core.frozen import dataclass

CONFIRM_WITHIN = timedelta(days=1)
"""So long a resolve is looked after until the far side shows it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient delivery is; the defaults are the settings' own."""

    hold_open: timedelta = timedelta(minutes=5)
    reopen_after: timedelta = timedelta(minutes=15)
    repeat_interval: timedelta = timedelta(hours=1)
    not_after: timedelta = timedelta(hours=1)
