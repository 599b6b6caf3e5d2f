"""What colours mean, and the three themes: dark, light, mono.

Must never say anything by colour alone. The colours are those of Okabe and Ito, told apart with red-green blindness.
"""

from __future__ import annotations

from rich.style import Style
from textual.theme import Theme

_DARK = {
    "": "#d8d8d8",
    "ok": "#4cc9a6",
    "warn": "#f0c541",
    "fail": "bold #ff7a45",
    "unknown": "#d98cbf",
    "dim": "#8a8a8a",
    "stale": "italic #8a8a8a",
    "accent": "#6cc0f2",
    "head": "bold #9fb4c7",
    "strong": "bold #ffffff",
    "cursor": "on #2c3e50",
    "match": "underline #f0c541",
}
_LIGHT = {
    "": "#202020",
    "ok": "#00735a",
    "warn": "#8a6100",
    "fail": "bold #b03a00",
    "unknown": "#92336f",
    "dim": "#6a6a6a",
    "stale": "italic #6a6a6a",
    "accent": "#005f99",
    "head": "bold #3a4a5a",
    "strong": "bold #000000",
    "cursor": "on #cfe3f5",
    "match": "underline #8a6100",
}
_MONO = {
    "": "",
    "ok": "",
    "warn": "underline",
    "fail": "bold",
    "unknown": "bold underline",
    "dim": "dim",
    "stale": "dim italic",
    "accent": "underline",
    "head": "bold",
    "strong": "bold",
    "cursor": "reverse",
    "match": "underline bold",
}
_TONES = {
    name: {tone: Style.parse(text) for tone, text in table.items()}
    for name, table in (("dark", _DARK), ("light", _LIGHT), ("mono", _MONO))
}


def style(theme: str, tone: str) -> Style:
    """How a tone looks in a theme; an unknown one looks like plain text."""
    table = _TONES.get(theme, _TONES["dark"])
    return table.get(tone, table[""])


THEMES = (
    Theme(
        name="dark",
        primary="#6cc0f2",
        secondary="#9fb4c7",
        accent="#6cc0f2",
        warning="#f0c541",
        error="#ff7a45",
        success="#4cc9a6",
        foreground="#d8d8d8",
        background="#101418",
        surface="#101418",
        panel="#1b232b",
        dark=True,
    ),
    Theme(
        name="light",
        primary="#005f99",
        secondary="#3a4a5a",
        accent="#005f99",
        warning="#8a6100",
        error="#b03a00",
        success="#00735a",
        foreground="#202020",
        background="#fafafa",
        surface="#fafafa",
        panel="#e8edf2",
        dark=False,
    ),
    Theme(
        name="mono",
        primary="#ffffff",
        secondary="#ffffff",
        accent="#ffffff",
        warning="#ffffff",
        error="#ffffff",
        success="#ffffff",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        dark=True,
        variables={"block-cursor-background": "#ffffff", "block-cursor-foreground": "#000000"},
    ),
)
NAMES = tuple(theme.name for theme in THEMES)
