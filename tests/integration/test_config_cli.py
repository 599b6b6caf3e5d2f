"""`opsctl config` and `opsctl doctor` as a person runs them: files on disk, a Prometheus-like server on loopback."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from opsctl.adapters import state_dir
from opsctl.adapters.clock import SystemClock
from opsctl.adapters.journal import open_journal
from opsctl.cli.main import main
from opsctl.core.memory import Memory, Remembered
from opsctl.engine.facts import facts_of
from opsctl.ports import RunRecord


@dataclass
class Out:
    """What one run said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """stdout by line."""
        return self.out.splitlines()


@pytest.fixture
def opsctl(fixed_home: Path, capsys: pytest.CaptureFixture[str]) -> object:
    """Run a command in a clean home."""

    def run(*argv: str) -> Out:
        code = main(list(argv))
        said = capsys.readouterr()
        return Out(code, said.out, said.err)

    return run


@dataclass
class Backend:
    """A server that answers what a test tells it to."""

    url: str
    token: str | None = None
    skew_seconds: float = 0.0
    asked: list[str] = field(default_factory=list)


_ANSWERS: dict[str, object] = {
    "_nodes": {"nodes": {"n": {"version": "8.19.21"}}},
    "_field_caps": {"indices": ["logs-app-prod"], "fields": {}},
    "/api/services": {"data": ["shop"], "errors": None},
    "/users?": {"users": [{"name": "Ann", "email": "a@example.net"}]},
    "/services?": {"services": []},
    "buildinfo": {"status": "success", "data": {"version": "9.9.9"}},
}


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A Prometheus, Elasticsearch, Jaeger and PagerDuty in one: it knows the version and the time, and may want a token."""
    state = Backend("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(f"{self.path} {self.headers.get('Authorization', '')}")
            if state.token is not None and state.token not in (self.headers.get("Authorization") or ""):
                self.answer(401, {"status": "error"})
            elif known := [body for part, body in _ANSWERS.items() if part in self.path]:
                self.answer(200, known[0])
            else:
                now = time.time() + state.skew_seconds
                value = [now, str(now)]
                self.answer(200, {"status": "success", "data": {"resultType": "scalar", "result": value}})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.do_GET()

        def answer(self, status: int, body: object) -> None:
            raw = json.dumps(body).encode()
            self.send_response_only(status)
            when = datetime.now(UTC) + timedelta(seconds=state.skew_seconds)
            self.send_header("Date", when.strftime("%a, %d %b %Y %H:%M:%S GMT"))
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


SERVICES = "services:\n  - {name: payments, tier: 1, team: money}\n"
RULES = "groups:\n  - name: g\n    rules:\n      - {alert: Down, expr: up == 0, labels: {severity: page, service: payments}}\n"


def write(folder: Path, url: str, more: str = "") -> None:
    """A configuration with files of its own."""
    (folder / "opsctl.toml").write_text(
        f'[contexts.prod]\ncatalogue = "services.yaml"\nrules = ["rules"]\n{more}\n[contexts.prod.prometheus]\nurl = "{url}"\n'
    )
    (folder / "services.yaml").write_text(SERVICES)
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules/a.rules.yaml").write_text(RULES)


# -- config


def test_init_show_validate(opsctl, fixed_home: Path) -> None:
    """`init` writes a file that validates and shows as it says; the next one refuses to overwrite it."""
    first = opsctl("config", "init", "--context", "eu.west")
    assert (first.code, first.out) == (0, "opsctl.toml\n")
    assert first.err.startswith("next: ")
    before = (fixed_home / "opsctl.toml").read_bytes()
    again = opsctl("config", "init")
    assert again.code == 6
    assert (
        again.err == "opsctl: opsctl.toml is there already: nothing was written (give another PATH, or move it away)\n"
    )
    assert (fixed_home / "opsctl.toml").read_bytes() == before
    checked = opsctl("config", "validate")
    assert (checked.code, checked.err) == (0, "")
    assert "context eu.west: " in checked.out
    assert " SLOs, " in checked.out
    shown = opsctl("config", "show", "--origin")
    assert shown.code == 0
    assert f"namespace\teu.west\t{fixed_home}/opsctl.toml:7" in shown.lines
    assert "limits.request\t10s\tdefault" in shown.lines


def test_init_elsewhere(opsctl, fixed_home: Path) -> None:
    """A path gets its folders, a folder gets opsctl.toml, and what cannot be written is one line."""
    deep = opsctl("config", "init", ".config/opsctl/config.toml")
    assert deep.code == 0
    assert opsctl("config", "show").code == 0
    (fixed_home / "d").mkdir()
    assert opsctl("config", "init", "d").out == "d/opsctl.toml\n"
    (fixed_home / "file").write_text("")
    wrong = opsctl("config", "init", "file/x/opsctl.toml")
    assert (wrong.code, wrong.out, wrong.err.count("\n")) == (2, "", 1)
    assert opsctl("config", "init", "--context", "../x", "y").code == 2


def test_show_never_shows_a_secret(opsctl, fixed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """References are shown, what they lead to is not; the variable that beat the file is named."""
    (fixed_home / "token").write_text("hunter2")
    monkeypatch.setenv("PD", "hunter2")
    write(fixed_home, "http://127.0.0.1:1")
    with (fixed_home / "opsctl.toml").open("a") as file:
        file.write(
            'token_file = "token"\n[contexts.prod.pagerduty]\nrouting_keys = { default = { token_env = "PD" } }\n'
        )
    monkeypatch.setenv("OPSCTL_LIMITS_CYCLE", "9s")
    for flags in (("--origin",), ("--origin", "--json")):
        shown = opsctl("config", "show", *flags)
        assert shown.code == 0
        assert "hunter2" not in shown.out + shown.err
        assert f"{fixed_home}/token" in shown.out
        assert "environment OPSCTL_LIMITS_CYCLE" in shown.out
    body = json.loads(shown.out)
    assert body["schema"] == "opsctl/config/show/v1"
    settings = {line["key"]: line for line in body["settings"]}
    assert settings["pagerduty.routing_keys.default.token_env"]["value"] == "PD"
    assert settings["limits.cycle"]["value"] == "9s"


def test_validate_names_every_wrong_place(opsctl, fixed_home: Path) -> None:
    """Catalogue, rules and settings in one go: a line each, exit 2, the same in JSON."""
    write(fixed_home, "http://127.0.0.1:1")
    (fixed_home / "rules/a.rules.yaml").write_text(RULES.replace("expr", "exprr"))
    (fixed_home / "rules/b.slo.yaml").write_text(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec: {servce: payments}\n"
    )
    found = opsctl("config", "validate")
    assert found.code == 2
    assert (
        f"{fixed_home}/rules/a.rules.yaml:4: unknown key exprr in groups[0].rules[0] (did you mean expr?)"
        in found.lines
    )
    assert f"{fixed_home}/rules/b.slo.yaml:4: unknown key servce in spec (did you mean service?)" in found.lines
    assert found.err == f"{len(found.lines)} wrong places\n"
    as_json = opsctl("config", "validate", "--json")
    body = json.loads(as_json.out)
    assert (as_json.code, body["schema"]) == (2, "opsctl/config/validate/v1")
    assert [error["message"] for error in body["errors"]] == found.lines
    assert {error["line"] for error in body["errors"]} == {4}
    (fixed_home / "services.yaml").write_text(SERVICES.replace("team", "taem"))
    assert any("unknown key taem" in line for line in opsctl("config", "validate").lines)


def test_validate_another_file(opsctl, fixed_home: Path) -> None:
    """FILE is checked in the place of the one in use."""
    write(fixed_home, "http://127.0.0.1:1")
    (fixed_home / "other.toml").write_text("[contexts.x]\nrulez = []\n")
    assert opsctl("config", "validate").code == 0
    found = opsctl("config", "validate", "other.toml")
    assert (found.code, found.lines) == (
        2,
        [f"{fixed_home}/other.toml:2: unknown key rulez in contexts.x (did you mean rules?)"],
    )
    assert opsctl("config", "validate", "gone.toml").code == 2


def test_no_configuration(opsctl) -> None:
    """Nothing at all says how to begin."""
    for command in (("config", "show"), ("doctor",)):
        found = opsctl(*command)
        assert (found.code, found.err) == (2, "opsctl: no configuration: `opsctl config init`, or try `opsctl demo`\n")
    assert opsctl("config", "validate").lines == ["no configuration: `opsctl config init`, or try `opsctl demo`"]


# -- doctor


def pagerduty(url: str, folder: Path) -> str:
    """A [pagerduty] section whose secrets are sound."""
    for name in ("key", "rest"):
        (folder / name).write_text("secret-value")
        (folder / name).chmod(0o600)
    return (
        f'[contexts.prod.pagerduty]\nevents_url = "{url}"\nrest_url = "{url}"\n'
        'routing_keys = { default = { token_file = "key" } }\nrest = { token_file = "rest", from = "a@example.net" }\n'
    )


def add(folder: Path, text: str) -> None:
    with (folder / "opsctl.toml").open("a") as file:
        file.write(text)


def journal(
    folder: Path, namespace: str = "prod", *, finished: timedelta | None = None, memory: Memory | None = None
) -> None:
    """A journal with one run that ended well, so long ago."""
    made = open_journal(folder, namespace, SystemClock())
    now = datetime.now(UTC)
    run = made.commit(RunRecord(now, now, True, True), facts_of(Memory(), memory or Memory(), now))
    if finished is not None:
        made.finish(run.run, 0, now - finished, success=True)
    made.close()


def test_doctor_on_a_sound_installation(opsctl, fixed_home: Path, backend: Backend) -> None:
    """Every check has its line; nothing but warnings about the test machine is exit 0."""
    write(fixed_home, backend.url)
    add(fixed_home, pagerduty(backend.url, fixed_home))
    journal(fixed_home / ".local/state/opsctl/prod", finished=timedelta(minutes=3))
    found = opsctl("doctor", "--max-age", "5m")
    assert found.code == 0, found.out
    assert any(line.startswith("✔ OK") and "prometheus: " in line and "version 9.9.9" in line for line in found.lines)
    assert any("✔ OK       catalogue: 1 services" in line for line in found.lines)
    assert any("1 alert rules" in line for line in found.lines)
    assert any("secrets: all 2 can be read" in line for line in found.lines)
    assert any("journal.sqlite3 is whole" in line for line in found.lines)
    assert any("last run: ended well 3m" in line for line in found.lines)
    assert "secret-value" not in found.out + found.err
    assert any(line.startswith("/users?") and line.endswith(" Token token=secret-value") for line in backend.asked)
    assert any("✔ OK       pagerduty notes: are written as Ann" in line for line in found.lines)
    assert any(
        line.startswith("! WARN     pagerduty services: no service has the routing key of") for line in found.lines
    )
    body = json.loads(opsctl("doctor", "--json").out)
    assert (body["schema"], body["exit_code"], body["namespace"]) == ("opsctl/doctor/v1", 0, "prod")
    assert {"name", "state", "what", "todo", "exit_code"} == set(body["checks"][0])


def test_doctor_unreachable_and_unauthorised(opsctl, fixed_home: Path, backend: Backend) -> None:
    """A dead backend is exit 3, a refused credential exit 4, each with what to do; auth outranks unknown."""
    write(fixed_home, "http://127.0.0.1:1")
    dead = opsctl("doctor", "--timeout", "2s")
    assert dead.code == 3
    assert any(line.startswith("? UNKNOWN  prometheus: http://127.0.0.1:1: ") and " — " in line for line in dead.lines)
    backend.token = "right"
    add(fixed_home, f'[contexts.prod.elasticsearch]\nurl = "{backend.url}"\ntoken_env = "ES_KEY"\n')
    refused = opsctl("doctor", "--timeout", "2s")
    assert refused.code == 4
    assert any(
        line.startswith("✖ FAIL     secrets: elasticsearch.token: environment variable ES_KEY (")
        for line in refused.lines
    )


def test_doctor_credentials_of_elasticsearch(
    opsctl, fixed_home: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API key goes as `ApiKey`, and a refused one is exit 4."""
    write(fixed_home, "http://127.0.0.1:1")
    monkeypatch.setenv("ES_KEY", "abc")
    add(fixed_home, f'[contexts.prod.elasticsearch]\nurl = "{backend.url}"\ntoken_env = "ES_KEY"\n')
    found = opsctl("doctor", "--timeout", "2s")
    assert {line.rpartition(" ApiKey ")[2] for line in backend.asked if "_field_caps" in line} == {"abc"}
    assert any("✔ OK       elasticsearch: " in line and "1 index fits" in line for line in found.lines)
    backend.token = "right"
    refused = opsctl("doctor", "--timeout", "2s")
    assert refused.code == 4
    assert any(line.startswith("✖ FAIL     elasticsearch: ") and "401" in line for line in refused.lines)


