"""A run: order, jumps, gates, waiting, undo, and what a killed process leaves behind."""

from datetime import UTC, datetime, timedelta

import pytest

from opsctl.core.params import Given, collect
from opsctl.errors import Refused, UsageError
from opsctl.ports.runbooks import StepBroke, StepDone
from opsctl.runner import MemoryRunbookLog, Options, World, dry_run, plan, resume, run
from tests.unit.runbooks.documents import FRONT, LOOK, PARAMS, book, change, fence

GO = fence("approval", "May we?", id="go", ttl="10m")
OK = StepDone({"status": 200, "value": 1.0, "exit_code": 0})
NO = StepDone({"status": 500, "value": 0.0, "exit_code": 1})
LOST = StepBroke("no answer", begun=True, certain=False)


class Killed(BaseException):
    """The process is gone."""


class Clock:
    def __init__(self):
        self.at = datetime(2026, 5, 1, 3, tzinfo=UTC)

    def now(self):
        return self.at

    def monotonic(self):
        return 0.0

    def sleep(self, seconds):
        self.at += timedelta(seconds=seconds)


class Steps:
    """Answers from lists; an exception in a list is raised."""

    def __init__(self, **answers):
        self.answers = {name.replace("_", "-"): list(found) for name, found in answers.items()}
        self.calls = []

    def perform(self, step, bound, timeout_seconds, key):
        self.calls.append((step.id, key))
        found = self.answers.get(step.id, [OK])
        answer = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(answer, BaseException) or answer is Killed:
            raise answer if isinstance(answer, BaseException) else Killed
        return answer

    @property
    def ran(self):
        return [name for name, _ in self.calls]


class Person:
    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    def answer(self, question):
        self.asked.append((question.kind, question.step.id, question.text, question.facts))
        return self.answers.get(question.step.id, True)


class Story:
    """One run over one world."""

    def __init__(self, *fences, front=FRONT + PARAMS, person=None, **answers):
        self.book = book(*fences, front=front)
        self.values = collect(self.book, Given())
        self.steps, self.person, self.log, self.clock = (
            Steps(**answers),
            person or Person(),
            MemoryRunbookLog(),
            Clock(),
        )
        self.world = World(self.steps, self.person, self.log, self.clock)

    def run(self, **options):
        return run(self.book, self.values, self.world, Options(**{"who": "ada", **options}), "r1")

    def killed(self, **options):
        with pytest.raises(Killed):
            self.run(**options)
        return self

    def resume(self, *, book=None, accept_edit=False, undo=False, **options):
        return resume(
            "r1",
            book or self.book,
            self.world,
            Options(**{"who": "ada", **options}),
            accept_edit=accept_edit,
            undo=undo,
        )

    def states(self):
        return {step.step: step.state for step in self.log.steps("r1") if not step.step.startswith("@")}


# -- the flow ---------------------------------------------------------------------------------------------------------


def test_top_to_bottom_with_a_row_before_and_after_each_step():
    story = Story(LOOK, change("one"), change("two"))
    seen = []
    story.log.step_before = lambda row, put=story.log.step_before: (
        seen.append(("before", row.step, row.state)),
        put(row),
    )[1]
    story.log.step_after = lambda row, put=story.log.step_after: (
        seen.append(("after", row.step, row.state)),
        put(row),
    )[1]
    report = story.run()
    assert report.state == "ok"
    assert story.steps.calls == [("look", None), ("one", "r1/one"), ("two", "r1/two")]
    assert seen == [
        (when, step, "running" if when == "before" else "ok")
        for step in ("look", "one", "two")
        for when in ("before", "after")
    ]
    assert report.run.params == {"admin": "http://127.0.0.1:9", "region": "eu-1"}


def test_what_is_captured_reaches_later_steps_typed():
    use = fence("http", "GET ${admin}/v1/${where}\n", id="use")
    story = Story(
        fence("promql", "up", id="look", capture="where = labels.region"),
        use,
        look=[StepDone({"labels": {"region": "a b"}})],
    )
    sent = []
    story.steps.perform = lambda step, bound, t, key, do=story.steps.perform: (
        sent.append(bound),
        do(step, bound, t, key),
    )[1]
    assert story.run().state == "ok"
    assert sent[1].url == "http://127.0.0.1:9/v1/a%20b"


