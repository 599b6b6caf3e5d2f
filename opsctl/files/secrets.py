"""Secrets, read where a setting says they are, at the moment they are needed.

Must never put a secret's value into a message, a log, an argument list or an exception.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from opsctl.errors import AuthError
from opsctl.files.context import Secret
from opsctl.files.text import os_words

COMMAND_SECONDS = 10.0
SIZE_LIMIT_BYTES = 64 * 1024
_SHORTEST = 4  # what is shorter may stand in a text for itself
_read: set[str] = set()
"""Every secret that this process was given, for `hide`."""


def resolve(secret: Secret, env: Mapping[str, str] | None = None) -> str:
    """The secret's value without surrounding white space; AuthError with one line that does not hold it."""
    match secret.kind:
        case "file":
            raw = _file(secret)
        case "command":
            raw = _command(secret)
        case "env":
            raw = (os.environ if env is None else env).get(secret.reference, "").encode("utf-8", "surrogateescape")
            if not raw:
                raise AuthError(f"{_name(secret)} is not set")
    return _text(raw, secret)


def _name(secret: Secret) -> str:
    kind = {"file": "secret file", "command": "secret command", "env": "environment variable"}[secret.kind]
    reference = secret.command[0] if secret.kind == "command" and secret.command else secret.reference
    where = f" ({secret.origin})" if secret.origin else ""
    return f"{kind} {reference}{where}"


def _text(raw: bytes, secret: Secret) -> str:
    if len(raw) > SIZE_LIMIT_BYTES:
        raise AuthError(f"{_name(secret)} gives more than 64KiB: that is no secret")
    try:
        value = raw.decode().strip()
    except UnicodeDecodeError:
        raise AuthError(f"{_name(secret)} does not give UTF-8 text") from None
    if not value:
        raise AuthError(f"{_name(secret)} is empty")
    if not value.isprintable():
        raise AuthError(f"{_name(secret)} gives several lines or control characters: expected one line")
    _read.add(value)
    return value


def hide(text: str) -> str:
    """A text that nobody wrote for people, such as an exception's, without any secret that this process has read."""
    from opsctl.http.echoes import masked

    for secret in sorted((one for one in _read if len(one) >= _SHORTEST), key=len, reverse=True):
        text = masked(text, secret)
    return text


def _file(secret: Secret) -> bytes:
    try:
        with Path(secret.reference).open("rb") as file:
            return file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as wrong:
        raise AuthError(f"{_name(secret)} cannot be read: {os_words(wrong)}") from None


def _command(secret: Secret) -> bytes:
    words = list(secret.command) or shlex.split(secret.reference)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as wrong:
        raise AuthError(f"{_name(secret)} cannot be run: {os_words(wrong)}") from None
    except ValueError:
        raise AuthError(f"{_name(secret)} cannot be run: a word of it holds NUL") from None
    deadline = time.monotonic() + COMMAND_SECONDS
    with process:
        try:
            raw = _output(process, deadline)
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AuthError(f"{_name(secret)} gave no answer in {COMMAND_SECONDS:g} s") from None
        finally:
            _kill(process)
    if code != 0:
        raise AuthError(f"{_name(secret)} ended with code {code}: run it by hand to see why")
    return raw


def _output(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """What the command says, at most one byte over the limit; TimeoutExpired when it goes on after the deadline."""
    assert process.stdout is not None  # it is a pipe
    raw = b""
    while len(raw) <= SIZE_LIMIT_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            raise subprocess.TimeoutExpired("the secret's command", COMMAND_SECONDS)
        chunk = os.read(process.stdout.fileno(), 65_536)
        if not chunk:
            return raw
        raw += chunk
    raise AuthError("a secret's command gives more than 64KiB: that is no secret")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the command and of what it started: it leads a session of its own."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def warnings(secret: Secret) -> tuple[str, ...]:
    """What is careless about where a secret is kept; nothing for a file that only its owner reads."""
    if secret.kind != "file":
        return ()
    try:
        mode = Path(secret.reference).stat().st_mode
    except OSError:
        return ()
    if not mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        return ()
    fix = f"chmod 600 {shlex.quote(secret.reference)}"
    return (f"{secret.reference} is open to others (mode {stat.S_IMODE(mode):04o}): {fix}",)
