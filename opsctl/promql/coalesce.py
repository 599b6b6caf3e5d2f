"""Expressions that differ only in one label's value, asked as one: `sum by (label) (… {label=~"a|b|c"} …)`.

Only where the one answer, taken apart by that label, provably is each expression's own. Must never do so with `or`,
`absent()`, or a matching of vectors that another label would change; what is not known to be sound is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, Union

from opsctl.core.frozen import dataclass
from opsctl.core.signals import Labels, Sample
from opsctl.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    Matcher,
    Negation,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    transform,
)
from opsctl.promql.errors import PromqlError
from opsctl.promql.lower import parse
from opsctl.promql.render import render
from opsctl.promql.rewrite import selectors

STRINGS = re.compile(r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)""", re.DOTALL)
_COUNTED = re.compile(r"count\(([A-Za-z_:][A-Za-z0-9_:]*)\)")
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
_MARKER = re.compile(r'"opsctl slot (\d+)"')
_UNSAFE = "[\ud800-\udfff\U0010ff00-\U0010ffff]"  # no text that a label can hold: see `quoting`
_VALUES = 10_000  # remembered: the same labels' values stand in the texts of every window
_NEVER = frozenset({"__name__", "le", "quantile"})  # names are dropped, and servers write such numbers anew
_AGGREGATIONS = frozenset({"sum", "count", "min", "max", "avg"})
_BY_SERIES = frozenset({
    "rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets",
    "sum_over_time", "count_over_time", "avg_over_time", "min_over_time", "max_over_time", "last_over_time",
    "present_over_time", "stddev_over_time", "stdvar_over_time",
    "abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sgn", "round", "clamp", "clamp_min", "clamp_max",
})  # fmt: skip
_NUMBERS = frozenset({"time", "pi"})

_State = Literal["kept", "added", "number"]
"""What a part's elements are to the label: they carry it, or only the batch's do, or there are none."""

Pieces = tuple[Union[str, int], ...]
"""A text in which string literals are their numbers."""


@dataclass(frozen=True, slots=True)
class Split:
    """One way to ask expressions of the same form together: `slots` are the literals with the label's value.

    `own` says that an expression's own answer carries the label too.
    """

    label: str
    slots: tuple[int, ...]
    own: bool
    pieces: Pieces


@dataclass(frozen=True, slots=True)
class Member:
    """One expression: its text, the string literals in it, and what its label has to be."""

    text: str
    literals: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Expressions to be asked as one; a lone one has no split and is asked as it is written."""

    members: tuple[Member, ...]
    split: Split | None = None

    @property
    def text(self) -> str:
        """What to ask."""
        if self.split is None or len(self.members) == 1:
            return self.members[0].text
        pattern = render(Text("|".join(dict.fromkeys(quote_meta(member.value) for member in self.members))))
        literals = self.members[0].literals
        slots = self.split.slots
        return "".join(
            each if isinstance(each, str) else pattern if each in slots else literals[each]
            for each in self.split.pieces
        )

    def apart(self, samples: Sequence[Sample]) -> list[tuple[Sample, ...]] | None:
        """Each member's own elements of an answer to `text`; None where it is none: a strange value, a series twice."""
        split = self.split
        if split is None or len(self.members) == 1:
            return [tuple(samples)]
        found: dict[str | None, dict[Labels, Sample]] = {member.value: {} for member in self.members}
        for sample in samples:
            value = next((value for name, value in sample.labels if name == split.label), None)
            own = found.get(value)
            rest = sample.labels if split.own else tuple(pair for pair in sample.labels if pair[0] != split.label)
            if own is None or rest in own:
                return None
            own[rest] = sample if split.own else Sample(rest, sample.value)
        return [tuple(found[member.value].values()) for member in self.members]

    def notes(self, notes: Sequence[str], number: int) -> tuple[str, ...]:
        """Remarks on an answer to `text` as one member's own answer would carry them: they say where in the text."""
        if not notes or self.split is None or len(self.members) == 1:
            return tuple(notes)
        from opsctl.promql.coalesced_notes import moved

        return tuple(moved(note, self.text, self.split.pieces, self.members[number].text) for note in notes)

    def halves(self) -> tuple[Batch, Batch]:
        """The same in two."""
        middle = len(self.members) // 2
        return Batch(self.members[:middle], self.split), Batch(self.members[middle:], self.split)

    def one(self, number: int) -> Batch:
        """One member alone."""
        return Batch((self.members[number],), self.split)


