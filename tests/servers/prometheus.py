"""Starts a real Prometheus on a recorded history, or with something to scrape and rules to evaluate."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.servers import running
from tests.servers.build import cache, server
from tests.servers.running import Launch, Running, answers, free_port, free_ports, link_or_copy

__all__ = ["Prometheus", "Running", "Target", "blocks", "free_port", "start"]

HISTORIES_KEPT = 20
INTERVAL = "1s"

Target = tuple[str, str, Mapping[str, str]]  # the job, "host:port", labels to add


@dataclass
class Prometheus(Running):
    """Its API is at `url`; `address` is what another Prometheus would scrape."""

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    def reconfigure(
        self, scrape: Sequence[Target] = (), rules: Sequence[str | Path] = (), alertmanager: str = ""
    ) -> None:
        """Replace what it scrapes (within 5 s), evaluates and tells; RuntimeError with its own words when it refuses."""
        _configure(self.folder, scrape, rules, alertmanager)
        host, _, port = self.address.partition(":")
        connection = HTTPConnection(host, int(port), timeout=10)
        try:
            connection.request("POST", "/-/reload")
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"prometheus did not take its configuration: {said.strip()}\n{self.log[-600:]}")


def start(
    history: str | Path = "",
    version: str = "3.16",
    *,
    scrape: Sequence[Target] = (),
    rules: Sequence[str | Path] = (),
    exemplars: bool = False,
    alertmanager: str = "",
    flags: Sequence[str] = (),
) -> Prometheus:
    """Start a Prometheus; may raise `Missing`.

    `history` is an OpenMetrics text or the file of one, `rules` are texts of rule files or the files, `alertmanager`
    a host and port. It scrapes and evaluates every second; the first scrape comes 5 s after the start.
    """
    program = server("prometheus", version).program("prometheus")
    text = history.read_text() if isinstance(history, Path) else history
    past = None if text.strip() in {"", "# EOF"} else blocks(text, version)
    flags = [*flags, *(["--enable-feature=exemplar-storage"] if exemplars else [])]

    def plan(folder: Path) -> Launch:
        if past is not None and not (folder / "data").exists():
            shutil.copytree(past, folder / "data", copy_function=link_or_copy)  # blocks are never written to
        _configure(folder, scrape, rules, alertmanager)
        return _launch(folder, program, flags)

    return running.start(Prometheus, f"prometheus {version}", plan)


def _launch(folder: Path, program: Path, flags: Sequence[str]) -> Launch:
    ports = free_ports("http")
    command = [
        str(program),
        f"--web.listen-address=127.0.0.1:{ports['http']}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--config.file={folder / 'prometheus.yml'}",
        "--storage.tsdb.retention.time=45d",
        "--web.enable-lifecycle",
        *flags,
    ]
    url = f"http://127.0.0.1:{ports['http']}"
    return Launch(command, url, partial(answers, f"{url}/-/ready"), ports)


def _configure(folder: Path, scrape: Sequence[Target], rules: Sequence[str | Path], alertmanager: str) -> None:
    files = []
    for number, rule in enumerate(rules):
        file = folder / f"rules-{number}.yml"
        file.write_text(rule.read_text() if isinstance(rule, Path) else rule)
        files.append(str(file))
    jobs: dict[str, list[dict[str, Any]]] = {}
    for job, address, labels in scrape:
        jobs.setdefault(job, []).append({"targets": [address], "labels": dict(labels)})
    quick = {"evaluation_interval": INTERVAL} if files else {}  # else its own minute: the default step of subqueries
    configuration = {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, **quick},
        "rule_files": files,
        "scrape_configs": [{"job_name": job, "static_configs": targets} for job, targets in jobs.items()],
    }
    if alertmanager:
        configuration["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML


def blocks(text: str, version: str) -> Path:
    """The TSDB blocks of an OpenMetrics text, kept in the cache by its digest."""
    promtool = server("prometheus", version).program("promtool")
    if not text.endswith("# EOF\n"):
        text = text.rstrip("\n") + "\n# EOF\n"
    kept = cache() / "histories"
    kept.mkdir(parents=True, exist_ok=True)
    folder = kept / f"{sha256(text.encode()).hexdigest()[:24]}-{version}"
    if folder.is_dir():
        os.utime(folder)
        return folder
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=kept))
    try:
        (making / "history.txt").write_text(text)
        (making / "blocks").mkdir()
        command = [str(promtool), "tsdb", "create-blocks-from", "openmetrics", "-q", "history.txt", "blocks"]
        done = subprocess.run(
            command, cwd=making, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"promtool did not take the history: {done.stderr.decode(errors='replace')[-400:]}")
        with contextlib.suppress(OSError):  # somebody else made it meanwhile
            (making / "blocks").rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    _prune(kept)
    return folder


def _prune(kept: Path) -> None:
    """Histories that end at the present are new every time: keep those used last."""
    folders = sorted((one for one in kept.iterdir() if one.name[0] != "."), key=lambda one: one.stat().st_mtime)
    for old in folders[:-HISTORIES_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
