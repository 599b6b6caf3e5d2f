"""Values into steps: whatever a value is, the shape of what it goes into stays the same."""

import json
import os
import re
import subprocess
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.core.binding import BindError, bind_json, bind_promql, bind_request, bind_url, environment, preview
from opsctl.core.runbooks import Request

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            '"} or vector(1) #',
            "a\\",
            '\\"',
            "'",
            "`",
            "\n",
            "\x1b[31m",
            "../..",
            "%2e%2e",
            "?a=b&c",
            "#f",
            '","x":"',
            "${other}",
            "\u2028",
        ]
    ),
)


def tokens(expression: str) -> list[str]:
    """Strings and the rest of a PromQL expression, by a lexer of the test's own."""
    return re.findall(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|[^"\']+', expression)


@given(HOSTILE)
def test_promql_a_value_stays_inside_its_quotes(value):
    for template in ('sum(rate(x{a="${v}",b="c"}[5m])) > 1', "x{a='${v}'} + 1"):
        try:
            bound = bind_promql(template, {"v": value})
        except BindError:
            assert any(0xD800 <= ord(ch) <= 0xDFFF for ch in value)
            return
        parts, model = tokens(bound), tokens(template)
        assert len(parts) == len(model)
        assert [p for p in parts if p[0] not in "\"'"] == [p for p in model if p[0] not in "\"'"]
        assert bound.isprintable()
        inside = next(p for p, m in zip(parts, model, strict=True) if "${v}" in m)[1:-1]
        assert re.sub(r"\\x(..)|\\U(.{8})|\\(\\)", _unescaped, inside) == value


def _unescaped(match: re.Match[str]) -> str:
    return "\\" if match[3] else chr(int(match[1] or match[2], 16))


@given(HOSTILE)
def test_promql_a_value_in_a_pattern_matches_itself_only(value):
    try:
        bound = bind_promql('x{a=~"${v}"}', {"v": value})
    except BindError:
        return
    inside = re.sub(r"\\x(..)|\\U(.{8})|\\(\\)", _unescaped, tokens(bound)[1][1:-1])
    assert re.fullmatch(inside, value)
    assert not re.fullmatch(inside, value + "x")


def test_promql_numbers_and_durations_stand_bare_and_texts_do_not():
    bound = bind_promql("topk(${n}, x[${w}]) > ${f}", {"n": 3, "w": timedelta(minutes=5), "f": -0.5})
    assert bound == "topk(3, x[5m]) > -0.5"
    for value in ("3", "5m", "x or y", True, float("nan"), float("inf")):
        with pytest.raises(BindError, match="not a number or a duration"):
            bind_promql("x > ${v}", {"v": value})


@pytest.mark.parametrize("template", ["foo${n}", "${n}m", "x[${n}m]", '"a"${n}', "a:${n}", "1.${n}"])
def test_promql_a_number_never_becomes_part_of_a_word(template):
    with pytest.raises(BindError, match="touches"):
        bind_promql(template, {"n": 5})


def test_promql_backticks_and_broken_variables_are_refused_and_comments_left_alone():
    with pytest.raises(BindError, match="backticks"):
        bind_promql("x{a=`${v}`}", {"v": "y"})
    with pytest.raises(BindError, match="`\\$\\{`"):
        bind_promql("x > ${ v }", {"v": 1})
    assert bind_promql("x # ${v}\n> 1", {"v": "\n or y"}) == "x # ${v}\n> 1"
    with pytest.raises(BindError, match="no value for"):
        bind_promql('x{a="${gone}"}', {})


@given(HOSTILE)
def test_url_a_value_is_one_segment_or_one_query_value(value):
    template = "https://admin.example.net/v1/${v}/state?who=${v}&x=1"
    try:
        bound = bind_url(template, {"v": value})
    except (BindError, UnicodeEncodeError):
        assert value in {"", ".", ".."} or any(0xD800 <= ord(ch) <= 0xDFFF for ch in value)
        return
    parts = urlsplit(bound)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "admin.example.net", "")
    segments = parts.path.split("/")
    assert len(segments) == 4
    assert unquote(segments[2]) == value
    assert segments[2] not in {"", ".", ".."}
    assert parse_qs(parts.query, keep_blank_values=True) == {"who": [value], "x": ["1"]}


@given(HOSTILE)
def test_url_a_value_in_a_host_is_a_label_or_refused(value):
    try:
        bound = bind_url("https://promo.${v}.internal/v1", {"v": value})
    except BindError:
        return
    assert re.fullmatch(r"https://promo\.[A-Za-z0-9-]+\.internal/v1", bound, re.IGNORECASE)


@given(HOSTILE)
def test_url_a_base_is_checked_again_when_it_is_used(value):
    with pytest.raises(BindError):
        bind_url("${v}/v1", {"v": value})


@pytest.mark.parametrize(
    "template",
    [
        "ftp://x/y",
        "https://u:p@x/y",
        "https://x/a b",
        "/v1",
        "https://x/y?${v}=1",
        "http://far.example.net/x",
        "https://x/${v",
    ],
)
def test_url_templates_that_are_none(template):
    with pytest.raises(BindError):
        bind_url(template, {"v": "a"})


@given(HOSTILE)
def test_json_a_value_never_changes_the_shape(value):
    template = '{"percent": ${n}, "reason": "opsctl ${v}", "list": ["${v}", ${v}, ${w}], "flag": true}'
    try:
        document = json.loads(bind_json(template, {"n": 60, "v": value, "w": timedelta(hours=1)}))
    except BindError:
        assert any(0xD800 <= ord(ch) <= 0xDFFF for ch in value)
        return
    assert document == {"percent": 60, "reason": f"opsctl {value}", "list": [value, value, "1h"], "flag": True}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{", "not JSON"),
        ('{"${v}": 1}', "name of a member"),
        ('{"a": ${v}x}', "not JSON"),
        ('{"a": ${gone}}', "no value"),
        ('{"a": ${nan}}', "not a JSON number"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_json_templates_and_values_that_are_none(template, said):
    with pytest.raises(BindError, match=said):
        bind_json(template, {"v": "x", "nan": float("nan")})


@given(HOSTILE)
def test_a_header_value_is_printable_ascii_or_refused(value):
    request = Request("PUT", "https://x.example.net/y", (("X-Who", "me ${v}"), ("Authorization", "Bearer ${secret.t}")))
    try:
        bound = bind_request(request, {"v": value})
    except BindError:
        assert not (value.isascii() and value.isprintable())
        return
    assert bound.headers == (("X-Who", f"me {value}"), ("Authorization", "Bearer ${secret.t}"))


def test_a_body_that_is_not_json_takes_no_variables():
    request = Request("POST", "https://x.example.net/y", (("Content-Type", "text/plain"),), "hello ${v}")
    with pytest.raises(BindError, match="JSON bodies only"):
        bind_request(request, {"v": "x"})


@settings(max_examples=25, deadline=None)
@given(HOSTILE)
def test_bash_sees_the_value_and_nothing_of_it_runs(value):
    try:
        variables = dict(environment({"v": value}))
    except BindError:
        assert "\0" in value
        return
    try:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", 'printf %s "$OPS_V"'],
            env={"PATH": os.environ["PATH"], **variables},
            capture_output=True,
            check=True,
        )
    except UnicodeEncodeError:
        return
    assert done.stdout == os.fsencode(value)


def test_a_preview_is_what_is_sent_and_keeps_secrets_out():
    request = Request("PUT", "${base}/v1/shed", (("Authorization", "Bearer ${secret.t}"),), '{"percent": ${n}}')
    bound = bind_request(request, {"base": "http://127.0.0.1:8080", "n": 60})
    assert preview(bound, "r/shed").splitlines() == [
        "PUT http://127.0.0.1:8080/v1/shed",
        "Authorization: Bearer ${secret.t}",
        "Content-Type: application/json",
        "Idempotency-Key: r/shed",
        "",
        '{"percent": 60}',
    ]
