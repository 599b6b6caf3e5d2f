"""Evidence of whole checks: every bundled rule in every fault, and the command line on a real Prometheus that is gone."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from opsctl.app import memory_source
from opsctl.core.replay import Saved, judge_again, same, saved_verdict
from opsctl.core.rules import Outcome
from opsctl.demo.faults import FAULTS
from opsctl.demo.platform import Platform
from opsctl.engine import CycleReport, run_cycle
from opsctl.files.catalogue import load_catalogue
from opsctl.files.evidence import evidence_document, read_evidence
from opsctl.files.rules import load_rules
from opsctl.promql.store import SeriesStore
from tests.integration.test_bad_prometheus_check import CATALOGUE, SLO
from tests.servers import prometheus as real
from tests.servers.build import Missing
from tests.servers.misbehaving import Misbehaving

Run = Callable[..., subprocess.CompletedProcess[bytes]]

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
BEGIN = START + timedelta(hours=7)  # of the fault
MINUTE = timedelta(minutes=1)


# Every bundled rule, in every fault


@pytest.mark.parametrize("fault", FAULTS)
def test_every_bundled_rule_is_judged_again_to_the_same(fault: str, tmp_path: Path) -> None:
    """Before the fault, two minutes in, one minute later, and ten minutes later: with and without a memory."""
    store = SeriesStore()
    platform = Platform(7, START, store)
    source = memory_source(store)
    rules = load_rules(["bundled:"], tmp_path, load_catalogue("bundled:", tmp_path)).rules
    platform.advance(BEGIN)
    platform.inject(fault, BEGIN, timedelta(minutes=60))
    memory, seen = None, set()
    for minute in (0, 2, 3, 12):
        at = BEGIN + minute * MINUTE
        platform.advance(at)
        report = run_cycle(rules, source, at, memory)
        memory = report.memory
        seen |= {verdict.outcome for verdict in report.verdicts}
        assert_replays(report, tmp_path / "evidence.json")
    assert len(seen) > 1, f"{fault} changes nothing"


def assert_replays(report: CycleReport, path: Path) -> None:
    """Each verdict of the report, from a file."""
    verdicts = tuple(saved_verdict(verdict) for verdict in report.verdicts)
    path.write_bytes(evidence_document(Saved(report.at, "t", "t", "page", "fail", 0, (), verdicts, ())))
    saved = read_evidence(str(path))
    assert len(saved.verdicts) == len(report.verdicts) > 20
    for one, verdict in zip(saved.verdicts, report.verdicts, strict=True):
        again = judge_again(verdict.rule, one.evidence).verdict
        assert (again.outcome, again.headline) == (verdict.outcome, verdict.headline)
        assert (again.alerts, again.fresh) == (verdict.alerts, verdict.fresh)
        assert same(one, again)


# The command line, on a real Prometheus that is stopped


@dataclass
class Place:
    """A home with a configuration, and a home with nothing."""

    home: Path
    empty: Path

    def run(self, *argv: str, where: Path | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """One command, in its own process."""
        here = where or self.home
        return subprocess.run(
            [sys.executable, "-m", "opsctl", "--utc", *argv],
            cwd=here,
            env={
                "HOME": str(here),
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "LANG": "C.UTF-8",
                "GITHUB_WORKSPACE": str(self.home),
            },
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )


RULES = """groups:
- name: wallet
  rules:
  - alert: WalletQueue
    expr: wallet_queue > 5
    for: 5m
    labels: {severity: page, service: wallet}
    annotations: {summary: "{{ $labels.shard }} has {{ $value }} waiting"}
  - alert: LobbyGone
    expr: lobby_players == 0
    labels: {severity: page, service: lobby}
