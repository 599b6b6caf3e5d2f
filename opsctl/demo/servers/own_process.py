"""A local service as a process of its own: one JSON line when it serves, and its end when its stdin is closed.

So nothing is left behind by a parent that was killed. Secrets go in as the first line of stdin: must never be given on
a command line, where every user of the machine can read them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_READY_SECONDS = 15.0
_END_SECONDS = 5.0


def start(module: str, arguments: Sequence[str], secrets: Any) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    """Run `python -m module`, give it one line of JSON, and wait for the line that it answers.

    RuntimeError: it did not start within 15 s.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the parent; the closed pipe then ends this one
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(secrets).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _READY_SECONDS)
        return process, dict(json.loads(process.stdout.readline() if ready else b""))
    except (OSError, ValueError) as wrong:
        stop(process)
        raise RuntimeError(f"{module} did not start: {wrong}") from wrong


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it: by its stdin, and by force if it does not end within 5 s."""
    if process.stdin is not None and not process.stdin.closed:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def first_line() -> str:
    """In the process: one line of stdin and not a byte more."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode()


def serve_until_stdin_closes(address: str, **more: str) -> None:
    """In the process: say where it serves, and return when the parent is gone."""
    sys.stdout.write(json.dumps({"address": address, "pid": os.getpid(), **more}) + "\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        while os.read(0, 4096):
            pass
