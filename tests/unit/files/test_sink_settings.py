"""Sinks and routes in the configuration: what arrives, and every wrong place by line; no page gets lost in a route."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from opsctl.core.routing import Matcher, Route
from opsctl.errors import ConfigErrors, OpsctlError
from opsctl.files.context import Bearer
from opsctl.files.settings import Settings, load_settings
from opsctl.files.shown import shown
from opsctl.files.starter import starter

PD = '[contexts.p.pagerduty]\nrouting_keys = { default = { token_env = "A" }, money = { token_env = "B" } }\n'
GOOD = (
    '[contexts.p]\nsilences = "silences.yaml"\nconsole = true\n'
    + PD
    + """\
[contexts.p.opsgenie]
url = "https://api.eu.opsgenie.com"
api_keys = { default = { token_file = "og" }, chat = { token_command = "pass og" } }
responders = true
[contexts.p.alertmanager]
url = "http://127.0.0.1:9093"
basic = { user = "ops", password_env = "AM" }
[contexts.p.webhooks.chat]
url = "https://chat.example.net/hook"
token_env = "HOOK"
signing = { token_file = "signing" }
[contexts.p.webhooks."mail.us"]
url = "https://mail.example.net/hook"
[contexts.p.paging]
inhibit = false
[[contexts.p.routes]]
matchers = ['severity="ticket"', 'team=~"money|wallet"']
sink = "webhook/chat"
[[contexts.p.routes]]
matchers = ["service=wallet, team!=\\"x y\\""]
sink = "pagerduty"
key = "money"
hours = "mon-fri,Sunday 09:00-17:00,22:00-06:00 Europe/Berlin"
group_by = ["service", "region"]
[[contexts.p.routes]]
matchers = ['severity="show"']
sink = "none"
"""
)


def load(folder: Path, text: str, **env: str) -> Settings:
    path = folder / "opsctl.toml"
    path.write_text(text)
    return load_settings(path, None, env={"HOME": str(folder), **env}, cwd=folder)


def test_every_sink_and_route_arrives(tmp_path: Path) -> None:
    """Types, secrets by reference, the order of the routes and of the sinks."""
    context = load(tmp_path, GOOD).chosen
    assert context.sinks() == ("pagerduty", "opsgenie", "alertmanager", "webhook/chat", "webhook/mail.us", "console")
    assert context.silences == tmp_path / "silences.yaml"
    assert context.opsgenie is not None
    assert context.opsgenie.responders
    assert context.opsgenie.api_keys["chat"].command == ("pass", "og")
    assert context.alertmanager is not None
    assert context.alertmanager.url == "http://127.0.0.1:9093"
    chat = context.webhooks["chat"]
    assert isinstance(chat.backend.credentials, Bearer)
    assert chat.signing is not None
    assert chat.signing.reference == str(tmp_path / "signing")
    assert context.webhooks["mail.us"].signing is None
    assert not context.paging.inhibit
    assert set(context.secrets()) == {
        "pagerduty.routing_keys.default",
        "pagerduty.routing_keys.money",
        "opsgenie.api_keys.default",
        "opsgenie.api_keys.chat",
        "alertmanager.basic",
        "webhooks.chat.token",
        "webhooks.chat.signing",
    }
    first, second, third = context.routes
    assert [str(one) for one in first.matchers] == ['severity="ticket"', 'team=~"money|wallet"']
    assert (first.sink, first.key, first.hours, first.group_by) == ("webhook/chat", "", None, ())
    assert second.matchers == (Matcher("service", "=", "wallet"), Matcher("team", "!=", "x y"))
    assert (second.sink, second.key, second.group_by) == ("pagerduty", "money", ("service", "region"))
    assert second.hours is not None
    assert second.hours.days == {0, 1, 2, 3, 4, 6}
    assert second.hours.spans == ((540, 1020), (1320, 360))
    assert second.hours.holds(datetime.fromisoformat("2026-11-30T08:30:00Z"))  # 09:30 in Berlin, a Monday
    assert not second.hours.holds(datetime.fromisoformat("2026-11-30T07:30:00Z"))
    assert third.sink == "none"
    line = next(n for n, text in enumerate(GOOD.splitlines(), 1) if text.startswith('matchers = ["service=wallet'))
    assert second.origin == f"{tmp_path / 'opsctl.toml'}:{line - 1}"


def test_show_says_what_holds_and_where_it_stands(tmp_path: Path) -> None:
    """`config show --origin`: routes by their lines, secrets as references."""
    lines = {line.key: line for line in shown(load(tmp_path, GOOD))}
    assert lines["routes[1].hours"].value == "mon-fri,Sunday 09:00-17:00,22:00-06:00 Europe/Berlin"
    assert re.search(r"opsctl.toml:\d+$", lines["routes[1].hours"].origin)
    assert lines["routes[0].matchers"].value == 'severity="ticket", team=~"money|wallet"'
    assert lines["webhooks.chat.signing.token_file"].value == str(tmp_path / "signing")
    assert lines["opsgenie.api_keys.chat.token_command"].value == "pass og"
    assert lines["alertmanager.basic.password_env"].value == "AM"
    assert lines["paging.inhibit"].value == "false"
    assert lines["silences"].value == str(tmp_path / "silences.yaml")


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    """The new sections have variables too."""
    env = {"OPSCTL_PAGING_INHIBIT": "true", "OPSCTL_SILENCES": "/etc/s.yaml", "OPSCTL_ALERTMANAGER_URL": "https://am"}
    context = load(tmp_path, GOOD, **env).chosen
    assert context.paging.inhibit
    assert context.silences == Path("/etc/s.yaml")
    assert context.alertmanager is not None
    assert context.alertmanager.url == "https://am"


def test_the_commented_sections_of_the_starter_are_right(tmp_path: Path) -> None:
    """Each section that `config init` writes as a comment can be used by taking the comment away."""
    text = "\n".join(
        re.sub(r"^# (?=[a-z_]+ = |\[)", "", line) for line in starter("prod").splitlines() if "state_dir" not in line
    )
    context = load(tmp_path, text).chosen
    assert context.sinks() == ("pagerduty", "opsgenie", "alertmanager", "webhook/chat", "console")
    assert len(context.routes) == 1


R = "[[contexts.p.routes]]\n"
PAGER = PD + R  # a route's own keys begin in line 4
WRONG = [
    (R + 'sink = "pagerduty"', ["2: unknown sink pagerduty in contexts.p.routes[0] (known: none)"]),
    (PAGER + 'sink = "pager-duty"', ["4: unknown sink pager-duty in contexts.p.routes[0] (did you mean pagerduty?)"]),
    (PAGER + 'sink = "webhook/chat"', ["4: unknown sink webhook/chat in contexts.p.routes[0] (known: none, pagerduty)"]),
    (PAGER + 'matchers = ["team=a"]', ["3: contexts.p.routes[0]: sink is missing"]),
    (PAGER + "sink = 3", ["4: contexts.p.routes[0].sink: expected a text, got 3"]),
    (PAGER + 'sink = "pagerduty"\nkey = "mony"', ["5: contexts.p.routes[0].key: no routing_keys.mony in pagerduty (did you mean money?)"]),
    (PAGER + 'snk = "pagerduty"', ["4: unknown key snk in contexts.p.routes[0] (did you mean sink?)", "3: contexts.p.routes[0]: sink is missing"]),
    (PAGER + 'sink = "none"', ['4: contexts.p.routes[0].sink: a page must go somewhere: none wants a matcher like severity="ticket"']),
    (PAGER + 'sink = "none"\nmatchers = ["severity=~\\"page|ticket\\""]', ['4: contexts.p.routes[0].sink: a page must go somewhere: none wants a matcher like severity="ticket"']),
    (PAGER + 'sink = "none"\nmatchers = ["team=\\"chat\\""]', ['4: contexts.p.routes[0].sink: a page must go somewhere: none wants a matcher like severity="ticket"']),
    (PAGER + 'sink = "none"\nmatchers = ["severity=ticket"]\nkey = "money"', ["6: contexts.p.routes[0].key: none has no keys to choose from"]),
    (PAGER + 'sink = "none"\nmatchers = ["severity=ticket"]\ngroup_by = ["a"]', ["6: contexts.p.routes[0].group_by: nobody is told, so there is nothing to group"]),
    (PAGER + 'sink = "pagerduty"\nmatchers = "team=a"', ['5: contexts.p.routes[0].matchers: expected a list, got "team=a"']),
    (PAGER + 'sink = "pagerduty"\nmatchers = [\n3,\n"team"]', [
        "6: contexts.p.routes[0].matchers[0]: expected a text, got 3",
        '7: contexts.p.routes[0].matchers[1]: expected a matcher like team="money", with =, !=, =~ or !~, got "team"',
    ]),
    (PAGER + "sink = \"pagerduty\"\nmatchers = ['a==b']", ["5: contexts.p.routes[0].matchers[0]: expected a matcher like team=\"money\", with =, !=, =~ or !~, got \"a==b\""]),
    (PAGER + "sink = \"pagerduty\"\nmatchers = ['a=b c']", ["5: contexts.p.routes[0].matchers[0]: expected a matcher like team=\"money\", with =, !=, =~ or !~; a value with spaces or commas stands in double quotes, got \"a=b c\""]),
    (PAGER + "sink = \"pagerduty\"\nmatchers = ['a=~\"(\"']", ["5: contexts.p.routes[0].matchers[0]: the pattern '(' cannot be used: missing ), unterminated subpattern at position 0, got \"a=~\"(\"\""]),
    (PAGER + "sink = \"pagerduty\"\nmatchers = ['severity=\"critical\"']", ["5: contexts.p.routes[0].matchers[0]: severity is one of page, ticket, show, got \"severity=\"critical\"\""]),
    (PAGER + "sink = \"pagerduty\"\nmatchers = ['severity=~\"crit.*\"']", ["5: contexts.p.routes[0].matchers[0]: severity is one of page, ticket, show: none of them fits, got \"severity=~\"crit.*\"\""]),
    (PAGER + 'sink = "pagerduty"\nhours = "09:00-17:00"', ["5: contexts.p.routes[0].hours: expected days, spans and a zone, like Mon-Fri 09:00-17:00 Europe/Berlin"]),
    (PAGER + 'sink = "pagerduty"\nhours = "Mon-Fri 09:00-17:00"', ["5: contexts.p.routes[0].hours: no such time zone: 09:00-17:00; known: Africa/Abidjan"]),
    (PAGER + 'sink = "pagerduty"\nhours = "Mon-Fri 09:00-17:00 Europe/Berln"', ["5: contexts.p.routes[0].hours: no such time zone: Europe/Berln; did you mean Europe/Berlin?"]),
    (PAGER + 'sink = "pagerduty"\nhours = "Mon-Fri 09:00-17:00 ../../etc/passwd"', ["5: contexts.p.routes[0].hours: no such time zone: ../../etc/passwd; known: Africa/Abidjan"]),
    (PAGER + 'sink = "pagerduty"\nhours = "Mo-Fr 09:00-17:00 UTC"', ["5: contexts.p.routes[0].hours: no such day: Mo; expected one of Mon, Tue, Wed, Thu, Fri, Sat, Sun"]),
    (PAGER + 'sink = "pagerduty"\nhours = "Mon 9-17 UTC"', ["5: contexts.p.routes[0].hours: expected a span like 09:00-17:00, got '9-17'"]),
    (PAGER + 'sink = "pagerduty"\nhours = "Mon 09:00-25:00 UTC"', ["5: contexts.p.routes[0].hours: 09:00-25:00: expected times from 00:00 to 24:00"]),
    (PAGER + 'sink = "pagerduty"\nhours = "Mon 09:00-09:00 UTC"', ["5: contexts.p.routes[0].hours: 09:00-09:00 is empty; the whole day is 00:00-24:00"]),
    (PAGER + 'sink = "pagerduty"\ngroup_by = []', ['5: contexts.p.routes[0].group_by: expected the names of labels, like ["service"]']),
    (PAGER + 'sink = "pagerduty"\ngroup_by = ["a", ""]', ['5: contexts.p.routes[0].group_by[1]: expected the name of a label, each once, got ""']),
    ('[contexts.p.routes]\nsink = "none"', ["1: contexts.p.routes: expected [[contexts.p.routes]], in double brackets"]),
    ('[contexts.p]\nconsole = "yes"', ['2: contexts.p.console: expected true or false, got "yes"']),
    ('[contexts.p]\nsilences = ""', ["2: contexts.p.silences: expected the path of a file, like silences.yaml"]),
    ("[contexts.p]\nsilences = 3", ["2: contexts.p.silences: expected a text, got 3"]),
    ("[contexts.p.paging]\ninhibit = 1", ["2: contexts.p.paging.inhibit: expected true or false, got 1"]),
    ('[contexts.p.opsgenie]\nurl = "https://a"', ["1: contexts.p.opsgenie: api_keys is missing"]),
    ('[contexts.p.opsgenie]\napi_keys = { default = { token_env = "A" } }', ["1: contexts.p.opsgenie: url is missing"]),
    ('[contexts.p.opsgenie]\nurl = "https://a"\napi_keys = "hunter2"', ["3: contexts.p.opsgenie.api_keys: expected a secret by team: secrets are given by reference: token_file, token_command or token_env"]),
    ('[contexts.p.opsgenie]\nurl = "https://a"\napi_keys = { default = "hunter2" }', ["3: contexts.p.opsgenie.api_keys.default: secrets are given by reference: token_file, token_command or token_env"]),
    ('[contexts.p.opsgenie]\nurl = "https://a"\napi_keys = { a = { token_env = "A" } }', ["3: contexts.p.opsgenie.api_keys: default is missing: pages of teams without a key of their own go there"]),
    ('[contexts.p.opsgenie]\nurl = "https://a"\napi_key = "hunter2"', ["3: contexts.p.opsgenie.api_key: secrets are given by reference: token_file, token_command or token_env", "1: contexts.p.opsgenie: api_keys is missing"]),
    ('[contexts.p.alertmanager]\nurl = "http://10.0.0.1"', ["2: contexts.p.alertmanager.url: plain http is allowed to this machine only (use https, or say allow_http = true for this backend)"]),
    ('[contexts.p.alertmanager]\nurl = "https://a"\nindex = ["x"]', ["3: unknown key index in contexts.p.alertmanager (known: allow_http, basic, ca_file, headers, token_command, token_env, token_file, url)"]),
    ('[contexts.p.webhooks]\nurl = "https://a"', ["2: contexts.p.webhooks.url: expected a table [contexts.p.webhooks.url]"]),
    ('[contexts.p.webhooks."a/b"]\nurl = "https://a"', ["1: contexts.p.webhooks.a/b: a webhook's name is letters, digits, '.', '_' and '-', at most 64"]),
    ('[contexts.p.webhooks.a]\nurl = "https://a"\nsigning = "hunter2"', ["3: contexts.p.webhooks.a.signing: secrets are given by reference: token_file, token_command or token_env"]),
    ('[contexts.p.webhooks.a]\nurl = "https://a"\nsigning = {}', ["3: contexts.p.webhooks.a.signing: expected one of token_file, token_command, token_env"]),
    ('[contexts.p.webhooks.a]\nurl = "https://a"\nsigning = { secret = "hunter2" }', [
        "3: contexts.p.webhooks.a.signing.secret: secrets are given by reference: token_file, token_command or token_env",
        "3: contexts.p.webhooks.a.signing: expected one of token_file, token_command, token_env",
    ]),
    ('[contexts.p.webhooks.a]\nurl = "https://a/x?token=hunter2"', ["2: contexts.p.webhooks.a.url: expected a URL without query and fragment"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_wrong_sinks_and_routes(tmp_path: Path, text: str, expected: list[str]) -> None:
    """A wrong place is named by line, with what was expected and the nearest name; no secret is ever shown."""
    with pytest.raises(OpsctlError) as caught:
        load(tmp_path, text)
    wrong = caught.value
    errors = wrong.errors if isinstance(wrong, ConfigErrors) else (wrong,)
    found = [str(error).replace(f"{tmp_path / 'opsctl.toml'}:", "") for error in errors]
    found = [line.partition(", Africa/Accra")[0] for line in found]
    assert found == expected
    assert not any("hunter2" in line for line in found)


def test_a_route_without_matchers_takes_all() -> None:
    """An empty route is the default that a team writes down."""
    assert Route("console").takes({}, datetime.fromisoformat("2026-11-30T08:30:00Z"))
