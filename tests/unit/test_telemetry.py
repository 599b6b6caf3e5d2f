"""Watching a source changes neither what it answers nor what it is, and no answer is lost to a span."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.adapters.clock import SystemClock
from opsctl.adapters.telemetry import QUESTIONS, Telemetry, start
from opsctl.app import Composition
from opsctl.core.signals import Absent, Failed, Measured, Reading, Reason, Vector
from opsctl.files.settings import load_settings
from opsctl.ports import MetricsSource
from opsctl.ports.logs import LogSource
from opsctl.ports.metrics import MetricsExplorer
from opsctl.ports.traces import TraceSource
from tests.unit.engine.fakes import AT, History

ENV = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> tuple[Telemetry, list[dict[str, Any]]]:
    """Telemetry whose records of questions are kept here and sent nowhere."""
    found: list[dict[str, Any]] = []
    telemetry = Telemetry.__new__(Telemetry)
    monkeypatch.setattr(
        telemetry, "_record", lambda attributes, reading, begun: found.append(attributes), raising=False
    )
    return telemetry, found


def test_a_watched_source_answers_as_before(seen: tuple[Telemetry, list[dict[str, Any]]]) -> None:
    """Number, absence and failure; what it is called, and how much it takes at once."""
    telemetry, found = seen
    failed: Failed[Any] = Failed(Reason.AUTH, "401", "x")
    answers: dict[str, Any] = {"one": 1.0, "none": None, "bad": failed}
    plain = History(lambda query, at: answers[query], "prometheus https://prom.example:9091/base")
    expected: list[Reading[Vector]] = [plain.instant(query, AT, 1.0) for query in answers]
    watched: MetricsSource = telemetry.watch(plain)
    assert watched is plain
    assert [watched.instant(query, AT, 1.0) for query in answers] == expected
    assert [type(reading) for reading in expected] == [Measured, Absent, Failed]
    watched.range("one", AT - timedelta(minutes=1), AT, timedelta(minutes=1), 1.0)
    assert [one["db.operation.name"] for one in found] == ["instant"] * 3 + ["range"]
    assert found[0]["server.address"] == "prom.example"
    assert (found[0]["server.port"], found[0]["db.system.name"]) == (9091, "prometheus")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ('up{token="hunter2"}', 'up{token="?"}'),
        ("up{token='hunter\\'2'}", 'up{token="?"}'),
        ("up{token=`hunter2`}", 'up{token="?"}'),
        ('label_replace(up, "a", "hunter2", "b", "(.*)")', 'label_replace(up, "?", "?", "?", "?")'),
        ("x" * 5000, "x" * 1000),
    ],
)
def test_expressions_go_out_without_their_literals(
    seen: tuple[Telemetry, list[dict[str, Any]]], query: str, shown: str
) -> None:
    """Whatever quotes are around them; and never longer than an attribute should be."""
    telemetry, found = seen
    telemetry.watch(History(lambda text, at: 1.0)).instant(query, AT, 1.0)
    assert found[0]["db.query.text"] == shown


def test_a_span_that_cannot_be_made_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that raises, and a source that cannot be changed."""
    telemetry = Telemetry.__new__(Telemetry)

    def broken(*_: object) -> None:
        raise RuntimeError("a bug of the SDK")

    monkeypatch.setattr(telemetry, "_record", broken, raising=False)
    assert isinstance(telemetry.watch(History(lambda query, at: 1.0)).instant("x", AT, 1.0), Measured)

    class Fixed:
        __slots__ = ("name",)

        def instant(self, query: str) -> str:
            return query

    assert telemetry.watch(Fixed()).instant("x") == "x"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "  "}, None),
        ({**ENV, "OTEL_SDK_DISABLED": " TRUE "}, None),
        ({**ENV, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}, None),
        ({**ENV, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "expected http/protobuf"),
        ({**ENV, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "expected http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:hunter2@["}, "is not a URL"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://hunter2:99999"}, "is not a URL"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://hunter2:4317"}, "is not a URL"),
    ],
)
def test_what_is_not_wanted_or_not_to_be_had_is_off(env: dict[str, str], said: str | None) -> None:
    """Nothing is started; where that was not asked for, one line says why and shows no address."""
    telemetry, line = start(env)
    assert telemetry is None
    assert (line is None) == (said is None)
    if line is not None and said is not None:
        assert said in line
        assert "hunter2" not in line
        assert "\n" not in line


@pytest.mark.parametrize("port", [MetricsSource, MetricsExplorer, TraceSource, LogSource])
def test_every_question_of_a_port_is_watched(port: type) -> None:
    """A method that is added to a port is added to QUESTIONS."""
    methods = {name for name, _ in inspect.getmembers(port, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"probe", "close"} <= set(QUESTIONS)


def test_every_source_of_a_context_is_watched(tmp_path: Path) -> None:
    """Metrics, logs and traces, where telemetry is on."""
    (tmp_path / "opsctl.toml").write_text(
        'default_context = "t"\n[contexts.t]\nnamespace = "t"\n'
        + "".join(
            f'[contexts.t.{kind}]\nurl = "http://127.0.0.1:9"\n' for kind in ("prometheus", "jaeger", "elasticsearch")
        )
    )
    settings = load_settings(tmp_path / "opsctl.toml", None, env={"HOME": str(tmp_path)}, cwd=tmp_path)
    watched: list[str] = []

    class Seen:
        def watch(self, source: Any) -> Any:
            watched.append(source.name)
            return source

    composition = Composition(settings, SystemClock(), env={}, telemetry=Seen())  # type: ignore[arg-type]
    for source in (composition.metrics, composition.logs, composition.traces):
        source.close()
    assert [name.split()[0] for name in watched] == ["prometheus", "elasticsearch", "jaeger"]