@pytest.mark.parametrize(("skew", "words"), [(90.0, "s ahead of ours"), (-3600.0, "s behind ours"), (20.0, None)])
def test_doctor_clock_skew(opsctl, fixed_home: Path, backend: Backend, skew: float, words: str | None) -> None:
    """More than 30 s between clocks is a warning, for Prometheus and for a server that only says `Date`."""
    backend.skew_seconds = skew
    write(fixed_home, backend.url)
    add(fixed_home, f'[contexts.prod.jaeger]\nurl = "{backend.url}"\n')
    found = opsctl("doctor")
    clocks = [line for line in found.lines if " clock: " in line]
    assert found.code == 0
    assert len(clocks) == (2 if words else 0)
    assert all(line.startswith("! WARN") and (words or "") in line for line in clocks)


def test_doctor_open_secret_file(opsctl, fixed_home: Path, backend: Backend) -> None:
    """A secret that others may read is a warning with the command that closes it."""
    write(fixed_home, backend.url)
    add(fixed_home, pagerduty(backend.url, fixed_home))
    (fixed_home / "key").chmod(0o644)
    found = opsctl("doctor")
    assert found.code == 0
    assert any(line.startswith("! WARN") and "(mode 0644) — chmod 600 " in line for line in found.lines)


def test_doctor_max_age(opsctl, fixed_home: Path, backend: Backend) -> None:
    """The dead man's switch: too old, never, and no journal are exit 3; without the flag they are not."""
    write(fixed_home, backend.url)
    state = fixed_home / ".local/state/opsctl/prod"
    assert opsctl("doctor").code == 0
    assert opsctl("doctor", "--max-age", "5m").code == 3
    assert not state.exists()  # doctor looks and makes nothing
    journal(state)
    assert opsctl("doctor", "--max-age", "5m").code == 3
    journal(state, finished=timedelta(minutes=6))
    late = opsctl("doctor", "--max-age", "5m")
    assert late.code == 3
    assert any("last run: ended well 6m" in line and "the limit is 5m" in line for line in late.lines)
    assert opsctl("doctor", "--max-age", "10m").code == 0
    assert opsctl("doctor", "--max-age", "soon").code == 2


