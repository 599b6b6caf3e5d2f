"""Which fields of the mapping stand for what: ECS, OpenTelemetry and what the configuration names, index by index.

Pure. Must never take a field for exact that some index keeps as full text.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import msgspec

from opsctl.core.frozen import dataclass
from opsctl.core.logs import ECS_NAMES, LogField
from opsctl.core.signals import Reason
from opsctl.http import HttpProblem, one_line

# By their ECS name: what else is tried, in this order. A record's value is the first that it has.
KNOWN_AS: Mapping[str, tuple[str, ...]] = {
    "message": ("message", "body.text", "body_text", "body", "msg", "log", "event.original"),
    "log.level": ("log.level", "severity_text", "severity", "level", "loglevel", "levelname"),
    "service.name": (
        "service.name",
        "resource.attributes.service.name",
        "service",
        "kubernetes.labels.app",
        "app",
    ),
    "trace.id": ("trace.id", "trace_id", "traceId", "otelTraceID"),
    "span.id": ("span.id", "span_id", "spanId", "otelSpanID", "transaction.id"),
}
NUMBER = "severity_number"
PREFIXES = ("resource.attributes.", "attributes.")  # OpenTelemetry's; ECS names are below them
EXACT = frozenset({"keyword", "constant_keyword", "wildcard", "version"})
TEXT = frozenset({"text", "match_only_text"})
WHOLE = frozenset({"byte", "short", "integer", "long", "unsigned_long"})
NUMBERS = WHOLE | {"double", "float", "half_float", "scaled_float"}
PLAIN = EXACT | NUMBERS | {"boolean", "ip", "date", "date_nanos"}


class _Caps(msgspec.Struct):
    type: str
    searchable: bool = True
    aggregatable: bool = False
    indices: list[str] | str | None = None


class Mapped(msgspec.Struct):
    """The answer of `_field_caps`: for each name its types, and the indices of each where they differ."""

    indices: list[str] | str = []
    fields: dict[str, dict[str, _Caps]] = {}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One field of one type in some indices; `indices` is None where no index disagrees."""

    name: str
    type: str
    indices: frozenset[str] | None


def near_names(name: str) -> tuple[str, ...]:
    """The names that a field may have in the mapping, the ECS name first."""
    known = KNOWN_AS.get(name)
    return known if known is not None else (name, *(prefix + name for prefix in PREFIXES))


def canonical(name: str, more: Mapping[str, tuple[str, ...]]) -> str:
    """The ECS name of a field of the mapping."""
    for ecs, names in KNOWN_AS.items():
        if name in names or name in more.get(ecs, ()):
            return ecs
    return next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)


def by_ecs_name(configured: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The configuration's `message = ["msg"]` by ECS names."""
    return {ECS_NAMES[meaning]: tuple(names) for meaning, names in configured.items()}


class FieldMap:
    """What the mapping has of the names that were asked for."""

    def __init__(self, mapped: Mapped, more: Mapping[str, tuple[str, ...]]) -> None:
        self._mapped = mapped
        self._more = more

    @property
    def indices(self) -> tuple[str, ...]:
        """Every index that fits the patterns."""
        found = self._mapped.indices
        return (found,) if isinstance(found, str) else tuple(found)

    def names(self, field: str) -> tuple[str, ...]:
        """What a field may be called, the configuration's names first."""
        return tuple(dict.fromkeys((*self._more.get(field, ()), *near_names(field))))

    def mapped_names(self, field: str) -> tuple[str, ...]:
        """The names that the mapping has for it, without `.keyword`."""
        return tuple(name for name in self.names(field) if any(True for _ in self._of(name)))

    def leaves(self, field: str) -> tuple[Leaf, ...]:
        """Every field of the mapping that stands for it, `.keyword` beside what is full text."""
        out: list[Leaf] = []
        for name in self.names(field):
            out += self._of(name)
            out += self._of(f"{name}.keyword")
        return tuple(out)

    def _of(self, name: str) -> Iterable[Leaf]:
        of_name = self._mapped.fields.get(name, {})
        for kind in of_name:
            if kind in {"unmapped", "object", "nested"}:
                continue
            listed = of_name[kind].indices  # only where indices differ
            some = frozenset([listed] if isinstance(listed, str) else listed) if listed else None
            yield Leaf(name, kind, some)

    def exact(self, field: str) -> tuple[Leaf, ...]:
        """Those whose values can be compared whole."""
        return tuple(leaf for leaf in self.leaves(field) if leaf.type in PLAIN)

    def text(self, field: str) -> tuple[Leaf, ...]:
        """Those that are full text and have no exact one beside them."""
        leaves = self.leaves(field)
        beside = {leaf.name.removesuffix(".keyword") for leaf in leaves if leaf.name.endswith(".keyword")}
        return tuple(leaf for leaf in leaves if leaf.type in TEXT and leaf.name not in beside)

    def full_text(self, field: str) -> tuple[Leaf, ...]:
        """Those that words are looked for in: full text, and exact ones that no full text has beside it."""
        leaves = self.leaves(field)
        words = {leaf.name for leaf in leaves if leaf.type in TEXT}
        return tuple(
            leaf
            for leaf in leaves
            if leaf.type in TEXT or (leaf.type in EXACT and leaf.name.removesuffix(".keyword") not in words)
        )

    @cached_property
    def times(self) -> tuple[Leaf, ...]:
        """The times of the records: one leaf, or one for each precision where indices differ."""
        return tuple(leaf for leaf in self._of("@timestamp") if leaf.type in {"date", "date_nanos"})

    @cached_property
    def untimed(self) -> tuple[str, ...]:
        """What makes an answer not whole: indices whose times are none that can be searched."""
        return tuple(
            f"@timestamp is of the type {leaf.type} in {', '.join(sorted(leaf.indices or ('every index',)))}: "
            "their lines are left out"
            for leaf in self._of("@timestamp")
            if leaf.type not in {"date", "date_nanos"}
        )

    def known(self, field: str) -> bool:
        """Whether the mapping has it; what every log record has is known always."""
        return field in KNOWN_AS or bool(self.leaves(field))

    def listed(self) -> tuple[LogField, ...]:
        """All of it by ECS names, sorted."""
        kinds: dict[str, set[str]] = {}
        searchable: dict[str, bool] = {}
        for name, of_name in self._mapped.fields.items():
            base = name.removesuffix(".keyword")
            ecs = canonical(base if base in self._mapped.fields else name, self._more)
            for kind, caps in of_name.items():
                if kind not in {"unmapped", "object", "nested"}:
                    kinds.setdefault(ecs, set()).add(kind)
                    searchable[ecs] = searchable.get(ecs, False) or caps.searchable
        return tuple(
            LogField(name, ", ".join(sorted(kinds[name])), searchable[name], bool(kinds[name] & PLAIN))
            for name in sorted(kinds)
        )


def asked_names(fields: Iterable[str], more: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What `_field_caps` is asked for, so that a question about those fields can be put."""
    out: dict[str, None] = {"@timestamp": None, NUMBER: None}
    for field in (*KNOWN_AS, *fields):
        for name in (*more.get(field, ()), *near_names(field)):
            out[name] = None
            out[f"{name}.keyword"] = None
    return tuple(out)


def unknown(field: str, names: Iterable[str]) -> HttpProblem:
    """A field that is not in the mapping, and near ones."""
    near = difflib.get_close_matches(field, list(names), n=3, cutoff=0.5)
    hint = f"; near it: {', '.join(one_line(name, 60) for name in near)}" if near else ""
    return HttpProblem(Reason.REJECTED, f"no field {field} in the mapping{hint}")
