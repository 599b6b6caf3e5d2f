"""A trace as rows: what repeats is folded, unfolds one by one or all at once, and the cursor finds its span again."""

from __future__ import annotations

from typing import Any

from opsctl.core.traces import Span, Trace, trace_of
from opsctl.tui.tree import Tree
from opsctl.tui.widgets.waterfall import bar_pieces, label_pieces, room_in, row_pieces, ruler
from opsctl.views.traces import waterfall
from tests.contract.trace_world import MS, span

T0 = 1_778_781_600_000_000


def repeated(errors: tuple[int, ...] = (7,)) -> Trace:
    """A request that debits twelve times in a row, each with an INSERT below, and one audit behind them."""
    spans = [span(1, 1, None, "shop", "POST /cart", "server", T0, 500 * MS)]
    for number in range(12):
        at, took = T0 + (5 + 30 * number) * MS, (20 + number) * MS
        status = "error" if number in errors else "unset"
        spans.append(span(1, 10 + number, 1, "purse", "purse.Debit", "server", at, took, status))  # type: ignore[arg-type]
        spans.append(span(1, 50 + number, 10 + number, "purse", "INSERT", "client", at + MS, took - 2 * MS))
    spans.append(span(1, 99, 1, "watch", "audit", "consumer", T0 + 480 * MS, 10 * MS))
    return trace_of(f"{1:032x}", spans)


def names(tree: Tree) -> list[str]:
    """Each row's name, with how many spans it folds and how deep it is."""
    lines = [tree.line(place) for place in range(len(tree.rows))]
    return [f"{line.depth} {line.name}" + (f" ×{line.count}" if line.count > 1 else "") for line in lines]


def test_the_rows_are_those_of_the_waterfall_of_the_command() -> None:
    trace = repeated()
    tree = Tree(trace)
    assert tuple(tree.line(place) for place in range(len(tree.rows))) == waterfall(trace)
    tree.toggle_all(0)
    assert tuple(tree.line(place) for place in range(len(tree.rows))) == waterfall(trace, unfold=True)


def test_one_fold_opens_and_closes_again() -> None:
    tree = Tree(repeated())
    assert names(tree) == ["0 POST /cart", "1 purse.Debit ×12", "1 audit"]
    place = tree.toggle(1)
    assert place == 1
    assert names(tree)[1:5] == ["1 purse.Debit", "2 INSERT", "1 purse.Debit", "2 INSERT"]
    assert len(tree.rows) == 2 + 24
    assert tree.toggle(5) == 1  # the third debit goes back into its run
    assert names(tree) == ["0 POST /cart", "1 purse.Debit ×12", "1 audit"]


def test_what_is_below_a_span_folds_and_counts() -> None:
    tree = Tree(repeated())
    assert tree.toggle(0) == 0
    assert names(tree) == ["0 POST /cart"]
    assert tree.line(0).spans == 26
    assert tree.line(0).errors == 1
    tree.toggle(0)
    assert names(tree) == ["0 POST /cart", "1 purse.Debit ×12", "1 audit"]


def test_it_begins_on_what_the_failing_span_is_folded_into_and_shows_that_span() -> None:
    tree = Tree(repeated(errors=(7,)))
    place = tree.first_place()
    assert tree.line(place).count == 12
    assert tree.span(place).span_id == f"{17:016x}"
    assert tree.telling == f"{17:016x}"


def test_a_failing_span_below_a_fold_is_unfolded_to_begin_with() -> None:
    spans = [
        s if s.span_id != f"{57:016x}" else type(s)(**{**fields(s), "status": "error"}) for s in repeated(()).spans
    ]
    tree = Tree(trace_of(f"{1:032x}", spans))
    place = tree.first_place()
    assert tree.span(place).span_id == f"{57:016x}"
    assert tree.line(place).count == 1


def fields(one: Span) -> dict[str, Any]:
    """Everything that a span says."""
    return {name: getattr(one, name) for name in one.__struct_fields__}


