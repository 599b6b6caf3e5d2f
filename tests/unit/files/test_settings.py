"""The configuration: every wrong place by file and line, layers in their order, secrets by reference only."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from opsctl.errors import ConfigError, ConfigErrors, UsageError
from opsctl.files.context import Basic, Bearer, Secret
from opsctl.files.settings import Settings, load_settings
from opsctl.files.shown import shown
from opsctl.files.starter import starter

GOOD = """\
default_context = "prod"
[contexts.prod]
namespace = "prod-eu"
rules = ["alert_rules/"]
[contexts.prod.prometheus]
url = "https://prometheus.example.net/prometheus"
headers = { "X-Scope-OrgID" = "games" }
basic = { user = "ops", password_file = "secrets/password" }
[contexts.prod.elasticsearch]
url = "https://elastic.example.net:9200"
token_command = "pass show 'elastic key'"
[contexts.prod.pagerduty]
routing_keys = { default = { token_file = "/run/secrets/pd" }, money = { token_env = "PD_MONEY" } }
rest = { token_file = "/run/secrets/rest", from = "oncall@example.net" }
[contexts.prod.limits]
request = "3s"
body = "1MiB"
[contexts.stage]
"""


def load(folder: Path, text: str, *, env: dict[str, str] | None = None, context: str | None = None) -> Settings:
    path = folder / "opsctl.toml"
    path.write_text(text)
    return load_settings(path, context, env={"HOME": str(folder), **(env or {})}, cwd=folder)


def problems(folder: Path, text: str, **more: object) -> list[str]:
    """Each error as `line: message`, without the folder."""
    with pytest.raises((ConfigError, UsageError)) as caught:
        load(folder, text, **more)  # type: ignore[arg-type]
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else (caught.value,)
    return [str(error).replace(f"{folder / 'opsctl.toml'}:", "") for error in errors]


def test_whole_file(tmp_path: Path) -> None:
    """Every section arrives with its types; relative paths are relative to the file."""
    context = load(tmp_path, GOOD).chosen
    assert (context.name, context.namespace, context.protected) == ("prod", "prod-eu", False)
    assert context.state_dir == tmp_path / ".local/state/opsctl/prod"
    assert context.base == tmp_path
    assert context.prometheus is not None
    assert context.prometheus.headers == {"X-Scope-OrgID": "games"}
    credentials = context.prometheus.credentials
    assert isinstance(credentials, Basic)
    assert credentials.secret.reference == str(tmp_path / "secrets/password")
    assert context.elasticsearch is not None
    assert isinstance(context.elasticsearch.credentials, Bearer)
    assert context.elasticsearch.credentials.secret.command == ("pass", "show", "elastic key")
    assert context.elasticsearch.index == ("logs-*-*", "filebeat-*")
    assert context.pagerduty is not None
    assert context.pagerduty.key_of("money").kind == "env"
    assert context.pagerduty.key_of("chat").reference == "/run/secrets/pd"
    assert (context.limits.request, context.limits.body) == (timedelta(seconds=3), 1024 * 1024)
    assert context.limits.cycle == timedelta(seconds=30)
    assert set(context.secrets()) == {
        "prometheus.basic",
        "elasticsearch.token",
        "pagerduty.routing_keys.default",
        "pagerduty.routing_keys.money",
        "pagerduty.rest",
    }


P = '[contexts.prod]\n[contexts.prod.prometheus]\nurl = "https://a"\n'
WRONG = [
    ("contxts = 1\n[contexts.prod]", ["1: unknown key contxts in the configuration (did you mean contexts?)"]),
    ("x = 1", ["1: unknown key x in the configuration (known: contexts, default_context, tui)", "1: the configuration: contexts is missing"]),
    ("[contexts.prod]\nprotcted = true", ["2: unknown key protcted in contexts.prod (did you mean protected?)"]),
    ("[contexts.prod]\nprotected = 1", ["2: contexts.prod.protected: expected true or false, got 1"]),
    ('[contexts.prod]\nrules = "a"', ['2: contexts.prod.rules: expected a list of texts, got "a"']),
    ('[contexts.prod]\nrules = [\n"a",\n3]', ["4: contexts.prod.rules[1]: expected a text, got 3"]),
    ('[contexts.prod]\nnamespace = "a b"', ["2: contexts.prod.namespace: expected letters, digits, '.', '_' and '-', at most 64"]),
    ("[contexts.prod.limits]\nrequest = 10", ['2: contexts.prod.limits.request: expected a duration like "10s", got 10']),
    ('[contexts.prod.limits]\nrequest = "10 s"', ['2: contexts.prod.limits.request: expected a duration like "10s", got "10 s"']),
    ('[contexts.prod.limits]\ncycle = "0s"', ["2: contexts.prod.limits.cycle: expected a duration longer than 0s"]),
    ('[contexts.prod.limits]\nrequst = "1s"', ["2: unknown key requst in contexts.prod.limits (did you mean request?)"]),
    ('[contexts.prod.limits]\nbody = "64MB"', ['2: contexts.prod.limits.body: expected a size like "64MiB", got 64MB']),
    ("[contexts.prod.limits]\nconcurrency = 0", ["2: contexts.prod.limits.concurrency: expected a whole number from 1 to 64, got 0"]),
    ("[contexts.prod.limits]\nseries = 1.5", ["2: contexts.prod.limits.series: expected a whole number, got 1.5"]),
    ('[contexts.prod.paging]\nholdopen = "5m"', ["2: unknown key holdopen in contexts.prod.paging (did you mean hold_open?)"]),
    ("[contexts.prod.paging]\nrunner = -1", ["2: contexts.prod.paging.runner: expected a whole number from 0 to 20, got -1"]),
    ('[contexts.prod.offsets]\nlog = "5s"', ["2: unknown key log in contexts.prod.offsets (did you mean logs?)"]),
    ('[contexts.prod.series]\nlogs = "promtheus"', ['2: contexts.prod.series.logs: expected one of backend, prometheus, got "promtheus" (did you mean prometheus?)']),
    ('[contexts.prod.series]\ntraces = "prometheus"', ["2: contexts.prod.series.traces: this context has no prometheus to ask"]),
    ('[contexts.prod.series]\ntrace = "backend"', ["2: unknown key trace in contexts.prod.series (did you mean traces?)"]),
    ('[contexts.prod.runbook_policy]\nauto = ["shed"]', ['2: contexts.prod.runbook_policy.auto[0]: expected RUNBOOK/STEP like "PromoSurge/shed", got "shed"']),
    ("[contexts.prod.prometheus]\nallow_http = true", ["1: contexts.prod.prometheus: url is missing"]),
    ('[contexts.prod.prometheus]\nurl = "http://10.0.0.1:9090"', ["2: contexts.prod.prometheus.url: plain http is allowed to this machine only (use https, or say allow_http = true for this backend)"]),
    ('[contexts.prod.prometheus]\nurl = "ftp://a"', ["2: contexts.prod.prometheus.url: expected a URL like https://HOST[:PORT][/PREFIX]"]),
    ('[contexts.prod.prometheus]\nurl = "https://a:99999"', ["2: contexts.prod.prometheus.url: expected a URL like https://HOST[:PORT][/PREFIX]"]),
    ('[contexts.prod.prometheus]\nurl = "https://a?x=1"', ["2: contexts.prod.prometheus.url: expected a URL without query and fragment"]),
    ('[contexts.prod.prometheus]\nurl = "https://u:hunter2@a"', ["2: contexts.prod.prometheus.url: no user or password in a URL: secrets are given by reference: token_file, token_command or token_env, or basic"]),
    (P + 'token = "hunter2"', ["4: contexts.prod.prometheus.token: secrets are given by reference: token_file, token_command or token_env"]),
    (P + 'api_key = "hunter2"', ["4: contexts.prod.prometheus.api_key: secrets are given by reference: token_file, token_command or token_env"]),
    (P + 'headers = { Authorization = "Bearer hunter2" }', ["4: contexts.prod.prometheus.headers.Authorization: secrets are given by reference: token_file, token_command or token_env, or basic"]),
    (P + 'basic = { user = "u", password = "hunter2" }', [
        "4: contexts.prod.prometheus.basic.password: secrets are given by reference: password_file, password_command or password_env",
        "4: contexts.prod.prometheus.basic: expected one of password_file, password_command, password_env",
    ]),
    (P + 'token_file = "a"\ntoken_env = "B"', ["5: contexts.prod.prometheus: expected one of token_file, token_command, token_env, basic, got token_file and token_env"]),
    (P + 'token_env = "NOT A NAME"', ["4: contexts.prod.prometheus.token_env: expected the name of an environment variable"]),
    (P + 'token_command = ["pass", 3]', ['4: contexts.prod.prometheus.token_command: expected a command like "pass show opsctl" or a list of its words']),
    (P + 'token_fil = "a"', ["4: unknown key token_fil in contexts.prod.prometheus (did you mean token_file?)"]),
    ('[contexts.prod.jaeger]\nurl = "https://a"\n[contexts.prod.zipkin]\nurl = "https://b"', ["3: contexts.prod: expected jaeger or zipkin, not both"]),
    ('[contexts.prod.pagerduty]\nrouting_keys = "hunter2"', ["2: contexts.prod.pagerduty.routing_keys: expected a secret by team: secrets are given by reference: token_file, token_command or token_env"]),
    ('[contexts.prod.pagerduty]\nrouting_keys = { default = "hunter2" }', ["2: contexts.prod.pagerduty.routing_keys.default: secrets are given by reference: token_file, token_command or token_env"]),
    ('[contexts.prod.pagerduty]\nrouting_keys = { money = { token_env = "A" } }', ["2: contexts.prod.pagerduty.routing_keys: default is missing: pages of teams without a key of their own go there"]),
    ('[contexts.prod.pagerduty.routing_keys]\ndefault = { token_env = "A" }\n[contexts.prod.pagerduty.rest]\ntoken_env = "B"', ["3: contexts.prod.pagerduty.rest: from is missing"]),
    ("[contexts.a]\n[contexts.b]", ["1: default_context is missing (one of: a, b)"]),
    ('default_context = "prd"\n[contexts.prod]', ["1: unknown context prd (did you mean prod?)"]),
    ("[contexts]\nprod = 3", ["2: contexts.prod: expected a table [contexts.prod]"]),
    ("[contexts.prod\n", ["1: is not TOML: Expected ']' at the end of a table declaration"]),
    ("[contexts.prod]\na = 1\na = 2", ["3: is not TOML: Cannot overwrite a value"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[text[:60] for text, _ in WRONG])
def test_wrong_settings(tmp_path: Path, text: str, expected: list[str]) -> None:
    """A wrong place is named by line, with what was expected and the nearest name; no secret is ever shown."""
    found = problems(tmp_path, text)
    assert found == expected
    assert not any("hunter2" in line for line in found)


def test_every_context_is_read(tmp_path: Path) -> None:
    """A mistake in a context that is not in use is an error too."""
    assert problems(tmp_path, 'default_context = "a"\n[contexts.a]\n[contexts.b]\nrule = []') == [
        "4: unknown key rule in contexts.b (did you mean rules?)"
    ]


def test_environment_beats_file_and_says_so(tmp_path: Path) -> None:
    """`OPSCTL_*` changes the chosen context only; each value knows where it came from."""
    env = {
        "OPSCTL_LIMITS_REQUEST": "7s",
        "OPSCTL_RULES": "a.yaml, b.yaml",
        "OPSCTL_PROTECTED": "true",
        "OPSCTL_PROMETHEUS_TOKEN_FILE": "/t",
        "OPSCTL_STATE_DIR": "/var/x",
        "OPSCTL_JAEGER_URL": "https://jaeger.example.net",
    }
    settings = load(tmp_path, GOOD, env=env)
    context = settings.chosen
    assert context.limits.request == timedelta(seconds=7)
    assert context.rules == ("a.yaml", "b.yaml")
    assert context.protected
    assert context.state_dir == Path("/var/x")
    assert context.jaeger is not None
    assert context.prometheus is not None
    assert isinstance(context.prometheus.credentials, Bearer)  # in the place of the file's basic
    assert not settings.contexts["stage"].protected
    origins = {line.key: line.origin for line in shown(settings)}
    assert origins["limits.request"] == "environment OPSCTL_LIMITS_REQUEST"
    assert origins["limits.body"] == f"{tmp_path / 'opsctl.toml'}:17"
    assert origins["limits.cycle"] == "default"
    assert origins["namespace"] == f"{tmp_path / 'opsctl.toml'}:3"
    assert origins["prometheus.headers.X-Scope-OrgID"] == f"{tmp_path / 'opsctl.toml'}:7"
    assert origins["context"] == f"{tmp_path / 'opsctl.toml'}:1"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OPSCTL_PROTECTED", "yes", 'contexts.prod.protected: expected true or false, got "yes"'),
        ("OPSCTL_LIMITS_SERIES", "many", 'contexts.prod.limits.series: expected a whole number, got "many"'),
        ("OPSCTL_LIMITS_CONNECT", "2", 'contexts.prod.limits.connect: expected a duration like "10s", got "2"'),
    ],
)
def test_wrong_environment(tmp_path: Path, name: str, value: str, expected: str) -> None:
    """A wrong variable is named as the place of the error."""
    assert problems(tmp_path, GOOD, env={name: value}) == [f"environment {name}: {expected}"]


def test_mistyped_variable(tmp_path: Path) -> None:
    """A variable that is nearly one of ours is an error; a foreign one is left alone."""
    assert load(tmp_path, GOOD, env={"OPSCTL_BUILD_HOST_NUMBER": "1"})
    found = problems(tmp_path, GOOD, env={"OPSCTL_PROMETEUS_URL": "https://x"})
    assert found == ["environment variable OPSCTL_PROMETEUS_URL is unknown (did you mean OPSCTL_PROMETHEUS_URL?)"]


def test_which_context(tmp_path: Path) -> None:
    """Flag, then variable, then the file's default; an unknown one names the nearest."""
    env = {"OPSCTL_CONTEXT": "stage"}
    assert load(tmp_path, GOOD).chosen.name == "prod"
    assert load(tmp_path, GOOD, env=env).chosen.name == "stage"
    assert load(tmp_path, GOOD, env=env, context="prod").chosen.name == "prod"
    where = tmp_path / "opsctl.toml"
    assert problems(tmp_path, GOOD, context="stag") == [f"no context stag in {where} (did you mean stage?)"]


