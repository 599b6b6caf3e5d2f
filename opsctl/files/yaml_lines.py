"""YAML documents as nodes that know their lines.

Strict: a key that stands twice, a tag, a document that grows beyond its text through anchors are errors. Must never
construct a Python object from a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from opsctl.errors import ConfigError
from opsctl.files.nodes import Node, Problems, Scalar
from opsctl.files.text import decode, read_text

NODE_LIMIT = 200_000
DEPTH_LIMIT = 100
_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _TAG + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_RESOLVED = lru_cache(maxsize=4096)(yaml.resolver.Resolver().resolve)
_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SAFE):  # type: ignore[misc]  # its bases are not typed
    """The safe one, which looks up what a word is once: files repeat their keys."""

    resolve = staticmethod(_RESOLVED)


def read_yaml(path: Path) -> Node:
    """The one document of a file."""
    return parse_yaml(read_text(path), str(path))


def read_yaml_all(path: Path) -> tuple[Node, ...]:
    """Every document of a file that is not empty."""
    return parse_yaml_all(read_text(path), str(path))


def parse_yaml(text: str, path: str, first_line: int = 1) -> Node:
    """The one document of a text that begins at `first_line` of `path`."""
    documents = parse_yaml_all(text, path, first_line)
    if len(documents) > 1:
        raise ConfigError(path, documents[1].line, "expected one document, this begins a second one")
    return documents[0]


def parse_yaml_all(text: str, path: str, first_line: int = 1) -> tuple[Node, ...]:
    """Every document of a text that is not empty; ConfigError if there is none."""
    decode(text.encode("utf-8", "surrogatepass"), path)
    try:
        roots = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.YAMLError as wrong:
        raise _syntax_error(wrong, text, path, first_line) from None
    except RecursionError:
        raise ConfigError(path, None, f"is nested deeper than {DEPTH_LIMIT} levels") from None
    problems = Problems()
    build = _Builder(path, first_line, problems)
    nodes = [build.node(root, "", None, 0) for root in roots if root is not None]
    problems.check()
    nodes = [node for node in nodes if node.value is not None]
    if not nodes:
        raise ConfigError(path, None, "is empty")
    return tuple(nodes)


def _syntax_error(wrong: yaml.YAMLError, text: str, path: str, first_line: int) -> ConfigError:
    if isinstance(wrong, yaml.MarkedYAMLError):
        mark = wrong.problem_mark or wrong.context_mark
        words = " ".join(part for part in (wrong.context, wrong.problem) if part)
        return ConfigError(path, mark.line + first_line if mark else None, f"is not YAML: {words}")
    position = getattr(wrong, "position", None)
    line = text[:position].count("\n") + first_line if isinstance(position, int) else None
    return ConfigError(path, line, f"is not YAML: {getattr(wrong, 'reason', 'cannot be read')}")


class _Builder:
    """Composed nodes into ours; counts what anchors expand to."""

    def __init__(self, path: str, first_line: int, problems: Problems) -> None:
        self.path = path
        self.first_line = first_line
        self.problems = problems
        self.count = 0

    def node(self, raw: Any, where: str, line: int | None, depth: int) -> Node:
        at = line if line is not None else self.line(raw)
        self.count += 1
        if self.count > NODE_LIMIT:
            raise ConfigError(self.path, at, f"holds more than {NODE_LIMIT} values, anchors expanded")
        if depth > DEPTH_LIMIT:
            raise ConfigError(self.path, at, f"is nested deeper than {DEPTH_LIMIT} levels")
        if raw.tag not in _TAGS:
            self.problems.add(Node(None, self.path, at), f"the tag {raw.tag} is not supported")
        if isinstance(raw, yaml.MappingNode):
            return Node(self.mapping(raw, where, depth), self.path, at, where)
        if isinstance(raw, yaml.SequenceNode):
            items = [self.node(item, f"{where}[{i}]", None, depth + 1) for i, item in enumerate(raw.value)]
            return Node(items, self.path, at, where)
        return Node(scalar(raw), self.path, at, where, str(raw.value))

    def line(self, raw: Any) -> int:
        return int(raw.start_mark.line) + self.first_line

    def mapping(self, raw: Any, where: str, depth: int) -> dict[str, Node]:
        out: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, value in raw.value:
            line = self.line(key)
            if not isinstance(key, yaml.ScalarNode):
                self.problems.add(Node(None, self.path, line), "expected a text as key")
                continue
            name = str(key.value)
            child = self.node(value, f"{where}.{name}" if where else name, line, depth + 1)
            if key.tag == f"{_TAG}merge" and not key.style:
                self.merge(child, merged)
            elif name in out:
                self.problems.add(child, f"key {name} stands twice, first in line {out[name].line}")
            else:
                out[name] = child
        return {**merged, **out}

    def merge(self, child: Node, into: dict[str, Node]) -> None:
        for part in child.value if isinstance(child.value, list) else [child]:
            if isinstance(part.value, dict):
                for name, value in part.value.items():
                    into.setdefault(name, value)
            else:
                self.problems.add(part, "<<: expected a mapping to merge")


def scalar(raw: Any) -> Scalar:
    """The value of a scalar: plain ones by YAML 1.2's core rules, quoted and dated ones as text."""
    text = str(raw.value)
    if raw.style:  # quoted or a block; the C loader says "" for plain ones, the other None
        return text
    explicit_text = raw.tag == f"{_TAG}str" and (text in _WORDS or _INT.fullmatch(text))
    if explicit_text:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) < 400 else text
    return float(text) if _FLOAT.fullmatch(text) else text
