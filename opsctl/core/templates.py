"""Prometheus's templates of labels and annotations: the part of Go's text/template that rules use.

Pure. Must never raise for a template, evaluate code, or let a label's value become part of a template: what cannot be
rendered is shown as it was written, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Union

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Labels
from opsctl.core.template_words import WORDS, TemplateError, show, truth

OUTPUT_MAX = 16_384
_DEPTH_MAX = 50
_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)'
    r"|(?P<variable>\$\w*(?:\.\w+)*)|(?P<field>(?:\.\w+)+|\.)|(?P<name>\w+)|(?P<sign>:=|[|(),=]))"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "'": "'"}


@dataclass(frozen=True, slots=True)
class _Value:
    text: Any


@dataclass(frozen=True, slots=True)
class _Path:
    root: str  # "$name", "$" or "" for the dot
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    args: tuple[_Term, ...]


@dataclass(frozen=True, slots=True)
class _Pipe:
    commands: tuple[_Term, ...]
    variables: tuple[str, ...] = ()


_Term = Union[_Value, _Path, _Call, _Pipe]


@dataclass(frozen=True, slots=True)
class _Block:
    """if, with or range; for an action neither body is used."""

    kind: str
    pipe: _Pipe
    body: tuple[_Node, ...] = ()
    other: tuple[_Node, ...] = ()


_Node = Union[str, _Block]


def render(template: str, labels: Labels, value: float) -> str:
    """The text for one element; a template that cannot be rendered comes back as written, with why."""
    if "{{" not in template:
        return template
    dot = {"Labels": dict(labels), "Value": value, "ExternalLabels": {}, "ExternalURL": ""}
    scope = {
        "$": dot,
        "$labels": dot["Labels"],
        "$value": value,
        "$externalLabels": {},
        "$externalURL": "",
    }
    try:
        out = _Run(scope).nodes(_parsed(template), dot)
    except TemplateError as wrong:
        return f"{template} [not rendered: {wrong}]"
    except (TypeError, ValueError, OverflowError, RecursionError):
        return f"{template} [not rendered: a function was given what it cannot take]"
    return out


# Parsing


@lru_cache(maxsize=2048)
def _parsed(template: str) -> tuple[_Node, ...]:
    return _Parser(_pieces(template)).document()


def _pieces(template: str) -> list[tuple[bool, str]]:
    """(is an action, text), with the white space that `{{-` and `-}}` eat already eaten."""
    out: list[tuple[bool, str]] = []
    at, eat = 0, False
    while True:
        start = template.find("{{", at)
        text = template[at:] if start < 0 else template[at:start]
        text = text.lstrip() if eat else text
        if start < 0:
            out.append((False, text))
            return out
        trim_left = template[start + 2 : start + 4] in ("- ", "-\n", "-\t")
        out.append((False, text.rstrip() if trim_left else text))
        inner = start + (3 if trim_left else 2)
        end = _action_end(template, inner)
        action = template[inner:end]
        eat = action.endswith((" -", "\n-", "\t-"))
        out.append((True, action[:-1].strip() if eat else action.strip()))
        at = end + 2


def _action_end(template: str, at: int) -> int:
    quote = ""
    while at < len(template):
        char = template[at]
        if quote:
            if char == "\\" and quote == '"':
                at += 1
            elif char == quote:
                quote = ""
        elif char in '"`':
            quote = char
        elif template.startswith("}}", at):
            return at
        at += 1
    raise TemplateError("an action is not closed by }}")


class _Parser:
    def __init__(self, pieces: Sequence[tuple[bool, str]]) -> None:
        self.pieces = pieces
        self.at = 0
        self.depth = 0

    def document(self) -> tuple[_Node, ...]:
        nodes, ended = self.nodes()
        if ended:
            raise TemplateError(f"unexpected {{{{ {ended} }}}}")
        return nodes

    def nodes(self) -> tuple[tuple[_Node, ...], str]:
        """Nodes up to the end, or to the `end` or `else` that is returned."""
        out: list[_Node] = []
        while self.at < len(self.pieces):
            action, text = self.pieces[self.at]
            self.at += 1
            if not action:
                out.append(text)
                continue
            word = text.split(None, 1)[0] if text else ""
            if word in ("end", "else"):
                return tuple(out), text
            if word in ("if", "with", "range"):
                out.append(self.block(word, text[len(word) :]))
            elif word in ("define", "template", "block", "break", "continue"):
                raise TemplateError(f"{word} is not supported")
            elif not text.startswith("/*"):
                out.append(_Block("action", _pipe(text)))
        return tuple(out), ""

    def block(self, kind: str, head: str) -> _Block:
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise TemplateError("nested too deeply")
        body, ended = self.nodes()
        other: tuple[_Node, ...] = ()
        if ended.startswith("else"):
            rest = ended[4:].strip()
            if rest.startswith("if"):
                other = (self.block("if", rest[2:]),)
                ended = "end"
            elif not rest:
                other, ended = self.nodes()
        if ended != "end":
            raise TemplateError(f"{{{{ {kind} }}}} without {{{{ end }}}}")
        self.depth -= 1
        return _Block(kind, _pipe(head), body, other)


def _pipe(text: str) -> _Pipe:
    tokens = _tokens(text)
    variables: tuple[str, ...] = ()
    for mark in (":=", "="):
        if ("sign", mark) in tokens:
            cut = tokens.index(("sign", mark))
            variables = tuple(word for kind, word in tokens[:cut] if kind == "variable")
            tokens = tokens[cut + 1 :]
            break
    commands, rest = _commands(tokens, 0)
    if rest != len(tokens):
        raise TemplateError("unexpected )")
    return _Pipe(commands, variables)


def _tokens(text: str) -> list[tuple[str, str]]:
    out, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise TemplateError(f"cannot read {text[at : at + 20]!r}")
        out.append((str(match.lastgroup), match[match.lastgroup or 0]))
        at = match.end()
    return out


def _commands(tokens: list[tuple[str, str]], at: int, depth: int = 0) -> tuple[tuple[_Term, ...], int]:
    """Commands joined by `|`, up to the end or a closing bracket."""
    if depth > _DEPTH_MAX:
        raise TemplateError("nested too deeply")
    commands: list[_Term] = []
    terms: list[_Term] = []
    name = ""
    while at < len(tokens) and tokens[at] != ("sign", ")"):
        kind, word = tokens[at]
        if (kind, word) == ("sign", "|"):
            commands.append(_command(name, terms))
            name, terms = "", []
        elif (kind, word) == ("sign", "("):
            inner, at = _commands(tokens, at + 1, depth + 1)
            if at >= len(tokens):
                raise TemplateError("a bracket is not closed")
            terms.append(_Pipe(inner))
        elif kind == "name" and word not in ("true", "false", "nil") and not name and not terms:
            name = word
        else:
            terms.append(_term(kind, word))
        at += 1
    commands.append(_command(name, terms))
    return tuple(commands), at


def _command(name: str, terms: list[_Term]) -> _Term:
    if name:
        return _Call(name, tuple(terms))
    if len(terms) != 1:
        raise TemplateError("expected one value" if terms else "nothing to show")
    return terms[0]


def _term(kind: str, word: str) -> _Term:
    match kind:
        case "string" if word[0] == "`":
            return _Value(word[1:-1])
        case "string":
            return _Value(re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), word[1:-1]))
        case "number":
            return _Value(float(word) if set(word) & set(".eE") else int(word))
        case "variable":
            root, *fields = word.split(".")
            return _Path(root, tuple(fields))
        case "field":
            return _Path("", tuple(part for part in word.split(".") if part))
        case "name" if word in ("true", "false", "nil"):
            return _Value({"true": True, "false": False, "nil": None}[word])
        case "name":
            return _Call(word, ())
        case _:
            raise TemplateError(f"unexpected {word}")


# Running


class _Run:
    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.scope = dict(scope)
        self.left = OUTPUT_MAX

    def nodes(self, nodes: Sequence[_Node], dot: Any) -> str:
        out = []
        for node in nodes:
            text = node if isinstance(node, str) else self.block(node, dot)
            self.left -= len(text) if isinstance(node, str) or node.kind == "action" else 0
            if self.left < 0:
                raise TemplateError(f"more than {OUTPUT_MAX} characters")
            out.append(text)
        return "".join(out)

    def block(self, block: _Block, dot: Any) -> str:
        if block.kind == "range":
            return self.range(block, dot)
        value = self.pipe(block.pipe, dot)
        for name in block.pipe.variables:
            self.scope[name] = value
        if block.kind == "action":
            return "" if block.pipe.variables else show(value)
        if truth(value):
            return self.nodes(block.body, value if block.kind == "with" else dot)
        return self.nodes(block.other, dot)

    def range(self, block: _Block, dot: Any) -> str:
        over = self.pipe(block.pipe, dot)
        if not isinstance(over, Mapping):
            raise TemplateError("range over something that is no map")
        if not over:
            return self.nodes(block.other, dot)
        out = []
        for key, value in sorted(over.items()):
            names = block.pipe.variables
            bound = (key, value) if len(names) == 2 else (value,)
            self.scope.update(zip(names, bound, strict=False))
            out.append(self.nodes(block.body, value))
        return "".join(out)

    def pipe(self, pipe: _Pipe, dot: Any) -> Any:
        value = self.term(pipe.commands[0], dot)
        for command in pipe.commands[1:]:
            if not isinstance(command, _Call):
                raise TemplateError("only a function may follow |")
            value = self.call(command, dot, (value,))
        return value

    def term(self, term: _Term, dot: Any) -> Any:
        match term:
            case _Value(value):
                return value
            case _Path(root, fields):
                return self.path(root, fields, dot)
            case _Call():
                return self.call(term, dot, ())
            case _Pipe():
                return self.pipe(term, dot)

    def path(self, root: str, fields: tuple[str, ...], dot: Any) -> Any:
        if root and root not in self.scope:
            raise TemplateError(f"{root} is not defined")
        value = self.scope[root] if root else dot
        for name in fields:
            if not isinstance(value, Mapping):
                raise TemplateError(f".{name} of something that has no fields")
            value = value.get(name, "")
        return value

    def call(self, call: _Call, dot: Any, piped: tuple[Any, ...]) -> Any:
        word = WORDS.get(call.name)
        if word is None:
            raise TemplateError(f"{call.name} is not supported")
        return word(*(self.term(arg, dot) for arg in call.args), *piped)