def test_which_file(tmp_path: Path) -> None:
    """`./opsctl.toml`, then the user's file; none at all says how to begin."""
    home = tmp_path / "home"
    env = {"HOME": str(home)}
    with pytest.raises(UsageError, match=r"^no configuration: `opsctl config init`, or try `opsctl demo`$"):
        load_settings(None, None, env=env, cwd=tmp_path)
    (home / ".config/opsctl").mkdir(parents=True)
    (home / ".config/opsctl/config.toml").write_text("[contexts.home]\n")
    assert load_settings(None, None, env=env, cwd=tmp_path).chosen.name == "home"
    (tmp_path / "xdg/opsctl").mkdir(parents=True)
    (tmp_path / "xdg/opsctl/config.toml").write_text("[contexts.xdg]\n")
    env["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert load_settings(None, None, env=env, cwd=tmp_path).chosen.name == "xdg"
    (tmp_path / "opsctl.toml").write_text("[contexts.here]\n")
    assert load_settings(None, None, env=env, cwd=tmp_path).chosen.name == "here"
    with pytest.raises(UsageError, match=r"no such configuration file: gone\.toml"):
        load_settings(Path("gone.toml"), None, env=env, cwd=tmp_path)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "opsctl.toml: is empty"),
        (b"\n  \n", "opsctl.toml: is empty"),
        (b"a = 1\nb = '\xff'", "opsctl.toml:2: is not UTF-8 text (byte 0xff)"),
        (b"#" * (4 * 1024 * 1024 + 1), "opsctl.toml: is larger than 4MiB, the limit for a file of this kind"),
    ],
)
def test_unreadable_text(tmp_path: Path, raw: bytes, expected: str) -> None:
    """What is no text file is one line."""
    (tmp_path / "opsctl.toml").write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        load_settings(None, None, env={}, cwd=tmp_path)
    assert str(caught.value) == str(tmp_path / expected)


