"""`opsctl check --notify` with an Alertmanager, a webhook or the console as the sink: told once, kept, ended, seen."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.cli.main import main
from opsctl.demo.clock import StoryClock
from tests.contract.sink_world import Receiver, answer
from tests.integration.test_cli_streams import burning, folder, healthy
from tests.servers.alertmanager import VERSIONS, Alertmanager
from tests.servers.fixtures import StartAlertmanager
from tests.servers.misbehaving import Misbehaving

SIGNING = "whsec_c2lnbmluZy1jYW5hcnktb2YtMjQtYnl0"
Make = Callable[[str], Path]


@pytest.fixture
def prometheus() -> Iterator[Misbehaving]:
    """One SLO burns, until a test says that it holds."""
    server = Misbehaving(burning)
    yield server
    server.stop()


@pytest.fixture
def home(fixed_home: Path, prometheus: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a folder with that SLO and these sinks."""

    def make(sinks: str) -> Path:
        made = folder(fixed_home, prometheus)
        config = made / "opsctl.toml"
        config.write_text(config.read_text().replace('namespace = "t"', f'namespace = "t-{uuid.uuid4().hex}"') + sinks)
        for name, secret in (("token", "t0ken-canary-of-sinks"), ("signing", SIGNING)):
            (made / name).write_text(secret)
            (made / name).chmod(0o600)
        monkeypatch.chdir(made)
        return made

    return make


def alerts(server: Alertmanager, home: Path) -> list[dict[str, Any]]:
    """What the real Alertmanager shows of this folder's namespace."""
    with urllib.request.urlopen(server.url + "/api/v2/alerts", timeout=5) as found:
        every = json.loads(found.read())
    text = (home / "opsctl.toml").read_text()
    return [one for one in every if f'"{one["labels"].get("namespace")}"' in text]


