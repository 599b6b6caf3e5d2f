"""Our own credentials out of an answer: gateways and debugging proxies repeat what they were sent.

Must never touch an answer that holds none, and never take a short text of a whole answer's data for a credential.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from opsctl.http.endpoint import Answer

MASK = "[redacted]"
_SHORTEST = 8  # in data: what is shorter may stand there for itself
_SHORTEST_IN_ERRORS = 4


def without_credentials(answer: Answer, authorization: str | None, headers: Mapping[str, str]) -> Answer:
    """The answer without the credential that was sent, and where it is an error without the headers' values either."""
    given = (authorization or "").rpartition(" ")[2]
    if 200 <= answer.status < 300:
        secrets = [given] if len(given) >= _SHORTEST else []
    else:
        secrets = [one for one in (given, *_inside(given)) if len(one) >= _SHORTEST_IN_ERRORS]
        secrets += [value for value in headers.values() if len(value) >= _SHORTEST]
    if not secrets:
        return answer
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    body = answer.body
    for form in forms:
        body = body.replace(form.encode(), MASK.encode())
    return Answer(answer.status, {name: _masked(value, forms) for name, value in answer.headers.items()}, body)


def _masked(text: str, forms: list[str]) -> str:
    for form in forms:
        text = text.replace(form, MASK)
    return text


def _inside(given: str) -> Iterator[str]:
    """The password in a credential that is base64 of `user:password`."""
    import base64
    import binascii

    try:
        whole = base64.b64decode(given, validate=True).decode()
    except (binascii.Error, ValueError):
        return
    if ":" in whole:
        yield whole.partition(":")[2]


def _forms(secret: str) -> set[str]:
    """Raw, and as it stands in JSON and in a URL."""
    json = secret.replace("\\", "\\\\").replace('"', '\\"')
    forms = {secret, json, json.replace("/", "\\/"), quote(secret), quote(secret, safe="")}
    return forms | {form.replace("%2F", "%2f").replace("%3D", "%3d").replace("%2B", "%2b") for form in forms}
