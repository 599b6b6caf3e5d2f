"""No secret of a sink in anything that is printed, written or sent elsewhere, whatever the far side says of it.

Each sink's far side repeats the credential in its bodies, headers and redirects, in every form; every command that
talks to one, or shows what the journal holds of it, is run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsctl.cli.main import main
from opsctl.demo.clock import StoryClock
from tests.integration.canaries import echoes, leaks, lists, long_echo, no_http, shown
from tests.integration.test_bad_prometheus import ok
from tests.servers.misbehaving import Behaviour, Exchange, Misbehaving

FORMATS = ("table", "plain", "json", "junit", "github", "markdown", "nagios", "openmetrics")
SECRETS = {
    "default_key": "Can4ryDefau1tRout1ngKeyOf32Chars",
    "team_key": "Can4ryMoneyTeamRout1ngKey32Chars",
    "fallback_key": "Can4ryFa11backRout1ngKey32CharsX",
    "rest": "u+Can4ry/rest=tok%en_12",
    "genie": 'Can4ry"genie"/ap\\i+key=%3',
    "genie_team": 'Can4ry"geniexteam"/ap\\i+key=%4',
    "hook": 'Can4ry"hook"/tok\\en+=%5',
    "path": "Can4ryPathOfTheReceiver6",
    "signing": 'Can4ry signing/"s\\e+cret=%ü7',
    "alertmanager": 'Can4ry "am"/pass\\wo+rd=%ü8',
    "alertmanager_header": "Can4ry-am-header/value+9=",
}
OWN = {
    "pagerduty": {"default_key", "team_key", "fallback_key", "rest"},
    "opsgenie": {"genie", "genie_team"},
    "webhook": {"hook", "path"},
    "alertmanager": {"alertmanager", "alertmanager_header"},
}
RULES = "groups:\n  - name: g\n    rules:\n" + "".join(
    f"      - {{alert: To{to.capitalize()}{team.capitalize()}, expr: down_{to} == 1,"
    f' labels: {{severity: page, to: {to}, service: {service}}}, annotations: {{summary: "{to} is down"}}}}\n'
    for to, (team, service) in itertools.product(OWN, (("money", "wallet"), ("social", "chat")))
)
CATALOGUE = "services:\n  - {name: wallet, tier: 1, team: money}\n  - {name: chat, tier: 2, team: social}\n"
CONFIG = """\
default_context = "t"
[contexts.t]
namespace = "t"
state_dir = "state"
catalogue = "services.yaml"
rules = ["rules/"]
runbooks = []
silences = "silences.yaml"
[contexts.t.limits]
send = "3s"
request = "1s"
cycle = "2s"
[contexts.t.prometheus]
url = "PROMETHEUS"
[contexts.t.pagerduty]
routing_keys = { default = { token_file = "default_key" }, money = { token_file = "team_key" }, FALLBACK }
events_url = "pagerduty_SIDE"
rest_url = "pagerduty_SIDE"
rest = { token_file = "rest", from = "ann@example.org" }
[contexts.t.opsgenie]
url = "opsgenie_SIDE"
api_keys = { default = { token_file = "genie" }, money = { token_file = "genie_team" } }
[contexts.t.alertmanager]
url = "alertmanager_SIDE"
basic = { user = "ann", password_file = "alertmanager" }
headers = { "X-Key" = "AMHEADER" }
[contexts.t.webhooks.chat]
url = "webhook_SIDE/hooks/PATH"
token_file = "hook"
signing = { token_file = "signing" }
[[contexts.t.routes]]
sink = "opsgenie"
matchers = ['to="opsgenie"']
[[contexts.t.routes]]
sink = "alertmanager"
matchers = ['to="alertmanager"']
[[contexts.t.routes]]
sink = "webhook/chat"
matchers = ['to="webhook"']
"""


def down(exchange: Exchange) -> None:
    """Everything is down."""
    kind = "matrix" if b"query_range" in exchange.head else "vector"
    exchange.answer(ok([] if kind == "matrix" else [{"metric": {"part": "all"}, "value": [1, "1"]}], kind))


FAR_SIDES: dict[str, Behaviour] = {
    "200": echoes("200 OK"),
    "200, lists": lists(SECRETS["default_key"], SECRETS["team_key"]),
    "202": echoes("202 Accepted"),
    "302": echoes("302 Found"),
    "400": echoes("400 Bad Request"),
    "400 as text": echoes("400 Bad Request", "text/plain"),
    "401": echoes("401 Unauthorized"),
    "403": echoes("403 Forbidden"),
    "404": echoes("404 Not Found"),
    "429": echoes("429 Too Many Requests"),
    "500": echoes("500 Internal Server Error"),
    "500, cut": long_echo,
    "nothing": lambda exchange: exchange.sock.close(),
    "no HTTP": no_http,
}


class Place:
    """A folder with every sink, each with a far side of its own, and what it printed."""

    def __init__(self, home: Path, behave: Behaviour) -> None:
        self.home = home
        self.prometheus = Misbehaving(down)
        self.sides = {name: Misbehaving(behave) for name in OWN}
        self.clock = StoryClock(datetime.now(UTC))
        for name, secret in SECRETS.items():
            (home / name).touch(0o600)
            (home / name).write_text(secret)
        (home / "rules").mkdir()
        (home / "rules" / "to.rules.yaml").write_text(RULES)
        (home / "services.yaml").write_text(CATALOGUE)
        (home / "silences.yaml").write_text("silences: []\n")
        text = CONFIG.replace("PROMETHEUS", self.prometheus.url).replace("/PATH", f"/{SECRETS['path']}")
        text = text.replace("FALLBACK", 'fallback = { token_file = "fallback_key" }')
        text = text.replace("AMHEADER", SECRETS["alertmanager_header"])
        for name, side in self.sides.items():
            text = text.replace(f"{name}_SIDE", side.url)
        (home / "opsctl.toml").write_text(text)

    def stop(self) -> None:
        for server in (self.prometheus, *self.sides.values()):
            server.stop()


@pytest.fixture
def place(fixed_home: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(fixed_home, FAR_SIDES[request.param])
    yield made
    made.stop()


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("incident", "ls"),
    ("incident", "ls", "-o", "json"),
    ("incident", "show", "#1"),
    ("incident", "show", "#2", "-o", "json"),
    ("incident", "note", "#1", "looked at it"),
    ("incident", "ack", "#1"),
    ("incident", "timeline", "#1"),
    ("incident", "timeline", "#3", "-o", "json"),
    ("incident", "why-not"),
    ("incident", "why-not", "-o", "json"),
    ("incident", "resolve", "#2"),
    ("oncall", "show"),
    ("oncall", "show", "-o", "json"),
    ("change", "send", "wallet 1.2 is out", "--service", "wallet"),
    ("alert", "ls"),
    ("alert", "ls", "-o", "json"),
    ("alert", "show", "#1"),
    ("alert", "route", "--label", "severity=page", "--label", "to=webhook"),
    ("alert", "silence", "-l", 'service="wallet"', "--for", "1h", "--reason", "a rest", "--owner", "ann", "-y"),
    ("alert", "silence", "ls"),
    ("status",),
    ("doctor",),
    ("doctor", "--json"),
    ("config", "show"),
    ("config", "show", "-o", "json"),
    ("config", "validate"),
    ("check", "--notify", "--dry-run"),
)


@pytest.mark.parametrize("place", FAR_SIDES, indirect=True)
def test_no_secret_of_a_sink_leaves_by_any_command(
    place: Place, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs, then everything that a person may ask; then what is in the files, and what each far side was sent."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)

    def opsctl(*argv: str) -> int:
        code = main(list(argv), clock=place.clock)
        printed = capfdbinary.readouterr()
        settings = ("path", "alertmanager_header") if argv[:2] == ("config", "show") else ()
        for name, data in (("stdout", printed.out), ("stderr", printed.err)):
            assert b"Traceback" not in data
            found = leaks(data, SECRETS, settings)
            assert not found, f"{found} in {name} of {argv}: {shown(data, SECRETS, found)}"
        assert code not in {2, 70}, (argv, printed.err, printed.out)
        return code

    files = [f"-o{form}=out.{form}" for form in FORMATS]
    assert opsctl("check", "--notify", *files, "--evidence", "out.evidence") in {1, 5}
    place.clock.step(timedelta(minutes=6))
    opsctl("check", "--notify")
    for words in COMMANDS:
        opsctl(*words)
    assert opsctl("incident", "ls") == 0
    written = [one for one in place.home.rglob("*") if one.is_file()]
    kept = [one for one in written if one.name not in SECRETS and one.name != "opsctl.toml"]
    assert any(one.name == "journal.sqlite3" for one in kept)
    assert len(kept) > len(FORMATS) + 3
    for file in kept:
        found = leaks(file.read_bytes(), SECRETS)
        assert not found, f"{found} in {file}: {shown(file.read_bytes(), SECRETS, found)}"
    for name, side in place.sides.items():
        assert side.requests, name
        for sent in side.requests:
            assert leaks(sent, SECRETS, OWN[name]) == set(), f"{name} was told another's secret"
    for sent in place.prometheus.requests:
        assert leaks(sent, SECRETS) == set()