def test_folder_in_place_of_the_file(tmp_path: Path) -> None:
    """A folder is said to be one."""
    (tmp_path / "opsctl.toml").mkdir()
    with pytest.raises(ConfigError, match=r"opsctl\.toml: expected a file, this is a folder$"):
        load_settings(None, None, env={}, cwd=tmp_path)


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    """A file from Windows is a file."""
    (tmp_path / "opsctl.toml").write_bytes(b"\xef\xbb\xbf[contexts.prod]\r\nnamespace = 'x'\r\n")
    assert load_settings(None, None, env={}, cwd=tmp_path).chosen.namespace == "x"


@pytest.mark.parametrize("name", ["prod", "stage", "eu.west-1"])
def test_starter_round_trip(tmp_path: Path, name: str) -> None:
    """What `config init` writes loads, and shows as what it says; every commented default is the real one."""
    text = starter(name)
    settings = load(tmp_path, text)
    assert settings.chosen.name == name
    lines = {line.key: line.value for line in shown(settings)}
    assert lines["namespace"] == name
    assert lines["prometheus.url"] == "http://127.0.0.1:9090"
    commented = "\n".join(line.removeprefix("# ") for line in text.splitlines()[4:])
    again = load(tmp_path, f'default_context = "{name}"\n{commented}')
    assert again.chosen.limits == settings.chosen.limits
    assert again.chosen.paging == settings.chosen.paging
    assert again.chosen.offsets == settings.chosen.offsets
    assert again.chosen.pagerduty is not None


def test_starter_refuses_a_name_that_is_no_folder() -> None:
    """The name becomes a folder and a table."""
    with pytest.raises(UsageError, match="--context"):
        starter("../x")


def test_a_secret_prints_its_reference_only() -> None:
    """Settings can be printed: they hold references."""
    assert str(Secret("env", "TOKEN")) == "env TOKEN"
