"""Faults by script: which request a rule acts on, and how wrong scripts are refused."""

from __future__ import annotations

from typing import Any

import pytest

from opsctl.demo.servers.faults_script import Asked, BadScript, Fault, FaultScript

CREATE = Asked("POST", "/v2/alerts", "create", "opsctl:1")


def kinds(script: FaultScript, *asked: Asked) -> list[str]:
    found = [script.next(one) for one in asked]
    return [fault.kind if fault else "" for fault in found]


@pytest.mark.parametrize(
    ("match", "acts"),
    [
        ({}, True),
        ({"method": "post"}, True),
        ({"method": "GET"}, False),
        ({"path": "/v2/*"}, True),
        ({"path": "/v2"}, False),
        ({"action": "create"}, True),
        ({"action": "close"}, False),
        ({"alias": "opsctl:?"}, True),
        ({"dedup_key": "OPSCTL:1"}, False),
        ({"action": "create", "alias": "other*"}, False),
        ({"probability": 0}, False),
        ({"probability": 1}, True),
    ],
)
def test_every_member_of_a_match_must_hold(match: dict[str, Any], acts: bool) -> None:
    assert kinds(FaultScript([{"match": match, "do": "lose_request"}]), CREATE) == ["lose_request" if acts else ""]


def test_nth_from_to_and_times_count_the_requests_that_the_rest_holds_for() -> None:
    other = Asked("POST", "/v2/alerts", "create", "else")
    for match, acted in (
        ({"nth": 2}, [2]),
        ({"from": 2, "to": 3}, [2, 3]),
        ({"from": 3}, [3, 4]),
        ({"times": 2}, [1, 2]),
        ({"from": 2, "times": 1}, [2]),
    ):
        script = FaultScript([{"match": {"alias": "opsctl:*"} | match, "do": "slow"}])
        found = kinds(script, other, CREATE, other, CREATE, CREATE, CREATE)
        assert [place for place, kind in enumerate([found[1], *found[3:]], 1) if kind] == acted, match
        assert script.shown()[0]["seen"] == 4


def test_a_probability_is_drawn_from_the_rules_own_generator_so_that_a_run_can_be_repeated() -> None:
    script = [{"match": {"probability": 0.3, "seed": 7}, "do": "lose_reply"}]
    first = kinds(FaultScript(script), *[CREATE] * 500)
    assert first == kinds(FaultScript(script), *[CREATE] * 500)
    assert first != kinds(
        FaultScript([{"match": {"probability": 0.3, "seed": 8}, "do": "lose_reply"}]), *[CREATE] * 500
    )
    assert 100 < first.count("lose_reply") < 200


def test_the_first_rule_that_acts_wins_and_our_own_paths_are_never_touched() -> None:
    script = FaultScript([{"match": {"nth": 1}, "do": "drip"}, {"do": "status", "status": 429, "retry_after": 7}])
    assert script.next(CREATE) == Fault("drip", 0.2)
    assert script.next(CREATE) == Fault("status", 0.0, 429, "7")
    assert script.next(Asked("GET", "/_faults")) is None


def test_only_some_faults_carry_a_request_out_at_once() -> None:
    done = [kind for kind in ("slow", "drip", "lose_reply") if Fault(kind).carried_out]
    left = [kind for kind in ("status", "lose_request", "accept_invisible", "accept_later") if Fault(kind).carried_out]
    assert (done, left) == (["slow", "drip", "lose_reply"], [])


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ({}, "expected a list of rules"),
        (["x"], "rule 0: expected an object"),
        ([{"do": "slow"}, {"do": "explode"}], "rule 1: do: expected one of"),
        ([{"do": "slow", "when": {}}], "unknown member 'when'"),
        ([{"do": "slow", "match": []}], "match: expected an object"),
        ([{"do": "slow", "match": {"key": "x"}}], "unknown member 'key'"),
        ([{"do": "slow", "match": {"alias": "x", "dedup_key": "x"}}], "are one thing"),
        ([{"do": "slow", "match": {"nth": 0}}], "match.nth: expected a whole number from 1"),
        ([{"do": "slow", "match": {"nth": True}}], "match.nth"),
        ([{"do": "slow", "match": {"probability": 2}}], "match.probability: expected a number from 0 to 1"),
        ([{"do": "slow", "match": {"path": 3}}], "match.path: expected a text"),
        ([{"do": "slow", "seconds": 1e9}], "seconds: expected a number from 0 to 3600"),
        ([{"do": "slow", "status": 500}], "go with do = status only"),
        ([{"do": "status", "status": 99}], "expected an HTTP status"),
        ([{"do": "status", "retry_after": "7\r\nX: y"}], "a text that a header can carry"),
    ],
)
def test_a_wrong_script_is_refused_in_one_line_and_the_old_one_stays(script: Any, says: str) -> None:
    kept = FaultScript([{"do": "slow"}])
    with pytest.raises(BadScript, match=r"^[^\n]+$") as refused:
        kept.load(script)
    assert says in str(refused.value)
    assert kinds(kept, CREATE) == ["slow"]


def test_what_is_shown_can_be_loaded_again() -> None:
    script = FaultScript([{"match": {"nth": 1}, "do": "slow", "seconds": 0.5}])
    assert kinds(script, CREATE, CREATE) == ["slow", ""]
    script.load(script.shown())
    assert kinds(script, CREATE) == ["slow"]