def test_a_failed_step_stops_and_a_resume_goes_on_with_it():
    story = Story(change("one"), change("two"), one=[NO, OK])
    report = story.run()
    assert (report.state, report.message) == ("failed", "step one failed")
    assert story.steps.ran == ["one"]
    assert story.resume().state == "ok"
    assert story.steps.calls == [("one", "r1/one"), ("one", "r1/one"), ("two", "r1/two")]


def test_goto_and_end_jump_only_when_there_was_an_answer():
    look = fence("promql", "up", id="look", expect="value == 1", on_fail="goto last")
    steps = (
        look,
        change("skipped"),
        fence("promql", "up", id="last", expect="value == 1", on_fail="end"),
        change("never"),
    )
    story = Story(*steps, look=[NO], last=[NO])
    assert story.run().state == "ok"
    assert story.steps.ran == ["look", "last"]
    for broken in (StepBroke("refused"), StepDone({"absent": True})):
        story = Story(*steps, look=[broken])
        assert story.run().state == "failed"
        assert story.steps.ran == ["look"]


def test_retries_are_for_what_may_be_repeated():
    story = Story(change("one", retries="2"), one=[NO, LOST, OK])
    assert story.run().state == "ok"
    assert story.steps.calls == [("one", "r1/one")] * 3
    story = Story(change("one", retries="1"), one=[NO, NO, OK])
    assert story.run().state == "failed"
    assert len(story.steps.calls) == 2


def test_waiting_holds_for_as_long_as_it_has_to():
    step = fence("promql", "up", id="look", expect="value == 1", poll="15s", for_="30s", timeout="5m")
    story = Story(step, look=[NO, OK, NO, StepBroke("gap"), OK])
    start = story.clock.at
    assert story.run().state == "ok"
    assert story.clock.at - start == timedelta(seconds=15 * 4 + 30)


def test_waiting_ends_at_its_timeout():
    step = fence("promql", "up", id="look", expect="value == 1", poll="15s", timeout="1m")
    story = Story(step, look=[NO])
    assert story.run().state == "failed"
    assert "not within 1m: expected value == 1; value is 0.0" in story.log.steps("r1")[0].captured["@message"]
    assert len(story.steps.calls) == 5


def test_no_mutation_begins_after_the_longest_time():
    look = fence("promql", "up", id="look", expect="value == 1", poll="1h", timeout="10h")
    story = Story(look, change("one"), front=FRONT + PARAMS + "max_duration: 30m\n", look=[NO, OK])
    report = story.run()
    assert (report.state, story.steps.ran) == ("stopped", ["look", "look"])
    assert "longer than 30m" in report.message
    assert story.resume().state == "ok"


# -- gates ------------------------------------------------------------------------------------------------------------


def test_nobody_there_waits_and_a_resume_asks_again():
    story = Story(GO, change("one", requires="go"), person=Person(go=None))
    assert story.run().state == "waiting"
    assert story.log.run_of("r1").ended is None
    assert story.steps.ran == []
    story.person.answers = {}
    assert story.resume().state == "ok"


def test_an_approval_shows_the_evidence_and_every_byte_that_it_opens():
    story = Story(fence("promql", "up", id="look", capture="n = value"), GO, change("one", requires="go"))
    story.run()
    facts = "\n".join(story.person.asked[0][3])
    assert "look: ok, n = 1.0" in facts
    assert "PUT http://127.0.0.1:9/v1/one\nContent-Type: application/json\nIdempotency-Key: r1/one\n\n{}" in facts


def test_no_is_no():
    story = Story(GO, change("one", requires="go"), person=Person(go=False))
    assert story.run().state == "failed"
    assert story.steps.ran == []


def test_an_approval_lapses():
    story = Story(GO, change("one", requires="go"), one=[NO, OK])
    assert story.run().state == "failed"
    story.clock.sleep(11 * 60)
    assert story.resume().state == "ok"
    assert [asked[1] for asked in story.person.asked] == ["go", "go"]


def test_an_approval_holds_within_its_time():
    story = Story(GO, change("one", requires="go"), one=[NO, OK])
    story.run()
    story.clock.sleep(9 * 60)
    assert story.resume().state == "ok"
    assert len(story.person.asked) == 1


