"""The local PagerDuty as a process: how it starts and ends, what it keeps, TLS, and what is wrong in one line."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from opsctl.demo.servers import pagerduty_tls
from opsctl.demo.servers.pagerduty import LocalPagerDuty, start_local_pagerduty
from tests.contract.local_pagerduty_world import ACCEPT, ANA, KEY, TOKEN, event, payload

HAS_OPENSSL = pytest.mark.skipif(pagerduty_tls.shutil.which("openssl") is None, reason="no openssl")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPagerDuty]:
    server = start_local_pagerduty(tmp_path_factory.mktemp("pd") / "pd.sqlite3", {"money": KEY}, tokens={"t": TOKEN})
    yield server
    server.stop()


def ask(
    server: LocalPagerDuty, method: str, path: str, body: Any = None, tls: ssl.SSLContext | None = None, **headers: str
) -> tuple[int, Any]:
    raw = None if body is None else json.dumps(body).encode()
    named = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.address + path, raw, named, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5, context=tls) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def test_events_and_rest_are_under_one_address(local: LocalPagerDuty) -> None:
    assert ask(local, "POST", "/v2/enqueue", event(key="both"))[0] == 202
    good = {"Authorization": f"Token token={TOKEN}", "Accept": ACCEPT}
    status, body = ask(local, "GET", "/incidents?incident_key=both", None, None, **good)
    assert status == 200
    [incident] = body["incidents"]
    assert incident["self"] == f"{local.address}/incidents/{incident['id']}"
    change = {"incident": {"type": "incident_reference", "status": "acknowledged"}}
    assert ask(local, "PUT", f"/incidents/{incident['id']}", change, None, **good, From=ANA)[0] == 200
    assert [one["status"] for one in ask(local, "GET", "/_incidents?dedup_key=both")[1]["incidents"]] == [
        "acknowledged"
    ]
    assert ask(local, "GET", "/incidents")[0] == 401
    assert ask(local, "GET", "/")[1]["incidents"]["acknowledged"] == 1


def test_a_body_without_a_length_or_far_too_long_ends_the_connection(local: LocalPagerDuty) -> None:
    for head, status in (("", 411), ("Content-Length: x\r\n", 411), (f"Content-Length: {1 << 40}\r\n", 413)):
        with socket.create_connection(("127.0.0.1", int(local.address.rpartition(":")[2])), 5) as sock:
            sock.sendall(f"POST /v2/enqueue HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert answer.status == status


def test_half_a_body_is_no_event(local: LocalPagerDuty) -> None:
    raw = json.dumps(event(key="half")).encode()
    with socket.create_connection(("127.0.0.1", int(local.address.rpartition(":")[2])), 5) as sock:
        sock.sendall(b"POST /v2/enqueue HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (len(raw) + 1) + raw)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""
    assert ask(local, "GET", "/_incidents?dedup_key=half")[1]["incidents"] == []


def test_many_at_once_open_one_incident_a_key(local: LocalPagerDuty) -> None:
    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(ask, local, "POST", "/v2/enqueue", event(key=f"storm-{n % 2}")) for n in range(60)]
        assert {one.result()[0] for one in sent} == {202}
    for key in ("storm-0", "storm-1"):
        [incident] = ask(local, "GET", f"/_incidents?dedup_key={key}")[1]["incidents"]
        assert (incident["status"], incident["alerts"]) == ("triggered", 30)


def test_an_event_too_large_is_refused_before_it_is_understood(local: LocalPagerDuty) -> None:
    assert ask(local, "POST", "/v2/enqueue", event(**payload(custom_details={"x": "y" * 530_000})))[0] == 413


def test_what_was_accepted_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "pd.sqlite3"
    first = start_local_pagerduty(path, {"money": KEY})
    assert ask(first, "POST", "/v2/enqueue", event(key="kept"))[0] == 202
    first.process.kill()
    first.stop()
    second = start_local_pagerduty(path, {"money": KEY})
    try:
        assert [one["status"] for one in ask(second, "GET", "/_incidents?dedup_key=kept")[1]["incidents"]] == [
            "triggered"
        ]
    finally:
        second.stop()


def test_it_ends_when_its_parent_goes_away(tmp_path: Path) -> None:
    server = start_local_pagerduty(tmp_path / "pd.sqlite3", {"money": KEY})
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(5) == 0
    server.stop()


def test_secrets_are_not_on_its_command_line(local: LocalPagerDuty) -> None:
    line = Path(f"/proc/{local.process.pid}/cmdline")
    if not line.exists():
        pytest.skip("no /proc")
    assert KEY.encode() not in line.read_bytes()
    assert TOKEN.encode() not in line.read_bytes()


@HAS_OPENSSL
def test_tls_is_served_with_a_certificate_for_loopback_that_a_restart_keeps(tmp_path: Path) -> None:
    first = start_local_pagerduty(tmp_path / "pd.sqlite3", {"money": KEY}, tls=True)
    assert first.ca is not None
    trusted = ssl.create_default_context(cafile=str(first.ca))
    try:
        assert first.address.startswith("https://127.0.0.1:")
        assert ask(first, "POST", "/v2/enqueue", event(), trusted)[0] == 202
        named = first._replace(address=first.address.replace("127.0.0.1", "localhost"))
        assert ask(named, "GET", "/_incidents", None, trusted)[0] == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(first, "GET", "/_incidents", None, ssl.create_default_context())
    finally:
        first.stop()
    assert (first.ca.parent / "key.pem").stat().st_mode & 0o077 == 0
    assert first.ca.parent.stat().st_mode & 0o077 == 0
    second = start_local_pagerduty(tmp_path / "pd.sqlite3", {"money": KEY}, tls=True)
    try:
        assert len(ask(second, "GET", "/_incidents", None, trusted)[1]["incidents"]) == 1
    finally:
        second.stop()


@HAS_OPENSSL
def test_a_client_that_begins_no_handshake_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    server = start_local_pagerduty(tmp_path / "pd.sqlite3", {"money": KEY}, tls=True)
    trusted = ssl.create_default_context(cafile=str(server.ca))
    try:
        with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2])), 5):
            began = time.monotonic()
            assert ask(server, "GET", "/_log", None, trusted)[0] == 200
            assert time.monotonic() - began < 4
    finally:
        server.stop()


def test_without_openssl_there_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"^TLS needs the openssl program.*install it") as caught:
        start_local_pagerduty(tmp_path / "pd.sqlite3", {"money": KEY}, tls=True)
    assert "\n" not in str(caught.value)
    done = run(tmp_path, {"money": KEY}, "--tls", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("local PagerDuty: TLS needs the openssl program")
    assert done.stderr.count("\n") == 1


BAD: list[tuple[Any, str]] = [
    ("not json", "keys: stdin: expected JSON"),
    ([], "expected a JSON object of routing keys by integration"),
    ({"routing_keys": {"a": KEY}, "key": 1}, "unknown member 'key'"),
    ({"routing_keys": {"a": 1}}, "routing_keys: expected a routing key for each name"),
    ({"routing_keys": {"a": KEY}, "users": ["Ana"]}, "users: expected objects with name and email"),
    ({"routing_keys": {"a": KEY}, "on_call": [{"user": "nobody"}]}, "on_call: expected objects with the e-mail"),
    ({"routing_keys": {"a": KEY}, "on_call": [{"user": ANA, "from": "x"}]}, "on_call: unknown member 'from'"),
    (
        {"routing_keys": {"a": KEY}, "tokens": {"t": {"token": TOKEN, "access": "w"}}},
        "tokens.t: access is full or read",
    ),
    ({"routing_keys": {"a": KEY}, "tokens": {"t": 7}}, "tokens.t: expected a token"),
    ({"routing_keys": {"a": KEY}, "services": {"A": ["b"]}}, "services: A has an integration b without a routing key"),
    ({"routing_keys": {"a": KEY}, "faults": [{"do": "explode"}]}, "rule 0: do: expected one of"),
]


def run(folder: Path, document: Any, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    line = document if isinstance(document, str) else json.dumps(document)
    command = [sys.executable, "-m", "opsctl.demo.servers.pagerduty", "--state", str(folder / "pd.sqlite3"), *options]
    return subprocess.run(
        command, input=line + "\n", env={**os.environ, **env}, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(("document", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_account_is_told_in_one_line_without_its_secrets(tmp_path: Path, document: Any, said: str) -> None:
    done = run(tmp_path, document)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert KEY not in done.stderr
    assert TOKEN not in done.stderr


def test_a_file_of_faults_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, {"a": KEY}, "--faults", "nowhere.json")
    assert (done.returncode, done.stderr) == (2, "local PagerDuty: faults: nowhere.json: No such file or directory\n")


def test_a_state_or_a_port_that_cannot_be_had_is_told_in_one_line(tmp_path: Path, local: LocalPagerDuty) -> None:
    (tmp_path / "text").write_text("this is no database, and never was one")
    (tmp_path / "file").touch()
    taken = local.address.rpartition(":")[2]
    for options, said in (
        (("--state", str(tmp_path / "text")), "not a database"),
        (("--state", str(tmp_path / "file" / "pd.sqlite3")), "File exists"),
        (("--port", taken), "Address already in use"),
        (("--port", "99999"), "port must be"),
    ):
        done = run(tmp_path, {"a": KEY}, *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