"""
FORMATS = ("table", "plain", "json", "junit", "github", "markdown", "nagios")


def history(now: datetime) -> str:
    """Two hours of a wallet of which every twentieth operation fails, with a queue on two shards."""
    out = ["# TYPE gaming_wallet_operations counter"]
    stamps = [round(now.timestamp()) - 60 * minute for minute in range(120, -3, -1)]
    for result, each in (("ok", 950), ("error", 50)):
        name = f'gaming_wallet_operations_total{{result="{result}"}}'
        out += [f"{name} {each * i} {stamp}" for i, stamp in enumerate(stamps)]
    out.append("# TYPE wallet_queue gauge")
    for shard, value in (("a", "9"), ("b", "NaN"), ("c", "+Inf")):
        out += [f'wallet_queue{{shard="{shard}"}} {value} {stamp}' for stamp in stamps]
    return "\n".join(out) + "\n# EOF\n"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, subprocess.CompletedProcess[bytes]]]:
    """A check in every format with its evidence; then the server ends and the configuration is gone."""
    place = Place(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("empty"))
    try:
        server = real.start(history(datetime.now(UTC)))
    except Missing as reason:
        pytest.skip(str(reason))
    (place.home / "rules").mkdir()
    (place.home / "rules" / "wallet.slo.yaml").write_text(SLO)
    (place.home / "rules" / "wallet.rules.yaml").write_text(RULES)
    (place.home / "services.yaml").write_text(
        CATALOGUE.replace("services:\n", "services:\n  - {name: lobby, tier: 2, team: play}\n")
    )
    (place.home / "opsctl.toml").write_text(
        'default_context = "t"\n[contexts.t]\nnamespace = "n"\nstate_dir = "state"\ncatalogue = "services.yaml"\n'
        f'rules = ["rules/"]\nrunbooks = []\n[contexts.t.prometheus]\nurl = "{server.url}"\n'
    )
    try:
        told = {form: place.run("check", "-o", form, "--evidence", f"{form}.json") for form in FORMATS}
    finally:
        server.stop()
    for form in FORMATS:
        (place.home / f"{form}.json").rename(place.empty / f"{form}.json")
    (place.home / "opsctl.toml").unlink()
    return place, told


Told = tuple[Place, dict[str, subprocess.CompletedProcess[bytes]]]


@pytest.mark.parametrize("form", FORMATS)
def test_a_check_is_judged_again_without_server_and_configuration(saved: Told, form: str) -> None:
    """The same bytes on stdout and the same exit code, in a folder that holds the evidence and nothing else."""
    place, told = saved
    before = told[form]
    assert before.returncode == 1, before.stderr
    again = place.run("check", "-o", form, "--replay", f"{form}.json", where=place.empty)
    assert again.returncode == 1
    assert again.stdout == before.stdout
    assert again.stderr.count(b"\n") == 1
    assert b"nobody was asked" in again.stderr
    assert not (place.empty / ".local").exists()


def test_what_was_judged_is_what_was_meant(saved: Told) -> None:
    """The fixture holds a burning SLO, an alert over three elements of which one is NaN, and a rule without data."""
    place, told = saved
    body = json.loads(told["json"].stdout)
    outcomes = {verdict["rule"]: verdict["outcome"] for verdict in body["verdicts"]}
    assert outcomes == {"wallet-op-success": "fail", "WalletQueue": "fail", "LobbyGone": "unknown"}
    assert body["conditions"] == ["finding", "unknown"]
    kept = read_evidence(str(place.empty / "json.json"))
    assert [backend.status for backend in kept.backends] == ["ok"]
    assert (kept.context, kept.namespace, kept.exit_code) == ("t", "n", 1)
    assert stat.S_IMODE((place.empty / "json.json").stat().st_mode) == 0o600


def test_metrics_of_old_evidence_claim_no_run(saved: Told) -> None:
    """A dead man's switch is not fed by a replay."""
    place, _ = saved
    done = place.run("check", "-o", "openmetrics", "--replay", "json.json", where=place.empty)
    assert b"opsctl_check_evaluated_timestamp_seconds" in done.stdout
    assert b"last_run" not in done.stdout
    assert b"last_success" not in done.stdout


