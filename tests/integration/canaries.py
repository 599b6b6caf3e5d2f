"""Canary secrets: what they look like on their way, and far sides that say again what they were told."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

from tests.servers.misbehaving import Behaviour, Exchange

_A_PART = 10  # so many characters of it are as bad as all of it


def forms(secret: str) -> set[str]:
    """What a secret looks like on its way: raw, base64, URL-encoded, JSON-escaped, and in a URL's lower case."""
    raw = secret.encode()
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    escaped |= {one.replace("/", "\\/") for one in escaped}
    quoted = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    quoted |= {re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), one) for one in quoted}
    return {secret, *encoded, *(one.rstrip("=") for one in encoded), *escaped, *quoted}


def leaks(data: bytes, secrets: Mapping[str, str], but: Collection[str] = ()) -> set[str]:
    """The names of the secrets that are in it in any form, or cut off, except those that belong there."""
    return {
        name
        for name, secret in secrets.items()
        if name not in but and any(form.encode() in data for form in (*forms(secret), secret[:_A_PART]))
    }


def shown(data: bytes, secrets: Mapping[str, str], names: Collection[str]) -> str:
    """Where they are, for the message of a test that failed."""
    places = [data.find(form.encode()) for name in names for form in (*forms(secrets[name]), secrets[name][:_A_PART])]
    return " … ".join(data[max(0, at - 80) : at + 60].decode(errors="replace") for at in places if at >= 0)


def told(exchange: Exchange) -> list[str]:
    """Every credential that a request brought along, as a debugging proxy would show it."""
    found: list[str] = []
    for line in exchange.head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() not in {"authorization", "x-routing-key", "x-key"}:
            continue
        scheme, _, word = value.strip().partition(" ")
        found += [value.strip(), word, word.removeprefix("token=")]
        if scheme == "Basic":
            found += [pair := base64.b64decode(word).decode(), pair.partition(":")[2]]
    body = json.loads(exchange.body) if exchange.body[:1] == b"{" else {}
    return [*found, *([str(body["routing_key"])] if "routing_key" in body else [])]


def echoes(status: str, kind: str = "application/json") -> Behaviour:
    """Answers with all credentials that it was sent, in every form, wherever an answer can hold text."""

    def behave(exchange: Exchange) -> None:
        words = told(exchange)
        said = "; ".join(form for word in words for form in sorted(forms(word)))
        plain = "; ".join(words)
        parts = {"message": plain, "errors": [plain, said], "code": 2001}
        body = {"status": plain, **parts, "error": parts, "result": said, "requestId": said, "data": {plain: said}}
        raw = json.dumps(body).encode() if kind == "application/json" else f"{plain}\n{said}".encode()
        header = quote(said[:2000])
        exchange.answer(raw, status, kind, f"X-Said: {header}", f"Location: http://127.0.0.1:9/{header}?{header}")

    return behave


def lists(*routing_keys: str) -> Behaviour:
    """Good answers of PagerDuty's and Opsgenie's lists, in which every text repeats the credentials."""

    def behave(exchange: Exchange) -> None:
        said = "; ".join(form for word in told(exchange) for form in sorted(forms(word)))
        path = exchange.head.split(b" ")[1].decode()
        asked = parse_qs(urlsplit(path).query).get("incident_key", ["x"])[0]
        named = {
            "id": "PX",
            "summary": said,
            "name": said,
            "description": said,
            "html_url": f"https://pd.invalid/{said}",
        }
        user = {**named, "type": "user_reference", "email": said, "contact_methods": [{"type": said, "address": said}]}
        at = datetime.now(UTC).isoformat()
        times = {"created_at": at, "updated_at": at, "start": at, "end": at, "last_status_change_at": at}
        one = {
            **named,
            **times,
            "title": said,
            "status": "triggered",
            "incident_key": asked,
            "service": named,
            "agent": user,
        }
        kind = "events_api_v2_inbound_integration"
        keys = [{**named, "id": f"K{key[:9]}", "integration_key": key, "type": kind} for key in routing_keys]
        service = {**named, "status": said, "integrations": keys, "escalation_policy": named}
        duty = {"user": user, "escalation_level": 1, "escalation_policy": named, "schedule": named, **times}
        body = {
            "incidents": [one],
            "services": [service],
            "oncalls": [duty],
            "maintenance_windows": [{**named, "start_time": at, "end_time": at, "services": [service]}],
            "log_entries": [{**one, "type": "acknowledge_log_entry", "channel": named}],
            "notes": [{"id": "N", "content": said, "user": user}],
            "data": [{**one, "alias": asked, "message": said, "owner": said, "tinyId": "1", "source": said}],
            "more": False,
        }
        exchange.answer(json.dumps(body).encode())

    return behave


def long_echo(exchange: Exchange) -> None:
    """The credential where a message is cut off: a part of it is as bad as the whole."""
    words = told(exchange)
    texts = ["x" * (length - len(word) // 2) + word for word in words for length in (300, 400)]
    body = {"message": texts[0] if texts else "", "errors": texts, "error": {"message": texts[0] if texts else ""}}
    exchange.answer(json.dumps(body).encode(), "500 Internal Server Error")


def no_http(exchange: Exchange) -> None:
    """The request itself, as it came."""
    exchange.send(exchange.head + exchange.body)
    exchange.sock.close()
