"""The three standard streams, made safe before anything is printed: closed ones, and ones that cannot write a glyph.

Must never raise: a stream that is gone is no reason to lose a verdict or a page.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys

from opsctl.render import plainer


def prepare() -> None:
    """Replace closed streams by nothing, and let an encoding that lacks a character show a plainer one."""
    codecs.register_error("opsctl", _plainer)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # open() takes the lowest free number, so no file of ours can become somebody's stdout
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="opsctl" if mode == "w" else "surrogateescape")


def _plainer(wrong: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(wrong, UnicodeEncodeError):
        raise wrong
    text = wrong.object[wrong.start : wrong.end].translate(plainer.PLAINER)
    return text.encode("ascii", "backslashreplace").decode("ascii"), wrong.end


def whole_unicode(stream: object) -> bool:
    """Whether a stream can write any character as it is."""
    return plainer.whole_unicode(getattr(stream, "encoding", None))


def talk(text: str) -> None:
    """Write to stderr; where nobody can hear it, go on."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)


def flushed() -> OSError | None:
    """Write out what stdout holds; the error where it cannot, after which nothing more is tried at exit."""
    failed: OSError | None = None
    try:
        sys.stdout.flush()
    except OSError as wrong:
        failed = wrong
        drop("stdout")
    try:
        sys.stderr.flush()
    except OSError:
        drop("stderr")
    return failed


def reader_left() -> bool:
    """Whether it is stdout's reader that went away, and not one of the many other pipes and sockets of a run."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return True


def drop(name: str) -> None:
    """Point a stream that cannot be written at nothing, so that the interpreter's own flush at exit succeeds."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, getattr(sys, name).fileno())
        os.close(nothing)
