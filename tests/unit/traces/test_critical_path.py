"""The critical path: by hand, against a slow definition, and that its parts always add up to the trace."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.core.trace_shape import NO_PARENT, Shape, shape_of
from opsctl.insight.critical_path import critical_path


def shape(*spans: tuple[str, str | None, int, int]) -> Shape:
    """A shape of (id, parent, start, end)."""
    rows = sorted(spans, key=lambda row: row[2])
    return shape_of([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows])


def path(*spans: tuple[str, str | None, int, int]) -> str:
    """The path as text: `a 0-10`, `~b 10-20` where nothing ran until b began."""
    return ", ".join(
        f"{'~' if part.idle else ''}{part.span_id} {part.from_us}-{part.to_us}" for part in critical_path(shape(*spans))
    )


CASES = {
    "one span": ([("a", None, 0, 10)], "a 0-10"),
    "a call in the middle": ([("a", None, 0, 10), ("b", "a", 2, 7)], "a 0-2, b 2-7, a 7-10"),
    "calls one after the other": (
        [("a", None, 0, 10), ("b", "a", 1, 3), ("c", "a", 5, 9)],
        "a 0-1, b 1-3, a 3-5, c 5-9, a 9-10",
    ),
    "of two calls at once the one that returned last": (
        [("a", None, 0, 10), ("b", "a", 1, 6), ("c", "a", 1, 8)],
        "a 0-1, c 1-8, a 8-10",
    ),
    "a call that overlaps the last one is not waited for": (
        [("a", None, 0, 10), ("b", "a", 1, 6), ("c", "a", 4, 9)],
        "a 0-4, c 4-9, a 9-10",
    ),
    "three deep": (
        [("a", None, 0, 10), ("b", "a", 1, 9), ("c", "b", 2, 8)],
        "a 0-1, b 1-2, c 2-8, b 8-9, a 9-10",
    ),
    "a child that outlives its parent": (
        [("a", None, 0, 10), ("b", "a", 5, 30)],
        "a 0-5, b 5-30",
    ),
    "a child that outlives its parent in a parent that waits": (
        [("r", None, 0, 50), ("a", "r", 0, 10), ("b", "a", 5, 30)],
        "a 0-5, b 5-30, r 30-50",
    ),
    "a message that waits in a queue": (
        [("send", None, 0, 10), ("receive", "send", 40, 60)],
        "send 0-10, ~receive 10-40, receive 40-60",
    ),
    "two that outlive their parent": (
        [("a", None, 0, 10), ("b", "a", 5, 50), ("c", "a", 40, 100)],
        "a 0-5, b 5-40, c 40-100",
    ),
    "a clock that is ahead: a child before its parent": (
        [("a", None, 10, 20), ("b", "a", 5, 15)],
        "b 5-15, a 15-20",
    ),
    "a clock that is far ahead": (
        [("a", None, 100, 120), ("b", "a", 5, 15)],
        "b 5-15, ~a 15-100, a 100-120",
    ),
    "a clock that is far behind": (
        [("a", None, 0, 20), ("b", "a", 105, 115)],
        "a 0-20, ~b 20-105, b 105-115",
    ),
    "an early child hidden by others is found when the parent has not begun": (
        [("a", None, 10, 20), ("b", "a", 12, 15), ("c", "a", 0, 14), ("d", "a", 11, 13)],
        "c 0-10, a 10-12, b 12-15, a 15-20",
    ),
    "two roots, since a parent is missing": (
        [("a", "lost", 0, 10), ("b", "lost", 20, 30)],
        "a 0-10, ~b 10-20, b 20-30",
    ),
    "two roots that overlap": (
        [("a", None, 0, 100), ("b", None, 50, 200), ("c", "a", 10, 60)],
        "a 0-50, b 50-200",
    ),
    "a loop": ([("a", "b", 0, 10), ("b", "a", 2, 5)], "a 0-2, b 2-5, a 5-10"),
    "its own parent": ([("a", "a", 0, 10)], "a 0-10"),
    "no time at all": ([("a", None, 5, 5), ("b", "a", 5, 5)], ""),
    "a span without time on the way": ([("a", None, 0, 10), ("b", "a", 5, 5)], "a 0-10"),
    "before the epoch": ([("a", None, -20, -5), ("b", "a", -10, -7)], "a -20--10, b -10--7, a -7--5"),
    "one id twice": ([("a", None, 0, 10), ("a", None, 2, 20), ("b", "a", 3, 4)], "a 0-2, a 2-20"),
    "a shared span: the server's half goes between": (
        [("u", None, 0, 10), ("s", "u", 1, 9), ("s", "s", 2, 8), ("t", "s", 3, 7)],
        "u 0-1, s 1-2, s 2-3, t 3-7, s 7-8, s 8-9, u 9-10",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_by_hand(name: str) -> None:
    """Each case of the algorithm, as drawn on paper."""
    spans, expected = CASES[name]
    assert path(*spans) == expected


def test_a_halves_order_does_not_matter() -> None:
    """With a clock that is behind, the server's half of a shared span begins before the client's."""
    one = shape(("s", "u", 3, 9), ("s", "s", 2, 8), ("u", None, 0, 10))
    assert list(one.parents) == [NO_PARENT, 2, 0]


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Any spans: parents anywhere or nowhere, loops, skew, one id twice."""
    count = draw(st.integers(1, 12))
    times = st.integers(-5, 40)
    rows = []
    for number in range(count):
        name = str(draw(st.integers(0, count))) if draw(st.integers(0, 9)) == 0 else str(number)
        parent = draw(st.none() | st.integers(0, count).map(str))
        start = draw(times)
        rows.append((name, parent, start, start + draw(st.integers(0, 30))))
    return shape(*rows)