def test_an_edit_is_refused_until_accepted_and_then_approved_again():
    story = Story(GO, change("one", requires="go"), one=[NO, OK])
    story.run()
    edited = book(GO, change("one", requires="go"), "Another word.\n")
    with pytest.raises(Refused, match="edited"):
        story.resume(book=edited)
    assert story.resume(book=edited, accept_edit=True).state == "ok"
    assert len(story.person.asked) == 2


def test_two_people_and_not_who_started_it():
    front = FRONT + PARAMS + "approvals: {two: {min: 2, not_author: true}}\n"
    gate = fence("approval", "May we?", id="go", policy="two")
    story = Story(gate, change("one", requires="go"), front=front)
    assert story.run(approve=frozenset({"go"})).state == "waiting"
    assert story.resume(who="bob", approve=frozenset({"go"})).message == "step go: 1 of 2 people have approved"
    assert story.resume(who="bob", approve=frozenset({"go"})).state == "waiting"
    assert story.steps.ran == []
    assert story.resume(who="eve", approve=frozenset({"go"})).state == "ok"


def test_unattended_stops_at_the_first_step_that_needs_a_person():
    story = Story(LOOK, GO, change("one", requires="go"))
    report = story.run(auto=True)
    assert (report.state, story.steps.ran, story.person.asked) == ("waiting", ["look"], [])
    assert story.resume().state == "ok"


def test_unattended_changes_only_what_the_policy_names():
    policy = frozenset({"Sample/one"})
    story = Story(GO, change("one", requires="go"), change("two", requires="go"))
    assert story.run(auto=True, policy=policy).state == "waiting"
    assert story.steps.ran == []
    story = Story(GO, change("one", requires="go"))
    assert story.run(auto=True, policy=policy).state == "ok"
    assert (story.steps.ran, story.person.asked) == (["one"], [])
    story = Story(change("one"), fence("manual", "Do it.", id="hand"))
    assert story.run(auto=True, policy=policy).state == "waiting"


# -- undo -------------------------------------------------------------------------------------------------------------

UNDOING = (
    change("one", undo="un-one"),
    change("two", undo="none"),
    change("three", undo="un-three"),
    fence("promql", "up", id="look", expect="value == 1", on_fail="undo"),
    change("un-one", role="undo", idempotency="natural"),
    change("un-three", role="undo", idempotency="natural"),
)


def test_undo_takes_back_in_reverse_and_says_what_stays():
    story = Story(*UNDOING, look=[NO])
    report = story.run()
    assert (report.state, report.asked_undo) == ("undone", False)
    assert story.steps.ran == ["one", "two", "three", "look", "un-three", "un-one"]
    assert "not undone, because nothing undoes it: two" in report.message
    with pytest.raises(UsageError, match="is over"):
        story.resume()


def test_a_check_that_could_not_be_asked_undoes_nothing():
    story = Story(*UNDOING, look=[StepBroke("refused")])
    assert story.run().state == "failed"
    assert "un-one" not in story.steps.ran


def test_a_person_may_undo_a_run_that_is_over():
    story = Story(*UNDOING)
    assert story.run().state == "ok"
    report = story.resume(undo=True)
    assert (report.state, report.asked_undo) == ("undone", True)
    assert story.steps.ran[-2:] == ["un-three", "un-one"]


def test_a_mutation_that_surely_did_nothing_is_not_undone():
    refused = StepDone({"status": 422})
    story = Story(*UNDOING, three=[refused])
    story.run()
    story.resume(undo=True)
    assert story.steps.ran == ["one", "two", "three", "un-one"]


def test_an_undo_that_fails_is_tried_again_by_a_resume():
    story = Story(*UNDOING, look=[NO], un_three=[NO, OK])
    assert story.run().state == "failed"
    assert story.resume().state == "undone"
    assert story.steps.ran[4:] == ["un-three", "un-three", "un-one"]


# -- after a crash ----------------------------------------------------------------------------------------------------

CHECK = fence("http", "GET ${admin}/v1/state", id="did-it", role="check", expect="body.done == true")
DONE, NOT_DONE = StepDone({"status": 200, "body": {"done": True}}), StepDone({"status": 200, "body": {"done": False}})


def test_natural_is_repeated():
    story = Story(change("one", idempotency="natural"), one=[Killed, OK]).killed()
    assert story.resume().state == "ok"
    assert story.steps.calls == [("one", None)] * 2


