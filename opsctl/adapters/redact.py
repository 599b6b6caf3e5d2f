"""Secrets out of everything that a step prints, whichever way it was cut into chunks.

Each secret is looked for raw, in base64 (both alphabets, at each of the three alignments that it can have inside a
longer text), URL-encoded and JSON-escaped. Must never emit a byte that may still become part of a match.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = b"[redacted]"


class Redactor:
    """A stream filter; one per stream."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(form) for form in forms)) if forms else None
        self._hold = max((len(form) for form in forms), default=1) - 1
        self._left = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may be shown now; the rest is kept until more comes."""
        data = self._left + chunk
        return self._emit(data, max(0, len(data) - self._hold))

    def flush(self) -> bytes:
        """What was kept."""
        return self._emit(self._left, len(self._left))

    def _emit(self, data: bytes, limit: int) -> bytes:
        out, at = [], 0
        if self._pattern is not None:
            for match in self._pattern.finditer(data):
                if match.start() >= limit:
                    break
                out += [data[at : match.start()], MASK]
                at = match.end()
        if at < limit:
            out.append(data[at:limit])
            at = limit
        self._left = data[at:]
        return b"".join(out)


def redact(text: str, secrets: Iterable[str]) -> str:
    """A whole text without the secrets."""
    stream = Redactor(secrets)
    data = stream.feed(text.encode("utf-8", "surrogateescape")) + stream.flush()
    return data.decode("utf-8", "replace")


def redact_values(node: Any, secrets: tuple[str, ...]) -> Any:
    """A JSON value without the secrets, in texts and in names."""
    if not secrets:
        return node
    match node:
        case str():
            return redact(node, secrets)
        case dict():
            return {redact(str(key), secrets): redact_values(item, secrets) for key, item in node.items()}
        case list():
            return [redact_values(item, secrets) for item in node]
        case _:
            return node


def _forms(secret: str) -> set[bytes]:
    raw = secret.encode("utf-8", "surrogateescape")
    texts = {secret, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")}
    texts |= {quote(secret, errors="replace"), json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    texts |= {re.sub(r"%[0-9A-F]{2}", lambda m: m[0].lower(), text) for text in set(texts)}
    found = {text.encode("utf-8", "surrogateescape") for text in texts} | _base64(raw)
    return {form for form in found if form}


def _base64(raw: bytes) -> set[bytes]:
    """The characters of every base64 text that depend on the secret alone, when 0, 1 or 2 bytes stand before it."""
    out: set[bytes] = set()
    for before in range(3):
        padded = b"\0" * before + raw
        first = -(-before * 8 // 6)  # the first character without a bit of what stands before
        last = len(padded) * 8 // 6  # after the last character without a bit of what follows
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            form = encode(padded)[first:last]
            if len(form) >= 4:
                out.add(form)
    return out | ({base64.standard_b64encode(raw), base64.urlsafe_b64encode(raw)} if raw else set())
