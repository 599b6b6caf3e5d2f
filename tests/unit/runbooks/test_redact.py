"""Secrets never come out, however they are encoded and wherever the stream is cut."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.adapters.redact import MASK, Redactor, redact, redact_values

SECRET = 'p@ss/w"rd +7\\ü'
FORMS = {
    "raw": SECRET,
    "url": quote(SECRET, safe=""),
    "url path": quote(SECRET),
    "form": quote_plus(SECRET),
    "url in small letters": quote(SECRET, safe="").lower().replace("p%", "p%"),
    "json": json.dumps(SECRET)[1:-1],
    "json utf-8": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 url": base64.urlsafe_b64encode(SECRET.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_masked(form):
    assert redact(f"a {FORMS[form]} b", [SECRET]) == "a [redacted] b"


@pytest.mark.parametrize("before", ["u:", "us:", "use:"])
def test_base64_of_a_longer_text_does_not_give_it_away(before):
    encoded = base64.b64encode(f"{before}{SECRET}!".encode()).decode()
    shown = redact(encoded, [SECRET])
    assert MASK.decode() in shown
    left = shown.split(MASK.decode())
    assert sum(map(len, left)) <= len(encoded) - len(SECRET.encode()) * 8 // 6 + 3


@given(st.data())
def test_a_cut_anywhere_changes_nothing(data):
    form = data.draw(st.sampled_from(sorted(FORMS.values())))
    text = data.draw(st.text(alphabet="abp@% ", max_size=20)) + form + data.draw(st.text(max_size=20)) + form
    raw = text.encode("utf-8", "surrogatepass")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    stream, out = Redactor([SECRET]), b""
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        out += stream.feed(raw[start:end])
    out += stream.flush()
    whole = Redactor([SECRET])
    assert out == whole.feed(raw) + whole.flush()
    assert form.encode() not in out


@given(st.binary(max_size=60), st.integers(1, 7))
def test_without_secrets_every_byte_comes_out_unchanged(raw, size):
    stream = Redactor([])
    out = b"".join(stream.feed(raw[at : at + size]) for at in range(0, len(raw), size)) + stream.flush()
    assert out == raw


def test_the_longer_of_two_secrets_goes_first():
    assert redact("abcdef abc", ["abc", "abcdef"]) == "[redacted] [redacted]"


def test_values_are_masked_in_texts_and_names():
    assert redact_values({"k": ["s3cret", 1, None], "s3cret": True}, ("s3cret",)) == {
        "k": ["[redacted]", 1, None],
        "[redacted]": True,
    }
