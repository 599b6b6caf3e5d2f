"""From Markdown to a runbook: what is a step, and what each wrong option says and where."""

from datetime import timedelta

import pytest

from opsctl.core.runbooks import Approval, Idempotency, IntType, Kind, Request, Role
from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.runbooks import load_runbooks, parse_runbook
from tests.unit.runbooks.documents import FRONT, LOOK, PARAMS, book, change, document, fence


def findings(*fences: str, front: str = FRONT + PARAMS):
    return parse_runbook(document(*fences, front=front), "sample.md")[1]


def test_a_whole_runbook():
    runbook = book(
        LOOK,
        "```bash\necho documentation only\n```\n",
        fence("approval", "May we?", id="go", policy="two", ttl="10m"),
        change(
            "shed", requires="go", undo="unshed", capture="state = body.state", retries="2", timeout="10s   # short"
        ),
        fence(
            "promql",
            'up{region="${region}"} == 1',
            id="back",
            expect="value == 1",
            poll="15s",
            for_="2m",
            timeout="10m",
        ),
        change("unshed", role="undo"),
        front=FRONT + PARAMS + "approvals: {two: {min: 2, not_author: true, roles: [play]}}\nmax_duration: 2h\n",
    )
    assert [step.id for step in runbook.steps] == ["look", "go", "shed", "back", "unshed"]
    assert [step.id for step in runbook.flow] == ["look", "go", "shed", "back"]
    shed = runbook.step("shed")
    assert shed is not None
    assert isinstance(shed.body, Request)
    assert (shed.kind, shed.idempotency, shed.undo, shed.retries) == (Kind.HTTP, Idempotency.KEY, "unshed", 2)
    assert (shed.timeout, shed.capture) == (timedelta(seconds=10), (("state", "body.state"),))
    go = runbook.step("go")
    assert go is not None
    assert isinstance(go.body, Approval)
    assert (go.body.ttl, runbook.policy(go).min) == (timedelta(minutes=10), 2)
    assert runbook.step("unshed").role is Role.UNDO
    assert runbook.step("back").timeout == timedelta(minutes=10)
    assert runbook.step("look").timeout == timedelta(seconds=60)


def test_line_numbers_are_those_of_the_file():
    text = document(LOOK, fence("promql", "up", id="two", expcet="1 == 1"))
    found = parse_runbook(text, "sample.md")[1]
    line = text.splitlines().index("#| expcet: 1 == 1") + 1
    assert [(f.origin.line, f.code) for f in found] == [(line, "RB004")]
    assert "did you mean expect?" in found[0].message


@pytest.mark.parametrize(
    ("front", "code", "said"),
    [
        (FRONT.replace("version: 1\n", ""), "RB002", "`version:` is missing"),
        (FRONT.replace("owner", "ownr"), "RB002", "did you mean owner?"),
        (FRONT.replace("runbook: Sample", "runbook: ../x"), "RB002", "is not a name"),
        (FRONT + "severity: loud\n", "RB002", "page, ticket, show"),
        (FRONT + "max_duration: soon\n", "RB002", "expected|is not a duration"),
        (FRONT + "review_by: tomorrow\n", "RB002", "is not a date"),
        (FRONT + "triggers: [{match: {a: b}}]\n", "RB002", "`alert:` is missing"),
        (FRONT + "approvals: {go: {min: 0}}\n", "RB002", "1 to 10"),
        (FRONT + "approvals: {go: {not_author: maybe}}\n", "RB002", "true or false"),
        (FRONT + "secrets: {t: {token: abc}}\n", "RB002", "exactly one of"),
        (FRONT + "services: chat\n", "RB001", "twice"),
        (FRONT + "a: [\n", "RB001", "not YAML"),
        (FRONT + "params: {x: {type: enm, values: [a]}}\n", "RB003", "did you mean enum?"),
        (FRONT + "params: {x: {type: enum}}\n", "RB003", "`values:` is missing"),
        (FRONT + "params: {x: {type: int, min: 5, max: 1}}\n", "RB003", "the smaller first"),
        (FRONT + "params: {x: {type: int, min: 1, max: 9, default: 10}}\n", "RB003", "from 1 to 9"),
        (FRONT + "params: {x: {type: pattern, pattern: abc}}\n", "RB003", "anchored"),
        (FRONT + "params: {x: {type: pattern, pattern: '^($'}}\n", "RB003", "pattern"),
        (FRONT + "params: {X: {type: service}}\n", "RB003", "expected a name"),
        (FRONT + "params: {value: {type: service}}\n", "RB003", "expected a name"),
        (FRONT + "params: {x: {type: url, from: alert.labels.url}}\n", "RB003", "must not say where requests go"),
        (FRONT + "params: {x: {type: service, from: labels.x}}\n", "RB003", "alert.labels.NAME or env.NAME"),
        (FRONT + "params: {x: {type: enum, values: [a], patern: b}}\n", "RB003", "unknown key"),
    ],
)
def test_what_is_wrong_in_the_front_matter(front, code, said):
    found = findings(LOOK, front=front)
    assert any(f.code == code for f in found), found
    import re

    assert any(re.search(said, f.message) for f in found), found


