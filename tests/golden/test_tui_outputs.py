"""The board as it is painted: the pictures of docs/tui.md, and the first screen in three sizes and two themes.

`make docs-tui` writes the pictures anew, `OPSCTL_UPDATE_GOLDEN=1` the rest; look at the difference before committing it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.cli.demo_world import DemoWorld
from tests.tui.pictures import SCREENS, SIZE, picture
from tests.tui.world import world_of

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "docs" / "tui"
SIZES = ((80, 24), (120, 40), (200, 60))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoWorld]:
    """One world for all: nothing is changed in it."""
    with world_of(tmp_path_factory.mktemp("world")) as one:
        yield one


@pytest.mark.parametrize("name", SCREENS)
def test_a_picture_of_the_docs_is_what_is_painted(world: DemoWorld, name: str) -> None:
    _, svg = asyncio.run(picture(world, SCREENS[name], SIZE, "dark"))
    assert (PICTURES / f"{name}.svg").read_text(encoding="utf-8") == svg, "`make docs-tui` paints them anew"


@pytest.mark.parametrize("theme", ["dark", "mono"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_board_in_three_sizes_and_two_themes(world: DemoWorld, size: tuple[int, int], theme: str) -> None:
    painted, _ = asyncio.run(picture(world, (), size, theme))
    file = HERE / "tui" / f"board-{size[0]}x{size[1]}-{theme}.txt"
    if os.environ.get("OPSCTL_UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(painted, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == painted
    if theme == "mono":  # black, white and greys: what is said by colour alone would be lost
        assert all(grey[1:3] == grey[3:5] == grey[5:] for grey in re.findall("#[0-9a-f]{6}", painted))
