"""No secret in anything that a check writes, prints or sends to somebody else, whatever backends say of it.

Each secret is a text of its own, looked for raw, in base64, URL-encoded and JSON-escaped. Some backends repeat our own
headers in what they answer, as debugging proxies and gateways do.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.canaries import forms, leaks, shown
from tests.integration.test_bad_backends_check import CATALOGUE, RULES
from tests.integration.test_bad_prometheus import ok
from tests.integration.test_bad_prometheus_check import SLO
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ("table", "plain", "json", "junit", "github", "markdown", "nagios", "openmetrics")
SECRETS = {
    "prometheus": 'Can4ry "pass"/word+\\1=%',
    "header": "Can4ry-header/value+2",
    "elasticsearch": "canaryid:Can4ry-api-key/3",
    "jaeger": "Can4ry.bearer+token/4==",
    "key": "ca4a0000000000000000000000000005",
    "otlp": "Can4ry-otlp-header-6",
    "otlp_url": "Can4ry-otlp-user-7",
}


def assert_clean(name: str, data: bytes, *but: str) -> None:
    """None of the secrets is in it, except those that belong there."""
    words = {
        f"{owner} {number}": word for owner, secret in SECRETS.items() for number, word in enumerate(parts(secret))
    }
    found = {one for one in leaks(data, words) if one.split()[0] not in but}
    assert not found, f"{found} in {name}: {shown(data, words, found)}"


def parts(secret: str) -> list[str]:
    """The secret, as it goes with a user's name, and what it holds behind a colon."""
    return [secret, *(f"{user}:{secret}" for user in ("ann", "u")), *secret.split(":")[1:]]


def credentials(exchange: Exchange) -> str:
    """What the request brought along, as a proxy would show it."""
    lines = exchange.head.decode("latin-1").split("\r\n")[1:]
    found = [line for line in lines if line.lower().startswith(("authorization:", "x-key:"))]
    decoded = [base64.b64decode(word + "==").decode(errors="replace") for line in found for word in line.split()[-1:]
               if "Basic" in line or "ApiKey" in line]  # fmt: skip
    words = [*found, *decoded, *(word.partition(":")[2] for word in decoded)]
    return "; ".join([*words, *(form for word in words for form in sorted(forms(word)))])


def says(status: str, kind: str = "application/json", *, where: str = "error") -> Behaviour:
    """Repeats the credentials in what it answers."""

    def behave(exchange: Exchange) -> None:
        said = credentials(exchange)
        body = json.dumps({"status": "error", "errorType": "bad_data", where: f"bad header {said}"}).encode()
        if kind == "text/plain":
            body = f"no such header: {said}".encode()
        location = f"Location: http://127.0.0.1:9/{quote(said)}?{quote(said)}"
        exchange.answer(body, status, kind, location, "X-Elastic-Product: Elasticsearch")

    return behave


def warns(exchange: Exchange) -> None:
    """A Prometheus with a warning, an Elasticsearch and a Jaeger with an error that is 200."""
    lines = exchange.head.decode("latin-1").split("\r\n")
    said = "; ".join(line for line in lines if line.lower().startswith("authorization:"))
    answer = json.loads(ok([{"metric": {}, "value": [1, "1"]}]))
    error = {"type": "x", "reason": said}
    body = {**answer, "warnings": [said], "errors": [{"code": 500, "msg": said}], "error": error}
    exchange.answer(json.dumps(body).encode(), "200 OK", "application/json", "X-Elastic-Product: Elasticsearch")


def burns(exchange: Exchange) -> None:
    """A tenth of the operations fail; logs and traces of no such kind."""
    if b"/api/v1/query" not in exchange.head:
        exchange.answer(b"{}", "404 Not Found", "application/json", "X-Elastic-Product: Elasticsearch")
    elif b"query_range" in exchange.head:
        exchange.answer(ok([], "matrix"))
    else:
        exchange.answer(ok([{"metric": {}, "value": [1, "1000" if b"error" in exchange.body else "10000"]}]))


BACKENDS: dict[str, Behaviour] = {
    "answer": burns,
    "repeat our headers with 400": says("400 Bad Request"),
    "repeat them as text": says("400 Bad Request", "text/plain"),
    "repeat them with 401": says("401 Unauthorized"),
    "repeat them with 500": says("500 Internal Server Error", where="message"),
    "repeat them in a redirect": says("302 Found"),
    "repeat them in warnings": warns,
    "do not answer": lambda exchange: exchange.sock.close(),
}


