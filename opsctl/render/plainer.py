"""Plainer characters for terminals and streams that cannot show ours: `✔` becomes `+`, `─` becomes `-`.

Must never make a text longer or shorter on the screen.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping

_OURS = "✔✖×–—−…“”‘’▁▂▃▄▅▆▇█▓░┌┐└┘─│ℹ→←"
_THEIRS = "+xx---.\"\"''_.-~=+*##.++++-|i><"
_FRAMES = "╭╮╰╯├┤┬┴┼━┃┏┓┗┛║═▔▎▌▐▊▍▏▕▸◂▾▴•·●○◆⚠⏸▶▼▲↑↓↳⋮⠿━╸╺█▀▄"
_PLAIN_FRAMES = "+++++++++-|++++|=-|[]||||><v^*.*o*!=>v^^v`:#---#^_"
PLAINER: Mapping[int, int] = {
    **str.maketrans(_FRAMES, _PLAIN_FRAMES),
    **str.maketrans(_OURS, _THEIRS),
}
"""Each of our glyphs in ASCII."""


def whole_unicode(encoding: str | None) -> bool:
    """Whether an encoding can write any character as it is."""
    try:
        return codecs.lookup(encoding or "utf-8").name.startswith("utf-")
    except LookupError:
        return False


def unicode_terminal(encoding: str | None, env: Mapping[str, str]) -> bool:
    """Whether a terminal that is written to in that encoding shows more than ASCII, by its locale.

    Python writes UTF-8 under `LANG=C` too, and sets LC_CTYPE for that; whoever said C means a terminal without.
    """
    if not whole_unicode(encoding):
        return False
    said = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    coerced = env.get("LC_CTYPE", "") in {"C.UTF-8", "C.utf8", "UTF-8"} and env.get("LANG") in {"C", "POSIX"}
    if said in {"C", "POSIX"} or (coerced and not env.get("LC_ALL")):
        return False
    charset = said.partition(".")[2].partition("@")[0]
    return not charset or whole_unicode(charset)
