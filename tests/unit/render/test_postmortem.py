"""The draft of a postmortem: what is known is filled in, nothing from outside becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from opsctl.ports import Moment
from opsctl.ports.runbooks import RunbookRun, RunbookStep
from opsctl.render.postmortem import Told, postmortem
from tests.tui.reports import AT, Maker

ONE = replace(
    Maker().incident(4, "wallet", AT), opened=AT, acknowledged=AT + timedelta(minutes=3),
    resolved=AT + timedelta(minutes=40), reason="fresh data",
)  # fmt: skip
MOMENTS = (
    Moment(AT, "opened", "it burns"),
    Moment(AT + timedelta(seconds=2), "trigger accepted", "HTTP 202"),
    Moment(AT + timedelta(minutes=3), "acknowledged", "", "ana"),
    Moment(AT + timedelta(minutes=5), "note", "the promo code is everywhere", "ana"),
)
RUN = RunbookRun("20260514-1", "PromoSurge", "d", {}, AT + timedelta(minutes=6), "ok", AT + timedelta(minutes=9), "ana")
STEPS = {"20260514-1": (RunbookStep("20260514-1", "cap", 1, "ok", AT), RunbookStep("20260514-1", "cap", 2, "ok", AT))}


def text(told: Told) -> str:
    """The whole draft."""
    return "\n".join(postmortem(told, AT + timedelta(hours=1)))


def test_a_draft_has_the_times_the_story_the_notes_and_the_runs() -> None:
    """As the journal has them."""
    draft = text(Told(ONE, MOMENTS, "ana", ("4.5 % bad in 1h",), (RUN,), STEPS))
    assert "# Postmortem: #4 SuccessBudgetBurn on wallet" in draft
    assert "| told | pagerduty/money at 2026-05-14 18:00:02Z, 2.0 s after it opened |" in draft
    assert "| acknowledged | 2026-05-14 18:03:00Z by ana, 3m after it opened |" in draft
    assert "| lasted | 40m |" in draft
    assert "- 2026-05-14 18:05:00Z ana: the promo code is everywhere" in draft
    assert "- `PromoSurge` 2026-05-14 18:06:00Z to 2026-05-14 18:09:00Z by ana, ok" in draft
    assert "  - cap (attempt 2): ok" in draft
    assert "- 4.5 % bad in 1h" in draft


def test_a_draft_of_an_open_incident_says_that_it_goes_on() -> None:
    """And claims no end."""
    draft = text(Told(replace(ONE, resolved=None, acknowledged=None)))
    assert "Draft while it goes on" in draft
    assert "| resolved | not yet |" in draft
    assert "| lasted | 1h00m so far |" in draft
    assert "| acknowledged | by nobody |" in draft
    assert "nothing is written down" in draft


def test_text_from_outside_is_no_markup() -> None:
    """No image, no HTML, no table cell, no escape sequence, no line of its own."""
    evil = "![x](http://evil) <img src=x> | a | \x1b[31m\n# heading @team"
    hostile = replace(ONE, rule_name=evil, summary=evil, reason=evil, team=evil, runbook=evil)
    run = replace(RUN, note=evil, who=evil, runbook=evil)
    draft = text(Told(hostile, (Moment(AT, evil, evil, evil), Moment(AT, "note", evil, evil)), evil, (evil,), (run,)))
    assert "\x1b" not in draft
    assert not any(line.startswith("# heading") for line in draft.split("\n"))
    read = re.sub(r"(`+).*?\1", "", draft)  # what Markdown reads: nothing inside of code
    assert "![x](" not in read
    assert not re.search(r"(?<!\\)<(?!!-- -->)", read)
    assert "@team" not in read
    assert "://" not in read