def pager(status: str) -> Behaviour:
    """A pager that repeats the routing key."""

    def behave(exchange: Exchange) -> None:
        key = json.loads(exchange.body or b"{}").get("routing_key", "")
        exchange.answer(json.dumps({"status": "x", "message": key, "errors": [f"routing_key {key}"]}).encode(), status)

    return behave


Start = Callable[[Behaviour], Misbehaving]


@pytest.fixture
def start() -> Iterator[Start]:
    """Servers that end with the test."""
    started: list[Misbehaving] = []

    def one(behave: Behaviour) -> Misbehaving:
        started.append(Misbehaving(behave))
        return started[-1]

    yield one
    for server in started:
        server.stop()


def configured(home: Path, backend: Misbehaving, pagerduty: Misbehaving) -> None:
    """A context with a secret of each kind."""
    for name, secret in SECRETS.items():
        (home / f"secret.{name}").touch(0o600)
        (home / f"secret.{name}").write_text(secret)
    (home / "rules").mkdir()
    (home / "rules" / "three.rules.yaml").write_text(RULES)
    (home / "rules" / "wallet.slo.yaml").write_text(SLO)
    (home / "services.yaml").write_text(CATALOGUE)
    (home / "opsctl.toml").write_text(
        f"""default_context = "t"
[contexts.t]
namespace = "t"
catalogue = "services.yaml"
state_dir = "state"
rules = ["rules/"]
runbooks = []
[contexts.t.limits]
request = "2s"
cycle = "5s"
send = "2s"
[contexts.t.prometheus]
url = "{backend.url}"
basic = {{ user = "ann", password_file = "secret.prometheus" }}
headers = {{ "X-Key" = "{SECRETS["header"]}" }}
[contexts.t.elasticsearch]
url = "{backend.url}"
index = ["logs-*"]
token_file = "secret.elasticsearch"
[contexts.t.jaeger]
url = "{backend.url}"
token_file = "secret.jaeger"
[contexts.t.pagerduty]
events_url = "{pagerduty.url}"
routing_keys = {{ default = {{ token_file = "secret.key" }} }}
"""
    )


@pytest.mark.parametrize(
    ("backends", "collector"), [*((name, "200 OK") for name in BACKENDS), ("answer", "400 Bad Request")]
)
def test_no_secret_leaves_by_any_way(backends: str, collector: str, start: Start, fixed_home: Path) -> None:
    """Standard streams, every format, the evidence, its replay, the journal, pages, spans, command lines."""
    backend, pagerduty = start(BACKENDS[backends]), start(pager("202 Accepted" if collector == "200 OK" else collector))
    otlp = start(lambda exchange: exchange.answer(b"", collector, "text/plain"))
    configured(fixed_home, backend, pagerduty)
    env = {
        "HOME": str(fixed_home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url.replace("http://", f"http://u:{SECRETS['otlp_url']}@"),
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-otlp={SECRETS['otlp']}",
    }

    def opsctl(*argv: str, but: str = "") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "opsctl", *argv]
        done = subprocess.run(
            command, cwd=fixed_home, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
        assert b"Traceback" not in done.stderr
        assert_clean(f"stdout of {argv}", done.stdout, but)
        assert_clean(f"stderr of {argv}", done.stderr)
        return done

    files = [f"-o{form}=out.{form}" for form in FORMATS]
    first = opsctl("check", "--notify", *files, "--evidence", "out.evidence")
    assert first.returncode in {1, 3, 4, 5}, first.stderr
    again = [f"-o{form}=again.{form}" for form in FORMATS]
    assert opsctl("check", "--replay", "out.evidence", *again).returncode == first.returncode
    for form in FORMATS[:-1]:  # metrics of a replay claim no run
        assert (fixed_home / f"again.{form}").read_bytes() == (fixed_home / f"out.{form}").read_bytes(), form
    opsctl("doctor")
    if backends == "answer":
        opsctl("incident", "ls")
        opsctl("incident", "show", "1")
    opsctl("config", "show", but="header")  # settings are shown; what is secret by its name is refused as a header

    written = [file for file in fixed_home.rglob("*") if file.is_file()]
    told = [file for file in written if not re.match(r"secret\.|opsctl\.toml", file.name)]
    assert len(told) > 2 * len(FORMATS)
    for file in told:
        assert_clean(str(file), file.read_bytes())
    assert otlp.requests
    for request in otlp.requests:
        assert_clean("a span or a metric", request.partition(b"\r\n\r\n")[2])
    for request in pagerduty.requests:
        assert_clean("a page", request, "key")
    for request in backend.requests:
        for owner in ("key", "otlp", "otlp_url"):
            assert SECRETS[owner].encode() not in request, "a backend got what is not its own"
