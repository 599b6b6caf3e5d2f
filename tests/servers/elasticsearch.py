"""Starts a real Elasticsearch, Elastic's own server with few modules, as a user that is not root.

Its `GET /` is 405, and ES|QL, async search, scripts, `GET _data_stream` and API keys are not there: `real-servers`.
"""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.servers.build import server
from tests.servers.jdk import java_home
from tests.servers.making import Missing
from tests.servers.running import Launch, Running, answers, free_ports, link_or_copy, start

VERSIONS = ("8.19.21", "9.2.0")
OLDEST_JAVA = {"8.19.21": 17, "9.2.0": 21}
HEAP = "512m"
USER = "elastic"
PASSWORD = "opsctl-test-password"
START_SECONDS = 120

_SETTINGS = """cluster.name: opsctl
discovery.type: single-node
network.host: 127.0.0.1
http.port: {http}
transport.port: {transport}
path.data: {folder}/data
path.logs: {folder}/logs
cluster.routing.allocation.disk.threshold_enabled: false
xpack.security.enabled: {security}
"""
_PLAIN_HTTP = """xpack.security.enrollment.enabled: false
xpack.security.http.ssl.enabled: false
xpack.security.transport.ssl.enabled: false
"""


@dataclass
class Elasticsearch(Running):
    """A node; `user` and `password` are empty where it asks for none."""

    version: str = ""
    user: str = ""
    password: str = ""


def start_elasticsearch(version: str = "9.2.0", security: bool = False) -> Elasticsearch:
    """Start one node; with `security` it wants basic authentication; may raise `Missing`."""
    home, java = server("elasticsearch", version).needed(), java_home(OLDEST_JAVA[version])
    plan = partial(_plan, home=home, java=java, security=security)
    running = start(Elasticsearch, f"elasticsearch {version}", plan, START_SECONDS)
    running.version = version
    if security:
        running.user, running.password = USER, PASSWORD
    return running


def _plan(folder: Path, home: Path, java: Path, security: bool) -> Launch:
    ports = free_ports("http", "transport")
    account = _account()
    _lay_out(folder, home, ports, security)
    if account is not None:
        _give(folder, account)
    env = {
        "ES_JAVA_HOME": str(java),
        "ES_JAVA_OPTS": f"-Xms{HEAP} -Xmx{HEAP} -XX:-UsePerfData",
        "ES_PATH_CONF": str(folder / "config"),
        "ES_TMPDIR": str(folder / "tmp"),
        "CLI_JAVA_OPTS": "-XX:-UsePerfData",
        "HOME": str(folder),
    }
    if security:
        _set_password(folder, env, account)
    url = f"http://127.0.0.1:{ports['http']}"
    login = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()} if security else {}
    ready = partial(answers, f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s", login)
    return Launch([str(folder / "home/bin/elasticsearch")], url, ready, ports, env, account)


def _account() -> int | None:
    """The user to run as: the server refuses root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        raise Missing("no user but root for Elasticsearch") from None


def _lay_out(folder: Path, home: Path, ports: dict[str, int], security: bool) -> None:
    """A home, settings and data folders of its own, where any user can read them."""
    for name in ("config", "data", "logs", "tmp", "home"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("data", "logs", "tmp"):
        (folder / name).mkdir()
    shutil.copytree(home, folder / "home", copy_function=link_or_copy)
    shutil.copytree(home / "config", folder / "config")
    settings = _SETTINGS.format(**ports, folder=folder, security=str(security).lower())
    (folder / "config/elasticsearch.yml").write_text(settings + (_PLAIN_HTTP if security else ""))


def _give(folder: Path, account: int) -> None:
    """Let the account write where the server writes; its programs stay ours, for they are links into the cache."""
    os.chown(folder, account, account)
    for name in ("config", "data", "logs", "tmp"):
        os.chown(folder / name, account, account)
    for file in (folder / "config").rglob("*"):
        os.chown(file, account, account)


def _set_password(folder: Path, env: dict[str, str], account: int | None) -> None:
    """Put the first password into the server's keystore."""
    tool = str(folder / "home/bin/elasticsearch-keystore")
    for arguments, said in ((["create"], ""), (["add", "-x", "bootstrap.password"], PASSWORD)):
        done = subprocess.run(
            [tool, *arguments],
            cwd=folder,
            env={**os.environ, **env},
            input=said.encode(),
            capture_output=True,
            timeout=60,
            check=False,
            user=account,
            group=account,
            extra_groups=None if account is None else [],
        )
        if done.returncode:
            raise RuntimeError(f"elasticsearch-keystore {arguments[0]}: {done.stderr.decode(errors='replace')[-400:]}")
