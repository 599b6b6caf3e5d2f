"""What a server knows beside values, as JSON, byte for byte: a canned server answers, so that every run is the same."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsctl.cli.main import main
from tests.golden.test_outputs import compare
from tests.servers.misbehaving import Exchange, Misbehaving

HERE = Path(__file__).parent
NOW = datetime(2026, 5, 14, 18, 5, tzinfo=UTC)
SERIES = {"__name__": "redeem_seconds_bucket", "le": "0.5", "service": "promo"}
ANSWERS = {
    "/api/v1/label/__name__/values": ["redeem_seconds_bucket", "redeem_total"],
    "/api/v1/metadata": {
        "redeem": [{"type": "counter", "help": "Codes redeemed.", "unit": ""}],
        "redeem_seconds": [{"type": "histogram", "help": "Time to redeem.", "unit": "seconds"}],
    },
    "/api/v1/query": {
        "resultType": "vector",
        "result": [{"metric": {"__name__": "redeem_total"}, "value": [1778781900, "4"]}],
    },
    "/api/v1/series": [SERIES, {**SERIES, "le": "+Inf"}, {**SERIES, "service": "evil\u001b[2J"}],
    "/api/v1/query_exemplars": [
        {
            "seriesLabels": SERIES,
            "exemplars": [
                {"labels": {"trace_id": "4bf9", "span_id": "00f0"}, "value": "0.31", "timestamp": 1778781840.5},
                {"labels": {"traceID": "$(reboot)"}, "value": "NaN", "timestamp": 1778781800},
            ],
        }
    ],
    "/api/v1/rules": {
        "groups": [
            {
                "name": "money",
                "file": "/etc/prometheus/money.yml",
                "interval": 15,
                "rules": [
                    {
                        "type": "alerting",
                        "name": "RedeemSlow",
                        "query": "redeem > 1",
                        "health": "ok",
                        "state": "firing",
                        "duration": 60,
                        "labels": {"severity": "page"},
                        "annotations": {"summary": "{{ $value }} s"},
                        "lastEvaluation": "2026-05-14T18:04:59.123456789Z",
                        "alerts": [
                            {
                                "labels": {"alertname": "RedeemSlow", "service": "promo"},
                                "annotations": {"summary": "2 s"},
                                "state": "firing",
                                "activeAt": "2026-05-14T17:59:00Z",
                                "value": "2e+00",
                            }
                        ],
                    },
                    {"type": "recording", "name": "redeem:rate", "query": "x", "health": "err", "lastError": "a\nb"},
                ],
            }
        ]
    },
}
DOCUMENTS = {
    "metric-ls": ["metric", "ls", "redeem", "--json"],
    "metric-labels": ["metric", "labels", "redeem_seconds_bucket", "--json"],
    "metric-exemplars": ["metric", "range", "redeem_seconds_bucket", "--exemplars", "--json"],
    "rule-server": ["rule", "ls", "--server", "--json"],
}
TEXTS = {
    "metric-exemplars.txt": ["--utc", "metric", "range", "redeem_seconds_bucket", "--exemplars", "-o", "table"],
    "rule-server.txt": ["rule", "ls", "--server", "-o", "table"],
}


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        """Nothing here waits."""


def answer(exchange: Exchange) -> None:
    """What the server has for the path."""
    path = exchange.head.split()[1].decode().split("?")[0]
    exchange.answer(json.dumps({"status": "success", "data": ANSWERS[path]}).encode())


@pytest.fixture(scope="module")
def server() -> Iterator[Misbehaving]:
    """It answers well."""
    one = Misbehaving(answer)
    yield one
    one.stop()


@pytest.mark.parametrize("name", [*DOCUMENTS, *TEXTS])
def test_what_a_server_knows(name: str, server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents name their version; text from the server has no control character in a table."""
    for variable, value in (("COLUMNS", "100"), ("TZ", "UTC"), ("HOME", str(tmp_path))):
        monkeypatch.setenv(variable, value)
    for variable in ("OPSCTL_CONFIG", "OPSCTL_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "opsctl.toml").write_text(
        f'default_context = "t"\n[contexts.t]\nnamespace = "t"\n[contexts.t.prometheus]\nurl = "{server.url}"\n'
    )
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(DOCUMENTS.get(name) or TEXTS[name], clock=Still())
    assert code == 0, err.getvalue()
    text = out.getvalue().replace(server.url, "http://127.0.0.1:PORT")
    assert "\x1b" not in text
    compare(HERE / (name if name in TEXTS else f"{name}.json"), text)
