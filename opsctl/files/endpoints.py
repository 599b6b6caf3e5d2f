"""Settings of servers and runbooks into what a client uses: an address, and a credential that is read when needed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.errors import OpsctlError
from opsctl.files.context import Backend, Basic, Bearer, Secret

if TYPE_CHECKING:
    from opsctl.core.runbooks import Runbook
    from opsctl.http import Endpoint


def endpoint(backend: Backend, env: Mapping[str, str], *, token: str = "Bearer") -> Endpoint:
    """Where a backend is; its credential is read when the first request needs it. `token` is a token's scheme."""
    from opsctl.http import Endpoint

    return Endpoint(
        url=backend.url,
        headers=backend.headers,
        ca_file=str(backend.ca_file) if backend.ca_file else None,
        authorization=_authorization(backend, env, token),
        allow_http=backend.allow_http,
    )


def _authorization(backend: Backend, env: Mapping[str, str], token: str) -> Callable[[], str] | None:
    from opsctl.files.secrets import resolve

    match backend.credentials:
        case None:
            return None
        case Bearer(secret):
            return lambda: f"{token} {_token(token, resolve(secret, env))}"
        case Basic(user, secret):
            return lambda: "Basic " + base64.b64encode(f"{user}:{resolve(secret, env)}".encode()).decode()


def _token(scheme: str, value: str) -> str:
    """An API key may be kept as `id:key`, the way Elasticsearch shows it; it is sent in base64."""
    return base64.b64encode(value.encode()).decode() if scheme == "ApiKey" and ":" in value else value


def runbook_secret(book: Runbook, name: str, env: Mapping[str, str]) -> str:
    """The value of a secret that a runbook names; a file's path is read from the runbook's folder."""
    from opsctl.files.secrets import resolve

    secret = next((one for one in book.secrets if one.name == name), None)
    if secret is None:
        raise OpsctlError(f"runbook {book.id} has no secret {name}")
    origin = str(book.origin)
    match secret.source:
        case "token_file":
            return resolve(Secret("file", str(Path(book.origin.path).parent / secret.reference), origin=origin), env)
        case "token_command":
            return resolve(Secret("command", secret.reference, origin=origin), env)
        case _:
            return resolve(Secret("env", secret.reference, origin=origin), env)
