"""`opsctl runbook` as people use it: a journal on disk, a server that is repaired, a process that is killed."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsctl.app import Composition
from opsctl.cli.main import main
from opsctl.core.signals import Absent, Measured, Sample, Vector
from opsctl.demo.servers.admin import AdminServer
from opsctl.files.settings import load_settings
from opsctl.ports import Probe

CONFIG = """default_context = "dev"
[contexts.dev]
namespace = "dev"
state_dir = "{state}"
rules = ["bundled:"]
runbooks = [{runbooks}]
{more}
[contexts.dev.prometheus]
url = "http://127.0.0.1:9"
"""


class Clock:
    def __init__(self):
        self.at = datetime(2026, 5, 1, 3, tzinfo=UTC)

    def now(self):
        return self.at

    def monotonic(self):
        return time.monotonic()

    def sleep(self, seconds):
        self.at += timedelta(seconds=seconds)


class Surge:
    """A promo surge as PromoSurge looks at it; shedding ends it two minutes later."""

    name = "surge"
    concurrency = 1

    def __init__(self, clock):
        self.clock = clock
        self.shed_at = None
        self.orders = []

    def mitigate(self, action, params):
        self.orders.append((action, dict(params)))
        self.shed_at = self.clock.now() if action == "promo.shed" else None
        return "done"

    def instant(self, query, at, timeout_seconds):
        bad = self.shed_at is None or at < self.shed_at + timedelta(minutes=2)
        if "offset 1h" in query:
            return Measured(Vector((Sample((), 30.0),)), self.name)
        return Measured(Vector((Sample((), 0.4 if bad else 0.00001),)), self.name)

    def range(self, query, start, end, step, timeout_seconds):
        return Absent(self.name)

    def probe(self, timeout_seconds):
        return Probe(self.name, "", True, True, "")

    def close(self):
        pass


class World:
    """One configuration and one platform; `opsctl` runs a command line in it."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys
        self.clock = Clock()
        self.surge = Surge(self.clock)
        self.config = folder / "opsctl.toml"
        self.write()

    def write(self, runbooks='"bundled:"', more=""):
        self.config.write_text(CONFIG.format(state=self.folder / "state", runbooks=runbooks, more=more))

    def compose(self, frame):
        settings = load_settings(self.config, frame.context, env={}, cwd=self.folder)
        return Composition(settings, self.clock, self.surge, {})

    def opsctl(self, *words):
        self.capsys.readouterr()
        code = main(["runbook", *words], clock=self.clock, compose_with=self.compose)
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def world(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return World(tmp_path, capsys)


@pytest.fixture
def admin(world):
    with AdminServer(world.surge.mitigate) as server:
        yield server.url


def test_a_run_waits_at_its_gates_and_repairs_the_surge(world, admin):
    code, out, err = world.opsctl("run", "PromoSurge", "-p", f"admin={admin}", "--no-input", "--json")
    report = json.loads(out)
    assert (code, report["schema"], report["state"]) == (6, "opsctl/runbook/run/v1", "waiting")
    assert f"opsctl runbook resume {report['run']}" in err
    assert world.surge.orders == []


def typed(world, monkeypatch, lines):
    stdin = io.StringIO("".join(f"{line}\n" for line in lines))
    stdin.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", stdin)


def test_a_person_follows_it_to_the_end_and_undoes_it(world, admin, monkeypatch):
    typed(world, monkeypatch, ["yes", "maybe", "yes", "yes"])
    code, out, err = world.opsctl("run", "PromoSurge", "-p", f"admin={admin}", "-p", "percent=70", "--json")
    report = json.loads(out)
    assert (code, report["state"]) == (0, "ok"), err
    assert world.surge.orders == [("promo.shed", {"percent": "70", "reason": f"opsctl {report['run']}"})]
    assert '{"percent": 70' in err  # what the approval opened, byte for byte
    code, _, _ = world.opsctl("resume", report["run"][:18], "--undo", "--no-input")
    assert (code, world.surge.orders[-1][0]) == (0, "promo.unshed")
    code, out, _ = world.opsctl("ls", "--json")
    last = next(row for row in json.loads(out)["runbooks"] if row["id"] == "PromoSurge")["last_run"]
    assert (last["run"], last["state"]) == (report["run"], "undone")


def test_an_approval_on_the_command_line_is_one_approval(world, admin, monkeypatch):
    typed(world, monkeypatch, ["yes", "yes"])
    code, _, err = world.opsctl("run", "PromoSurge", "-p", f"admin={admin}", "--approve", "go", "-o", "plain")
    assert code == 0, err
    code, _, err = world.opsctl("run", "PromoSurge", "-p", f"admin={admin}", "--approve", "gone")
    assert (code, "it has: go" in err) == (2, True)


def test_a_plan_and_a_dry_run_change_nothing(world, admin):
    code, out, _ = world.opsctl("plan", "PromoSurge", "-p", f"admin={admin}")
    assert code == 0
    assert f"PUT {admin}/v1/promo/shed\n    Content-Type: application/json\n    Idempotency-Key: dry-run/shed" in out
    code, out, _ = world.opsctl("run", "PromoSurge", "-n", "-p", f"admin={admin}", "--json")
    steps = {step["id"]: step for step in json.loads(out)["steps"]}
    assert (code, steps["surge"]["now"]["state"], "now" in steps["shed"]) == (0, "ok", False)
    assert world.surge.orders == []
    assert json.loads(world.opsctl("show", "PromoSurge", "--json")[1])["runs"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "PromoSurge"], "parameter admin has no value"),
        (["run", "PromoSurge", "-p", "admin=http://far.example.net"], "http for loopback only"),
        (["run", "PromoSurge", "-p", "admin"], "expected NAME=VALUE"),
        (["run", "PromoSurge", "-p", "amdin=x"], "has no parameter"),
        (["run", "PromoSruge"], "did you mean PromoSurge?"),
        (["run", "PromoSurge", "--incident", "99"], "no open incident 99"),
        (["resume", "r9"], "no such run"),
    ],
)
def test_what_is_typed_wrong_is_said_before_anything_happens(world, words, said):
    code, out, err = world.opsctl(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_protected_context_wants_its_name(world, admin):
    world.write(more="protected = true")
    run = ("run", "PromoSurge", "-p", f"admin={admin}", "--no-input")
    code, _, err = world.opsctl(*run)
    assert (code, "--confirm dev" in err) == (6, True)
    assert world.opsctl(*run, "--confirm", "prod")[0] == 6
    assert "waits" in world.opsctl(*run, "--confirm", "dev")[2]


def test_an_edit_in_between_is_shown_and_refused(world, admin, tmp_path):
    from opsctl import assets

    copy = tmp_path / "books"
    copy.mkdir()
    text = (assets.folder("runbooks") / "promo" / "promo-surge.md").read_text()
    (copy / "promo-surge.md").write_text(text)
    world.write(runbooks='"books"')
    code, out, _ = world.opsctl("run", "PromoSurge", "-p", f"admin={admin}", "--auto", "--json")
    run = json.loads(out)["run"]
    (copy / "promo-surge.md").write_text(text.replace('"percent": ${percent}', '"percent": 95'))
    code, _, err = world.opsctl("resume", run, "--no-input")
    assert code == 6
    assert '-{"percent": ${percent}' in err
    assert '+{"percent": 95' in err
    assert "waits" in world.opsctl("resume", run, "--no-input", "--accept-edit")[2]


def test_lint_and_test_count_and_fail(world, tmp_path):
    code, out, _ = world.opsctl("test", "--json")
    result = json.loads(out)
    assert (code, result["failed"]) == (0, 0)
    assert result["cases"] > 40
    code, out, err = world.opsctl("lint", "--json")
    assert code == 0, err
    assert json.loads(out)["findings"] == []
    bad = tmp_path / "bad.md"
    bad.write_text("---\nrunbook: Bad\n---\n```promql\n#| id: x\n#| expcet: 1\nup\n```\n")
    code, out, _ = world.opsctl("lint", str(bad), "-o", "plain")
    assert code == 1
    assert f"{bad}:6" in out
    assert world.opsctl("test", str(bad))[0] == 1


SLOW = """---
runbook: Slow
version: 1
title: A step that takes its time
owner: play
services: [chat]
---

```bash
#| id: work
#| mutates: chat
#| requires: none
#| idempotency: {idempotency}
#| check: {check}
#| undo: none
#| timeout: 20s
echo once >> "{folder}/work"
if [ ! -e "{folder}/again" ]; then touch "{folder}/again"; sleep 5; fi
```

```bash
#| id: did-it
#| role: {role}
#| mutates: none
#| expect: exit_code == 0
test -s "{folder}/work"
```
"""


@pytest.mark.parametrize(("idempotency", "times"), [("natural", 2), ("check", 1)])
def test_a_run_that_was_killed_is_taken_up_again(world, tmp_path, idempotency, times):
    folder = tmp_path / "books"
    folder.mkdir()
    role, check = ("check", "did-it") if idempotency == "check" else ("step", "")
    text = SLOW.format(idempotency=idempotency, folder=tmp_path, role=role, check=check)
    (folder / "slow.md").write_text(text if check else text.replace("#| check: \n", ""))
    world.write(runbooks='"books"', more='runbook_policy = {auto = ["Slow/work"]}')
    command = [sys.executable, "-m", "opsctl", "--config", str(world.config), "runbook", "run", "Slow", "--auto"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[2]
    )
    child = None
    try:
        deadline = time.monotonic() + 20
        while not (tmp_path / "again").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (tmp_path / "again").exists()
        child = _child(process.pid)
        process.send_signal(signal.SIGKILL)
        said = process.communicate(timeout=10)[1]
    finally:
        process.kill()
        process.wait(10)
        if child is not None:
            os.killpg(child, signal.SIGKILL)
    run = said.split("runbook resume ")[1].split()[0]
    code, out, err = world.opsctl("resume", run, "--auto", "--json")
    assert code == 0, err
    assert json.loads(out)["state"] == "ok"
    assert (tmp_path / "work").read_text().count("once") == times


def _child(parent: int) -> int:
    return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])


