"""Whole files or none: what is written appears under its name at once, or the old content stays.

Must never follow a name to another file than the one that was named, nor leave half a file behind.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes, *, private: bool = False, keep_mode: bool = False) -> None:
    """Write a file in one step; OSError where that cannot be.

    `private` files are for their owner alone (mode 0600), others as the umask says, or with `keep_mode` as a file that
    is there already. A symbolic link keeps leading to the file; a device or a pipe is written into as it is.
    """
    target = Path(os.path.realpath(path))
    if _special(target):
        with target.open("wb") as file:
            file.write(data)
        return
    mode = _mode_of(target) if keep_mode else None
    if mode is None:
        mode = 0o600 if private else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _mode_of(target: Path) -> int | None:
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None


def _special(target: Path) -> bool:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "Is a directory", str(target))
    return not stat.S_ISREG(mode)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
