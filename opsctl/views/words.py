"""The words and glyphs of a state, and how numbers and times are written for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from opsctl.core.rules import Outcome, State, Verdict, state_of
from opsctl.core.slo import Slo

GLYPHS = {State.OK: "✔", State.WARN: "!", State.FAIL: "✖", State.UNKNOWN: "?"}
WORST_FIRST = (State.FAIL, State.UNKNOWN, State.WARN, State.OK)


def state_words(verdict: Verdict) -> str:
    """Glyph and word of one verdict: never colour alone."""
    if verdict.outcome is Outcome.SUPPRESSED:
        return f"~ {(verdict.hides or Outcome.PASS).value.upper()}"
    state = state_of(verdict)
    if state is State.OK and verdict.outcome is Outcome.NO_EVENTS:
        return "✔ OK (no events)"
    return f"{GLYPHS[state]} {state}"


def rule_name(verdict: Verdict) -> str:
    """The name a person knows the rule by: an SLO's name, or the alert's."""
    return verdict.rule.name


def uid(verdict: Verdict) -> str:
    """The rule's immutable id."""
    return verdict.rule.uid


def kind(verdict: Verdict) -> str:
    """`slo` or `alert`."""
    return "slo" if isinstance(verdict.rule, Slo) else "alert"


def ago(value: timedelta) -> str:
    """A length of time in its two largest units: `3m`, `1h05m`, `2d4h`."""
    seconds = max(0, round(value.total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes}m"
    if hours < 24:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{days}d{hours % 24}h"


def clock_time(at: datetime, *, utc: bool) -> str:
    """Time of day: `14:03:22Z`, or local with its offset."""
    if utc:
        return at.astimezone(UTC).strftime("%H:%M:%SZ")
    local = at.astimezone()
    return local.strftime("%H:%M:%S%z" if local.utcoffset() else "%H:%M:%SZ")


def percent(ratio: float) -> str:
    """A ratio as a percentage with three significant digits."""
    return f"{ratio * 100:.3g} %"
