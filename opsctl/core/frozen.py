"""`@dataclass(frozen=True, slots=True)` as everywhere, at a tenth of the price: a command defines a hundred of them.

The standard decorator makes each class twice and compiles six methods for it, 0.3 ms; this one makes it once, compiles
one `__init__` for all classes of the same shape and shares the rest. The same for `slots=True` alone.
What it makes are dataclasses: `fields`, `replace`, `match`, copying, pickling, msgspec and the type checker see no
difference. Any other form of dataclass goes to the standard library. Must never differ from it in what a class does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from dataclasses import MISSING, FrozenInstanceError
    from functools import cache
    from operator import attrgetter
    from types import FunctionType

    def dataclass(cls=None, /, *, frozen=False, slots=False, **more):
        """The standard decorator, quicker for slotted classes."""
        if cls is not None or more or not slots:
            return dataclasses.dataclass(cls, frozen=frozen, slots=slots, **more)
        return _frozen if frozen else _open

    def _frozen(cls):
        return _made(cls, frozen=True)

    def _open(cls):
        return _made(cls, frozen=False)

    def _made(cls, *, frozen):
        own, types = vars(cls), cls.__annotations__
        ordinary = _BASES.issuperset(cls.__bases__) and _OWN_WAYS.isdisjoint(own)
        if not ordinary or any(map(_unusual, types.values())):
            return dataclasses.dataclass(frozen=frozen, slots=True)(cls)
        fields = {name: _field(name, written, own.get(name, MISSING)) for name, written in types.items()}
        body = {name: value for name, value in own.items() if name not in fields and name not in _NOT_COPIED}
        methods = {"__init__": _init(cls, fields.values(), frozen), **_shared(fields.values()), **_SAME[frozen]}
        body = {**methods, **body, **_PARTS[frozen], "__dataclass_fields__": fields}
        body["__slots__"] = body["__match_args__"] = (*fields,)
        made = type(cls)(cls.__name__, cls.__bases__, body)
        made.__qualname__ = cls.__qualname__
        return made

    def _unusual(written):
        """What is no plain field, or may be none: for the standard decorator to read."""
        return not isinstance(written, str) or "ClassVar" in written or "InitVar" in written or "KW_ONLY" in written

    def _field(name, written, default):
        made = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
        if made.default.__class__.__hash__ is None:
            raise ValueError(
                f"mutable default {type(made.default)} for field {name} is not allowed: use default_factory"
            )
        if not made.init or made.kw_only is True:
            raise TypeError(f"{name}: fields of such a class are positional")
        made.name, made.type, made.kw_only, made._field_type = name, written, False, _PLAIN
        return made

    def _init(cls, fields, frozen):
        """The method that sets every field, from the code that all classes with as many share."""
        known = {"_set": object.__setattr__, "_missing": MISSING}
        named, defaults, factories = {}, [], []
        for number, field in enumerate(fields):
            named[f"_{number}"] = field.name
            if field.default_factory is not MISSING:
                known[f"_make_{number}"] = field.default_factory
                factories.append(number)
                defaults.append(MISSING)
            elif field.default is not MISSING:
                defaults.append(field.default)
            elif defaults:
                raise TypeError(f"non-default argument {field.name!r} follows default argument")
        code = _code(len(named), tuple(factories), hasattr(cls, "__post_init__"), frozen)
        code = code.replace(**{
            part: tuple([named.get(each, each) for each in getattr(code, part)])
            for part in ("co_varnames", "co_consts", "co_names")
        })  # fmt: skip
        made = FunctionType(code, known, "__init__", tuple(defaults))
        made.__qualname__ = f"{cls.__qualname__}.__init__"
        return made

    @cache
    def _code(count, factories, checked, frozen):
        """What `__init__` does with `count` fields named _0, _1, …"""
        does = ["pass"]
        for number in range(count):
            value = f"_make_{number}() if _{number} is _missing else _{number}" if number in factories else f"_{number}"
            does.append(f"_set(self, '_{number}', {value})" if frozen else f"self._{number} = {value}")
        if checked:
            does.append("self.__post_init__()")
        takes = ", ".join(("self", *(f"_{number}" for number in range(count))))
        known = {}
        exec(f"def __init__({takes}):\n " + "\n ".join(does), known)
        return known["__init__"].__code__

    def _shared(fields):
        values = _values([field.name for field in fields if field.compare])
        shown = [field.name for field in fields if field.repr]

        def __repr__(self):
            inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
            return f"{self.__class__.__qualname__}({inside})"

        def __eq__(self, other):
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        def __hash__(self):
            return hash(values(self))

        return {"__repr__": __repr__, "__eq__": __eq__, "__hash__": __hash__}

    def _values(names):
        """What gives the values of these fields as a tuple, as `attrgetter` alone does from two names on."""
        if len(names) > 1:
            return attrgetter(*names)
        return lambda self: tuple([getattr(self, name) for name in names])

    def _refuse_set(self, name: str, value: Any):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_delete(self, name: str):
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def _getstate(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def _setstate(self, state):
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)

    @dataclasses.dataclass(frozen=True, slots=True)
    class _StandardFrozen:
        x: int

    @dataclasses.dataclass(slots=True)
    class _StandardOpen:
        x: int

    def _parts_of(standard):
        """What the standard decorator puts on every class alike."""
        return {
            name: vars(standard)[name] for name in ("__dataclass_params__", "__replace__") if name in vars(standard)
        }

    _PLAIN = _StandardFrozen.__dataclass_fields__["x"]._field_type
    _PARTS = {True: _parts_of(_StandardFrozen), False: _parts_of(_StandardOpen)}
    _BASES = frozenset((object, Generic))
    _OWN_WAYS = frozenset(("__slots__", "__eq__", "__setattr__", "__delattr__"))
    _NOT_COPIED = frozenset(("__dict__", "__weakref__"))
    _SAME = {
        True: {
            "__setattr__": _refuse_set,
            "__delattr__": _refuse_delete,
            "__getstate__": _getstate,
            "__setstate__": _setstate,
        },
        False: {"__hash__": None},
    }

__all__ = ["dataclass"]
