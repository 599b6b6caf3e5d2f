"""What one thread prints, told apart from what others print."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from opsctl.cli.captured import captured


def look_at_stdout(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A stdout to look at, in the place of pytest's."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return stream


def test_only_the_thread_that_captures_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another one writes meanwhile goes where it went before."""
    outer = look_at_stdout(monkeypatch)
    with captured(100) as streams:
        other = threading.Thread(target=lambda: print("theirs"))
        other.start()
        other.join()
        print("mine")
        print("talk", file=sys.stderr)
        assert sys.stdout.isatty()
        with pytest.raises(io.UnsupportedOperation):
            sys.stdout.fileno()
    assert (streams.out.text, streams.err.text, streams.cut) == ("mine\n", "talk\n", "")
    assert outer.getvalue() == "theirs\n"
    assert sys.stdout is outer


def test_a_flood_is_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing grows without a bound."""
    outer = look_at_stdout(monkeypatch)
    with captured(10) as streams:
        for _ in range(1000):
            sys.stdout.write("x" * 7)
    assert streams.out.text == "x" * 10
    assert streams.cut
    assert outer.getvalue() == ""


def test_a_stream_that_was_replaced_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The board may have ended first, and put back its own."""
    look_at_stdout(monkeypatch)
    fresh = io.StringIO()
    with captured(10):
        sys.stdout = fresh
    assert sys.stdout is fresh
