"""How times, durations and formats are read from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from opsctl.cli.frame import Frame
from opsctl.cli.options import chosen_output, duration, moment
from opsctl.core.outbox import OutboxRow
from opsctl.errors import UsageError
from opsctl.sender import SendReport
from opsctl.views.result import _unsent

NOW = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("15m", NOW - timedelta(minutes=15)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("2026-05-01T02:00:00Z", datetime(2026, 5, 1, 2, tzinfo=UTC)),
        ("2026-05-01T04:00:00+02:00", datetime(2026, 5, 1, 2, tzinfo=UTC)),
        ("1777600800", datetime.fromtimestamp(1777600800, UTC)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    """RFC 3339, unix seconds, `now`, and a duration ago."""
    assert moment("--at", text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-05-01T02:00:00", "1e400", "", "5 m"])
def test_moments_that_are_none(text: str) -> None:
    """One line that names the flag and what was expected; a time without a zone is refused."""
    with pytest.raises(UsageError, match="--at") as wrong:
        moment("--at", text, NOW)
    assert "\n" not in str(wrong.value)


def test_durations() -> None:
    """A wrong one names the flag and shows right ones."""
    assert duration("--timeout", "1m30s") == timedelta(seconds=90)
    with pytest.raises(UsageError, match="--timeout 5: expected a duration like 10s"):
        duration("--timeout", "5")


def test_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain when piped, table on a terminal, --json wins over neither."""
    run = Frame()
    monkeypatch.setattr(Frame, "stdout_is_terminal", property(lambda self: True))
    assert chosen_output(run, None, False) == "table"
    monkeypatch.setattr(Frame, "stdout_is_terminal", property(lambda self: False))
    assert chosen_output(run, None, False) == "plain"
    assert chosen_output(run, None, True) == "json"
    with pytest.raises(UsageError, match="contradict"):
        chosen_output(run, "table", True)
    with pytest.raises(UsageError, match="expected one of table, plain, json"):
        chosen_output(run, "yaml", False)


@pytest.mark.parametrize(("action", "words"), [("trigger", "A PAGE DID NOT GET THROUGH"), ("resolve", "a resolve")])
def test_a_late_resolve_is_not_called_a_lost_page(action: Literal["trigger", "resolve"], words: str) -> None:
    """The banner shouts for triggers only."""
    row = OutboxRow(1, "opsctl/k", 1, action, 0, "default", 0, "Rule", "{}", NOW, NOW, NOW)
    assert _unsent(SendReport(left=(row,))).startswith(words)
