"""Runs PagerDuty's own clients, or others', against a PagerDuty on loopback; may raise `Missing`.

Must never put a token or a routing key on a command line.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers.build import server

_HERE = Path(__file__).parent / "pagerduty_clients"
_SECONDS = 60


def go_pagerduty(place: Mapping[str, str]) -> dict[str, Any]:
    """What `go-pagerduty` saw."""
    return _run([str(server("go-pagerduty").program("client"))], place)


def pdjs(place: Mapping[str, str]) -> dict[str, Any]:
    """What npm's `@pagerduty/pdjs` saw."""
    modules = server("pdjs").needed() / "node_modules"
    return _run(["node", str(_HERE / "client.js"), str(modules)], place, NODE_EXTRA_CA_CERTS=place["CA"])


def _run(command: list[str], place: Mapping[str, str], **env: str) -> dict[str, Any]:
    proxies = {f"{name}_proxy" for name in ("http", "https", "all")}
    clean = {name: value for name, value in os.environ.items() if name.casefold() not in proxies}
    done = subprocess.run(
        command,
        input=json.dumps(dict(place)),
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