def test_key_is_repeated_with_the_same_key():
    story = Story(change("one"), one=[Killed, OK]).killed()
    assert story.resume().state == "ok"
    assert story.steps.calls == [("one", "r1/one")] * 2


@pytest.mark.parametrize(("said", "calls"), [(DONE, ["one", "did-it"]), (NOT_DONE, ["one", "did-it", "one"])])
def test_check_is_asked_first(said, calls):
    story = Story(change("one", idempotency="check", check="did-it"), CHECK, one=[Killed, OK], did_it=[said]).killed()
    assert story.resume().state == "ok"
    assert story.steps.ran == calls


@pytest.mark.parametrize(
    "broken", [StepBroke("refused"), StepDone({"status": 503}), StepDone({"status": 200, "body": {}})]
)
def test_a_check_without_an_answer_decides_nothing(broken):
    story = Story(
        change("one", idempotency="check", check="did-it"), CHECK, one=[Killed, OK], did_it=[broken, DONE]
    ).killed()
    report = story.resume()
    assert report.state == "stopped"
    assert "nobody knows whether step one happened" in report.message
    assert story.resume().state == "ok"
    assert story.steps.ran == ["one", "did-it", "did-it"]


@pytest.mark.parametrize(("said", "calls"), [(True, ["one"]), (False, ["one", "one"])])
def test_never_asks_a_person(said, calls):
    story = Story(change("one", idempotency="never"), one=[Killed, OK], person=Person(one=None)).killed()
    assert story.resume().state == "waiting"
    assert story.steps.ran == ["one"]
    story.person.answers = {"one": said}
    assert story.resume().state == "ok"
    assert story.steps.ran == calls
    assert story.person.asked[-1][0] == "happened"


def test_a_read_is_repeated():
    story = Story(LOOK, change("one"), look=[Killed, OK]).killed()
    assert story.resume().state == "ok"
    assert story.states() == {"look": "ok", "one": "ok"}


@pytest.mark.parametrize(("idempotency", "state"), [("natural", "stopped"), ("key", "stopped"), ("never", "waiting")])
def test_a_lost_answer_is_unknown_and_not_a_failure(idempotency, state):
    story = Story(change("one", idempotency=idempotency), one=[LOST, OK], person=Person(one=None))
    assert story.run().state == state
    assert story.states() == {"one": "unknown"}


def test_a_lost_answer_that_can_be_checked_is_checked_at_once():
    story = Story(change("one", idempotency="check", check="did-it"), CHECK, one=[LOST], did_it=[DONE])
    assert story.run().state == "ok"


def test_two_processes_cannot_hold_one_run():
    story = Story(change("one"), one=[Killed, OK]).killed()
    with story.log.lock("r1"), pytest.raises(Refused, match="held by another"):
        story.resume()


def test_a_run_that_is_over_or_unknown_cannot_be_resumed():
    story = Story(LOOK)
    story.run()
    with pytest.raises(UsageError, match="is over"):
        story.resume()
    with pytest.raises(UsageError, match="no such run"):
        resume("r9", story.book, story.world)


# -- looking without touching -----------------------------------------------------------------------------------------


def test_a_dry_run_reads_and_writes_nothing():
    story = Story(
        LOOK,
        GO,
        fence("manual", "Do it.", id="hand"),
        change("one", requires="go"),
        fence("bash", "rm x", id="b", mutates="x", requires="none", idempotency="natural", undo="none", timeout="5s"),
    )
    planned = dry_run(story.book, story.values, story.steps)
    assert story.steps.ran == ["look"]
    assert (story.log.runs(), story.person.asked) == ((), [])
    assert [item.what for item in planned] == ["read", "gate", "hand", "write", "write"]
    assert planned[3].text.endswith("Idempotency-Key: dry-run/one\n\n{}")


def test_a_plan_asks_nothing_and_says_what_is_not_known_yet():
    use = fence("http", "GET ${admin}/v1/${where}\n", id="use")
    story = Story(fence("promql", "up", id="look", capture="where = labels.region"), use)
    planned = plan(story.book, story.values)
    assert story.steps.ran == []
    assert (planned[1].complete, planned[1].text) == (False, "not known yet: no value for ${where}")