@pytest.mark.parametrize(
    ("step", "code", "said"),
    [
        (fence("prmql", "up", id="x"), "RB004", "did you mean promql?"),
        (fence("promql", "up", id="X y"), "RB004", "is not a name"),
        (fence("promql", "up", title="no id"), "RB004", "would not run"),
        (fence("promql", "up", id="x") + fence("promql", "up", id="x"), "RB005", "also in line"),
        (fence("promql", "up", id="x", mutates="a"), "RB004", "no option 'mutates'"),
        (fence("promql", "up", id="x", timeout="soon"), "RB004", "is not a duration"),
        (fence("promql", "up", id="x", timeout="48h"), "RB004", "at most 24h"),
        (fence("promql", "up", id="x", retries="99"), "RB004", "0 to 10"),
        (fence("promql", "up", id="x", poll="1m"), "RB004", "says `expect:`"),
        (fence("promql", "up", id="x", for_="1m"), "RB004", "needs `poll:`"),
        (fence("promql", "up", id="x", poll="1m", for_="1m", expect="absent"), "RB004", "do not fit"),
        (fence("promql", "up", id="x", expect="value <"), "RB009", "expected a value"),
        (fence("promql", "up", id="x", expect="status == 200"), "RB009", "no value 'status'"),
        (fence("promql", "up", id="x", capture="a = body.x"), "RB009", "no such value"),
        (fence("promql", "up", id="x", capture="value = value"), "RB008", "is taken"),
        (fence("promql", "up", id="x", capture="a b"), "RB004", "name = path"),
        (fence("promql", 'up{a="${nope}"}', id="x"), "RB008", "no parameter"),
        (fence("promql", "up > ${region}", id="x"), "RB010", "has to stand in quotes"),
        (fence("promql", "", id="x"), "RB010", "nothing follows"),
        (fence("promql", "up", id="x", on_fail="explode"), "RB004", "stop, end, undo"),
        (fence("promql", "up", id="x", on_fail="goto nowhere"), "RB007", "no such step"),
        (LOOK + fence("promql", "up", id="x", on_fail="goto look"), "RB007", "further down"),
        (fence("promql", "up", id="x", role="undo"), "RB007", "never runs"),
        (fence("http", "FETCH ${admin}/x", id="x"), "RB010", "METHOD"),
        (fence("http", "GET ${admin}/x\nno header", id="x"), "RB010", "Header: value"),
        (fence("http", "GET ${admin}/x\nHost: y", id="x"), "RB010", "sets the header"),
        (fence("http", "GET http://far.example.net/x", id="x"), "RB010", "base of an address"),
        (fence("http", "GET ${region}/x", id="x"), "RB010", "base of an address"),
        (fence("http", "PUT ${admin}/x", id="x"), "RB006", "say `mutates:`"),
        (fence("bash", "true", id="x"), "RB006", "say `mutates:`"),
        (change("x", requires=""), "RB006", "`requires:` is missing"),
        (change("x", idempotency=""), "RB006", "`idempotency:` is missing"),
        (change("x", undo=""), "RB006", "`undo:` is missing; `none` has to be written down"),
        (change("x", timeout=""), "RB006", "`timeout:` is missing"),
        (change("x", idempotency="check"), "RB006", "needs `check:`"),
        (change("x", idempotency="often"), "RB004", "is not one of natural, key, check, never"),
        (change("x", idempotency="never", retries="1"), "RB004", "repeated blindly"),
        (change("x", requires="look") + LOOK, "RB020", "is not an approval step"),
        (change("x", requires="go") + fence("approval", "?", id="go"), "RB020", "has to stand above"),
        (change("x", undo="look") + LOOK, "RB007", "needs `role: undo`"),
        (change("x", undo="gone"), "RB007", "no step 'gone'"),
        (change("x", idempotency="check", check="look") + LOOK, "RB007", "needs `role: check`"),
        (
            change("x", undo="y") + change("y", role="undo", requires="go") + fence("approval", "?", id="go"),
            "RB007",
            "must not wait",
        ),
        (fence("approval", "?", id="go", policy="gone"), "RB020", "is not in `approvals:`"),
        (fence("approval", "?", id="go", expect="absent"), "RB004", "no option 'expect'"),
        (fence("http", "GET ${admin}/x\nAuthorization: ${secret.t}", id="x"), "RB018", "does not name t"),
        (fence("http", "GET ${admin}/${secret.t}", id="x"), "RB018", "header only"),
        (fence("bash", "true", id="x", mutates="none", secrets="t"), "RB018", "not in `secrets:`"),
        ("```promql\n#| id x\nup\n```\n", "RB004", "option: value"),
        ("```promql\n#| id: x\n#| id: y\nup\n```\n", "RB004", "twice"),
        ("nothing runs here\n", "RB004", "no step"),
    ],
)
def test_what_is_wrong_in_a_step(step, code, said):
    found = findings(step)
    assert any(f.code == code and said in f.message for f in found), found
    assert all(f.origin.path == "sample.md" and f.origin.line > 1 for f in found)


