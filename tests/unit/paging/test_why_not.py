"""Any minute of the past: was it breached, did we page, did somebody see it, and if not, what stopped it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from opsctl.adapters.journal import SqliteJournal, open_journal
from opsctl.cli.incident_history import all_alike
from opsctl.core.alerts import Alert
from opsctl.core.routing import Matcher, Routing, Silence
from opsctl.core.slo import Severity
from opsctl.ports import RuleVerdict, RunRecord, Sinks
from opsctl.sender import drain
from opsctl.views.why_not import About, WhyNot, why_not
from tests.unit.paging.far_side import FarSide, FaultySink, Killed
from tests.unit.paging.world import T0, SteppedClock, alert, cycle, minutes

REDEEM = About("redeem", "RedeemBudgetBurn", "promo", "page")


class Story:
    """Runs of one journal; each says what it judged and what its requests met."""

    def __init__(self, folder: Path) -> None:
        self.clock = SteppedClock()
        self.journal: SqliteJournal = open_journal(folder / "state", "prod-eu", self.clock)
        self.far = FarSide(self.clock)

    def run(
        self,
        minute: float,
        outcome: str = "fail",
        *,
        alerts: Sequence[Alert] | None = None,
        faults: Sequence[str] = (),
        notify: bool = True,
        routing: Routing | None = None,
        fresh: bool = True,
    ) -> None:
        self.clock.at = T0 + minutes(minute)
        at = self.clock.at
        verdict = RuleVerdict("redeem", outcome, f"burns 14.4 at {minute}", fresh, f"digest-{minute}")
        record = RunRecord(at, at, True, notify, (verdict,))
        if not notify:
            self.journal.commit(record)
            return
        firing = ([alert()] if outcome == "fail" else []) if alerts is None else list(alerts)
        made = replace(cycle(at, firing), routing=routing or Routing())
        run = self.journal.commit(record, (), made).run
        try:
            drain(self.journal, Sinks({"pagerduty": FaultySink(self.far, list(faults))}), self.clock, 20.0)
        except Killed:
            return
        self.journal.finish(run, 1, self.clock.now(), success=True)

    def ask(self, minute: float, rule: About = REDEEM) -> WhyNot:
        return why_not(self.journal.history, rule, T0 + minutes(minute))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_a_page_that_went_out_says_when_and_who_took_it(story: Story) -> None:
    story.run(0, "pass")
    story.run(1)
    story.journal.acknowledge(1, "ann", T0 + minutes(4), T0 + minutes(64))
    story.run(5)
    before, paged, taken = story.ask(0.5), story.ask(2), story.ask(6)
    assert (before.breached, before.stopped, before.well) == ("no", "", True)
    assert (paged.breached, paged.paged, paged.seen, paged.stopped) == ("yes", "yes", "unknown", "")
    assert paged.page.startswith("pagerduty/money took it at 2026-05-01 03:01:00Z, 0.0 s after the decision")
    assert (taken.seen, taken.sight) == ("yes", "acknowledged at 2026-05-01 03:04:00Z by ann")
    assert (before.digest, paged.digest, taken.digest) == ("digest-0", "", "digest-5"), "of each span the last is kept"


def test_a_minute_that_nobody_judged_is_not_healthy(story: Story) -> None:
    assert story.ask(0).breach == "the journal is empty"
    story.run(10, "pass")
    story.run(60, "pass")
    early, gap, other = story.ask(5), story.ask(30), story.ask(10, About("pay", "Pay"))
    assert (early.breached, early.breach) == ("not judged", "this journal begins at 2026-05-01 03:10:00Z")
    assert (early.paged, early.seen, early.stopped) == ("unknown", "unknown", "not known"), "another journal may know"
    assert gap.breach == "opsctl did not run from 2026-05-01 03:10:00Z to 2026-05-01 04:00:00Z"
    assert gap.stopped == "nothing judged it, so nothing was decided"
    unjudged = [story.ask(5), story.ask(5, About("pay", "Pay"))]
    assert all_alike(unjudged), "one line, not a screen for each rule"
    assert not all_alike(unjudged[:1])
    assert not all_alike([early, gap])
    assert "not loaded, or the runs were about other services" in other.breach


def test_the_corrupt_journal_before_this_one_is_named(story: Story, tmp_path: Path) -> None:
    aside = tmp_path / "state" / "journal.sqlite3.corrupt-20260501T025900.000000Z"
    aside.write_bytes(b"x")
    story.run(10, "pass")
    assert str(aside) in story.ask(5).breach


def test_requests_that_failed_are_named_with_their_count(story: Story) -> None:
    story.run(0, faults=["503"] * 40)
    story.run(3)
    then, later = story.ask(2), story.ask(4)
    assert then.paged == "no"
    assert "attempts by then, the last to pagerduty/money" in then.stopped
    assert "HTTP 503; taken at 2026-05-01 03:03:00Z" in then.stopped
    assert (later.paged, later.stopped) == ("yes", "")


def test_a_run_that_was_killed_before_it_sent_is_named(story: Story) -> None:
    story.run(0, faults=["killed before"])
    assert "its outcome is not known: the process ended, or the answer was lost" in story.ask(1).stopped


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("silence", "silenced by ann until 2026-05-01 05:00Z: failover of the wallet (since 2026-05-01 03:00:00Z)"),
        ("no notify", "the runs were without --notify: they judge and tell nobody"),
        ("ticket", "nobody is told: ticket, and no route takes it"),
        ("pending", "pending: it has to hold for as long as its rule says before it fires"),
        ("person", "#1 was closed at 2026-05-01 03:01:00Z (closed by ann): a new one waits for `reopen_after`"),
        ("blind", "the verdict was unknown: no data pages only after `stale_after`, or the rule's `for`"),
    ],
)
def test_what_stopped_a_page_is_said(story: Story, kind: str, words: str) -> None:
    if kind == "silence":
        silence = Silence(
            "s", "ann", "failover of the wallet", (Matcher("service", "=", "promo"),), T0, T0 + minutes(120)
        )
        story.run(0, routing=Routing(silences=(silence,)))
    elif kind == "no notify":
        story.run(0, notify=False)
    elif kind == "ticket":
        story.run(0, alerts=[alert(severity=Severity.TICKET)])
    elif kind == "pending":
        story.run(0, alerts=[])
    elif kind == "person":
        story.run(0)
        story.journal.resolve(1, "ann", T0 + minutes(1), T0 + minutes(60))
        story.run(2)
    else:
        story.run(0, "unknown", fresh=False)
    assert story.ask(2.5).stopped == words
    assert story.ask(2.5).paged == "no"


def test_a_silence_that_ended_gave_the_page_free(story: Story) -> None:
    silence = Silence("s", "ann", "why", (Matcher("service", "=", "promo"),), T0, T0 + minutes(2))
    story.run(0, routing=Routing(silences=(silence,)))
    story.run(3, routing=Routing(silences=(silence,)))
    assert story.ask(1).stopped.startswith("silenced by ann")
    assert (story.ask(4).paged, story.ask(4).stopped) == ("yes", "")


def test_what_happened_between_two_times_is_told_in_order(story: Story) -> None:
    story.run(0, faults=["429"])
    for minute in (20, 27):
        story.run(minute, "pass")
    found = story.journal.history.between(T0, T0 + minutes(30))
    kinds = [line.kind for _, line in found]
    assert kinds == sorted(kinds, key=[line.kind for _, line in found].index)
    assert [line.at for _, line in found] == sorted(line.at for _, line in found)
    for kind in ("opened", "trigger queued", "trigger retry", "trigger accepted", "under", "resolved"):
        assert kind in kinds
    later: datetime = T0 + minutes(25)
    assert "opened" not in [line.kind for _, line in story.journal.history.between(later, T0 + minutes(30))]
