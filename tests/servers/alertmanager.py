"""Starts a real Alertmanager; it pages nobody unless its configuration names a receiver on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.servers.build import server
from tests.servers.running import Launch, Running, answers, free_ports, start

VERSIONS = ("0.31", "0.25")
NOBODY = "route: {receiver: nobody, group_wait: 1s, group_interval: 1s}\nreceivers: [{name: nobody}]\n"


@dataclass
class Alertmanager(Running):
    """Its API is at `url`; `address` is what a Prometheus sends alerts to, `amtool` a program."""

    version: str = VERSIONS[0]

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    @property
    def amtool(self) -> Path:
        """The command-line client of the same version."""
        return server("alertmanager", self.version).program("amtool")


def start_alertmanager(configuration: str = NOBODY, version: str = VERSIONS[0]) -> Alertmanager:
    """Start one with a YAML text; may raise `Missing`."""
    program = server("alertmanager", version).program("alertmanager")
    plan = partial(_plan, program=program, configuration=configuration)
    running = start(Alertmanager, f"alertmanager {version}", plan)
    running.version = version
    return running


def _plan(folder: Path, program: Path, configuration: str) -> Launch:
    ports = free_ports("http")
    (folder / "alertmanager.yml").write_text(configuration)
    command = [
        str(program),
        f"--web.listen-address=127.0.0.1:{ports['http']}",
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        "--cluster.listen-address=",  # no peers: it would listen on every address
    ]
    url = f"http://127.0.0.1:{ports['http']}"
    return Launch(command, url, partial(answers, f"{url}/-/ready"), ports)
