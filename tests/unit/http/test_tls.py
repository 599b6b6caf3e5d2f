"""TLS is always verified: by the system's authorities, or by those of `ca_file` alone."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from opsctl.core.signals import Reason
from opsctl.http import Client, Endpoint, HttpProblem


@dataclass
class TlsServer:
    """Answers 200 to everything, with a certificate for `localhost` that it signed itself."""

    port: int
    certificate: Path
    requests: list[bytes]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    options = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *options], cwd=folder, check=True, capture_output=True, timeout=30)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> Iterator[TlsServer]:
    """A TLS server on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    server = TlsServer(listener.getsockname()[1], certificate[0], [])

    def serve(sock: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(sock, server_side=True) as wrapped:
            while data := wrapped.recv(65536):
                server.requests.append(data)
                wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield server
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_an_unknown_authority_is_refused_before_anything_is_sent(tls: TlsServer) -> None:
    """No credential reaches a server whose certificate is not accepted, and the line names the way out."""
    with pytest.raises(
        HttpProblem, match=r"certificate is not accepted: self.signed certificate; see ca_file"
    ) as caught:
        Client(Endpoint(f"https://localhost:{tls.port}", authorization=lambda: "Bearer x")).get("/")
    assert caught.value.reason is Reason.UNREACHABLE
    assert tls.requests == []


def test_ca_file_makes_it_known_and_the_connection_is_kept(tls: TlsServer) -> None:
    """With the right authority two requests go over one verified connection."""
    client = Client(Endpoint(f"https://localhost:{tls.port}", ca_file=str(tls.certificate)))
    assert client.get("/").body == b"ok"
    assert client.get("/").body == b"ok"
    client.close()


def test_the_name_must_fit(tls: TlsServer) -> None:
    """The certificate is for localhost, not for the address."""
    with pytest.raises(HttpProblem, match="certificate is not accepted"):
        Client(Endpoint(f"https://127.0.0.1:{tls.port}", ca_file=str(tls.certificate))).get("/")
    assert tls.requests == []


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_ca_file_that_is_none_is_named(tls: TlsServer, tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty or not a certificate: the line names the file."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HttpProblem, match=r"ca_file .*ca\.pem: "):
        Client(Endpoint(f"https://localhost:{tls.port}", ca_file=str(path))).get("/")


def test_https_to_a_plain_server_is_one_line() -> None:
    """A server that answers a handshake with text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            time.sleep(0.2)
            sock.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(HttpProblem, match="TLS: ") as caught:
            Client(Endpoint(f"https://localhost:{listener.getsockname()[1]}")).get("/", timeout_seconds=5)
        assert "\n" not in str(caught.value)
        thread.join(5)


def test_a_handshake_that_hangs_ends_and_can_be_cut() -> None:
    """The connect limit covers the handshake, and `close()` ends one under way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://localhost:{listener.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(HttpProblem, match=r"no connection within 0.2 s"):
            Client(Endpoint(url), connect_seconds=0.2).get("/", timeout_seconds=30)
        assert time.monotonic() - begun < 5
        client = Client(Endpoint(url), connect_seconds=30)
        threading.Timer(0.2, client.close).start()
        with pytest.raises(HttpProblem) as caught:
            client.get("/", timeout_seconds=30)
        assert caught.value.reason is Reason.DEADLINE
        assert time.monotonic() - begun < 10