@settings(max_examples=600, deadline=None)
@given(shapes())
def test_the_parts_cover_the_trace_once(one: Shape) -> None:
    """Without a gap or an overlap from the first start to the last end; a part that is not idle lies in its span."""
    at = one.start_us
    for part in critical_path(one):
        assert part.from_us == at
        assert part.to_us > part.from_us
        assert one.span_ids[part.index] == part.span_id
        if part.idle:
            assert one.starts_us[part.index] >= part.to_us
        else:
            assert one.starts_us[part.index] <= part.from_us
            assert part.to_us <= one.ends_us[part.index]
        at = part.to_us
    assert at == one.end_us


@settings(max_examples=300, deadline=None)
@given(shapes())
def test_parents_are_a_forest(one: Shape) -> None:
    """From every span up there is an end, and every span is below exactly one."""
    for index in range(len(one.parents)):
        seen, at = set(), index
        while at != NO_PARENT:
            assert at not in seen
            seen.add(at)
            at = one.parents[at]
    assert sorted(one.order) == list(range(len(one.parents)))


@settings(max_examples=200, deadline=None)
@given(shapes())
def test_few_and_many_early_spans_give_the_same_path(one: Shape) -> None:
    """Spans that stand before their parents are looked at one by one or all at once."""
    few = critical_path(one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opsctl.insight.critical_path.FEW", -1)
        assert critical_path(one) == few


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_on_well_behaved_traces_it_is_crisp(data: st.DataObject) -> None:
    """Children within their parents: the same as the paper's recursion, written down plainly."""
    rows: list[tuple[str, str | None, int, int]] = [("0", None, 0, 1000)]
    for number in range(1, data.draw(st.integers(1, 14))):
        parent = data.draw(st.sampled_from(rows))
        start = data.draw(st.integers(parent[2], parent[3]))
        rows.append((str(number), parent[0], start, data.draw(st.integers(start, parent[3]))))
    assert path(*rows) == ", ".join(f"{name} {a}-{b}" for name, a, b in crisp(rows))


def crisp(rows: list[tuple[str, str | None, int, int]]) -> list[tuple[str, int, int]]:
    """The paper's algorithm: from the span's end back, the last returning child that returned by then."""

    def walk(row: tuple[str, str | None, int, int], until: int) -> list[tuple[str, int, int]]:
        name, _, start, _ = row
        out: list[tuple[str, int, int]] = []
        below = sorted((r for r in sorted(rows, key=lambda r: r[2]) if r[1] == name), key=lambda r: r[3], reverse=True)
        for child in below:
            if child[3] <= until and child[2] < child[3]:
                out += [(name, child[3], until)] if child[3] < until else []
                out += walk(child, child[3])
                until = child[2]
        return out + ([(name, start, until)] if start < until else [])

    return list(reversed(walk(rows[0], rows[0][3])))


def test_a_chain_of_twenty_thousand_is_no_recursion() -> None:
    """Depth costs no stack, and time that grows with the spans."""
    count = 20_000
    names = [str(n) for n in range(count)]
    begun = time.monotonic()
    one = shape_of(names, [None, *names[:-1]], list(range(count)), [2 * count - n for n in range(count)])
    assert len(critical_path(one)) == 2 * count - 1
    skewed = shape_of(names, [*names[1:], None], list(range(count)), [2 * count - n for n in range(count)])
    assert sum(part.duration_us for part in critical_path(skewed)) == 2 * count
    loop = shape_of(names, [*names[1:], names[0]], list(range(count)), [2 * count - n for n in range(count)])
    assert sum(part.duration_us for part in critical_path(loop)) == 2 * count
    assert time.monotonic() - begun < 10