def test_doctor_broken_journal(opsctl, fixed_home: Path, backend: Backend) -> None:
    """A file that is no journal is exit 5 and outranks a dead backend."""
    write(fixed_home, "http://127.0.0.1:1")
    file = state_dir.journal_file(fixed_home / ".local/state/opsctl/prod")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not a database at all" * 500)
    found = opsctl("doctor", "--timeout", "2s")
    assert found.code == 5
    assert any(line.startswith("✖ FAIL     journal: ") for line in found.lines)


def test_doctor_journal_of_another_namespace(opsctl, fixed_home: Path, backend: Backend) -> None:
    """A state folder that belongs to another environment is a wrong setting."""
    write(fixed_home, backend.url)
    journal(fixed_home / ".local/state/opsctl/prod", "stage")
    assert opsctl("doctor").code == 2


def test_doctor_second_journal(opsctl, fixed_home: Path, backend: Backend) -> None:
    """Another journal of this namespace beside ours is a warning; one of another namespace is not."""
    write(fixed_home, backend.url)
    root = fixed_home / ".local/state/opsctl"
    journal(root / "prod")
    journal(root / "stage", "stage")
    assert not any("second journal" in line for line in opsctl("doctor").lines)
    journal(root / "prod-copy")
    found = [line for line in opsctl("doctor").lines if "second journal" in line]
    assert len(found) == 1
    assert f"{root}/prod-copy/journal.sqlite3 is a second journal of namespace prod" in found[0]


SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: pay}
spec:
  service: payments
  indicator:
    metadata: {name: pay}
    spec:
      ratioMetric:
        bad: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(pay_total{ok="no"}[{{.window}}]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(pay_total[{{.window}}]))'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
"""


def test_doctor_on_rules(opsctl, fixed_home: Path, backend: Backend) -> None:
    """Rows that cannot fire, and rules that never had data, are named; a broken file is exit 2."""
    write(fixed_home, backend.url)
    (fixed_home / "rules/pay.slo.yaml").write_text(SLO)
    now = datetime.now(UTC)
    journal(
        fixed_home / ".local/state/opsctl/prod",
        memory=Memory(rules={"pay": Remembered(now, "f", True, never_had_data=True)}),
    )
    found = opsctl("doctor")
    assert found.code == 0
    assert any(
        "rules: pay: page 1h/5m × 14.4 cannot fire at target 0.9 and was left out" in line for line in found.lines
    )
    assert any("rules: 1 never had data: pay — " in line for line in found.lines)
    (fixed_home / "rules/pay.slo.yaml").write_text(SLO.replace("kind: SLO", "kind: SLI"))
    broken = opsctl("doctor")
    assert broken.code == 2
    assert any(line.startswith("✖ FAIL     rules: ") for line in broken.lines)


# -- the folder of the journal


@pytest.mark.parametrize(
    ("kind", "fit"),
    [
        ("ext4", True),
        ("xfs", True),
        ("tmpfs", False),
        ("overlay", False),
        ("nfs4", False),
        ("cifs", False),
        ("9p", False),
    ],
)
def test_file_systems(tmp_path: Path, kind: str, fit: bool) -> None:
    """The mount that holds the folder decides, the longest one first; names with blanks are read."""
    place = tmp_path / "a b"
    place.mkdir()
    blank = str(place).replace(" ", "\\040")
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"proc /proc proc rw 0 0\n/dev/sda / ext3 rw 0 0\nx {blank} {kind} rw 0 0\ny {blank}c tmpfs rw 0 0\n"
    )
    assert state_dir.file_system(place / "not/yet/there", mounts) == kind
    assert (state_dir.unfit(kind) is None) is fit
    assert state_dir.file_system(tmp_path, mounts) == "ext3"
    assert state_dir.file_system(tmp_path, tmp_path / "gone") is None


def test_namespace_of_foreign_files(tmp_path: Path) -> None:
    """What is no journal has no namespace, and looking leaves nothing behind."""
    assert state_dir.namespace_of(tmp_path) is None
    file = state_dir.journal_file(tmp_path)
    sqlite3.connect(file).close()
    assert state_dir.namespace_of(tmp_path) is None
    file.write_bytes(b"text")
    assert state_dir.namespace_of(tmp_path) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name]
