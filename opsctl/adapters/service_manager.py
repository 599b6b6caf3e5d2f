"""What the service manager is told: ready, alive, stopping; datagrams to $NOTIFY_SOCKET, and nothing without it.

Must never raise: who is not heard goes on working.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress


class ServiceManager:
    """systemd, or whoever speaks its protocol (`man 3 sd_notify`); the variables are taken out of `env`.

    Else the commands that secrets come from could speak in our name.
    """

    def __init__(self, env: MutableMapping[str, str]) -> None:
        address = env.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = _watchdog(env)
        self._ended = threading.Event()

    def say(self, *lines: str) -> None:
        """Tell it, such as `READY=1`."""
        if not self._address.startswith(("/", "\0")):
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1.0)
            sender.sendto(text.encode(), self._address)

    def reassure(self, alive: Callable[[], bool]) -> None:
        """Say that we live as often as it wants to hear it, in a thread, while that is so."""
        if self.watchdog_seconds is None:
            return
        pause = self.watchdog_seconds / 3

        def work() -> None:
            while not self._ended.wait(pause):
                if alive():
                    self.say("WATCHDOG=1")

        threading.Thread(target=work, name="watchdog", daemon=True).start()

    def stopping(self) -> None:
        """Tell it that we end, and why that takes a moment."""
        self._ended.set()
        self.say("STOPPING=1", "STATUS=ending after the request in flight")


def _watchdog(env: MutableMapping[str, str]) -> float | None:
    """Seconds within which it wants to hear of us."""
    text, pid = env.pop("WATCHDOG_USEC", ""), env.pop("WATCHDOG_PID", "")
    if not text.isdecimal() or int(text) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(text) / 1e6
