"""Every key of the board: each has an id and a label, none is forbidden, and a person's own are checked."""

from __future__ import annotations

import pytest
from textual.binding import BindingsMap

from opsctl.core.slo import Origin
from opsctl.errors import OpsctlError
from opsctl.files.board import FORBIDDEN, OwnKey
from opsctl.tui.app import OpsctlApp
from opsctl.tui.keys import EVERYWHERE, LISTS, all_keys, check_keys, named, rebound, written
from opsctl.tui.panes import BY_NAME

KEYS = all_keys()


def own(**keys: str) -> dict[str, OwnKey]:
    """A table [tui.keys] with a line for each."""
    return {
        name.replace("__", "."): OwnKey(text, Origin("opsctl.toml", i))
        for i, (name, text) in enumerate(keys.items(), 1)
    }


def test_every_binding_says_what_it_does() -> None:
    """A label of words, an id of a screen and a word."""
    for one in KEYS:
        assert one.label, one
        assert one.id.partition(".")[0] in {*BY_NAME, "list", "bar", "app", "time", "screen"}, one
    assert len({one.id for one in KEYS}) == len(KEYS)


def test_no_binding_is_on_a_key_that_terminals_use_themselves() -> None:
    """Nor on one that a person could not bind."""
    assert [one for one in KEYS if FORBIDDEN & set(one.keys)] == []
    app = [
        key for owner in OpsctlApp.__mro__ for key in BindingsMap(owner.__dict__.get("BINDINGS", ())).key_to_bindings
    ]
    assert "ctrl+s" not in app


def test_what_the_design_promises_is_bound() -> None:
    """The keys that hands know."""
    keys = {(one.where, written(key)): one.id for one in KEYS for key in one.keys}
    for key in "[]-+tLqQyYo:/?x12345680":
        assert (EVERYWHERE, key) in keys, key
    for key in "jkgGhl":
        assert (LISTS, key) in keys, key
    assert keys[(EVERYWHERE, "ctrl+p")] == "app.palette"


@pytest.mark.parametrize("key", ["?", ":", "[", "-", "+", "e", "E", "f5", "ctrl+n", "space", "/"])
def test_a_key_is_shown_as_it_is_written(key: str) -> None:
    """And read back the same."""
    assert [written(one) for one in named(key)] == [key]


def test_own_keys_take_the_place_of_the_old_ones() -> None:
    """All of them."""
    found = {one.id: one.keys for one in rebound(KEYS, own(list__down="n, f9"))}
    assert found["list.down"] == ("n", "f9")
    assert found["list.up"] == ("k", "up")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (own(app__fliter="f9"), ["opsctl.toml:1: tui.keys: no binding app.fliter (did you mean app.filter?)"]),
        (own(app__filter="y"), ["opsctl.toml:1: tui.keys: y would be both app.copy", "app.filter"]),
        (own(app__copy="f9", app__filter="f9"), ["f9 would be both app.copy", "app.filter"]),
        (own(list__down="k"), ["k would be both list.up", "list.down"]),
        (own(app__copy="e"), ["e would be both logs.next-error", "app.copy"]),
        (own(nope="e", nix="f"), ["no binding nope", "no binding nix"]),
    ],
)
def test_a_wrong_key_is_a_line_with_its_place(keys: dict[str, OwnKey], words: list[str]) -> None:
    """Both that clash are named."""
    with pytest.raises(OpsctlError) as caught:
        check_keys(keys)
    for word in words:
        assert word in str(caught.value)


def test_keys_may_change_places_and_be_the_same_on_different_screens() -> None:
    """Only what is on one screen can clash."""
    check_keys(own(app__copy="Y", **{"app__copy-command": "y"}))
    check_keys({})
    check_keys(own(backends__probe="n"))