REGIONAL = """---
runbook: Regional
version: 1
title: One region
owner: play
services: [chat]
params:
  region: {type: enum, values: [eu-1, us-1], from: alert.labels.region}
  service: {type: service, from: alert.labels.service}
---

```promql
#| id: look
up{region="${region}", service="${service}"}
```
"""


def fire(world, region):
    """An open incident for an alert with that label."""
    from opsctl.core.alerts import Alert, AlertState, Cause
    from opsctl.core.commands import Cycle
    from opsctl.core.slo import Severity
    from opsctl.ports import RunRecord

    at = world.clock.now()
    labels = (("region", region),)
    alert = Alert(
        "r1", "R1", "chat", "social", Severity.PAGE, labels, labels, AlertState.FIRING, Cause.RULE, at, "it burns"
    )
    journal = world.compose(type("F", (), {"context": None})()).journal()
    fresh = frozenset({"r1"})
    journal.commit(RunRecord(at, at, True, True), cycle=Cycle(at, (alert,), fresh, fresh, True))
    (key, known), *_ = journal.alerts().items()
    journal.close()
    return key, known.episode


def test_parameters_come_from_the_alert_of_the_incident(world, tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "regional.md").write_text(REGIONAL)
    world.write(runbooks='"books"')
    key, episode = fire(world, "us-1")
    for name in (key, str(episode)):
        code, out, err = world.opsctl("plan", "Regional", "--incident", name)
        assert code == 0, err
        assert 'up{region="us-1", service="chat"}' in out
    code, out, _ = world.opsctl("run", "Regional", "--incident", key, "--json")
    assert (code, json.loads(out)["incident_key"]) == (0, key)


def test_a_label_that_does_not_fit_stops_the_run_before_its_first_step(world, tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "regional.md").write_text(REGIONAL)
    world.write(runbooks='"books"')
    key, _ = fire(world, 'us-1"} or vector(1) #\x1b[31m')
    code, out, err = world.opsctl("run", "Regional", "--incident", key)
    assert (code, out) == (2, "")
    assert "parameter region from alert.labels.region" in err
    assert "\x1b" not in err
