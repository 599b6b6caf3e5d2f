"""Text that is safe to print: no control or escape character from outside reaches the terminal."""

from __future__ import annotations

import unicodedata

_KEEP = {"\t": "    "}


def clean(text: str) -> str:
    """One line of printable text: control, format and surrogate characters are shown as `\\xNN` or `\\uNNNN`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(ch) for ch in text)


def clean_block(text: str) -> str:
    """`clean`, but line ends stay."""
    return "\n".join(clean(line) for line in text.splitlines())


def shortened(text: str, most: int) -> str:
    """The beginning of a text of which a person reads no more; `--json` has the whole."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _shown(ch: str) -> str:
    if ch in _KEEP:
        return _KEEP[ch]
    if unicodedata.category(ch) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return f"\\x{ord(ch):02x}" if ord(ch) < 256 else f"\\u{ord(ch):04x}"
    return ch