def test_a_script_that_must_be_repeatable_cannot_send_a_key():
    step = fence("bash", "true", id="x", mutates="a", requires="none", idempotency="key", undo="none", timeout="5s")
    assert any("only an http step" in f.message for f in findings(step))


@pytest.mark.parametrize("text", ["", "# no front matter\n", "---\n---\n", "---\nrunbook: x\n", "---\n- a\n---\n"])
def test_what_is_no_runbook_at_all(text):
    runbook, found = parse_runbook(text, "x.md")
    assert runbook is None
    assert found


def test_a_captured_value_may_be_used_below_and_not_above():
    use = fence("promql", 'up{region="${where}"}', id="use")
    make = fence("promql", "up", id="make", capture="where = labels.region")
    book(make, use)
    assert any(f.code == "RB008" for f in findings(use, make))


def test_a_captured_value_never_says_where_a_request_goes():
    make = fence("promql", "up", id="make", capture="host = labels.host")
    call = fence("http", "GET https://${host}.example.net/x", id="call")
    assert any("must not say where" in f.message for f in findings(make, call))


def test_folders_are_read_and_every_wrong_file_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.md").write_text(document(LOOK))
    (tmp_path / "README.md").write_text("not a runbook")
    assert [b.id for b in load_runbooks(["a", "."], tmp_path)] == ["Sample"]
    (tmp_path / "two.md").write_text(document(LOOK))
    with pytest.raises(ConfigError, match="runbook Sample is also in"):
        load_runbooks(["."], tmp_path)
    (tmp_path / "two.md").write_text(document(fence("promql", "up", id="x", timeout="soon")))
    (tmp_path / "three.md").write_text("nothing")
    with pytest.raises(ConfigErrors) as caught:
        load_runbooks(["."], tmp_path)
    assert {"two.md", "three.md"} <= {error.path.rpartition("/")[2] for error in caught.value.errors}
    with pytest.raises(ConfigError, match="no such runbook"):
        load_runbooks(["gone"], tmp_path)
    with pytest.raises(ConfigError, match="shipped folder"):
        load_runbooks(["bundled:../../etc"], tmp_path)


def test_the_digest_is_of_the_exact_text():
    one, two = book(LOOK), parse_runbook(document(LOOK) + "\n", "sample.md")[0]
    assert two is not None
    assert one.digest != two.digest


def test_an_integer_parameter_is_typed():
    runbook = book(LOOK, front=FRONT + "params: {n: {type: int, min: 1, max: 9, default: 3}}\n")
    assert runbook.params[0].type == IntType(1, 9)
