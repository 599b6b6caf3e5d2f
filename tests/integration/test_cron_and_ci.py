"""docs/cron.md and docs/ci.md, run: every command line of them, in a sandbox, on a real Prometheus."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from opsctl.demo.servers.pagerduty import start_local_pagerduty
from tests.servers.build import Missing, server
from tests.servers.fixtures import StartPrometheus
from tests.unit.render.test_formats import NAMES

ROOT = Path(__file__).resolve().parents[2]
CRON, CI = (ROOT / "docs" / name for name in ("cron.md", "ci.md"))
KEY = "00000000000000000000000000000abc"

# Written by form only: they need a network, a package index or a service manager.
BY_FORM = re.compile(
    r"make wheel|(?:pipx|uv tool) install (?:\./\S+|dist/opsctl_cli-\*\.whl)"
    r"|python -m venv \S+|/opt/opsctl/bin/pip install \./\S+|export PATH=\S+"
    r"|systemctl .*|journalctl .*|systemd-analyze verify .*"
)
SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}-success}}
spec:
  service: {name}
  indicator:
    metadata: {{name: {name}-success}}
    spec:
      ratioMetric:
        counter: true
        bad: {{metricSource: {{type: Prometheus, spec: {{query: 'sum(increase({name}_total{{result="error"}}[{{{{.window}}}}]))'}}}}}}
        total: {{metricSource: {{type: Prometheus, spec: {{query: 'sum(increase({name}_total[{{{{.window}}}}]))'}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.999}}]
"""


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.S)


