"""What the service manager hears, on a real datagram socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.adapters.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(5)
        yield made


def test_it_hears_what_is_said_and_the_variables_are_gone(manager: socket.socket) -> None:
    env = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3000000", "PATH": "/bin"}
    ours = ServiceManager(env)
    assert env == {"PATH": "/bin"}
    ours.say("READY=1", "STATUS=two\nlines")
    assert manager.recv(4096) == b"READY=1\nSTATUS=two lines"
    assert ours.watchdog_seconds == 3.0
    ours.stopping()
    assert manager.recv(4096).startswith(b"STOPPING=1\n")


def test_an_abstract_socket_is_spoken_to() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"opsctl-test-{os.getpid()}"
        manager.bind(f"\0{name}")
        manager.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).say("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_it_is_reassured_while_we_live_and_not_after(manager: socket.socket) -> None:
    alive = [True]
    ours = ServiceManager({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "90000"})
    ours.reassure(lambda: alive[0])
    assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
    alive[0] = False
    manager.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        for _ in range(3):  # at most one is on its way
            manager.recv(100)
        pytest.fail("it goes on")
    ours.stopping()


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "relative", "@"])
def test_who_is_not_there_is_not_missed(address: str) -> None:
    ours = ServiceManager({"NOTIFY_SOCKET": address} if address else {})
    ours.say("READY=1")
    ours.stopping()


@pytest.mark.parametrize(
    "env", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_no_watchdog_without_a_time_that_is_meant_for_us(env: dict[str, str]) -> None:
    assert ServiceManager(env).watchdog_seconds is None
