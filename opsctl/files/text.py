"""Files as text: one clear line for whatever stands in the way, and small things that every reader of files shares.

Must never show more of a file than the caller asked for: a file may hold a secret.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from opsctl.errors import ConfigError

SIZE_LIMIT_BYTES = 4 * 1024 * 1024


def read_text(path: Path, *, limit_bytes: int = SIZE_LIMIT_BYTES, shown: str | None = None) -> str:
    """The text of a UTF-8 file without its byte order mark; ConfigError for anything that is not one."""
    name = shown or str(path)
    try:
        if path.is_dir():
            raise ConfigError(name, None, "expected a file, this is a folder")
        with path.open("rb") as file:
            raw = file.read(limit_bytes + 1)
    except OSError as wrong:
        raise ConfigError(name, None, f"cannot be read: {os_words(wrong)}") from wrong
    if len(raw) > limit_bytes:
        raise ConfigError(name, None, f"is larger than {size_words(limit_bytes)}, the limit for a file of this kind")
    return decode(raw, name)


def decode(raw: bytes, name: str) -> str:
    """Bytes as UTF-8 text without its byte order mark and with `\\n` as line end."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = raw[: wrong.start].count(b"\n") + 1
        raise ConfigError(name, line, f"is not UTF-8 text (byte 0x{raw[wrong.start]:02x})") from None
    if not text.strip():
        raise ConfigError(name, None, "is empty")
    return text.replace("\r\n", "\n")


def os_words(wrong: OSError) -> str:
    """What the system said, in its own words."""
    return os.strerror(wrong.errno) if wrong.errno else str(wrong)


def size_words(size: int) -> str:
    """A number of bytes for people: `4MiB`."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, whatever its case and separators."""
    import difflib

    words = {plain(name): name for name in sorted(known)}
    found = difflib.get_close_matches(plain(word), words, n=1, cutoff=0.6)
    return words[found[0]] if found else None


def plain(word: str) -> str:
    return word.lower().replace("-", "_")


def meant(word: str, known: Iterable[str]) -> str:
    """The hint after an unknown word: the nearest known one, else all of them (at most 20)."""
    names = sorted(known)
    near = nearest(word, names)
    if near is not None:
        return f"did you mean {near}?"
    if not names:
        return "there is none"
    return f"known: {', '.join(names[:20])}" + (", …" if len(names) > 20 else "")
