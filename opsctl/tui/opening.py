"""Opening a page in a browser that has a window of its own, where the person sits at this machine.

Must never open anything but http and https, run a shell, or let a browser draw into the terminal.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from opsctl.files.text import os_words
from opsctl.tui.copying import remote


def web_address(link: str) -> str | None:
    """The address, if it is one that a browser may get from us."""
    try:
        parts = urlsplit(link)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return None
    return link if whole and link.isprintable() and " " not in link else None


def browser_of(env: Mapping[str, str], found: Callable[[str], str | None] = shutil.which) -> str | None:
    """The command that opens an address in this person's browser; None over SSH and where there is no window."""
    if remote(env):
        return None
    if sys.platform == "darwin":
        return found("open")
    if env.get("WSL_DISTRO_NAME"):
        return found("wslview") or found("explorer.exe")
    return found("xdg-open") if env.get("DISPLAY") or env.get("WAYLAND_DISPLAY") else None


def start(browser: str, address: str) -> str:
    """Hand it over; what went wrong, or ""."""
    try:
        subprocess.Popen(
            [browser, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as wrong:
        return f"{browser} cannot be started: {os_words(wrong)}"
    return ""
