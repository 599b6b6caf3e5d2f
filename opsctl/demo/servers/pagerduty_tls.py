"""A certificate for the local PagerDuty, made with the `openssl` program: for 127.0.0.1 and localhost only.

Must never leave a private key that others can read, and never replace a certificate that a client may hold already.
"""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

DAYS = 30
_NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


class NoOpenssl(RuntimeError):
    """There is no `openssl`, or it did not do what it was asked; the message is one line."""


class Certificate(NamedTuple):
    """A self-signed certificate, which clients take as their CA, and its key."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server needs."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.load_cert_chain(self.certificate, self.key)
        return made


def openssl() -> str:
    """The program; raises `NoOpenssl`."""
    found = shutil.which("openssl")
    if found is None:
        raise NoOpenssl(
            "TLS needs the openssl program, and there is none here: install it (apt install openssl, brew install"
            " openssl), or serve plain http"
        )
    return found


def certificate(folder: Path) -> Certificate:
    """The one in a folder, made there if there is none, or if it ends within a day; raises `NoOpenssl`."""
    program, made = openssl(), Certificate(folder / "ca.pem", folder / "key.pem")
    if made.key.is_file() and made.certificate.is_file():
        check = [program, "x509", "-in", str(made.certificate), "-noout", "-checkend", "86400"]
        if subprocess.run(check, capture_output=True, timeout=30, check=False).returncode == 0:
            return made
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made.key.unlink(missing_ok=True)
    os.close(os.open(made.key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-sha256", "-nodes", "-days", str(DAYS)]
    command += ["-keyout", str(made.key), "-out", str(made.certificate), "-subj", "/CN=localhost", "-addext", _NAMES]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoOpenssl(f"openssl made no certificate: {why}")
    return made
