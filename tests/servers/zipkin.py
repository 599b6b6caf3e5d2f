"""Starts a real Zipkin with its memory store; spans go to `POST /api/v2/spans` of its URL."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.servers.build import server
from tests.servers.jdk import java_home
from tests.servers.running import Launch, Running, answers, free_ports, start

OLDEST_JAVA = 17


def start_zipkin(version: str = "3.6.1") -> Running:
    """Start one; may raise `Missing`."""
    jar = server("zipkin", version).needed() / "zipkin.jar"
    return start(Running, f"zipkin {version}", partial(_plan, jar=jar, java=java_home(OLDEST_JAVA)), 60)


def _plan(folder: Path, jar: Path, java: Path) -> Launch:
    ports = free_ports("http")
    port = "--armeria.ports[0]"  # its own QUERY_PORT listens on every address
    command = [
        str(java / "bin/java"),
        "-Xmx256m",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={folder}",
        "-jar",
        str(jar),
        f"{port}.ip=127.0.0.1",
        f"{port}.port={ports['http']}",
        f"{port}.protocols[0]=http",
    ]
    url = f"http://127.0.0.1:{ports['http']}"
    return Launch(command, url, partial(answers, f"{url}/health"), ports, {"STORAGE_TYPE": "mem"})
