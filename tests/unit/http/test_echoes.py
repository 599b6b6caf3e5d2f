"""What a server repeats of our own request is masked, and data is left alone."""

from __future__ import annotations

import base64

import pytest

from opsctl.http import Answer
from opsctl.http.echoes import without_credentials

BASIC = "Basic " + base64.b64encode(b'ann:pa"ss/word').decode()
HEADERS = {"X-Scope-OrgID": "games", "X-Route": "route-4711"}


def said(status: int, text: str, authorization: str | None) -> str:
    answer = Answer(status, {"location": text}, text.encode())
    masked = without_credentials(answer, authorization, HEADERS)
    assert masked.headers["location"] == masked.body.decode()
    return masked.body.decode()


@pytest.mark.parametrize("status", [200, 302, 400, 401, 503])
def test_a_credential_is_masked_in_whole_answers_and_in_errors(status: int) -> None:
    assert said(status, f'{{"warnings": ["{BASIC}"]}}', BASIC) == '{"warnings": ["Basic [redacted]"]}'
    assert said(status, "no Bearer abc.def/ghi==", "Bearer abc.def/ghi==") == "no Bearer [redacted]"
    assert said(status, "/abc.def%2fghi%3d%3d", "Bearer abc.def/ghi==") == "/[redacted]"


@pytest.mark.parametrize("text", ['pa"ss/word', 'pa\\"ss/word', 'pa\\"ss\\/word', "pa%22ss%2Fword", "route-4711"])
def test_an_error_shows_neither_the_password_nor_a_headers_value(text: str) -> None:
    assert said(400, f"wrong: {text}!", BASIC) == "wrong: [redacted]!"


@pytest.mark.parametrize("authorization", [None, "Bearer games", BASIC, "", "Basic ====", "Bearer Z2FtZXM6eA=="])
def test_data_that_holds_no_credential_is_left_alone(authorization: str | None) -> None:
    """A short text of a label is no credential, whatever somebody has as a token."""
    text = '{"service": "games", "route": "route-4711", "x": "pa\\"ss/word"}'
    answer = Answer(200, {"a": "b"}, text.encode())
    assert without_credentials(answer, authorization, HEADERS) == answer
