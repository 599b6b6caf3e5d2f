"""The account of the local PagerDuty: integrations, services, people, who is on call, and the tokens of its REST API.

It is given with the routing keys and stays in memory: must never be written to a file, for it holds every secret.

    {"routing_keys": {"money": "32 characters"},
     "tokens": {"opsctl": "full access", "reader": {"token": "…", "access": "read"},
                "ana": {"token": "…", "user": "ana@example.com"}},
     "users": [{"name": "Ana Novak", "email": "ana@example.com"}],
     "services": {"Money": ["money"]},
     "on_call": [{"user": "ana@example.com", "level": 1, "schedule": "Primary", "start": "…", "end": "…"}]}

Only `routing_keys` must be there: without the others there are two people, one of them on call, a service for each
integration, and no token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_USERS = (
    {"name": "Ana Novak", "email": "ana@example.com"},
    {"name": "Ben Okafor", "email": "ben@example.com"},
)
_MEMBERS = ("routing_keys", "tokens", "users", "services", "on_call")


class BadAccount(ValueError):
    """An account that is none; its message is one line, without any secret."""


class Token(NamedTuple):
    """What a REST token may do; `user` is the e-mail address of its owner, "" for a token of the account."""

    name: str
    secret: str
    writes: bool = True
    user: str = ""


class User(NamedTuple):
    """A person."""

    id: str
    name: str
    email: str


class Service(NamedTuple):
    """What incidents are opened on."""

    id: str
    name: str
    integrations: tuple[str, ...]


class OnCall(NamedTuple):
    """One stretch on call; times are texts in ISO 8601, "" is for ever; no schedule is a permanent on-call."""

    user: str
    level: int = 1
    schedule: str = ""
    start: str = ""
    end: str = ""


class Account(NamedTuple):
    """Everything that is configured rather than happens."""

    keys: Mapping[str, str]  # integration name → routing key
    tokens: tuple[Token, ...]
    users: tuple[User, ...]
    services: tuple[Service, ...]
    on_calls: tuple[OnCall, ...]
    policy: str = "Default"

    def integration(self, key: object) -> str | None:
        """The name of the integration that a routing key belongs to."""
        return next((name for name, own in self.keys.items() if own == key), None)

    def token(self, secret: str) -> Token | None:
        """The token with that secret."""
        return next((one for one in self.tokens if one.secret == secret), None)

    def user(self, name: str) -> User | None:
        """A person by id, e-mail address or name."""
        wanted = name.casefold()
        return next(
            (one for one in self.users if wanted in {one.id.casefold(), one.email.casefold(), one.name.casefold()}),
            None,
        )

    def service(self, integration: str) -> Service:
        """The service of an integration, which may be gone since: then one that has only its name."""
        for one in self.services:
            if integration in one.integrations:
                return one
        return Service(identity("service", integration), integration, (integration,))


def identity(kind: str, name: str) -> str:
    """An id in PagerDuty's form, always the same for the same name."""
    number = int.from_bytes(hashlib.sha256(f"{kind}/{name}".encode()).digest()[:8])
    made = ""
    for _ in range(6):
        number, digit = divmod(number, 36)
        made += _LETTERS[digit]
    return f"P{made}"


def read_account(document: object) -> Account:
    """The account of a decoded JSON document, which may also be the routing keys alone; raises `BadAccount`."""
    if not isinstance(document, Mapping):
        raise BadAccount("expected a JSON object of routing keys by integration")
    if not isinstance(document.get("routing_keys"), Mapping):
        document = {"routing_keys": document}
    if unknown := [str(name) for name in document if name not in _MEMBERS]:
        raise BadAccount(f"unknown member {unknown[0]!r}; known: {', '.join(_MEMBERS)}")
    keys = document["routing_keys"]
    if not all(isinstance(name, str) and isinstance(key, str) for name, key in keys.items()):
        raise BadAccount("routing_keys: expected a routing key for each name of an integration")
    users = tuple(_user(one) for one in document.get("users") or _USERS)
    emails = {one.email for one in users}
    named: Mapping[str, Sequence[str]] = document.get("services") or {name: [name] for name in keys}
    for name, own in named.items():
        if lacking := [one for one in own if one not in keys]:
            raise BadAccount(f"services: {name} has an integration {lacking[0]} without a routing key")
    services = tuple(Service(identity("service", name), name, tuple(own)) for name, own in named.items())
    on_calls = tuple(_on_call(one, emails) for one in document.get("on_call") or _default_on_calls(users))
    tokens = tuple(_token(name, one, emails) for name, one in (document.get("tokens") or {}).items())
    return Account(dict(keys), tokens, users, services, on_calls)


def _default_on_calls(users: Sequence[User]) -> list[dict[str, Any]]:
    return [{"user": users[0].email, "level": 1, "schedule": "Primary"}]


def _user(written: object) -> User:
    if not isinstance(written, Mapping) or not all(isinstance(written.get(one), str) for one in ("name", "email")):
        raise BadAccount("users: expected objects with name and email")
    return User(identity("user", written["email"]), written["name"], written["email"])


def _on_call(written: object, emails: set[str]) -> OnCall:
    if not isinstance(written, Mapping) or written.get("user") not in emails:
        raise BadAccount("on_call: expected objects with the e-mail address of one of the users")
    if unknown := [name for name in written if name not in OnCall._fields]:
        raise BadAccount(f"on_call: unknown member {unknown[0]!r}; known: {', '.join(OnCall._fields)}")
    return OnCall(**written)


def _token(name: str, written: object, emails: set[str]) -> Token:
    if isinstance(written, str):
        return Token(name, written)
    if not isinstance(written, Mapping) or not isinstance(written.get("token"), str):
        raise BadAccount(f"tokens.{name}: expected a token, or an object with token")
    access, user = written.get("access", "full"), written.get("user", "")
    if access not in {"full", "read"} or (user and user not in emails):
        raise BadAccount(f"tokens.{name}: access is full or read, and user one of the users' e-mail addresses")
    return Token(name, written["token"], access == "full", user)