def test_a_span_that_is_asked_for_is_unfolded_whatever_hides_it() -> None:
    tree = Tree(repeated())
    tree.toggle(0)
    place = tree.place_of(f"{57:016x}")
    assert tree.span(place).span_id == f"{57:016x}"
    assert tree.line(place).count == 1
    assert tree.place_of("feed") == -1


def test_errors_are_found_in_folds_and_round_the_end() -> None:
    tree = Tree(repeated(errors=(2, 7)))
    assert tree.next_error(0, 1) == 1
    assert tree.next_error(1, 1) == 1  # the only row with errors
    tree.toggle(1)
    first = tree.next_error(0, 1)
    second = tree.next_error(first, 1)
    assert [tree.span(place).span_id for place in (first, second)] == [f"{12:016x}", f"{17:016x}"]
    assert tree.next_error(second, 1) == first
    assert tree.next_error(first, -1) == second
    assert Tree(repeated(errors=())).next_error(0, 1) == -1


def test_the_critical_path_is_followed_row_by_row() -> None:
    tree = Tree(repeated())
    visited = [0]
    while (place := tree.next_waited(visited[-1])) not in visited:
        visited.append(place)
    assert [tree.line(place).path_us > 0 for place in visited] == [True] * len(visited)
    assert len(visited) == sum(tree.line(place).path_us > 0 for place in range(len(tree.rows)))


def test_a_line_is_as_wide_as_its_room_and_says_what_it_is_without_colour() -> None:
    tree = Tree(repeated())
    for width in (60, 80, 92, 120):
        text = "".join(text for text, _ in row_pieces(tree, 1, room_in(width)))
        assert len(text) <= width
        assert text.startswith(" ▸ ✖ ")
        assert "█" in text
    label = "".join(text for text, _ in label_pieces(tree, 1, tree.line(1), room_in(200)))
    assert label == " ▸ ✖ purse.Debit ×12 1 failed p50 25.0 ms max 31.0 ms"


def test_bar_and_ruler_are_to_scale() -> None:
    tree = Tree(repeated())
    drawn = bar_pieces(tree.line(2), tree.trace.duration_us, 50)
    assert "".join(text for text, _ in drawn) == " " * 48 + "█" + " "
    assert ruler(500 * MS, 40) == "0         ╵125 ms   ╵250 ms       500 ms"
    assert ruler(0, 12) == "0       0 µs"
    assert ruler(500 * MS, 3) == "500"


def test_traces_that_cannot_be_are_rows_all_the_same() -> None:
    loop = trace_of("1" * 32, [span(1, 1, 2, "a", "a", "", T0, 10), span(1, 2, 1, "b", "b", "", T0, 10)])
    negative = trace_of("2" * 32, [span(2, 1, None, "a", "a", "", T0, -500), span(2, 2, 1, "a", "b", "", T0, -1)])
    nowhere = trace_of(
        "3" * 32, [span(3, 1, None, "", "", "", -(10**18), 10**17), span(3, 2, 1, "", "", "", T0, 10**18)]
    )
    same = trace_of("4" * 32, [span(4, 1, None if not n else 1, "a", "a", "", T0 + n, 10) for n in range(5)])
    deep = trace_of("5" * 32, [span(5, n + 1, n or None, "a", "x" * 10_000, "", T0 + n, 500) for n in range(150)])
    for trace in (loop, negative, nowhere, same, deep):
        tree = Tree(trace)
        assert sum(tree.line(place).spans for place in range(len(tree.rows))) == len(trace.spans)
        for place in range(len(tree.rows)):
            assert len("".join(text for text, _ in row_pieces(tree, place, room_in(80)))) <= 80
            tree.toggle(tree.toggle(place))
    bottom = label_pieces(Tree(deep), 149, Tree(deep).line(149), room_in(80))
    assert ("149› ", "dim") in bottom
