"""The local Opsgenie is as strict as the documentation of its Alert API, and behaves badly when it is told to."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from opsctl.demo.servers.opsgenie import start_local_opsgenie
from tests.contract.opsgenie_world import KEY, TEAM_KEY, Opsgenie

READER = "37c8f316-17c6-49d7-899b-9c7e540c048d"
WRITER = "c9cec2cb-e782-4ebb-bc1d-1b2fa703cf03"
KEYS: dict[str, Any] = {
    "default": KEY,
    "reader": {"key": READER, "write": False},
    "writer": {"key": WRITER, "read": False},
}
JSM = "/jsm/ops/integration"


@pytest.fixture(scope="module")
def og(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opsgenie]:
    rates = ("--per-minute", "100000", "--per-second", "100000")
    local = start_local_opsgenie(tmp_path_factory.mktemp("og") / "og.sqlite3", KEYS, options=rates)
    yield Opsgenie(local)
    local.stop()


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"message": None}, "message", "can not be empty"),
    ({"message": "  "}, "message", "can not be empty"),
    ({"message": "m" * 131}, "message", "should not exceed 130 characters"),
    ({"message": "\N{FIRE}" * 66}, "message", "should not exceed 130 characters"),
    ({"alias": "a" * 513}, "alias", "should not exceed 512 characters"),
    ({"description": "d" * 15_001}, "description", "should not exceed 15000 characters"),
    ({"entity": "e" * 513}, "entity", "should not exceed 512 characters"),
    ({"source": "s" * 101}, "source", "should not exceed 100 characters"),
    ({"user": "u" * 101}, "user", "should not exceed 100 characters"),
    ({"note": "n" * 25_001}, "note", "should not exceed 25000 characters"),
    ({"alias": 3}, "alias", "should be a text"),
    ({"priority": "P6"}, "priority", "should be one of [ P1, P2, P3, P4, P5 ]"),
    ({"tags": ["t"] * 21}, "tags", "should not have more than 20 items"),
    ({"tags": ["t" * 51]}, "tags", "no item should exceed 50 characters"),
    ({"tags": "a,b"}, "tags", "should be a list of texts"),
    ({"actions": ["a"] * 11}, "actions", "should not have more than 10 items"),
    ({"actions": ["a" * 51]}, "actions", "no item should exceed 50 characters"),
    ({"details": {"k": "v" * 8_000}}, "details", "should not exceed 8000 characters in all"),
    ({"details": {"k": {"nested": "v"}}}, "details", "should be a map of texts"),
    ({"responders": [{"type": "group", "name": "x"}]}, "responders#type", "Invalid recipient type 'group'"),
    ({"responders": [{"type": "team", "name": ""}]}, "responders[0]", "id or name should be provided"),
    ({"visibleTo": [{"type": "schedule", "name": "x"}]}, "visibleTo#type", "Invalid recipient type 'schedule'"),
]


@pytest.mark.parametrize(("fields", "field", "why"), BAD, ids=[f"{field} {why}" for _, field, why in BAD])
def test_a_body_beyond_the_documented_limits_is_unprocessable(
    og: Opsgenie, fields: dict[str, Any], field: str, why: str
) -> None:
    refused = og.call("POST", "/v2/alerts", {"message": "m", "alias": "never"} | fields)
    assert refused.status == 422
    assert refused.body["message"] == "Request body is not processable. Please check the errors."
    assert refused.body["errors"] == {field: why}
    assert og.alerts("never") == []


def test_a_body_at_every_limit_is_taken(og: Opsgenie) -> None:
    fields = {
        "description": "d" * 15_000,
        "entity": "e" * 512,
        "source": "s" * 100,
        "user": "u" * 100,
        "note": "n" * 25_000,
        "priority": "P5",
        "tags": ["t" * 50] * 20,
        "actions": ["a" * 50] * 10,
        "details": {"k": "v" * 7_999},
        "responders": [{"type": "user", "username": "a@example.com"}, {"type": "escalation", "id": "x"}],
    }
    done = og.result(og.create("l" * 512, "m" * 130, **fields))
    assert (done["isSuccess"], done["success"], done["action"], done["status"]) == (
        True,
        True,
        "Create",
        "Created alert",
    )
    (alert,) = og.alerts("l" * 512)
    assert {name: alert[name] for name in ("description", "tags", "details", "priority")} == {
        name: fields[name] for name in ("description", "tags", "details", "priority")
    }


def test_keys_are_refused_by_their_form_then_by_their_value_then_by_their_rights(og: Opsgenie) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    for key, status, message in (
        (None, 401, "Could not authenticate"),
        (unknown, 401, "Could not authenticate"),
        ("short", 422, "Key format is not valid!"),
    ):
        refused = og.call("POST", "/v2/alerts", {"message": "m"}, key)
        assert (refused.status, refused.body["message"]) == (status, message)
        assert set(refused.body) == {"message", "took", "requestId"}
    assert og.call("GET", "/v2/alerts", key=None, Authorization=f"Bearer {KEY}").status == 401
    for key, method, path in ((READER, "POST", "/v2/alerts"), (WRITER, "GET", "/v2/alerts")):
        refused = og.call(method, path, {"message": "m"} if method == "POST" else None, key)
        assert (refused.status, refused.body["code"]) == (403, 40301)
    assert og.call("GET", "/v2/alerts", key=READER).status == 200


def test_wrong_json_types_paths_and_methods_get_their_own_status(og: Opsgenie) -> None:
    assert og.call("POST", "/v2/alerts", b"{").status == 400
    assert og.call("POST", "/v2/alerts", b"[" * 100_000).status == 400
    assert og.call("POST", "/v2/alerts", []).status == 400
    assert og.call("POST", "/v2/alerts", {"message": "m", "alias": "half \ud800"}).status == 400
    assert og.call("POST", "/v2/alerts", b'{"message": NaN}').status == 400
    assert og.call("GET", "/v2/alerts/%ED%A0%80%00%FF?identifierType=alias").status == 404
    assert og.call("POST", "/v2/alerts", b"").status == 400
    assert og.call("POST", "/v2/alerts", {"message": "m"}, Content_Type="text/plain").status == 415
    assert og.call("POST", "/v2/alerts", {"message": "m"}, Content_Type="application/json; charset=utf-8").status == 202
    assert og.call("POST", "/v2/alerts", b" " * (1 << 21)).status == 413
    assert og.call("GET", "/v2/incidents").status == 404
    assert og.call("PUT", "/v2/alerts", {}).body["message"] == "Request method 'PUT' not supported"
    assert og.call("GET", "/v2/alerts/x?identifierType=name").status == 422
    assert og.act("x", "notes").body["errors"] == {"note": "can not be empty"}
    assert og.act("x", "close", user="u" * 101).status == 422


def test_an_accepted_request_is_carried_out_later_and_says_how_it_went(tmp_path: Path) -> None:
    local = start_local_opsgenie(tmp_path / "og.sqlite3", KEYS, options=("--lag", "0.4"))
    og = Opsgenie(local)
    accepted = og.create("later")
    assert accepted.body["result"] == "Request will be processed"
    assert set(accepted.body) == {"result", "took", "requestId"}
    assert accepted.headers["x-request-id"] == accepted.body["requestId"]
    early = og.call("GET", f"/v2/alerts/requests/{accepted.body['requestId']}")
    assert (early.status, early.body["message"]) == (404, "Request not found. It might not be processed, yet.")
    assert early.headers["x-opsgenie-errortype"] == "RequestNotProcessed"
    assert og.call("GET", "/v2/alerts/later?identifierType=alias").status == 404
    done = og.result(accepted)
    assert (done["alias"], done["isSuccess"]) == ("later", True)
    assert og.call("GET", f"/v2/alerts/{done['alertId']}").body["data"]["alias"] == "later"
    local.stop()


def test_an_open_alias_counts_up_and_a_closed_one_makes_a_new_alert(og: Opsgenie) -> None:
    first = og.result(og.create("life"))
    again = og.result(og.create("life", "other words"))
    assert first["alertId"] == again["alertId"]
    (alert,) = og.alerts("life")
    assert (alert["count"], alert["message"]) == (2, "broken")
    assert alert["lastOccurredAt"] >= alert["createdAt"]
    assert og.result(og.act("life", "close", user="opsctl"))["status"] == "Closed alert"
    second = og.result(og.create("life"))
    assert second["alertId"] != first["alertId"]
    assert [(one["status"], one["count"]) for one in og.alerts("life")] == [("closed", 2), ("open", 1)]


def test_actions_on_what_is_unknown_or_closed_are_accepted_and_then_fail(og: Opsgenie) -> None:
    for verb, action in (("acknowledge", "Acknowledge"), ("close", "Close"), ("notes", "AddNote")):
        gone = og.result(og.act("nobody", verb, note="x"))
        assert (gone["action"], gone["isSuccess"], gone["success"]) == (action, False, False)
        assert (gone["status"], gone["alertId"], gone["alias"]) == ("Alert does not exist", "", "")
    opened = og.result(og.create("over"))
    assert og.result(og.act("over", "close"))["isSuccess"]
    twice = og.result(og.act("over", "close"))
    assert (twice["isSuccess"], twice["status"]) == (False, "Alert does not exist")  # an alias names an open alert only
    by_id = og.result(og.call("POST", f"/v2/alerts/{opened['alertId']}/acknowledge", {}))
    assert by_id["isSuccess"] is False


def test_an_alert_shows_who_took_it_and_who_closed_it(og: Opsgenie) -> None:
    og.result(og.create("taken"))
    shown = og.call("GET", "/v2/alerts/taken?identifierType=alias").body["data"]
    assert (shown["acknowledged"], shown["owner"], shown["status"]) == (False, "", "open")
    assert "report" not in shown
    assert og.result(og.act("taken", "acknowledge"))["status"] == "Acknowledged alert"
    assert og.result(og.act("taken", "notes", note="looking", user="ana"))["isSuccess"]
    assert og.result(og.act("taken", "close", user="ben"))["isSuccess"]
    (alert,) = og.alerts("taken")
    assert (alert["owner"], alert["report"]["acknowledgedBy"], alert["report"]["closedBy"]) == (
        "Alert API",
        "Alert API",
        "ben",
    )
    assert alert["report"]["closeTime"] >= alert["report"]["ackTime"] >= 0
    assert [(note["note"], note["owner"]) for note in alert["notes"]] == [("looking", "ana")]
    by_tiny = og.call("GET", f"/v2/alerts/{alert['tinyId']}?identifierType=tiny").body["data"]
    assert (by_tiny["id"], by_tiny["status"]) == (alert["id"], "closed")


def test_a_person_acts_at_once(og: Opsgenie) -> None:
    og.create("page")
    og.result(og.create("page"))
    assert og.person("acknowledge", "page").status == 200
    assert og.alerts("page")[0]["owner"] == "ana@example.com"
    assert og.person("close", "page", "ben@example.com").status == 200
    assert og.alerts("page")[0]["report"]["closedBy"] == "ben@example.com"
    assert og.person("close", "page").status == 404
    assert og.person("shout", "page").status == 400


def test_searches_understand_fields_times_and_pages_and_refuse_the_rest(og: Opsgenie) -> None:
    for number in range(5):
        og.result(og.create(f"find-{number}", tags=["find"], source="finder"))
    og.result(og.act("find-0", "close"))

    def aliases(query: str, **more: Any) -> list[str]:
        options = "".join(f"&{name}={value}" for name, value in more.items())
        found = og.call("GET", f"/v2/alerts?query={quote(query)}{options}")
        assert found.status == 200, found
        return [one["alias"] for one in found.body["data"]]

    assert aliases("status: open AND tag: find", sort="createdAt", order="asc") == [f"find-{n}" for n in range(1, 5)]
    assert aliases("status:closed source: finder") == ["find-0"]
    assert aliases('alias: "find-1"') == ["find-1"]
    assert aliases('alias: "find-0"') == []  # documented: only an open alert is found by its alias
    assert aliases("tag: find AND createdAt > 4102444800000") == []
    page = og.call("GET", "/v2/alerts?query=tag%3Afind&limit=2&offset=1")
    assert [one["alias"] for one in page.body["data"]] == ["find-3", "find-2"]
    assert "description" not in page.body["data"][0]
    assert "offset=3" in page.body["paging"]["next"]
    for wrong in ("limit=101", "limit=0", "limit=x", "offset=19950&limit=100", "sort=size", "order=up"):
        assert og.call("GET", f"/v2/alerts?{wrong}").status == 422, wrong
    for query in ("(status: open)", "status: open OR tag: x", "colour: red", "status > open", "createdAt: yesterday"):
        assert og.call("GET", f"/v2/alerts?query={quote(query)}").status == 422, query


def test_more_than_the_rate_is_throttled_with_the_documented_headers(tmp_path: Path) -> None:
    local = start_local_opsgenie(tmp_path / "og.sqlite3", KEYS, options=("--per-minute", "3", "--per-second", "100"))
    og = Opsgenie(local)
    answers = [og.create(f"r{number}") for number in range(4)]
    assert [one.status for one in answers] == [202, 202, 202, 429]
    assert answers[0].headers["x-ratelimit-state"] == "OK"
    names = ("x-ratelimit-state", "x-ratelimit-reason", "x-ratelimit-period-in-sec")
    assert [answers[-1].headers[name] for name in names] == ["THROTTLED", "ACCOUNT", "60"]
    assert answers[-1].body["message"] == "You are making too many requests!"
    assert og.call("GET", "/v2/alerts").status == 200  # searches have a limit of their own
    local.stop()


def test_jira_service_management_keeps_the_events_and_not_the_reading(og: Opsgenie) -> None:
    jsm = Opsgenie(og.local, JSM)
    assert jsm.result(jsm.create("jsm"))["isSuccess"]
    assert jsm.result(jsm.act("jsm", "acknowledge"))["isSuccess"]
    assert jsm.result(jsm.act("jsm", "close"))["isSuccess"]
    assert og.alerts("jsm")[0]["status"] == "closed"
    assert jsm.call("GET", f"{JSM}/v2/alerts").status == 405
    assert jsm.call("GET", f"{JSM}/v2/alerts/jsm?identifierType=alias").status == 404


# -- faults


def test_a_lost_request_leaves_nothing_and_a_lost_reply_leaves_an_alert(og: Opsgenie) -> None:
    for kind, left in (("lose_request", 0), ("lose_reply", 1)):
        og.faults({"match": {"action": "create", "alias": f"cut-{kind}", "times": 1}, "do": kind})
        with pytest.raises((ConnectionError, urllib.error.URLError)):
            og.create(f"cut-{kind}")
        time.sleep(0.1)
        assert len(og.alerts(f"cut-{kind}")) == left
        assert og.log()[-1]["status"] is None
        assert og.create(f"cut-{kind}").status == 202
    og.faults()


def test_a_script_answers_a_status_slowly_or_drop_by_drop(og: Opsgenie) -> None:
    og.faults(
        {"match": {"nth": 1}, "do": "status", "status": 429, "retry_after": 7},
        {"match": {"nth": 1}, "do": "status", "status": 503},
        {"match": {"nth": 1}, "do": "slow", "seconds": 0.3},
        {"match": {"nth": 1}, "do": "drip", "seconds": 0.005},
    )
    first, second = og.create("s1"), og.create("s1")
    assert (first.status, first.headers["retry-after"], first.headers["x-ratelimit-state"]) == (429, "7", "THROTTLED")
    assert second.status == 503
    assert "retry-after" not in second.headers
    for least in (0.3, 0.3):
        began = time.monotonic()
        assert og.create("s2").status == 202
        assert time.monotonic() - began >= least
    og.faults()
    assert og.alerts("s1") == []


def test_what_is_accepted_may_stay_invisible_or_show_later(og: Opsgenie) -> None:
    og.faults(
        {"match": {"alias": "ghost"}, "do": "accept_invisible"},
        {"match": {"alias": "late"}, "do": "accept_later", "seconds": 0.5},
    )
    ghost, late = og.create("ghost"), og.create("late")
    assert (ghost.status, late.status) == (202, 202)
    time.sleep(0.1)
    assert og.alerts("late") == []
    assert og.result(late)["isSuccess"]
    assert og.alerts("ghost") == []
    assert og.call("GET", f"/v2/alerts/requests/{ghost.body['requestId']}").status == 404
    og.faults()


def test_the_clock_can_be_moved_so_that_what_is_accepted_for_later_is_there(tmp_path: Path) -> None:
    local = start_local_opsgenie(tmp_path / "og.sqlite3", KEYS)
    og = Opsgenie(local)
    og.faults({"match": {"integration": "default"}, "do": "accept_later", "seconds": 600})
    og.create("tomorrow")
    assert og.alerts("tomorrow") == []
    assert og.call("POST", "/_clock", {"advance": 601}).status == 200
    assert [one["status"] for one in og.alerts("tomorrow")] == ["open"]
    for wrong in ({}, {"advance": "x"}, {"advance": 1e300}, []):
        assert og.call("POST", "/_clock", wrong).status == 400
    local.stop()


def test_a_wrong_script_or_person_is_refused_in_one_line(og: Opsgenie) -> None:
    refused = og.call("PUT", "/_faults", [{"do": "explode"}])
    assert (refused.status, refused.body["message"][:8]) == (400, "rule 0: ")
    assert og.call("PUT", "/_faults", b"{").status == 400
    assert og.call("POST", "/_person", b"[1]").status == 400
    assert og.call("GET", "/_nothing").status == 404


# -- the process


def test_a_202_survives_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "og.sqlite3"
    first = start_local_opsgenie(state, KEYS, options=("--lag", "0.3"))
    assert Opsgenie(first).create("kept").status == 202
    first.process.kill()
    first.stop()
    second = start_local_opsgenie(state, KEYS)
    og = Opsgenie(second)
    until = time.monotonic() + 5
    while not og.alerts("kept") and time.monotonic() < until:
        time.sleep(0.02)
    assert [one["status"] for one in og.alerts("kept")] == ["open"]
    second.stop()
    assert KEY.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_the_process_ends_with_its_parent_and_says_what_is_wrong_with_its_keys(tmp_path: Path) -> None:
    local = start_local_opsgenie(tmp_path / "og.sqlite3", {"default": KEY, "money": TEAM_KEY})
    assert local.process.stdin is not None
    local.process.stdin.close()
    assert local.process.wait(5) == 0
    local.stop()
    for keys in ("[]", '{"a": "short"}', json.dumps({"a": {"key": KEY, "delete": True}}), "{"):
        command = [sys.executable, "-m", "opsctl.demo.servers.opsgenie", "--state", str(tmp_path / "x.sqlite3")]
        done = subprocess.run(command, input=keys + "\n", capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "short" not in done.stderr
        assert KEY not in done.stderr


@pytest.mark.parametrize(
    "options", [["--state", "."], ["--port", "99999"], ["--lag", "nan"], ["--faults", "/nowhere.json"]], ids=" ".join
)
def test_a_start_that_cannot_be_is_one_line(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "opsctl.demo.servers.opsgenie", "--state", str(tmp_path / "x.sqlite3"), *options]
    keys = json.dumps({"default": KEY}) + "\n"
    done = subprocess.run(command, input=keys, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
