"""`runbook test` finds what is wrong with a runbook; the shipped ones pass it."""

from pathlib import Path

import pytest

from opsctl import assets
from opsctl.files.runbook_cases import case_file, read_cases
from opsctl.files.runbooks import parse_runbook, read_runbook
from opsctl.runner.rehearsal import hostile, rehearse
from tests.unit.runbooks.documents import FRONT, LOOK, PARAMS, book, change, document, fence

SHIPPED = sorted(assets.folder("runbooks").rglob("*.md"))


def play(tmp_path, runbook, case):
    path = tmp_path / "sample.test.yaml"
    path.write_text(f"runbook: Sample\ncrash_after: each\ncases:\n  - {case}\n")
    cases, findings = read_cases(path, runbook)
    assert cases is not None, findings
    return rehearse(runbook, cases.cases[0], cases.crash)


def test_a_case_is_killed_at_every_point_and_resumed(tmp_path):
    result = play(
        tmp_path, book(LOOK, change("one")), "{name: a, answers: {look: {value: 1}}, ran: [look, one], outcome: ok}"
    )
    assert (result.passed, result.kills) == (True, 2 * 3 + 2)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("{name: a, outcome: failed}", "expected outcome failed, got ok"),
        ("{name: a, ran: [look], outcome: ok}", "ran look, one"),
        ("{name: a, sent: {one: 'PUT x'}, outcome: ok}", "step one sent"),
        ("{name: a, params: {region: eu-9}, outcome: ok}", "eu-9"),
        ("{name: a, rejects: region}", "was not rejected"),
        ("{name: a, params: {region: eu-9}, rejects: admin}", "parameter region"),
    ],
)
def test_a_case_that_does_not_come_out_says_why(tmp_path, case, said):
    result = play(tmp_path, book(LOOK, change("one")), case)
    assert not result.passed
    assert said in result.message


def test_a_check_that_lies_is_found_by_the_kills(tmp_path):
    check = fence("http", "GET ${admin}/v1/state", id="did-it", role="check", expect="body.done == true")
    runbook = book(change("one", idempotency="check", check="did-it"), check)
    answers = "did-it: {done: {body: {done: %s}}, not_done: {body: {done: false}}}"
    good = play(tmp_path, runbook, "{name: a, answers: {" + answers % "true" + "}, outcome: ok}")
    assert good.passed, good.message
    bad = play(tmp_path, runbook, "{name: a, answers: {" + answers % "false" + "}, outcome: ok}")
    assert not bad.passed
    assert "took effect 2 times instead of 1" in bad.message


def test_what_must_not_be_repeated_is_not(tmp_path):
    result = play(tmp_path, book(change("one", idempotency="never"), change("two")), "{name: a, outcome: ok}")
    assert result.passed, result.message


def test_a_parameter_that_takes_anything_is_found():
    loose = book(LOOK, front=FRONT + PARAMS + "  x: {type: pattern, pattern: '^.*$'}\n")
    result = hostile(loose)
    assert not result.passed
    assert "x takes" in result.message


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_runbook_passes_its_cases(path: Path):
    runbook, findings = read_runbook(path)
    assert findings == ()
    assert runbook is not None
    cases, wrong = read_cases(case_file(path), runbook)
    assert wrong == ()
    assert cases is not None
    assert cases.crash
    for case in cases.cases:
        result = rehearse(runbook, case, cases.crash)
        assert result.passed, f"{case.name}: {result.message}"
    assert hostile(runbook).passed


def test_every_fault_of_the_demo_and_every_rule_has_its_runbook():
    ids = {runbook.id for path in SHIPPED if (runbook := read_runbook(path)[0]) is not None}
    from opsctl.demo.faults import FAULTS

    assert {fault.runbook for fault in FAULTS.values()} <= ids
    text = "".join(path.read_text() for path in assets.folder("alert_rules").rglob("*.yaml"))
    import re

    assert set(re.findall(r"(?:opsctl_runbook|opsctl\.dev/runbook(?:-no-data)?): *([A-Za-z]+)", text)) <= ids


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_every_way_through_a_shipped_runbook_that_changes_something_is_gated_and_undone_or_says_not(path: Path):
    runbook, _ = read_runbook(path)
    assert runbook is not None
    for step in runbook.mutations:
        assert step.undo is not None
        assert step.requires is not None
        if step in runbook.flow:
            assert step.requires != "none"


def test_a_document_with_an_error_is_no_runbook():
    assert parse_runbook(document(fence("promql", "up", id="x", timeout="soon")), "x.md")[0] is None
