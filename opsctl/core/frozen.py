"""`@dataclass(frozen=True, slots=True)` as everywhere, a quarter of the price: a command defines a hundred of them.

The standard decorator compiles six methods for each class, 0.3 ms; this one compiles `__init__` and shares the rest.
What it makes are dataclasses: `fields`, `replace`, `match`, copying, pickling, msgspec and the type checker see no
difference. Any other form of dataclass goes to the standard library. Must never differ from it in what a class does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from dataclasses import FrozenInstanceError
    from operator import attrgetter

    def dataclass(cls=None, /, *, frozen=False, slots=False, **more):
        """The standard decorator, quicker for frozen slotted classes."""
        if cls is not None or more or not (frozen and slots):
            return dataclasses.dataclass(cls, frozen=frozen, slots=slots, **more)
        return _frozen

    def _frozen(cls):
        if any(hasattr(base, "__dataclass_fields__") for base in cls.__mro__):
            return dataclasses.dataclass(frozen=True, slots=True)(cls)
        own = frozenset(vars(cls))
        made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
        made.__dataclass_params__.frozen = True
        for name, method in (("__init__", _init(made)), *_shared(made)):
            if name not in own:
                setattr(made, name, method)
        return made

    def _init(cls):
        known = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
        takes, does = ["self"], []
        for field in dataclasses.fields(cls):
            name, value = field.name, field.name
            if not field.init or field.kw_only:
                raise TypeError(f"{cls.__qualname__}.{name}: fields of a frozen class are positional")
            if field.default_factory is not dataclasses.MISSING:
                known[f"_{name}"] = field.default_factory
                takes.append(f"{name}=_missing")
                value = f"_{name}() if {name} is _missing else {name}"
            elif field.default is not dataclasses.MISSING:
                known[f"_{name}"] = field.default
                takes.append(f"{name}=_{name}")
            else:
                takes.append(name)
            does.append(f" _set(self, {name!r}, {value})")
        if hasattr(cls, "__post_init__"):
            does.append(" self.__post_init__()")
        exec(f"def __init__({', '.join(takes)}):\n" + ("\n".join(does) or " pass"), known)
        made = known["__init__"]
        made.__qualname__ = f"{cls.__qualname__}.__init__"
        return made

    def _shared(cls):
        fields = dataclasses.fields(cls)
        values = _values([field.name for field in fields if field.compare])
        shown = [field.name for field in fields if field.repr]

        def __repr__(self):
            inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
            return f"{self.__class__.__qualname__}({inside})"

        def __eq__(self, other):
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        def __hash__(self):
            return hash(values(self))

        return (("__repr__", __repr__), ("__eq__", __eq__), ("__hash__", __hash__), *_SAME_FOR_ALL)

    def _values(names):
        """What gives the values of these fields as a tuple, as `attrgetter` alone does from two names on."""
        if len(names) > 1:
            return attrgetter(*names)
        return lambda self: tuple(getattr(self, name) for name in names)

    def _refuse_set(self, name: str, value: Any):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _refuse_delete(self, name: str):
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def _getstate(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def _setstate(self, state):
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)

    _SAME_FOR_ALL = (
        ("__setattr__", _refuse_set),
        ("__delattr__", _refuse_delete),
        ("__getstate__", _getstate),
        ("__setstate__", _setstate),
    )

__all__ = ["dataclass"]
