"""`runbook lint`: what the loader cannot see."""

import shutil
from datetime import date

import pytest

from opsctl.core.slo import Origin
from opsctl.lint.runbooks import RuleNames, lint_files
from tests.unit.runbooks.documents import FRONT, LOOK, PARAMS, document, fence

TODAY = date(2026, 5, 1)
CASES = "runbook: Sample\ncases:\n  - {name: fine, outcome: ok}\n"
REVIEWED = FRONT + PARAMS + "review_by: 2027-01-01\n"


def lint(tmp_path, *fences, front=REVIEWED, cases=CASES, rules=None):
    path = tmp_path / "sample.md"
    path.write_text(
        document(
            LOOK.replace("up > 0", 'up{region="${region}"}'),
            fence("http", "GET ${admin}/x", id="get"),
            *fences,
            front=front,
        )
    )
    if cases is not None:
        path.with_name("sample.test.yaml").write_text(cases)
    return lint_files([path], rules, TODAY)


def script(body):
    return fence("bash", body, id="script", mutates="none")


def codes(findings):
    return [finding.code for finding in findings]


def test_nothing_wrong(tmp_path):
    assert lint(tmp_path, script('[ "$OPS_REGION" = eu-1 ] && echo "${OPS_RUN_ID}" # "$OPS_ANY" (( OPS_X ))')) == ()


@pytest.mark.parametrize(
    "body",
    [
        'if [[ "$OPS_REGION" -gt 5 ]]; then echo x; fi',
        'echo "$((OPS_REGION))"',
        'echo "$(( $OPS_REGION + 1 ))"',
        '(( "$OPS_REGION" > 1 ))',
        'eval "$OPS_REGION"',
        'let "x=$OPS_REGION"',
        'declare -i x="$OPS_REGION"',
        'bash -c "echo $OPS_REGION"',
        'sh -ec "echo $OPS_REGION"',
        'echo "${a[$OPS_REGION]}"',
        '[ -v "$OPS_REGION" ]',
        "rm $OPS_REGION",
    ],
)
def test_places_where_a_value_would_run_as_code(tmp_path, body):
    found = lint(tmp_path, script(f"true\n{body}"))
    assert "RB013" in codes(found), found
    line = (tmp_path / "sample.md").read_text().splitlines().index(body) + 1
    assert found[codes(found).index("RB013")].origin.line == line


def test_a_script_that_bash_cannot_read(tmp_path):
    found = lint(tmp_path, script("if true; then"))
    assert codes(found) == ["RB011"]
    assert "bash -n" in found[0].message


def test_names_that_bash_will_not_find(tmp_path):
    assert codes(lint(tmp_path, script('echo "$OPS_REGOIN"'))) == ["RB008"]
    found = lint(tmp_path, script('echo "${region}"'))
    assert codes(found) == ["RB008"]
    assert 'write "$OPS_REGION"' in found[0].message


@pytest.mark.skipif(shutil.which("sh") is None, reason="no sh")
def test_shellcheck_is_used_where_it_is(tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "shellcheck"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\ncat > /dev/null\necho \'[{"line": 2, "code": 2086, "message": "Double quote"}]\'\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    found = lint(tmp_path, script("true\necho hello"))
    assert [(f.code, f.message) for f in found] == [("RB012", "step script: SC2086: Double quote")]
    assert (tmp_path / "sample.md").read_text().splitlines()[found[0].origin.line - 1] == "echo hello"


def test_reviews_and_unused_parameters_are_warnings(tmp_path):
    found = lint(tmp_path, front=FRONT + PARAMS + "  idle: {type: service, default: chat}\n")
    assert [(f.code, f.level) for f in found] == [("RB017", "warning"), ("RB019", "warning")]
    assert codes(lint(tmp_path, front=FRONT + PARAMS + "review_by: 2026-04-30\n")) == ["RB017"]


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        (None, "no test file sample.test.yaml"),
        ("runbook: Other\ncases: [{name: a, outcome: ok}]\n", "expected Sample"),
        ("runbook: Sample\ncases: []\n", "none"),
        ("runbook: Sample\ncases: [{name: a}]\n", "either `outcome:` or `rejects:`"),
        ("runbook: Sample\ncases: [{name: a, outcome: fine}]\n", "is not one of"),
        ("runbook: Sample\ncases: [{name: a, outcome: ok, ran: [loook]}]\n", "did you mean look?"),
        ("runbook: Sample\ncases: [{name: a, outcome: ok, answers: {look: {vlaue: 1}}}]\n", "did you mean value?"),
        ("runbook: Sample\ncrash_after: some\ncases: [{name: a, outcome: ok}]\n", "each or none"),
    ],
)
def test_test_files(tmp_path, cases, said):
    found = lint(tmp_path, cases=cases)
    assert codes(found)[0] == "RB016"
    assert said in found[0].message


def test_triggers_name_rules_and_rules_name_runbooks(tmp_path):
    rules = RuleNames(
        frozenset({"ChatSlow", "ChatDown"}),
        {"ChatDown": ("Smaple", Origin("r.yaml", 7)), "ChatSlow": ("Sample", Origin("r.yaml", 9))},
    )
    found = lint(tmp_path, front=REVIEWED + "triggers: [{alert: ChatSlwo}]\n", rules=rules)
    assert [(f.code, str(f.origin)) for f in found if f.code == "RB015"] == [("RB015", "r.yaml:7")]
    assert "did you mean Sample?" in next(f.message for f in found if f.code == "RB015")
    assert "did you mean ChatSlow?" in next(f.message for f in found if f.code == "RB014")


def test_two_files_with_one_id(tmp_path):
    lint(tmp_path)
    twin = tmp_path / "twin.md"
    twin.write_text((tmp_path / "sample.md").read_text())
    twin.with_name("twin.test.yaml").write_text(CASES)
    assert codes(lint_files([tmp_path / "sample.md", twin], None, TODAY)) == ["RB005"]


def test_the_reference_page_lists_every_code_and_option():
    import re
    from pathlib import Path

    root = Path(__file__).parents[3]
    page = (root / "docs" / "runbooks.md").read_text()
    sources = [*(root / "opsctl" / "files").glob("*.py"), *(root / "opsctl" / "lint").glob("*.py")]
    used = {code for path in sources for code in re.findall(r"\bRB\d{3}\b", path.read_text())}
    assert used == set(re.findall(r"\bRB\d{3}\b", page))
    from opsctl.files.steps import _OPTIONS

    for option in {name for names in _OPTIONS.values() for name in names}:
        assert f"`{option}`" in page