def test_pipes(saved: Told) -> None:
    """`-` is stdin for --replay; services choose among what was saved; a wrong one names the nearest."""
    place, _ = saved
    document = (place.empty / "json.json").read_bytes()
    whole = place.run("check", "--replay", "-", "-o", "json", where=place.empty, stdin=document)
    assert whole.returncode == 1
    lobby = place.run("check", "lobby", "--replay", "json.json", "-o", "json", where=place.empty)
    assert lobby.returncode == 3
    assert [verdict["service"] for verdict in json.loads(lobby.stdout)["verdicts"]] == ["lobby"]
    near = place.run("check", "loby", "--replay", "json.json", where=place.empty)
    assert (near.returncode, near.stdout) == (2, b"")
    assert b"no rule about a service loby; did you mean lobby?" in near.stderr
    both = place.run("check", "-", "--replay", "-", where=place.empty, stdin=document)
    assert (both.returncode, both.stdout) == (2, b"")


def test_the_policy_is_the_saved_one_unless_given(saved: Told) -> None:
    """--on-unknown and --fail-on may be asked of old evidence."""
    place, _ = saved
    ignore = place.run("check", "lobby", "--replay", "json.json", "--on-unknown", "ignore", where=place.empty)
    assert ignore.returncode == 0


@pytest.mark.parametrize("flags", [["--notify"], ["--at", "5m"], ["--evidence", "x"]])
def test_what_needs_the_world_is_refused(saved: Told, flags: list[str]) -> None:
    """One line, exit 2, nothing on stdout."""
    place, _ = saved
    done = place.run("check", "--replay", "json.json", *flags, where=place.empty)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert flags[0].encode() in done.stderr


def test_a_changed_file_is_refused(saved: Told) -> None:
    """Exit 2 and one line, no verdict."""
    place, _ = saved
    document = (place.empty / "json.json").read_bytes()
    for raw in (document[:-200], document.replace(b'"fail_on":"page"', b'"fail_on":"ticket"'), b""):
        done = place.run("check", "--replay", "-", where=place.empty, stdin=raw)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


# Where it goes, on a server that answers what a test says


@pytest.fixture
def here(fixed_home: Path) -> Iterator[Run]:
    """`opsctl check …` in a folder with one SLO that burns."""
    from tests.integration.test_cli_streams import burning, folder

    server = Misbehaving(burning)
    place = Place(folder(fixed_home, server), fixed_home)
    yield place.run
    server.stop()


def test_several_outputs_of_one_check(here: Run, fixed_home: Path) -> None:
    """One evaluation: the table on stdout, JUnit, Markdown, OpenMetrics and the evidence in files."""
    files = ["-o", "junit=a.xml", "-o", "markdown=a.md", "-o", "openmetrics=a.prom", "--evidence", "e.json"]
    done = here("check", "-o", "table", *files)
    assert done.returncode == 1
    assert "✖ FAIL     wallet / wallet-op-success" in done.stdout.decode()
    assert ET.parse(fixed_home / "a.xml").getroot().get("failures") == "1"
    assert (fixed_home / "a.md").read_text().startswith("## ✖ FAIL")
    assert (fixed_home / "a.prom").read_text().endswith("# EOF\n")
    assert json.loads((fixed_home / "e.json").read_bytes())["exit_code"] == 1
    silent = here("check", "-o", "junit=a.xml")
    assert (silent.returncode, silent.stdout) == (1, b"")


def test_no_secret_is_in_evidence(here: Run, fixed_home: Path) -> None:
    """Neither a token nor a header's value nor where the token is, in the evidence and in any report."""
    (fixed_home / "token").write_text("hunter2")
    with (fixed_home / "opsctl.toml").open("a") as file:
        file.write('token_file = "token"\nheaders = { "X-Key" = "hunter3" }\n')
    files = [f"-o{form}=out.{form}" for form in (*FORMATS, "openmetrics")]
    done = here("check", *files, "--evidence", "out.evidence")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    written = list(fixed_home.glob("out.*"))
    assert len(written) == len(FORMATS) + 2
    for path in written:
        text = path.read_text()
        assert "hunter" not in text, path
        assert "token" not in text, path


