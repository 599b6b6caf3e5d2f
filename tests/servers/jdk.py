"""Finds a Java that is new enough: by the variables that name one, on PATH, and where packages put them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.servers.making import Missing

PACKAGED = Path("/usr/lib/jvm")


def java_home(at_least: int) -> Path:
    """The home of the oldest Java of at least this feature release; raises `Missing`."""
    found = {home.resolve(): _feature(home) for home in _candidates()}
    fitting = sorted((feature, str(home)) for home, feature in found.items() if feature >= at_least)
    if not fitting:
        raise Missing(f"no JDK {at_least} or newer" if any(found.values()) else "no Java")
    return Path(fitting[0][1])


def no_java(at_least: int) -> str | None:
    """Why no Java of at least this feature release can be used."""
    try:
        java_home(at_least)
    except Missing as reason:
        return str(reason)
    return None


def _candidates() -> Iterator[Path]:
    for name in ("ES_JAVA_HOME", "JAVA_HOME"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parent.parent
    if PACKAGED.is_dir():
        yield from sorted(PACKAGED.iterdir())


def _feature(home: Path) -> int:
    """The feature release that the file `release` of a Java names; 0 when there is none that runs."""
    try:
        release = (home / "release").read_text(errors="replace")
    except OSError:
        return 0
    version = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', release, re.MULTILINE)
    return int(version[1]) if version and os.access(home / "bin" / "java", os.X_OK) else 0
