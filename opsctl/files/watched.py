"""The files that a configuration was read from, and whether any of them changed since.

Only their places, sizes and times are looked at. Silences are not among them: they are read in every run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from opsctl.files.backend_settings import resolve_path
from opsctl.files.rule_files import BUNDLED, WINDOWS
from opsctl.files.settings import Settings

MOST_FILES = 20_000

Signature = frozenset[tuple[str, int, int, int, int]]
"""Path, device, inode, size and time of change of each file that is there."""


def inputs(settings: Settings) -> tuple[Path, ...]:
    """Everything that the chosen context is read from: the file, its catalogue, its rules, the files of its secrets."""
    context = settings.chosen
    out = [settings.path] if settings.path is not None else []
    if not context.catalogue.startswith(BUNDLED):
        out.append(resolve_path(context.catalogue, context.base))
    for source in context.rules:
        if not source.startswith(BUNDLED):
            root = resolve_path(source, context.base)
            out += [root, root.parent / WINDOWS]
    out += [Path(secret.reference) for secret in context.secrets().values() if secret.kind == "file"]
    return tuple(out)


def signature(paths: Iterable[Path]) -> Signature:
    """What the files of these paths and folders look like now; one that cannot be seen is not there."""
    found: set[tuple[str, int, int, int, int]] = set()
    for path in paths:
        for file in _files(path):
            try:
                seen = os.stat(file)
            except OSError:
                continue
            found.add((file, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))
            if len(found) >= MOST_FILES:
                return frozenset(found)
    return frozenset(found)


def _files(path: Path) -> Iterator[str]:
    if not path.is_dir():
        yield str(path)
        return
    for here, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(here, name) for name in sorted(files) if not name.startswith("."))