def test_evidence_on_stdout(here: Run) -> None:
    """`--evidence -` is the whole of stdout, and what `--replay -` takes."""
    done = here("check", "--evidence", "-", "-o", "junit=a.xml")
    assert done.returncode == 1
    again = here("check", "--replay", "-", "-o", "json", stdin=done.stdout)
    assert again.returncode == 1
    assert json.loads(again.stdout)["verdicts"][0]["outcome"] == Outcome.FAIL


def test_a_page_that_was_lost_stays_lost(here: Run, fixed_home: Path) -> None:
    """The run that could not page is exit 5 in a replay too, says so again, and pages nobody."""
    (fixed_home / "key").touch(0o600)
    (fixed_home / "key").write_text("0" * 32)
    with (fixed_home / "opsctl.toml").open("a") as file:
        file.write(
            '[contexts.t.pagerduty]\nevents_url = "http://127.0.0.1:9"\n'
            'routing_keys = { default = { token_file = "key" } }\n[contexts.t.limits]\nsend = "1s"\n'
        )
    live = here("check", "--notify", "-o", "json", "--evidence", "e.json")
    assert live.returncode == 5, live.stderr
    again = here("-q", "check", "-o", "json", "--replay", "e.json")
    assert (again.returncode, again.stdout) == (5, live.stdout)
    assert b"A PAGE DID NOT GET THROUGH" in again.stderr
    assert again.stderr == live.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["-o", "table", "-o", "json"],
        ["--json", "-o", "table"],
        ["-o", "json", "--evidence", "-"],
        ["-o", "yaml"],
        ["-o", "json="],
        ["--exit-style", "icinga"],
    ],
)
def test_contradictions(here: Run, flags: list[str]) -> None:
    """Two documents for one stdout, and words that nobody knows, are exit 2 before anybody is asked."""
    done = here("check", *flags)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


@pytest.mark.parametrize(
    "flags", [["--evidence", "no/such/e.json"], ["--evidence", "."], ["-o", "junit=no/such/a.xml", "-o", "plain"]]
)
def test_a_file_that_cannot_be_written_takes_no_verdict_with_it(here: Run, flags: list[str]) -> None:
    """Exit 5, one line that says so and what would have been; the verdict is on stdout."""
    done = here("check", *flags)
    assert done.returncode == 5
    assert b"FAIL\twallet\twallet-op-success" in done.stdout
    assert done.stderr.decode().count("\n") == 1
    assert "cannot be written: " in done.stderr.decode()
    assert "the verdict stands: 1 FAIL, exit 1" in done.stderr.decode()


# Exit codes of a monitoring plugin


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["check"], 2),
        (["check", "--fail-on", "nothing"], 3),
        (["check", "--no-such-flag"], 3),
        (["check", "nobody"], 3),
        (["--config", "/no/such.toml", "check"], 3),
        (["check", "--replay", "/no/such"], 3),
        (["check", "--evidence", "/no/such/file"], 2),
    ],
)
def test_exit_style_nagios(here: Run, argv: list[str], code: int) -> None:
    """CRITICAL for a breach and for an action that failed, UNKNOWN for whatever goes wrong before a verdict."""
    done = here(*argv, "--exit-style", "nagios", "-o", "nagios")
    assert done.returncode == code, done
    words = {2: "OPSCTL CRITICAL - ", 3: "OPSCTL UNKNOWN - "}
    assert done.stdout.decode().startswith(words[code])


def test_exit_style_nagios_where_all_is_well(fixed_home: Path) -> None:
    """0 OK, 3 where the backend is gone, 0 where that is to be ignored: the word and the code are one."""
    from tests.integration.test_cli_streams import folder, healthy

    server = Misbehaving(healthy)
    place = Place(folder(fixed_home, server), fixed_home)
    style = ("--exit-style=nagios", "-o", "nagios")
    well = place.run("check", *style)
    server.stop()
    gone = place.run("check", *style)
    ignored = place.run("check", *style, "--on-unknown", "ignore")
    said = [(done.returncode, done.stdout.decode().split(" - ")[0]) for done in (well, gone, ignored)]
    assert said == [(0, "OPSCTL OK"), (3, "OPSCTL UNKNOWN"), (0, "OPSCTL OK")]
