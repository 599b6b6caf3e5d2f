"""Our quick frozen dataclasses do what the standard ones do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from opsctl.core.frozen import dataclass as quick

T = TypeVar("T")


def _classes() -> list[Any]:
    made = []
    for decorate in (quick, dataclasses.dataclass):

        @decorate(frozen=True, slots=True)
        class Point:
            """A point."""

            x: int
            name: str = "p"
            tags: tuple[str, ...] = ()
            more: dict[str, int] = dataclasses.field(default_factory=dict, compare=False, repr=False)

            def __post_init__(self) -> None:
                if self.x < 0:
                    raise ValueError("negative")

        made.append(Point)
    return made


@quick(frozen=True, slots=True)
class Kept:
    """Found by pickle."""

    a: int
    b: str = "b"


@quick(frozen=True, slots=True)
class One:
    """One field: its values are still a tuple."""

    value: float


@quick(frozen=True, slots=True)
class Nothing:
    """No fields."""


def test_it_is_the_same_as_the_standard_one() -> None:
    """Signature, repr, hash, fields, match arguments, parameters, slots and defaults are equal."""
    ours, theirs = _classes()
    assert str(inspect.signature(ours)).split(" ->")[0].count("=") == 3
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
    a, b = ours(1, tags=("t",)), theirs(1, tags=("t",))
    assert repr(a) == repr(b)
    assert hash(a) == hash(b)
    assert [f.name for f in dataclasses.fields(ours)] == [f.name for f in dataclasses.fields(theirs)]
    assert ours.__match_args__ == theirs.__match_args__
    assert ours.__slots__ == theirs.__slots__
    assert ours.__dataclass_params__.frozen
    assert a.more == {}
    assert a.more is not ours(1).more
    assert not hasattr(a, "__dict__")


def test_equality_looks_at_compared_fields_of_the_same_class() -> None:
    """Fields that are not compared do not count, and another class is never equal."""
    ours, theirs = _classes()
    assert ours(1, more={"a": 1}) == ours(1)
    assert ours(1) != ours(2)
    assert ours(1) != theirs(1)
    nan = float("nan")
    assert One(nan) == One(nan)  # by identity, as tuples compare
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(())
    assert repr(One(1.0)) == "One(value=1.0)"


def test_nothing_can_be_set_or_deleted() -> None:
    """Frozen; `replace` makes another one and `__post_init__` looks at it."""
    ours, _ = _classes()
    point = ours(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(AttributeError):
        point.other = 1
    assert dataclasses.replace(point, x=3).x == 3
    with pytest.raises(ValueError, match="negative"):
        ours(-1)
    with pytest.raises(TypeError):
        ours()


def test_it_is_copied_pickled_and_encoded() -> None:
    """copy, pickle and msgspec read and make them."""
    kept = Kept(1, "c")
    assert copy.deepcopy(kept) == copy.copy(kept) == pickle.loads(pickle.dumps(kept)) == kept
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Kept) == kept
    assert msgspec.json.decode(b'{"a": 5}', type=Kept) == Kept(5)


@quick(slots=True)
class Changing:
    """Not frozen."""

    a: int
    seen: list[str] = dataclasses.field(default_factory=list)


@quick(frozen=True, slots=True)
class Box(Generic[T]):
    """Of anything."""

    inside: T
    more: int = 0


def test_a_class_that_changes_is_the_standard_one_too() -> None:
    """With `slots=True` alone: fields can be set, others not, equal by value and not hashable."""
    one = Changing(1)
    one.a += 1
    one.seen.append("x")
    assert one == Changing(2, ["x"])
    assert repr(one) == "Changing(a=2, seen=['x'])"
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == dataclasses.replace(one) == one
    assert Changing(3).seen == []
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(AttributeError):
        one.other = 1  # type: ignore[attr-defined]


def test_generic_classes_keep_their_parameters() -> None:
    """A class of a type variable is subscribed, made and matched."""
    box: Any = Box[int](5)
    assert Box.__parameters__ == (T,)  # type: ignore[attr-defined]
    match box:
        case Box(inside, more):
            assert (inside, more) == (5, 0)
    assert not hasattr(box, "__dict__")
    assert pickle.loads(pickle.dumps(box)) == box


def test_wrong_classes_are_refused_as_the_standard_one_does() -> None:
    """A default before a field without one, and a default that all would share."""
    for decorate in (quick, dataclasses.dataclass):
        with pytest.raises(TypeError, match="non-default argument 'b' follows default argument"):

            @decorate(frozen=True, slots=True)
            class Order:
                a: int = 1
                b: int

        with pytest.raises(ValueError, match="mutable default <class 'list'> for field a"):

            @decorate(frozen=True, slots=True)
            class Shared:
                a: list[int] = []  # noqa: RUF012


def test_a_wrong_call_names_the_field() -> None:
    """As a method that was compiled for the class does."""
    with pytest.raises(TypeError, match=r"Kept.__init__\(\) missing 1 required positional argument: 'a'"):
        Kept()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        Kept(1, c=2)  # type: ignore[call-arg]


def test_other_forms_and_subclasses_are_the_standard_ones() -> None:
    """What is not frozen and slotted, or inherits fields, is made by the standard library."""

    @quick
    class Plain:
        x: int = 1

    @quick(frozen=True, slots=True)
    class Sub(Kept):
        """Inherits two fields."""

        c: int = 3

    changed = Plain()
    changed.x = 2
    assert changed == Plain(2)
    assert repr(Sub(1)).endswith("Sub(a=1, b='b', c=3)")
    assert Sub(1) != Kept(1)
