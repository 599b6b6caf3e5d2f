"""`opsctl check --notify` with Opsgenie as the only sink: one alert, its state read back, and never silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsctl.cli.main import main
from opsctl.demo.servers.opsgenie import start_local_opsgenie
from tests.contract.opsgenie_world import KEY, TEAM_KEY, Opsgenie
from tests.integration.test_cli_streams import burning, folder
from tests.servers.misbehaving import Misbehaving

Start = Callable[[str], Path]


@pytest.fixture
def og(tmp_path: Path) -> Iterator[Opsgenie]:
    """The local Opsgenie, which knows one key."""
    local = start_local_opsgenie(tmp_path / "og" / "og.sqlite3", {"default": KEY}, options=("--lag", "0.01"))
    yield Opsgenie(local)
    local.stop()


@pytest.fixture
def home(fixed_home: Path, og: Opsgenie, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Makes a folder with one SLO that burns, and Opsgenie below a path."""
    server = Misbehaving(burning)

    def start(prefix: str) -> Path:
        made = folder(fixed_home, server)
        with (made / "opsctl.toml").open("a") as config:
            config.write(
                '[contexts.t.opsgenie]\napi_keys = { default = { token_file = "key" } }\nresponders = true\n'
                f'url = "{og.local.address}{prefix}"\n'
            )
        (made / "key").write_text(KEY)
        (made / "key").chmod(0o600)
        monkeypatch.chdir(made)
        return made

    yield start
    server.stop()


def sent(og: Opsgenie) -> list[str]:
    """What was accepted, by its action."""
    return [line["action"] for line in og.log() if line["method"] == "POST"]


@pytest.mark.parametrize("prefix", ["", "/jsm/ops/integration"])
def test_a_breach_is_one_alert_and_a_resolve_closes_it(
    home: Start, og: Opsgenie, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home(prefix)
    assert [main(["check", "--notify"]) for _ in range(3)] == [1, 1, 1]
    assert capsys.readouterr().err == ""
    time.sleep(0.05)
    (alert,) = og.call("GET", "/_alerts").body["alerts"]
    assert (alert["status"], alert["count"], alert["priority"]) == ("open", 1, "P1")
    assert alert["alias"].startswith("opsctl:")
    assert "Evidence:" in alert["description"]
    assert main(["incident", "resolve", "#1"]) == 0
    time.sleep(0.05)
    assert [one["status"] for one in og.call("GET", "/_alerts").body["alerts"]] == ["closed"]
    assert sent(og) == ["create", "close"]
    assert KEY not in str(capsys.readouterr())


def test_a_person_who_takes_it_at_opsgenie_is_shown_here(
    home: Start, og: Opsgenie, capsys: pytest.CaptureFixture[str]
) -> None:
    home("")
    assert main(["check", "--notify"]) == 1
    time.sleep(0.05)
    (alert,) = og.call("GET", "/_alerts").body["alerts"]
    og.person("acknowledge", alert["alias"], "ana@example.com")
    assert main(["check", "--notify"]) == 1
    capsys.readouterr()
    assert main(["incident", "show", "#1"]) == 0
    shown = capsys.readouterr().out
    assert "ana@example.com" in shown
    assert sent(og) == ["create"]


def test_a_lost_reply_is_sent_again_and_makes_no_second_alert(home: Start, og: Opsgenie) -> None:
    home("")
    og.faults({"match": {"action": "create", "nth": 1}, "do": "lose_reply"})
    assert main(["check", "--notify"]) in {1, 5}
    assert main(["check", "--notify"]) == 1
    time.sleep(0.05)
    (alert,) = og.call("GET", "/_alerts").body["alerts"]
    assert alert["status"] == "open"
    assert sent(og) == ["create"] * alert["count"]


def test_a_refused_key_is_said_in_every_run_and_not_shown(
    home: Start, og: Opsgenie, capsys: pytest.CaptureFixture[str]
) -> None:
    made = home("")
    (made / "key").write_text(TEAM_KEY)
    for said in ("A PAGE DID NOT GET THROUGH", "NOT DELIVERED: #"):
        assert main(["check", "--notify"]) == 5
        told = capsys.readouterr().err
        assert said in told
        assert "401" in told
        assert TEAM_KEY not in told
    assert og.call("GET", "/_alerts").body["alerts"] == []
