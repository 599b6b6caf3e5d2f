"""Strings as Go writes them: escapes are bytes, and bytes need not be UTF-8.

A byte that is no UTF-8 stands as U+10FF00 + byte: it equals nothing that a label can hold. Must never lose a byte.
"""

from __future__ import annotations

import re

_INVALID = 0x10FF00
_BYTES = re.compile(r"\\(?:x[0-9a-fA-F]{2}|[0-7]{3})")
_ESCAPE = (
    r"\\(?:x(?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})"
    r"|(?P<plain>[abfnrtv\\'\"]))"
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def requoted(text: str) -> str:
    """A string literal as the grammar's parser reads it: no backticks, no bytes; what is wrong stays as it is."""
    if text[0] == "`":
        return _quoted(text[1:-1])
    if not _BYTES.search(text):
        return text
    decoded = _decoded(text[1:-1])
    return text if decoded is None else _quoted(decoded)


def _quoted(text: str) -> str:
    import json  # few expressions need it, and none that is plain

    return json.dumps(text, ensure_ascii=False)


def _decoded(body: str) -> str | None:
    out, at = bytearray(), 0
    escape = re.compile(_ESCAPE)
    while at < len(body):
        if body[at] != "\\":
            out += body[at].encode("utf-8", "surrogatepass")
            at += 1
            continue
        match = escape.match(body, at)
        if match is None:
            return None
        out += _bytes_of(match)
        at = match.end()
    text = out.decode("utf-8", "surrogateescape")
    return "".join(chr(_INVALID + ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c for c in text)


def _bytes_of(match: re.Match[str]) -> bytes:
    if match["hex"]:
        return bytes([int(match["hex"], 16)])
    if match["octal"]:
        return bytes([int(match["octal"], 8)])
    code = match["u4"] or match["u8"]
    if code:
        return chr(min(int(code, 16), 0x10FFFF)).encode("utf-8", "replace")
    return _PLAIN.get(match["plain"], match["plain"]).encode()


def valid_name(name: str) -> bool:
    """Whether a label may have that name: any UTF-8 but nothing."""
    return bool(name) and not any(_INVALID <= ord(c) <= _INVALID + 0xFF for c in name)


def go_quoted(text: str) -> str:
    """A text as Go's %q prints it."""
    out = []
    for c in text:
        if _INVALID <= ord(c) <= _INVALID + 0xFF:
            out.append(f"\\x{ord(c) - _INVALID:02x}")
        else:
            out.append(_quoted(c)[1:-1])
    return f'"{"".join(out)}"'