def coalesced(texts: Sequence[str], most_bytes: int, most_members: int = 10_000) -> list[Batch]:
    """Every text in exactly one batch, in few batches; none is asked with more than `most_bytes` of UTF-8."""
    most = (most_bytes, most_members)
    out: list[Batch] = []
    families: dict[tuple[str, ...], list[tuple[str, tuple[str, ...]]]] = {}
    named: list[Member] = []
    for text in dict.fromkeys(texts):
        count = _COUNTED.fullmatch(text)
        if count is not None:
            named.append(Member(text, (), count[1]))
            continue
        parts = STRINGS.split(text)
        families.setdefault(tuple(parts[::2]), []).append((text, tuple(parts[1::2])))
    if named:
        out += _packed(named, _BY_NAME, *most)
    for form, of in families.items():
        if len(of) == 1 or len(form) == 1:
            out += (Batch((Member(text, literals, ""),)) for text, literals in of)
        else:
            out += _of_family(form, of, most)
    return out


_BY_NAME = Split("__name__", (0,), False, ("count by (__name__) ({__name__=~", 0, "})"))


def _of_family(form: tuple[str, ...], of: list[tuple[str, tuple[str, ...]]], most: tuple[int, int]) -> list[Batch]:
    """The batches of texts that are the same but for their string literals, split by the label that leaves fewest."""
    best: list[tuple[Split | None, list[Member]]] = [(None, [Member(*one, "")]) for one in of]
    for split in splits(form):
        groups = _groups(split, of)
        if len(groups) < len(best):
            best = groups
    out: list[Batch] = []
    for split_, members in best:
        if split_ is None or len(members) == 1:
            out += (Batch((member,)) for member in members)
        else:
            out += _packed(members, split_, *most)
    return out


def _groups(split: Split, of: list[tuple[str, tuple[str, ...]]]) -> list[tuple[Split | None, list[Member]]]:
    """Those that differ in nothing else; one whose label has no plain value, or several, stays alone."""
    groups: dict[tuple[str, ...], list[Member]] = {}
    alone: list[tuple[Split | None, list[Member]]] = []
    for text, literals in of:
        values = {value_of(literals[slot]) for slot in split.slots}
        value = values.pop()
        if values or not value:
            alone.append((None, [Member(text, literals, "")]))
            continue
        rest = tuple("" if i in split.slots else literal for i, literal in enumerate(literals))
        groups.setdefault(rest, []).append(Member(text, literals, value))
    return [*((split, members) for members in groups.values()), *alone]


def _packed(members: list[Member], split: Split, most_bytes: int, most_members: int) -> Iterator[Batch]:
    """As many members at once as fit."""
    empty = len(Batch((members[0], members[0]), split).text.encode()) * 2
    times = sum(piece in split.slots for piece in split.pieces if isinstance(piece, int))
    taken: list[Member] = []
    size = empty
    for member in members:
        more = times * (_quoted_bytes(member.value) - 1)
        if taken and (size + more > most_bytes or len(taken) == most_members):
            yield Batch(tuple(taken), split)
            taken, size = [], empty
        taken.append(member)
        size += more
    yield Batch(tuple(taken), split)


@lru_cache(maxsize=_VALUES)
def _quoted_bytes(value: str) -> int:
    return len(render(Text(quote_meta(value))).encode())


def quote_meta(value: str) -> str:
    """A pattern of RE2 that matches the value and nothing else."""
    return _META.sub(r"\\\g<0>", value)


@lru_cache(maxsize=_VALUES)
def value_of(literal: str) -> str | None:
    """What a string literal stands for; None where a label cannot hold that or a request cannot carry it."""
    if "\\" in literal and literal[0] != "`":
        try:
            selector = parse(f"{{x={literal}}}")
        except PromqlError:
            return None
        assert isinstance(selector, Selector)
        value = selector.matchers[0].value
    else:
        value = literal[1:-1]
    return None if not value.isascii() and re.search(_UNSAFE, value) else value


# What is sound


@lru_cache(maxsize=1024)
def splits(form: tuple[str, ...]) -> tuple[Split, ...]:
    """Every sound way to ask texts of this form together; `form` is what stands between their string literals."""
    if any("#" in part for part in form):  # a comment may hold quotes
        return ()
    try:
        expr = parse(marked(form))
    except PromqlError:
        return ()
    if not _aggregated(expr):
        return ()
    found = (_split(expr, label, len(form) - 1) for label in _candidates(expr))
    return tuple(split for split in found if split is not None)


