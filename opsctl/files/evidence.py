"""Evidence files: what a check was judged from, as one JSON document with a digest over all of it.

The digest finds damage and careless edits; it is no signature. Must never write a secret, and never read a document
that is not whole.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from opsctl.core.evidence import digest as digest_of
from opsctl.core.replay import Saved
from opsctl.errors import ConfigError
from opsctl.files.text import os_words, size_words

SCHEMA = "opsctl/evidence/v1"
SIZE_LIMIT_BYTES = 128 * 1024 * 1024
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NUMBERS = ("value", "bad", "total", "remaining", "ratio", "burn", "threshold", "lower_bound")


def evidence_document(saved: Saved) -> bytes:
    """The JSON text of a check's evidence; numbers that JSON does not have are the words NaN, Infinity, -Infinity."""
    return msgspec.json.encode(evidence_tree(saved), order="deterministic") + b"\n"


def evidence_tree(saved: Saved) -> dict[str, Any]:
    """The document before it is text."""
    tree: dict[str, Any] = plain_tree(saved)
    tree["schema"] = SCHEMA
    tree["digest"] = _digest(tree)
    return tree


def plain_tree(value: Any) -> Any:
    """A value of ours as JSON has it, with words for the numbers that JSON does not have; `numbers_in` reads them."""
    return _written(msgspec.to_builtins(value, str_keys=True, enc_hook=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    if isinstance(value, tzinfo):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} is no part of evidence")


def _digest(tree: Mapping[str, Any]) -> str:
    bare = {name: value for name, value in tree.items() if name != "digest"}
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


def _written(node: Any) -> Any:
    match node:
        case float() if not math.isfinite(node):
            return "NaN" if node != node else "Infinity" if node > 0 else "-Infinity"
        case dict():
            return {name: _written(value) for name, value in node.items()}
        case list() | tuple():
            return [_written(value) for value in node]
        case str() if not node.isascii():
            return node.encode("utf-8", "backslashreplace").decode()  # a file's name may be no text
        case _:
            return node


def read_evidence(path: str, *, limit_bytes: int = SIZE_LIMIT_BYTES) -> Saved:
    """The document of a file, or of stdin for `-`; ConfigError for anything that is not one, whole and unchanged."""
    name = "stdin" if path == "-" else path
    raw = _bytes(path, name, limit_bytes)
    try:
        tree = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as wrong:
        raise ConfigError(name, None, f"is not a whole JSON document: {wrong}", hint=_HINT) from None
    return saved_of(tree, name)


def saved_of(tree: Any, name: str) -> Saved:
    """The check in a document that was decoded; `name` is where it came from, for the error."""
    _expect_schema(tree, name)
    try:
        whole = _digest(tree) == tree.get("digest")
        saved = _typed(tree)
    except (msgspec.MsgspecError, RecursionError, OverflowError) as wrong:
        raise ConfigError(name, None, f"is not evidence of {SCHEMA}: {wrong}", hint=_HINT) from None
    _expect_whole(saved, name, whole)
    return saved


def numbers_in(tree: Any) -> Any:
    """A plain tree with numbers in the place of their words, where numbers belong."""
    return _read(tree)


_HINT = "`opsctl check --evidence FILE` writes one"


def _bytes(path: str, name: str, limit_bytes: int) -> bytes:
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(limit_bytes + 1) if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
        else:
            with Path(path).open("rb") as file:
                raw = file.read(limit_bytes + 1)
    except (OSError, ValueError) as wrong:
        said = os_words(wrong) if isinstance(wrong, OSError) else str(wrong)
        raise ConfigError(name, None, f"cannot be read: {said}") from wrong
    if len(raw) > limit_bytes:
        raise ConfigError(name, None, f"is larger than {size_words(limit_bytes)}, the limit for evidence")
    if not raw.strip():
        raise ConfigError(name, None, "is empty", hint=_HINT)
    return raw


def _expect_schema(tree: Any, name: str) -> None:
    if not isinstance(tree, dict) or not isinstance(tree.get("schema"), str):
        raise ConfigError(name, None, f"is not evidence: expected a JSON object with schema {SCHEMA}", hint=_HINT)
    schema = tree["schema"]
    if schema == SCHEMA:
        return
    if schema.startswith("opsctl/evidence/"):
        raise ConfigError(name, None, f"has schema {schema[:60]}, this opsctl reads {SCHEMA}")
    raise ConfigError(name, None, f"has schema {schema[:60]}, expected {SCHEMA}", hint=_HINT)


def _typed(tree: dict[str, Any]) -> Saved:
    verdicts = tree.get("verdicts")
    for verdict in verdicts if isinstance(verdicts, list) else ():
        if isinstance(verdict, dict):
            verdict["evidence"] = _read(verdict.get("evidence"))
            verdict["alerts"] = _read(verdict.get("alerts", []))
    return msgspec.convert(tree, type=Saved, str_keys=True)


def _read(node: Any) -> Any:
    """The tree with numbers in the place of words, where numbers belong: labels and texts are left alone."""
    match node:
        case dict():
            return {key: _number(value) if key in _NUMBERS else _values(key, value) for key, value in node.items()}
        case list():
            return [_read(value) for value in node]
        case _:
            return node


def _values(key: str, value: Any) -> Any:
    if key == "points" and isinstance(value, list):
        return [[_number(part) for part in point] if isinstance(point, list) else point for point in value]
    return _read(value)


def _number(value: Any) -> Any:
    return _WORDS.get(value, value) if isinstance(value, str) else value


def _expect_whole(saved: Saved, name: str, whole: bool) -> None:
    if not saved.verdicts:
        raise ConfigError(name, None, "has no verdict: nothing was judged", hint=_HINT)
    for verdict in saved.verdicts:
        rule = verdict.rule
        if rule is None:
            raise ConfigError(name, None, "a verdict has no rule, or two", hint=_HINT)
        if digest_of(verdict.evidence) != verdict.evidence.digest:
            raise ConfigError(
                name, None, f"the evidence of {rule.name} was changed after it was saved: its digest is wrong"
            )
    if not whole:
        raise ConfigError(name, None, "was changed after it was saved: its digest is wrong")