@dataclass
class Sandbox:
    """A HOME with `opsctl` on the PATH, a configuration, and the folders that the pages name, below it."""

    home: Path

    @property
    def textfile(self) -> Path:
        """Where the metrics file goes."""
        return self.home / "textfile_collector" / "opsctl.prom"

    def here(self, text: str) -> str:
        """The text with the machine's folders moved into the sandbox."""
        for theirs, ours in (
            ("/usr/local/bin/opsctl", self.home / "bin" / "opsctl"),
            ("/var/lib/node_exporter/textfile_collector", self.textfile.parent),
            ("/etc/opsctl/config.toml", self.home / "opsctl.toml"),
        ):
            text = text.replace(theirs, str(ours))
        return text

    def sh(self, line: str, **env: str) -> subprocess.CompletedProcess[str]:
        """One line of a shell, in the sandbox."""
        return subprocess.run(
            ["sh", "-c", self.here(line)],
            cwd=self.home,
            env={
                "HOME": str(self.home),
                "PATH": f"{self.home / 'bin'}:/usr/bin:/bin",
                "OPSCTL_CONFIG": "opsctl.toml",
                "PROMETHEUS_TOKEN": "x",
                **env,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def sandbox(start_prometheus: StartPrometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Two healthy services on a real Prometheus, and a pager."""
    now = round(datetime.now(UTC).timestamp())
    out = []
    for name in ("promo", "wallet"):
        out.append(f"# TYPE {name} counter")
        for result, each in (("ok", 1000), ("error", 0)):
            out += [f'{name}_total{{result="{result}"}} {each * i} {now - 60 * (120 - i)}' for i in range(130)]
    prometheus = start_prometheus("\n".join(out) + "\n# EOF\n")
    home = tmp_path_factory.mktemp("sandbox")
    for folder in ("bin", "rules", "textfile_collector"):
        (home / folder).mkdir()
    launcher = home / "bin" / "opsctl"
    launcher.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m opsctl "$@"\n')
    launcher.chmod(0o755)
    for name in ("promo", "wallet"):
        (home / "rules" / f"{name}.slo.yaml").write_text(SLO.format(name=name))
    services = "".join(f"  - {{name: {name}, tier: 1, team: money}}\n" for name in ("promo", "wallet"))
    (home / "services.yaml").write_text(f"services:\n{services}")
    (home / "key").touch(0o600)
    (home / "key").write_text(KEY)
    pagerduty = start_local_pagerduty(home / "pagerduty.db", {"money": KEY})
    (home / "opsctl.toml").write_text(
        'default_context = "prod"\n[contexts.prod]\nnamespace = "prod"\nstate_dir = "state"\n'
        'catalogue = "services.yaml"\nrules = ["rules/"]\nrunbooks = []\n'
        f'[contexts.prod.prometheus]\nurl = "{prometheus.url}"\n'
        f'[contexts.prod.pagerduty]\nevents_url = "{pagerduty.address}"\n'
        'routing_keys = { default = { token_file = "key" } }\n'
    )
    yield Sandbox(home)
    pagerduty.stop()


def command_lines(text: str) -> list[str]:
    """Lines of a shell block, without comments."""
    return [line.split(" #")[0].strip() for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]


def run_or_form(sandbox: Sandbox, line: str) -> None:
    """Run a line that starts opsctl, and expect a pass; any other must have the form of one that we know."""
    if not line.startswith("opsctl "):
        assert BY_FORM.fullmatch(line), line
        return
    if line.startswith("opsctl config init"):
        line = line.replace("/etc/opsctl/config.toml", f"fresh-{time.monotonic_ns()}.toml")
    done = sandbox.sh(line)
    assert done.returncode == 0, f"{line}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"


# cron


def test_the_shell_lines_of_cron(sandbox: Sandbox) -> None:
    """Install lines by form, the others for real."""
    lines = [line for block in blocks(CRON, "sh") for line in command_lines(block)]
    assert len(lines) > 8
    for line in lines:
        run_or_form(sandbox, line)


def units(sandbox: Sandbox) -> dict[str, str]:
    """The unit files of the page, by name, moved into the sandbox."""
    out = {}
    for block in blocks(CRON, "ini"):
        head, _, body = block.partition("\n")
        out[head.removeprefix("# /etc/systemd/system/")] = sandbox.here(body)
    return out


def parsed(text: str) -> configparser.ConfigParser:
    """A unit file."""
    unit = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    return unit


def test_the_units_are_what_systemd_takes(sandbox: Sandbox, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say; without systemd their keys are looked at."""
    found = units(sandbox)
    assert set(found) == {"opsctl-check.service", "opsctl-check.timer"}
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    service, timer = (parsed(found[f"opsctl-check.{kind}"]) for kind in ("service", "timer"))
    assert service["Service"]["Type"] == "oneshot"
    assert timer["Timer"]["OnCalendar"] == "minutely"
    assert timer["Install"]["WantedBy"] == "timers.target"
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        return
    for name in found:
        done = subprocess.run(
            [analyze, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / name)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ours = [line for line in (done.stdout + done.stderr).splitlines() if "opsctl-check" in line]
        assert ours == []


def test_what_the_unit_starts_judges_and_writes_metrics(sandbox: Sandbox) -> None:
    """Silent, exit 0, metrics for the textfile collector that it can read; the dead man's switch is content."""
    service = parsed(units(sandbox)["opsctl-check.service"])["Service"]
    name, _, value = service["Environment"].partition("=")
    sandbox.textfile.unlink(missing_ok=True)
    done = sandbox.sh(service["ExecStart"], **{name: value})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = sandbox.textfile.read_text()
    samples = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    assert samples["opsctl_check_exit_code"] == 0
    assert abs(samples["opsctl_check_last_success_timestamp_seconds"] - time.time()) < 60
    assert sandbox.textfile.stat().st_mode & 0o044 == 0o044
    accepted = {int(code) for code in service["SuccessExitStatus"].split()}
    assert accepted == {1, 3}
    assert sandbox.sh("opsctl -q doctor --max-age 5m").returncode == 0


def test_a_breach_is_no_failure_of_the_unit_and_a_lost_file_is(sandbox: Sandbox, tmp_path: Path) -> None:
    """Exit 5 where the textfile folder is not there: not among the accepted ones."""
    service = parsed(units(sandbox)["opsctl-check.service"])["Service"]
    line = service["ExecStart"].replace(str(sandbox.textfile.parent), str(tmp_path / "gone"))
    done = sandbox.sh(line)
    assert done.returncode == 5
    assert "cannot be written: No such file or directory; the verdict stands: 2 OK, exit 0" in done.stderr


def test_the_crontab(sandbox: Sandbox) -> None:
    """Each line is five fields and a command that says nothing when all is well."""
    (table,) = blocks(CRON, "crontab")
    env = dict(re.findall(r"^([A-Z_]+)=(.*)$", sandbox.here(table), re.M))
    assert env.keys() == {"MAILTO", "OPSCTL_CONFIG"}
    lines = [line for line in table.splitlines() if line and not re.match(r"[A-Z_]+=", line)]
    assert len(lines) == 2
    for line in lines:
        found = re.fullmatch(r"((?:[0-9*/,-]+ ){5})(.+)", line)
        assert found, line
        assert "%" not in found[2]  # cron makes a line end of it
        done = sandbox.sh(found[2], OPSCTL_CONFIG=env["OPSCTL_CONFIG"])
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), line
    fresh = sandbox.home / "never-ran.toml"
    text = (sandbox.home / "opsctl.toml").read_text()
    fresh.write_text(text.replace('"state"', '"other-state"').replace('"prod"', '"late"').replace(".prod", ".late"))
    dead = sandbox.sh(lines[1].split(" ", 5)[5], OPSCTL_CONFIG=str(fresh))
    assert dead.stdout == "opsctl has not run well for 5 minutes\n"


def test_the_alerts_on_opsctl_itself(tmp_path: Path) -> None:
    """promtool takes them, and they read metrics that there are."""
    (text,) = blocks(CRON, "yaml")
    (tmp_path / "opsctl.rules.yaml").write_text(text)
    rules = yaml.safe_load(text)["groups"][0]["rules"]
    assert {name for rule in rules for name in re.findall(r"opsctl_\w+", rule["expr"])} <= NAMES
    try:
        promtool = server("prometheus", "3.16").program("promtool")
    except Missing as reason:
        pytest.skip(str(reason))
    done = subprocess.run(
        [str(promtool), "check", "rules", str(tmp_path / "opsctl.rules.yaml")],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done


# CI


def outputs(sandbox: Sandbox) -> None:
    """What a gate leaves behind: a passing JUnit file and evidence that can be judged again."""
    assert ET.parse(sandbox.home / "junit.xml").getroot().get("failures") == "0"
    assert json.loads((sandbox.home / "evidence.json").read_bytes())["schema"] == "opsctl/evidence/v1"
    (sandbox.home / "junit.xml").unlink()


def test_github(sandbox: Sandbox) -> None:
    """The workflow is YAML, its jobs have what GitHub asks for, and each `run:` runs; the summary is written."""
    (text,) = blocks(CI, "yaml")[:1]
    flow: dict[Any, Any] = yaml.safe_load(text)
    (job,) = flow["jobs"].values()
    assert flow[True].keys() <= {"workflow_dispatch", "schedule"}  # YAML 1.1 reads `on` so
    summary = sandbox.home / "summary.md"
    steps = job["steps"]
    assert all("uses" in step or "run" in step for step in steps)
    for step in steps:
        for line in step.get("run", "").splitlines():
            if line.startswith("opsctl check"):
                done = sandbox.sh(line, GITHUB_STEP_SUMMARY=str(summary))
                assert (done.returncode, done.stderr) == (0, "")
                assert done.stdout == "::notice title=opsctl check::0 FAIL, 0 UNKNOWN, 0 WARN, 2 OK; exit 0\n"
            else:
                run_or_form(sandbox, line)
    outputs(sandbox)
    assert summary.read_text().startswith("## ✔ OK: everything holds")


def test_gitlab(sandbox: Sandbox) -> None:
    """Every script line runs, and every artifact is there."""
    (text,) = blocks(CI, "yaml")[1:]
    job = yaml.safe_load(text)["smoke"]
    for line in (*job["before_script"], *job["script"]):
        run_or_form(sandbox, line)
    for path in (*job["artifacts"]["paths"], *job["artifacts"]["reports"].values()):
        assert (sandbox.home / path).is_file(), path
    outputs(sandbox)


def test_jenkins(sandbox: Sandbox) -> None:
    """The braces are balanced and each `sh` runs."""
    (text,) = blocks(CI, "groovy")
    assert text.count("{") == text.count("}")
    lines = re.findall(r"\bsh '([^']+)'", text)
    assert lines
    for line in lines:
        run_or_form(sandbox, line)
    outputs(sandbox)


def test_the_shell_lines_of_ci(sandbox: Sandbox) -> None:
    """The gate in a shell, then the replay of its evidence in a folder without any configuration."""
    gate, replay = blocks(CI, "sh")
    for line in command_lines(gate):
        run_or_form(sandbox, line)
    empty = Sandbox(sandbox.home / "laptop")
    (empty.home / "bin").mkdir(parents=True)
    shutil.copy(sandbox.home / "bin" / "opsctl", empty.home / "bin")
    shutil.copy(sandbox.home / "evidence.json", empty.home)
    for line in command_lines(replay):
        done = empty.sh(line)
        assert done.returncode == 0, done.stderr
        assert "--replay" in line


@pytest.mark.parametrize("page", [CRON, CI], ids=lambda page: page.name)
def test_every_inline_check_runs(sandbox: Sandbox, page: Path) -> None:
    """`opsctl check …` in the text, with a file in the place of FILE."""
    sandbox.sh("opsctl check --evidence evidence.json -o junit=junit.xml")
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    lines = {line for line in re.findall(r"`(opsctl check[^`\n]*)`", text) if "…" not in line}
    for line in lines:
        done = sandbox.sh(line.replace("FILE", "some-file.json"))
        assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize("page", [CRON, CI], ids=lambda page: page.name)
def test_nothing_is_left_untested(page: Path) -> None:
    """Each block is in a language that a test above takes, and nobody is told to install a stranger's package."""
    text = page.read_text()
    known = {CRON: {"sh", "ini", "crontab", "yaml"}, CI: {"sh", "yaml", "groovy"}}[page]
    assert set(re.findall(r"^```(\w*)\n", text, re.M)) - {""} == known
    assert not re.search(r"(?:install|uvx|run) opsctl\b", text)
    for line in re.findall(r"`([^`\n]*install [^`\n]*)`", text):
        assert BY_FORM.fullmatch(
            line.replace("pipx install --global", "pipx install").replace("pipx install .", "pipx install ./x")
        ) or line.endswith("opsctl-cli"), line
