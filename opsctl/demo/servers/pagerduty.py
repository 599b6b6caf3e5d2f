"""A local PagerDuty: a process of its own that enforces the documented rules of Events v2 and REST v2.

    python -m opsctl.demo.servers.pagerduty --state FILE [--port N] [--keys FILE] [--faults FILE] [--tls]

It prints one JSON line with its address (and with `--tls` the path of its CA), serves loopback only, and ends when its
stdin is closed, so that nothing is left behind by a parent that was killed. The account comes as JSON from `--keys` or
as the first line of stdin, never from the command line: `{"integration": "32 characters"}`, or more as
`pagerduty_account` has it. Must never answer 202 before the event is on disk.

`POST /v2/enqueue`, `POST /v2/change/enqueue` and the paths of `pagerduty_rest` are PagerDuty's; `/` and `/_…` are ours.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from opsctl.demo.servers import own_process
from opsctl.demo.servers.faults_script import BadScript, FaultScript
from opsctl.demo.servers.incidents_file import IncidentsFile
from opsctl.demo.servers.pagerduty_account import BadAccount, read_account
from opsctl.demo.servers.pagerduty_http import Server
from opsctl.demo.servers.pagerduty_service import Service
from opsctl.demo.servers.pagerduty_tls import Certificate, NoOpenssl, certificate, openssl

_MODULE = "opsctl.demo.servers.pagerduty"


class LocalPagerDuty(NamedTuple):
    """A running one; `stop()` ends it, and so does the end of its parent."""

    address: str  # http://127.0.0.1:PORT: what `pagerduty.events_url` takes
    process: subprocess.Popen[bytes]
    ca: Path | None = None  # with TLS: the certificate that clients must trust

    def stop(self) -> None:
        """Close its stdin and wait for it to end."""
        own_process.stop(self.process)


def start_local_pagerduty(
    state_path: Path,
    routing_keys: Mapping[str, str],
    port: int = 0,
    *,
    tokens: Mapping[str, str | Mapping[str, str]] | None = None,
    account: Mapping[str, Any] | None = None,
    tls: bool = False,
    faults: Sequence[Mapping[str, Any]] = (),
) -> LocalPagerDuty:
    """Start the process and wait until it serves; `routing_keys` are integration name → 32 characters.

    `tokens` (name → secret) and the other members of `account` are as `pagerduty_account` has them, `faults` are rules
    as `faults_script` has them. RuntimeError: it did not start within 15 s, or cannot.
    """
    arguments = ["--state", str(state_path), "--port", str(port)]
    if tls:
        openssl()
        arguments.append("--tls")
    document = {**(account or {}), "routing_keys": dict(routing_keys), "faults": list(faults)}
    if tokens is not None:
        document["tokens"] = dict(tokens)
    process, told = own_process.start(_MODULE, arguments, document)
    return LocalPagerDuty(str(told["address"]), process, Path(told["ca"]) if "ca" in told else None)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m opsctl.demo.servers.pagerduty", description="A local PagerDuty.")
    parser.add_argument("--state", type=Path, required=True, help="the file of incidents; kept between runs")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--keys", type=Path, help='JSON {"integration": "routing key"}; default: a line of stdin')
    parser.add_argument("--faults", type=Path, help="a JSON list of rules: which requests are treated badly, and how")
    parser.add_argument("--tls", action="store_true", help="https, with a certificate that is made beside the state")
    return parser.parse_args(argv)


def _read(path: Path | None, what: str) -> Any:
    """A JSON document of a file or of a line of stdin; ValueError in one line, without what was read."""
    try:
        return json.loads(path.read_text() if path else own_process.first_line())
    except OSError as wrong:
        raise ValueError(f"{what}: {path}: {wrong.strerror}") from wrong
    except ValueError as wrong:
        raise ValueError(f"{what}: {path or 'stdin'}: expected JSON") from wrong


def _opened(options: argparse.Namespace) -> tuple[Server, Service, Certificate | None]:
    """Everything that can be wrong before it serves is wrong here."""
    document = _read(options.keys, "keys")
    rules = document.pop("faults", []) if isinstance(document, dict) and "routing_keys" in document else []
    account = read_account(document)
    faults = FaultScript(_read(options.faults, "faults") if options.faults else rules)
    made = certificate(options.state.absolute().with_name(f"{options.state.name}.tls")) if options.tls else None
    service = Service(IncidentsFile(options.state), account, faults)
    return Server(options.port, service, made.context() if made else None), service, made


def main(argv: list[str] | None = None) -> int:
    """Serve until stdin is closed."""
    options = _options(argv)
    try:
        server, service, made = _opened(options)
    except (BadAccount, BadScript, NoOpenssl, ValueError) as wrong:
        return _wrong(str(wrong))
    except (OSError, sqlite3.Error, OverflowError) as wrong:
        return _wrong(f"--state {options.state}, --port {options.port}: {wrong}")
    address = f"{'https' if made else 'http'}://127.0.0.1:{server.server_address[1]}"
    service.serve_at(address)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    own_process.serve_until_stdin_closes(address, **({"ca": str(made.certificate)} if made else {}))
    server.shutdown()
    service.file.close()
    return 0


def _wrong(line: str) -> int:
    sys.stderr.write(f"local PagerDuty: {line}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