def test_an_incident_lives_in_alertmanager_as_long_as_it_lives_here(
    home: Make, alertmanager: Alertmanager, prometheus: Misbehaving, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told, said again each minute, held open without a word, resolved, and seen resolved."""
    made = home(f'[contexts.t.alertmanager]\nurl = "{alertmanager.url}"\n')
    clock = StoryClock(datetime.now(UTC))

    def run(code: int) -> list[dict[str, Any]]:
        assert main(["check", "--notify"], clock=clock) == code
        assert capsys.readouterr().err == ""
        return alerts(alertmanager, made)

    (first,) = run(1)
    assert first["labels"]["severity"] == "page"
    for _ in range(3):
        clock.step(timedelta(minutes=1))
        (again,) = run(1)
    assert again["fingerprint"] == first["fingerprint"]
    assert datetime.fromisoformat(again["endsAt"]) - datetime.fromisoformat(first["endsAt"]) > timedelta(
        minutes=2, seconds=55
    )
    prometheus.behave = healthy
    for _ in range(4):
        clock.step(timedelta(minutes=1))
        assert len(run(0)) == 1
    clock.step(timedelta(minutes=2))
    assert run(0) == []
    clock.step(timedelta(minutes=1))
    run(0)
    assert main(["incident", "show", "#1"], clock=clock) == 0
    shown = capsys.readouterr().out
    assert "visible" in shown
    assert "seen resolved" in shown


@pytest.mark.parametrize("version", VERSIONS)
def test_people_hear_of_an_incident_once_and_of_its_end_once(
    home: Make, start_alertmanager: StartAlertmanager, version: str
) -> None:
    """What Alertmanager makes of a trigger, three repeats and a resolve: one notification each way."""
    receiver = Receiver()
    configuration = (
        "route: {receiver: people, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 4h}\n"
        f"receivers: [{{name: people, webhook_configs: [{{url: '{receiver.url}/', send_resolved: true}}]}}]\n"
    )
    server = start_alertmanager(configuration, version=version)
    home(f'[contexts.t.alertmanager]\nurl = "{server.url}"\n')
    clock = StoryClock(datetime.now(UTC))
    try:
        for _ in range(4):
            assert main(["check", "--notify"], clock=clock) == 1
            clock.step(timedelta(minutes=1))
            time.sleep(0.7)
        assert main(["incident", "resolve", "#1"], clock=clock) == 0
        until = time.monotonic() + 10
        while len(receiver.requests) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1.5)
        told = [json.loads(body) for _, body in receiver.requests]
    finally:
        receiver.stop()
        server.stop()
    assert [one["status"] for one in told] == ["firing", "resolved"]
    assert told[0]["alerts"][0]["annotations"]["summary"].startswith("wallet-op-success burns")


def test_an_alert_that_vanishes_from_alertmanager_is_told_again(
    home: Make, alertmanager: Alertmanager, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its data was lost, or somebody else ended it: the next minute's word opens it again."""
    made = home(f'[contexts.t.alertmanager]\nurl = "{alertmanager.url}"\n')
    clock = StoryClock(datetime.now(UTC))
    assert main(["check", "--notify"], clock=clock) == 1
    (one,) = alerts(alertmanager, made)
    over = [{"labels": one["labels"], "startsAt": one["startsAt"], "endsAt": datetime.now(UTC).isoformat()}]
    request = urllib.request.Request(
        alertmanager.url + "/api/v2/alerts", json.dumps(over).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()
    assert alerts(alertmanager, made) == []
    clock.step(timedelta(minutes=1))
    assert main(["check", "--notify"], clock=clock) == 1
    assert len(alerts(alertmanager, made)) == 1


def test_a_person_who_resolves_here_ends_it_there(home: Make, alertmanager: Alertmanager) -> None:
    made = home(f'[contexts.t.alertmanager]\nurl = "{alertmanager.url}"\n')
    assert main(["check", "--notify"]) == 1
    assert len(alerts(alertmanager, made)) == 1
    assert main(["incident", "ack", "#1"]) == 0
    assert main(["incident", "resolve", "#1"]) == 0
    assert alerts(alertmanager, made) == []


def test_pagerduty_refuses_and_alertmanager_takes_the_page(
    home: Make, alertmanager: Alertmanager, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused in full and in its minimal form, said so with exit 5, and told elsewhere until the next repeat."""
    refusing = Misbehaving(answer("400 Bad Request", b'{"message":"Event object is invalid"}'))
    made = home(
        f'[contexts.t.pagerduty]\nrouting_keys = {{ default = {{ token_file = "token" }} }}\n'
        f'events_url = "{refusing.url}"\n[contexts.t.alertmanager]\nurl = "{alertmanager.url}"\n'
    )
    try:
        assert main(["check", "--notify"]) == 5
        assert "pagerduty/money refused trigger of #1" in capsys.readouterr().err
        assert len(refusing.requests) == 2
        (one,) = alerts(alertmanager, made)
        assert datetime.fromisoformat(one["endsAt"]) > datetime.now(UTC) + timedelta(hours=1)
        assert main(["incident", "resolve", "#1"]) == 0
        assert alerts(alertmanager, made) == []
    finally:
        refusing.stop()


def test_a_dead_alertmanager_is_exit_5_and_the_page_goes_out_later(
    home: Make, alertmanager: Alertmanager, capsys: pytest.CaptureFixture[str]
) -> None:
    made = home('[contexts.t.alertmanager]\nurl = "http://127.0.0.1:1"\n[contexts.t.limits]\nsend = "1s"\n')
    assert main(["check", "--notify"]) == 5
    told = capsys.readouterr().err
    assert "alertmanager: cannot be read: connection refused" in told
    assert "A PAGE DID NOT GET THROUGH" in told
    config = made / "opsctl.toml"
    config.write_text(config.read_text().replace("http://127.0.0.1:1", alertmanager.url).replace('"1s"', '"15s"'))
    assert main(["check", "--notify"], clock=StoryClock(datetime.now(UTC) + timedelta(minutes=1))) == 1
    assert len(alerts(alertmanager, made)) == 1


def test_a_webhook_is_told_once_signed_and_with_its_token(home: Make, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = Receiver()
    made = home(
        f'[contexts.t.webhooks.chat]\nurl = "{receiver.url}/a-long-and-secret-path"\ntoken_file = "token"\n'
        'signing = { token_file = "signing" }\n'
    )
    try:
        assert [main(["check", "--notify"]) for _ in range(3)] == [1, 1, 1]
        assert main(["incident", "ack", "#1"]) == 0
        assert main(["incident", "resolve", "#1"]) == 0
    finally:
        receiver.stop()
    bodies = [json.loads(body) for _, body in receiver.requests]
    assert [one["action"] for one in bodies] == ["trigger", "acknowledge", "resolve"]
    assert {one["schema"] for one in bodies} == {"opsctl/event/v1"}
    headers = receiver.requests[0][0]
    assert headers["authorization"] == "Bearer t0ken-canary-of-sinks"
    assert headers["webhook-signature"].startswith("v1,")
    said = "".join(capsys.readouterr())
    kept = b"".join(path.read_bytes() for path in (made / "state").iterdir())
    for secret in ("t0ken-canary-of-sinks", SIGNING, "a-long-and-secret-path"):
        assert secret not in said
        assert secret.encode() not in kept


def test_the_console_prints_what_would_be_sent_and_nobody_is_told(
    home: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    home("")
    config = Path("opsctl.toml")
    config.write_text(config.read_text().replace("[contexts.t]\n", "[contexts.t]\nconsole = true\n"))
    assert [main(["check", "--notify"]) for _ in range(2)] == [1, 1]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("console/")
    assert ": trigger opsctl/" in told[0]
