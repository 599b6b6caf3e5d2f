"""`opsctl watch` as a process: on a real Prometheus and the local PagerDuty, through everything that happens to it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from opsctl.demo.servers.pagerduty import LocalPagerDuty
from tests.integration.watch_world import Gate, Home, Watch, history, incidents, local_pagerduty, silence
from tests.servers.build import Missing, server
from tests.servers.fixtures import StartPrometheus
from tests.servers.jaeger import Jaeger


@pytest.fixture(scope="module")
def prometheus_port(start_prometheus: StartPrometheus) -> int:
    """A Prometheus that has seen the wallet go down."""
    return int(start_prometheus(history()).address.rpartition(":")[2])


@pytest.fixture
def pagerduty(tmp_path: Path) -> Iterator[LocalPagerDuty]:
    with local_pagerduty(tmp_path) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, prometheus_port: int, pagerduty: LocalPagerDuty) -> Home:
    return Home(tmp_path / "home", prometheus_port, pagerduty.address)


def test_it_pages_once_over_many_runs_and_resolves_once(home: Home, pagerduty: LocalPagerDuty) -> None:
    with Watch(home) as watch:
        watch.runs(4)
        assert incidents(pagerduty) == [("triggered", 1)]
        assert watch.number("opsctl_deliveries_total", sink="pagerduty", outcome="accepted") == 1
        assert watch.number("opsctl_page_latency_seconds_count", stage="accepted") == 1
        assert watch.number("opsctl_rule_state", state="FAIL") == 1
        home.alerts(5)  # nothing is down any more
        watch.until(lambda: incidents(pagerduty) == [("resolved", 1)], "the incident is resolved")
        assert watch.number("opsctl_rule_state", state="FAIL") == 0
        assert watch.end() == 143
    assert "opsctl: terminated" in watch.said
    assert home.rows("SELECT count(*) FROM runs WHERE ended IS NULL") == [(0,)]
    assert "Traceback" not in watch.said


@pytest.mark.parametrize("how", ["stick", "shut"])
def test_a_backend_that_dies_and_comes_back_is_asked_again_in_the_same_process(
    tmp_path: Path, prometheus_port: int, pagerduty: LocalPagerDuty, how: str
) -> None:
    """A run that had to hang up on it leaves nothing closed behind, and nothing is resolved meanwhile."""
    gate = Gate(prometheus_port)
    home = Home(tmp_path / "home", gate.port, pagerduty.address)
    with Watch(home) as watch:
        watch.runs(2)
        assert watch.number("opsctl_backend_up") == 1
        getattr(gate, how)()
        watch.until(lambda: watch.number("opsctl_backend_up") == 0, "the backend is down")
        watch.runs(1)
        assert watch.number("opsctl_rule_state", state="UNKNOWN") == 1
        gate.open()
        watch.until(lambda: watch.number("opsctl_backend_up") == 1, "the backend is back")
        watch.runs(1)
        assert watch.number("opsctl_rule_state", state="FAIL") == 1
    assert incidents(pagerduty) == [("triggered", 1)]


def test_connections_are_kept_from_run_to_run(tmp_path: Path, prometheus_port: int, pagerduty: LocalPagerDuty) -> None:
    gate = Gate(prometheus_port)
    with Watch(Home(tmp_path / "home", gate.port, pagerduty.address)) as watch:
        watch.runs(1)
        before = gate.connections
        watch.runs(4)
        assert gate.connections == before


def test_a_wrong_configuration_is_said_in_every_run_and_stops_nothing(home: Home, pagerduty: LocalPagerDuty) -> None:
    with Watch(home) as watch:
        watch.runs(1)
        home.configure(home.text.replace("catalogue", "katalogue"))
        watch.until(lambda: watch.number("opsctl_config_last_reload_successful") == 0, "the file is wrong")
        watch.runs(2)
        assert len(re.findall(r"level=error .*old one stays in force.*katalogue", watch.said)) >= 2
        status, body = watch.health("/readyz")
        assert (status, "katalogue" in body["warnings"][0]) == (200, True)
        (home.folder / "rules" / "more.rules.yaml").write_text(
            "groups: [{name: g, rules: [{alert: More, expr: 'wallet_up > 7', labels: {severity: page, service: wallet}}]}]"
        )
        home.configure(home.text)
        watch.until(lambda: watch.number("opsctl_config_last_reload_successful") == 1, "the file is right")
        watch.until(lambda: watch.number("opsctl_verdicts") == 2, "the new rule is judged")
        (home.folder / "rules" / "more.rules.yaml").write_text(
            "groups: [{name: g, rules: [{alert: More, expr: '(('}]}]"
        )
        watch.until(lambda: watch.number("opsctl_config_last_reload_successful") == 0, "a rule is wrong")
        assert watch.number("opsctl_verdicts") == 2
        home.configure(home.text.replace('namespace = "prod"', 'namespace = "other"'))
        (home.folder / "rules" / "more.rules.yaml").unlink()
        watch.until(lambda: "the namespace was prod and is other now" in watch.said, "another environment is refused")
    assert incidents(pagerduty) == [("triggered", 1)]


def test_a_hang_up_signal_reads_everything_again(home: Home) -> None:
    with Watch(home) as watch:
        watch.runs(1)
        assert "configuration read again" not in watch.said
        watch.process.send_signal(signal.SIGHUP)
        watch.until(lambda: "configuration read again" in watch.said, "it is read again")
        watch.runs(1)
        assert watch.said.count("configuration read again") == 1


def test_a_key_that_is_renewed_in_its_file_is_used(tmp_path: Path, prometheus_port: int) -> None:
    """It began with a key that nobody knows; the page arrives under the new one, once."""
    with local_pagerduty(tmp_path) as pagerduty:
        home = Home(tmp_path / "home", prometheus_port, pagerduty.address)
        right = (home.folder / "key").read_text()
        (home.folder / "key").write_text("f" * 32)
        home.configure(home.text.replace("[contexts.prod.paging]", '[contexts.prod.paging]\nreopen_after = "1s"'))
        with Watch(home) as watch:
            watch.until(lambda: watch.number("opsctl_dead_letters") == 1, "the page is refused for good")
            assert watch.number("opsctl_pages_undelivered") == 1
            (home.folder / "key").write_text(right)
            watch.until(lambda: "configuration read again" in watch.said, "it is read again")
            watch.runs(1)
            assert "NOT DELIVERED" in watch.said


def test_silences_are_read_in_every_run(home: Home, pagerduty: LocalPagerDuty) -> None:
    silences = home.folder / "silences.yaml"
    silences.write_text(silence(-timedelta(minutes=1), timedelta(hours=1)))
    home.configure(home.text.replace("runbooks = []", 'runbooks = []\nsilences = "silences.yaml"'))
    with Watch(home) as watch:
        watch.runs(2)
        assert incidents(pagerduty) == []
        assert watch.number("opsctl_silences_active") == 1
        assert watch.number("opsctl_rule_state", state="FAIL") == 1
        silences.write_text("silences: []\n")
        watch.until(lambda: incidents(pagerduty) == [("triggered", 1)], "it pages when the silence is gone")
        watch.runs(1)
        assert watch.number("opsctl_silences_active") == 0


def test_a_signal_waits_for_the_request_in_flight_and_its_result_is_on_disk(
    tmp_path: Path, prometheus_port: int
) -> None:
    with local_pagerduty(tmp_path, faults=[{"do": "slow", "seconds": 1.5}]) as pagerduty:
        home = Home(tmp_path / "home", prometheus_port, pagerduty.address)
        with Watch(home) as watch:
            watch.until(lambda: incidents(pagerduty), "the request arrived")
            assert watch.end() == 143
        assert home.rows("SELECT state FROM outbox") == [("accepted",)]
        with Watch(home) as again:
            again.runs(2)
        assert incidents(pagerduty) == [("triggered", 1)]


def test_a_second_signal_ends_at_once_and_nothing_is_lost(tmp_path: Path, prometheus_port: int) -> None:
    with local_pagerduty(tmp_path, faults=[{"match": {"nth": 1}, "do": "lose_request", "seconds": 4}]) as pagerduty:
        home = Home(tmp_path / "home", prometheus_port, pagerduty.address)
        with Watch(home) as watch:
            watch.until(lambda: _attempted(home), "the request is in flight")
            begun = time.monotonic()
            watch.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            assert watch.process.poll() is None
            assert watch.end() == 143
            assert time.monotonic() - begun < 3
        assert home.rows("SELECT state FROM outbox") == [("attempted",)]
        with Watch(home) as again:
            again.until(lambda: incidents(pagerduty) == [("triggered", 1)], "the page arrives")


def _attempted(home: Home) -> bool:
    with contextlib.suppress(Exception):
        return home.rows("SELECT state FROM outbox") == [("attempted",)]
    return False


def test_a_killed_watch_goes_on_where_it_was(home: Home, pagerduty: LocalPagerDuty) -> None:
    for _ in range(3):
        with Watch(home) as watch:
            watch.runs(1)
            assert watch.end(signal.SIGKILL) == -9
    assert incidents(pagerduty) == [("triggered", 1)]


def test_a_signal_does_not_wait_for_a_backend_that_hangs(
    tmp_path: Path, prometheus_port: int, pagerduty: LocalPagerDuty
) -> None:
    gate = Gate(prometheus_port)
    gate.stick()
    home = Home(tmp_path / "home", gate.port, pagerduty.address)
    home.configure(home.text.replace('request = "1s"', 'request = "10s"').replace('cycle = "2s"', 'cycle = "30s"'))
    with Watch(home) as watch:
        watch.until(lambda: gate.connections, "a question is asked")
        begun = time.monotonic()
        assert watch.end() == 143
        assert time.monotonic() - begun < 5


def test_a_run_that_another_process_does_is_skipped_and_said(home: Home, pagerduty: LocalPagerDuty) -> None:
    with Watch(home) as watch:
        watch.runs(1)
        with (home.folder / "state" / "evaluate.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            watch.until(lambda: watch.number("opsctl_cycles_total", outcome="skipped") >= 1, "a run is skipped")
        assert 'msg="run skipped" reason="another run' in watch.said
        assert watch.number("opsctl_cycles_failed_in_a_row") == 0
        watch.runs(1)
    assert incidents(pagerduty) == [("triggered", 1)]


def test_an_interrupt_is_130(home: Home) -> None:
    with Watch(home) as watch:
        assert watch.end(signal.SIGINT) == 130
    assert "opsctl: interrupted" in watch.said


def test_a_background_job_of_a_shell_ignores_an_interrupt_and_ends_by_sigterm(home: Home) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `opsctl watch &` in a script; a child inherits it
    try:
        watch = Watch(home)
    finally:
        signal.signal(signal.SIGINT, before)
    with watch:
        watch.runs(1)
        watch.process.send_signal(signal.SIGINT)
        watch.runs(2)
        assert watch.end(signal.SIGTERM) == 143
    assert "a bug" not in watch.said


def test_two_watches_and_cron_on_one_state_directory_page_once(home: Home, pagerduty: LocalPagerDuty) -> None:
    with Watch(home) as one, Watch(home) as other:
        one.runs(2)
        assert home.check().returncode == 1
        other.runs(2)
        assert one.number("opsctl_deliveries_total") + other.number("opsctl_deliveries_total") <= 1
    assert incidents(pagerduty) == [("triggered", 1)]


def test_what_cannot_be_sent_is_sent_as_soon_as_it_is_due(tmp_path: Path, prometheus_port: int) -> None:
    """Refused once: the second attempt does not wait for the next run, which is a minute away."""
    faults = [{"match": {"nth": 1}, "do": "status", "status": 503, "retry_after": 1}]
    with local_pagerduty(tmp_path, faults=faults) as pagerduty:
        home = Home(tmp_path / "home", prometheus_port, pagerduty.address)
        home.configure(home.text.replace('send = "2s"', 'send = "1s"'))
        with Watch(home, "--interval", "6s") as watch:
            watch.until(lambda: watch.number("opsctl_deliveries_total", outcome="retry") == 1, "the first is refused")
            watch.until(lambda: incidents(pagerduty), "the second is taken")
            assert watch.number("opsctl_cycles_total", outcome="completed") == 1
            assert re.search("msg=sent sent=1 left=0", watch.said)


def test_an_undelivered_page_shows_while_nobody_takes_it(tmp_path: Path, prometheus_port: int) -> None:
    with (
        local_pagerduty(tmp_path, faults=[{"do": "status", "status": 503}]) as pagerduty,
        Watch(Home(tmp_path / "home", prometheus_port, pagerduty.address)) as watch,
    ):
        watch.runs(2)
        assert watch.number("opsctl_pages_undelivered") == 1
        assert watch.number("opsctl_outbox_queued") == 1
        assert watch.number("opsctl_outbox_oldest_age_seconds") > 0
        assert math.isnan(watch.number("opsctl_pages_not_visible"))  # without REST nobody knows
        status, body = watch.health("/readyz")
        assert status == 503
        assert "ended well" in body["reasons"][0]


def test_what_a_page_took_until_it_was_seen_is_measured(tmp_path: Path, prometheus_port: int) -> None:
    with (
        local_pagerduty(tmp_path) as pagerduty,
        Watch(Home(tmp_path / "home", prometheus_port, pagerduty.address, rest=True)) as watch,
    ):
        watch.until(lambda: watch.number("opsctl_page_latency_seconds_count", stage="visible") == 1, "it is seen")
        assert watch.number("opsctl_page_latency_seconds_sum", stage="visible") < 20
        assert watch.number("opsctl_pages_not_visible") == 0
        assert watch.number("opsctl_pages_undelivered") == 0


def test_no_secret_is_in_anything_that_it_says_serves_or_writes(tmp_path: Path, prometheus_port: int) -> None:
    """Also not where PagerDuty refuses the key and the token, and what was wrong is said."""
    with local_pagerduty(tmp_path) as pagerduty:
        home = Home(tmp_path / "home", prometheus_port, pagerduty.address, rest=True)
        secrets = [os.urandom(16).hex() for _ in range(2)]
        for name, secret in zip(("key", "token"), secrets, strict=True):
            (home.folder / name).write_text(secret)
        with Watch(home) as watch:
            watch.until(lambda: watch.number("opsctl_dead_letters") == 1, "the page is refused for good")
            watch.runs(1)
            served = [watch.page(path)[1] for path in ("/metrics", "/healthz", "/readyz", "/nowhere")]
    assert "level=warn msg=warning" in watch.said  # the token was refused too
    written = [file.read_bytes() for file in (home.folder / "state").iterdir()]
    assert len(written) >= 3
    for secret in secrets:
        assert not [raw for raw in (*served, *written, watch.said.encode()) if secret.encode() in raw]


def test_a_run_that_is_stuck_turns_healthz_red(home: Home) -> None:
    stuck = home.folder / "stuck"
    with Watch(home, launcher=["--stuck-while", str(stuck)]) as watch:
        watch.runs(1)
        assert watch.health("/healthz")[0] == 200
        assert watch.health("/readyz")[0] == 200
        stuck.touch()
        _, body = watch.until(lambda: (found := watch.health("/healthz"))[0] == 503 and found, "it is red")
        assert re.match(r"a run has been going on for \d+ s", body["reasons"][0])
        assert watch.health("/readyz")[0] == 503
        assert watch.page("/metrics")[0] == 200
        stuck.unlink()
        watch.until(lambda: watch.health("/healthz")[0] == 200, "it is green again")
        assert watch.number("opsctl_cycles_total", outcome="missed") >= 1


def test_a_bug_ends_a_run_and_five_in_a_row_are_not_healthy(home: Home) -> None:
    bug = home.folder / "bug"
    with Watch(home, "--interval", "300ms", launcher=["--bug-while", str(bug)]) as watch:
        watch.runs(1)
        bug.touch()
        watch.until(lambda: watch.health("/healthz")[0] == 503, "it is red")
        assert watch.number("opsctl_cycles_failed_in_a_row") >= 5
        assert 'error="ValueError: a bug of the test"' in watch.said
        assert "Traceback" not in watch.said
        bug.unlink()
        watch.until(lambda: watch.health("/healthz")[0] == 200, "it is green again")


def test_a_journal_that_cannot_be_written_does_not_stop_a_page_and_is_used_again_when_it_can(
    home: Home, pagerduty: LocalPagerDuty
) -> None:
    state = home.folder / "state"
    state.write_text("a file where the folder should be")
    with Watch(home) as watch:
        watch.until(lambda: incidents(pagerduty) == [("triggered", 1)], "the page goes out")
        watch.until(lambda: watch.number("opsctl_journal_problem") == 1, "it is said")
        assert watch.health("/readyz")[0] == 503
        state.unlink()
        watch.until(lambda: watch.number("opsctl_journal_problem") == 0, "the file is used")
        watch.runs(1)
        home.alerts(5)
        watch.until(lambda: [one for one, _ in incidents(pagerduty)] == ["resolved"], "what memory paged is resolved")


def test_a_journal_that_somebody_removed_is_begun_anew(home: Home, pagerduty: LocalPagerDuty) -> None:
    with Watch(home) as watch:
        watch.runs(1)
        for file in (home.folder / "state").glob("journal.sqlite3*"):
            file.unlink()
        watch.until(lambda: "was moved or removed" in watch.said, "it is noticed")
        watch.runs(1)
        assert home.rows("SELECT count(*) FROM episodes WHERE resolved IS NULL") == [(1,)]
    assert [one for one, _ in incidents(pagerduty)] == ["triggered"]


def test_a_prometheus_scrapes_it_and_promtool_likes_its_metrics(home: Home, start_prometheus: StartPrometheus) -> None:
    with Watch(home) as watch:
        watch.runs(1)
        scraper = start_prometheus(scrape=[("opsctl", watch.address, {})])
        query = "/api/v1/query?query=opsctl_cycles_total%7Boutcome%3D%22completed%22%7D%20%3E%201"
        watch.until(lambda: '"job":"opsctl"' in _get(scraper.url + query), "its numbers are there")
        text = watch.page("/metrics")[1].decode()
        families = watch.page("/metrics", Accept="application/openmetrics-text; version=1.0.0")[1].decode()
    names = {family.name for family in text_string_to_metric_families(families)}
    assert {
        "opsctl_page_latency_seconds",
        "opsctl_cycles",
        "opsctl_rule_state",
        "process_resident_memory_bytes",
    } <= names
    try:
        promtool = server("prometheus", "3.16").program("promtool")
    except Missing as reason:
        pytest.skip(str(reason))
    done = subprocess.run(
        [str(promtool), "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def test_the_service_manager_hears_ready_alive_and_stopping(home: Home, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "600000"}
        with Watch(home, **env) as watch:
            assert manager.recv(4096).startswith(b"READY=1\n")
            assert manager.recv(4096) == b"WATCHDOG=1"
            assert watch.end() == 143
            said = [manager.recv(4096)]
            while not said[-1].startswith(b"STOPPING=1"):
                said.append(manager.recv(4096))


def test_each_run_is_a_trace_of_its_own(home: Home, jaeger: Jaeger) -> None:
    """Else one trace would go on for months; its questions are below it."""
    name = f"opsctl-watch-{os.getpid()}"
    env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{jaeger.otlp}/v1/traces", "OTEL_SERVICE_NAME": name}
    with Watch(home, **env) as watch:
        watch.runs(3)
        assert watch.end() == 143
    url = f"http://127.0.0.1:{jaeger.ports['query']}/api/traces?service={name}&limit=50&operation=opsctl%20cycle"
    deadline = time.monotonic() + 15
    while len(found := json.loads(_get(url))["data"] or []) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(found) >= 3
    for trace in found:
        (cycle,) = [span for span in trace["spans"] if span["operationName"] == "opsctl cycle"]
        assert cycle["references"] == []
        others = [span for span in trace["spans"] if span is not cycle]
        assert {one["spanID"] for span in others for one in span["references"]} <= {cycle["spanID"]}


def test_every_line_that_it_says_is_key_and_value(home: Home) -> None:
    with Watch(home) as watch:
        watch.runs(1)
        assert watch.end() == 143
    *lines, last = watch.said.splitlines()
    assert last == "opsctl: terminated"
    assert [
        line for line in lines if not re.fullmatch(r'ts=\S+Z level=\w+( \w+=("(\\.|[^"\\])*"|[^\s"=]+))+', line)
    ] == []
    assert any(re.search(r" msg=run at=\S+ took_seconds=\S+ fail=1 .* exit=1$", line) for line in lines)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--interval", "100ms"], "--interval 100ms: expected"),
        (["--interval", "2h"], "--interval 2h: expected"),
        (["--interval", "soon"], "--interval soon: expected a duration"),
        (["--listen", "9469"], "--listen 9469: expected HOST:PORT"),
        (["--listen", ":9469"], "--listen :9469: expected HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "--listen 127.0.0.1:99999: expected HOST:PORT"),
        (["--listen", "203.0.113.1:9469"], "cannot listen on 203.0.113.1:9469: "),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_2(
    home: Home, words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from opsctl.cli.main import main

    assert main(["--config", str(home.config), "watch", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line


def test_without_a_sink_nobody_would_be_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    from opsctl.cli.main import main

    home.configure(home.text.partition("[contexts.prod.pagerduty]")[0])
    assert main(["--config", str(home.config), "watch", "--listen", "off"]) == 2
    assert "has no sink: nobody would be told" in capsys.readouterr().err


def test_it_can_only_judge(home: Home, pagerduty: LocalPagerDuty) -> None:
    home.configure(home.text.partition("[contexts.prod.pagerduty]")[0])
    with Watch(home, "--no-notify") as watch:
        watch.runs(2)
        assert watch.number("opsctl_rule_state", state="FAIL") == 1
        assert watch.health("/readyz")[0] == 200
        os.kill(watch.process.pid, signal.SIGTERM)
        assert watch.process.wait(10) == 143
    assert incidents(pagerduty) == []
