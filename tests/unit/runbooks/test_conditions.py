"""The condition language: what holds, what cannot be compared, what is not a condition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.core.conditions import ConditionError, holds, parse_condition, roots

VALUES = {
    "status": 200,
    "value": 0.005,
    "absent": False,
    "body": {"state": "shed", "items": [{"id": "a"}, {"id": "b"}], "none": None, "n": 3},
    "stdout": "all good\n",
}


@pytest.mark.parametrize(
    "text",
    [
        "status == 200",
        "status in [200, 204]",
        "value < 0.01 and status != 500",
        "not absent",
        "absent or value < 0.01",
        'body.state == "shed"',
        'body.items.1.id == "b"',
        "body.none == null",
        'stdout contains "good"',
        '"al" in stdout',
        "not (status == 500 or status == 503)",
        "body.n >= 3 and body.n <= 3.0",
        "value > -1 and value < 1e-2",
        'body.state < "t"',
    ],
)
def test_what_holds(text):
    assert holds(parse_condition(text), VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "status == 201",
        'status == "200"',
        "absent",
        "status == true",
        "body.n == null",
        "not status == 200",
        "1 == true",
    ],
)
def test_what_does_not_hold_is_false_and_kinds_are_never_mixed(text):
    assert not holds(parse_condition(text), VALUES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("missing == 1", "no value missing"),
        ("body.items.9.id == 1", "no value body.items.9.id"),
        ("value.x == 1", "no value value.x"),
        ('status < "3"', "cannot compare a number with a text"),
        ("body < 3", "cannot compare an object with a number"),
        ("status", "expected true or false"),
        ("status contains 2", "cannot contain"),
        ("absent < 1", "cannot compare true or false with a number"),
    ],
)
def test_a_value_that_is_missing_or_of_another_kind_is_an_error_not_a_pass(text, said):
    with pytest.raises(ConditionError, match=said):
        holds(parse_condition(text), VALUES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a value at the end"),
        ("status ==", "expected a value at the end"),
        ("status == 200 200", "and, or, or the end"),
        ("(status == 200", r"expected \)"),
        ("status = 200", "unexpected '='"),
        ("__import__(x)", "and, or, or the end"),
        ("value in [status]", "constants only"),
        ("== 3", "expected a value"),
        ("not", "expected a value"),
        ("(" * 60 + "absent" + ")" * 60, "levels deep"),
        ("not " * 60 + "absent", "levels deep"),
    ],
)
def test_what_is_not_a_condition_says_where(text, said):
    with pytest.raises(ConditionError, match=said):
        parse_condition(text)


def test_attributes_and_methods_are_out_of_reach():
    for path in ("body.keys", "stdout.__class__", "body.__class__.__mro__", "stdout.0"):
        with pytest.raises(ConditionError, match="no value"):
            holds(parse_condition(f"{path} == 1"), VALUES)


def test_roots_are_what_the_step_has_to_offer():
    assert roots(parse_condition("a.b == 1 and (not c or d in [1])")) == {"a", "c", "d"}


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_a_condition_error(text):
    try:
        parse_condition(text)
    except ConditionError:
        return


@given(st.text(max_size=30))
def test_a_text_constant_is_compared_as_it_is(text):
    import json

    assert holds(parse_condition(f"x == {json.dumps(text)}"), {"x": text})
