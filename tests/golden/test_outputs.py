"""What programs and people read, byte for byte: every JSON document with its version, and the tables.

The world is the demo's platform on a fixed clock, five minutes into a promo surge. `OPSCTL_UPDATE_GOLDEN=1` rewrites the
files; look at the difference before committing it.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.cli.demo_world import story_stage
from opsctl.cli.main import main

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

DOCUMENTS = {
    "check": (["check", "promo", "wallet", "auth", "--json"], 1),
    "status": (["status", "--json"], 1),
    "slo-ls": (["slo", "ls", "promo", "--json"], 0),
    "slo-show": (["slo", "show", "redemption-success", "--json"], 0),
    "slo-budget": (["slo", "budget", "promo", "--json"], 0),
    "rule-ls": (["rule", "ls", "auth", "--json"], 0),
    "rule-eval": (["rule", "eval", "CredentialStuffing", "--json"], 0),
    "metric-query": (["metric", "query", "sum by (region) (up)", "--json"], 0),
    "metric-range": (["metric", "range", "sum(up)", "--since", "5m", "--json"], 0),
    "alert-ls": (["alert", "ls", "-l", "service=promo", "--json"], 0),
    "alert-show": (["alert", "show", "redemption-success", "--json"], 0),
    "alert-route": (["alert", "route", "--label", "service=promo", "--label", "region=eu", "--json"], 0),
    "incident-ls": (["incident", "ls", "--json"], 0),
    "incident-show": (["incident", "show", "#1", "--json"], 0),
    "runbook-ls": (["runbook", "ls", "--json"], 0),
    "runbook-show": (["runbook", "show", "PromoSurge", "--json"], 0),
    "runbook-plan": (["runbook", "plan", "PromoSurge", "-p", "admin=http://127.0.0.1:1", "--json"], 0),
    "config-show": (["config", "show", "--json"], 0),
}
TEXTS = {
    "schema-of-silences.json": (["config", "schema", "--silences"], 0),
    "schema-of-settings.json": (["config", "schema"], 0),
    "alert-ls.txt": (["alert", "ls", "-l", "service=promo", "-o", "table"], 0),
    "alert-show.txt": (["alert", "show", "redemption-success", "-o", "table"], 0),
    "help.txt": (["--help"], 0),
    "check.txt": (["--utc", "check", "promo", "wallet", "auth", "-o", "table"], 1),
    "check.tsv": (["check", "promo", "-o", "plain"], 1),
    "check.xml": (["check", "promo", "-o", "junit"], 1),
    "check.nagios": (["check", "promo", "wallet", "auth", "-o", "nagios"], 1),
    "check.github": (["check", "promo", "auth", "-o", "github"], 1),
    "check.md": (["check", "promo", "auth", "-o", "markdown"], 1),
    "check.prom": (["check", "promo", "auth", "-o", "openmetrics"], 1),
    "status.txt": (["--utc", "status", "-o", "table"], 1),
    "slo-budget.txt": (["slo", "budget", "promo", "-o", "table"], 0),
    "rule-eval.txt": (["--utc", "rule", "eval", "redemption-success"], 1),
    "metric-chart.txt": (
        [
            "--utc",
            "metric",
            "range",
            "sum by (region) (rate(gaming_redemption_total[5m]))",
            "--since",
            "1h",
            "-o",
            "table",
        ],
        0,
    ),
}
NOISE = (
    (re.compile(r'"changed": "[^"]*"'), '"changed": "LATELY"'),  # at the local PagerDuty, on the wall's clock
    (re.compile(r"\bQ[0-9A-F]{13}\b"), "QINCIDENT"),
    (re.compile(r'"took_seconds": [0-9.e-]+'), '"took_seconds": 0'),
    (re.compile(r"(queries), [0-9.]+ s\)"), r"\1, 0.00 s)"),
    (re.compile(r" seconds=[0-9.]+s"), " seconds=0.000s"),
    (re.compile(r"(_duration_seconds{[^}]*}) [0-9.e-]+"), r"\1 0"),
    (re.compile(r"(\| memory \| metrics \| ok \| \d+ \|) [0-9.]+ "), r"\1 0.00 "),
    (re.compile(r'(build_info{[^}]*version=")[^"]+'), r"\1VERSION"),
    (re.compile(r"http://127\.0\.0\.1:\d{2,5}"), "http://127.0.0.1:PORT"),
    (re.compile(re.escape(str(ROOT))), "ROOT"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
)
LONG_NUMBER = re.compile(r"-?\d+\.\d{6,}(?:e-?\d+)?")  # another processor may sum to another last digit

Run = Callable[[list[str]], tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run a command in the demo's world."""
    folder = tmp_path_factory.mktemp("opsctl-demo-")
    patch = pytest.MonkeyPatch()
    patch.setenv("TZ", "UTC")
    patch.setenv("COLUMNS", "100")
    with story_stage(folder, 7) as stage:
        stage.clock.step(timedelta(minutes=1))
        stage.platform.inject("promo-surge", stage.clock.now())
        for _ in range(5):
            stage.clock.step(timedelta(minutes=1))

        def one(argv: list[str]) -> tuple[int, str, str]:
            out, err = io.StringIO(), io.StringIO()
            close = stage.composition.close
            stage.composition.close = lambda: None  # type: ignore[method-assign]
            try:
                with redirect_stdout(out), redirect_stderr(err):
                    code = main(argv, clock=stage.clock, compose_with=lambda _: stage.composition)
            finally:
                stage.composition.close = close  # type: ignore[method-assign]
            text = out.getvalue().replace(str(folder), "DEMO")
            for pattern, word in NOISE:
                text = pattern.sub(word, text)
            text = LONG_NUMBER.sub(lambda found: f"{float(found[0]):.6g}", text)
            return code, text, err.getvalue()

        yield one
    patch.undo()


def compare(path: Path, text: str) -> None:
    """The file's text, or with OPSCTL_UPDATE_GOLDEN=1 the new one."""
    if os.environ.get("OPSCTL_UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert path.exists(), f"no golden {path.name}: OPSCTL_UPDATE_GOLDEN=1 writes it"
    assert text == path.read_text()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_documents(name: str, run: Run) -> None:
    """Each document names its version and is what it was."""
    argv, code = DOCUMENTS[name]
    got, text, err = run(argv)
    assert got == code, text + err
    assert re.fullmatch(r"opsctl/[a-z/-]+/v\d+", json.loads(text)["schema"])
    compare(HERE / f"{name}.json", text)


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, run: Run) -> None:
    """Tables, plain rows and JUnit are what they were."""
    argv, code = TEXTS[name]
    got, text, err = run(argv)
    assert got == code, text + err
    compare(HERE / name, text)