def marked(form: Iterable[str]) -> str:
    """A text of that form whose string literals say which they are; they cannot be written without quotes."""
    parts = list(form)
    return "".join(part + (f'"opsctl slot {i}"' if i < len(parts) - 1 else "") for i, part in enumerate(parts))


def _candidates(expr: Expr) -> list[str]:
    """Labels on which every selector has one matcher, an `=`."""
    out: list[str] | None = None
    for selector in selectors(expr):
        equal = [m.name for m in selector.matchers if _is_slot(m) and _slots(selector, m.name) == 1]
        out = equal if out is None else [name for name in out if name in equal]
    return [name for name in out or () if name not in _NEVER and not name.startswith("opsctl slot ")]


def _is_slot(matcher: Matcher) -> bool:
    return matcher.op == "=" and matcher.value.startswith("opsctl slot ")


def _slots(selector: Selector, label: str) -> int:
    return sum(matcher.name == label for matcher in selector.matchers)


def _aggregated(expr: Expr) -> bool:
    """Whether every selector is below an aggregation: then an answer has few elements."""
    match expr:
        case Aggregate():
            return True
        case Paren() | Negation() | Subquery():
            return _aggregated(expr.expr)
        case Call():
            return all(_aggregated(arg) for arg in expr.args)
        case Binary():
            return _aggregated(expr.left) and _aggregated(expr.right)
        case Selector() | Range():
            return False
    return True


def _split(expr: Expr, label: str, literals: int) -> Split | None:
    state = _state(expr, label)
    if state is None or state == "number":
        return None
    matchers = (m for selector in selectors(expr) for m in selector.matchers if m.name == label)
    slots = tuple(int(matcher.value.removeprefix("opsctl slot ")) for matcher in matchers)
    parts = _MARKER.split(render(_together(expr, label)))
    pieces: Pieces = tuple(int(part) if i % 2 else part for i, part in enumerate(parts))
    if {piece for piece in pieces if isinstance(piece, int)} != set(range(literals)):
        return None
    return Split(label, slots, state == "kept", pieces)


def _together(expr: Expr, label: str) -> Expr:
    """The batch's expression: `=` becomes `=~`, and every aggregation keeps the label."""

    def change(node: Expr) -> Expr | None:
        if isinstance(node, Selector):
            matchers = (Matcher(m.name, "=~", m.value) if m.name == label else m for m in node.matchers)
            return Selector(tuple(matchers), node.offset_ms, node.time)
        if isinstance(node, Aggregate) and not node.without and label not in node.labels:
            return Aggregate(node.op, _together(node.expr, label), None, (label, *node.labels))
        return None

    return transform(expr, change)


def _state(expr: Expr, label: str) -> _State | None:
    """By induction: a batch's elements with one value of the label are the elements of that value's own expression."""
    match expr:
        case Selector() | Range():
            return "kept"
        case Number():
            return "number"
        case Paren() | Negation() | Subquery():
            return _state(expr.expr, label)
        case Call():
            return _of_call(expr, label)
        case Aggregate():
            return _of_aggregate(expr, label)
        case Binary():
            return _of_binary(expr, label)
    return None


def _of_call(expr: Call, label: str) -> _State | None:
    if expr.function in _NUMBERS:
        return "number"
    if expr.function not in _BY_SERIES:
        return None
    states = [_state(arg, label) for arg in expr.args]
    vectors = [state for state in states if state != "number"]
    return vectors[0] if len(vectors) == 1 else None


def _of_aggregate(expr: Aggregate, label: str) -> _State | None:
    inner = _state(expr.expr, label)
    if inner is None or inner == "number" or expr.op not in _AGGREGATIONS or expr.param is not None:
        return None
    if expr.without and label in expr.labels:
        return None
    kept = inner == "kept" and (expr.without or label in expr.labels)
    return "kept" if kept else "added"


def _of_binary(expr: Binary, label: str) -> _State | None:
    """Vectors meet only within one value of the label, on both sides of the claim or on neither."""
    left, right = _state(expr.left, label), _state(expr.right, label)
    if left is None or right is None or expr.op == "or":
        return None
    if left == "number" or right == "number":
        return right if left == "number" else left
    matching = expr.matching
    if left != right or (matching is not None and label in matching.include):
        return None
    if matching is not None and matching.on != (label in matching.labels):
        return None
    return left
