"""Our own credentials out of an answer: gateways and debugging proxies repeat what they were sent.

Must never touch an answer that holds none, and never take a short text of a whole answer's data for a credential.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from urllib.parse import quote, quote_plus

from opsctl.http.endpoint import Answer

MASK = "[redacted]"
_SHORTEST = 8  # in data: what is shorter may stand there for itself
_SHORTEST_IN_ERRORS = 4
_SHORTEST_BASE64 = 8
_NESTED = 2  # JSON in JSON, a URL in a URL: as a proxy shows the request that it was sent


def without_credentials(
    answer: Answer, authorization: str | None, headers: Mapping[str, str], *, is_data: bool | None = None
) -> Answer:
    """The answer without the credential that was sent, and where it is no data without the headers' values either.

    `is_data` says whether its body is what was asked for; by default that is what every 2xx is.
    """
    scheme, _, word = (authorization or "").partition(" ")
    given = word or scheme
    if 200 <= answer.status < 300 if is_data is None else is_data:
        secrets = [given] if len(given) >= _SHORTEST else []
    else:
        secrets = [one for one in (given, *_inside(given)) if len(one) >= _SHORTEST_IN_ERRORS]
        secrets += [value for value in headers.values() if len(value) >= _SHORTEST]
    said = " ".join(answer.headers.values())
    stems = [stem for secret in secrets for stem in _stems(secret)]
    there = [forms for run, forms in stems if run.encode() in answer.body or run in said]
    if not there:
        return answer
    forms = sorted(frozenset().union(*there), key=len, reverse=True)
    body = answer.body
    for form in forms:
        body = body.replace(form.encode(), MASK.encode())
    return Answer(answer.status, {name: _masked(value, forms) for name, value in answer.headers.items()}, body)


def masked(text: str, secret: str) -> str:
    """A text of our own about a request, without its secret."""
    return _masked(text, sorted({form for _, forms in _stems(secret) for form in forms}, key=len, reverse=True))


def _masked(text: str, forms: list[str]) -> str:
    for form in forms:
        text = text.replace(form, MASK)
    return text


def _inside(given: str) -> Iterator[str]:
    """The password in a credential that is base64 of `user:password`."""
    import binascii

    try:
        whole = base64.b64decode(given, validate=True).decode()
    except (binascii.Error, ValueError):
        return
    if ":" in whole:
        yield whole.partition(":")[2]


@lru_cache(maxsize=64)
def _stems(secret: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """The secret and its base64, each with the letters and digits that are in all of its forms, and these forms."""
    return tuple((max(re.findall("[A-Za-z0-9]*", stem), key=len), _forms(stem)) for stem in (secret, *_base64(secret)))


def _forms(stem: str) -> frozenset[str]:
    """As it stands in JSON and in URLs, and in one within the other."""
    import json

    forms = {stem}
    for _ in range(_NESTED):
        urls = {encode(form) for form in forms for encode in (quote, partial(quote, safe=""), quote_plus)}
        escaped = {json.dumps(form, ensure_ascii=ascii_)[1:-1] for form in forms for ascii_ in (True, False)}
        forms |= urls | {re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in urls}
        forms |= escaped | {form.replace("/", "\\/") for form in escaped}
    return frozenset(forms)


def _base64(secret: str) -> set[str]:
    """What is the same in every base64 text that holds the secret, at each of its three alignments."""
    raw, out = secret.encode(), set()
    for before in range(3):
        padded = b"\0" * before + raw
        first, last = -(-before * 8 // 6), len(padded) * 8 // 6  # characters without a bit of the neighbours
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            out.add(encode(padded)[first:last].decode())
    return {form for form in out if len(form) >= _SHORTEST_BASE64}
