"""The configuration in force, while somebody edits its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opsctl.app import Composition, compose
from opsctl.daemon.configuration import Configuration
from opsctl.errors import UsageError
from opsctl.files.watched import inputs, signature

RULES = (
    "groups: [{{name: g, rules: [{{alert: {name}, expr: vector(1), labels: {{severity: page, service: wallet}}}}]}}]\n"
)
CONFIG = """default_context = "a"
[contexts.a]
namespace = "n"
state_dir = "{state}"
catalogue = "services.yaml"
rules = ["rules/"]
runbooks = []
[contexts.a.prometheus]
url = "http://127.0.0.1:9"
token_file = "token"
[contexts.b]
namespace = "n"
rules = []
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "services.yaml").write_text("services:\n  - {name: wallet, tier: 1, team: money}\n")
    (tmp_path / "rules" / "one.rules.yaml").write_text(RULES.format(name="One"))
    (tmp_path / "token").write_text("x")
    (tmp_path / "opsctl.toml").write_text(CONFIG.format(state="state"))
    return tmp_path


class Opened:
    """A configuration that counts how often it is read."""

    def __init__(self, home: Path) -> None:
        self.home, self.count = home, 0
        self.configuration = Configuration(self.read(), self.read, notify=False)

    def read(self) -> Composition:
        self.count += 1
        return compose(self.home / "opsctl.toml", "a")

    @property
    def names(self) -> list[str]:
        return [rule.name for rule in self.configuration.now.rules.rules]


def test_nothing_is_read_again_while_nothing_changes(home: Path) -> None:
    opened = Opened(home)
    assert [opened.configuration.refresh() for _ in range(3)] == [False] * 3
    assert opened.count == 1


def add_rule(home: Path) -> None:
    (home / "rules" / "two.rules.yaml").write_text(RULES.format(name="Two"))


def replace_by_link(home: Path) -> None:
    """The way that Kubernetes changes a ConfigMap."""
    (home / "..2").mkdir()
    (home / "..2" / "services.yaml").write_text((home / "services.yaml").read_text())
    (home / "services.yaml").unlink()
    (home / "services.yaml").symlink_to("..2/services.yaml")


@pytest.mark.parametrize(
    "change",
    [
        add_rule,
        replace_by_link,
        lambda home: (home / "token").write_text("y"),
        lambda home: os.utime(home / "opsctl.toml", ns=(1, 1)),
        lambda home: (home / "rules" / "one.rules.yaml").write_text(RULES.format(name="Oneone")),
    ],
    ids=["a new rule file", "a link", "a token", "the time of the file", "a rule file"],
)
def test_a_change_is_read_once(home: Path, change: Callable[[Path], object]) -> None:
    opened = Opened(home)
    change(home)
    assert [opened.configuration.refresh() for _ in range(3)] == [True, False, False]
    assert opened.count == 2


def test_forcing_reads_once(home: Path) -> None:
    opened = Opened(home)
    opened.configuration.force()
    assert [opened.configuration.refresh() for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("opsctl.toml", "x = [", "opsctl.toml:1"),
        ("opsctl.toml", CONFIG.format(state="state").replace('"n"', '"m"', 1), "the namespace was n and is m now"),
        ("opsctl.toml", '[contexts.b]\nnamespace = "n"\n', "no context a"),
        ("rules/one.rules.yaml", "groups: [{name: g, rules: [{alert: One, expr: '(('}]}]", "one.rules.yaml:1"),
        ("services.yaml", "services: 7", "services.yaml"),
        ("opsctl.toml", CONFIG.format(state="state").replace('rules = ["rules/"]', "rules = []"), "has no rules"),
    ],
)
def test_what_is_wrong_keeps_what_was_right_until_it_is_repaired(home: Path, file: str, text: str, why: str) -> None:
    opened = Opened(home)
    before, right = opened.configuration.now, (home / file).read_text()
    (home / file).write_text(text)
    for _ in range(2):
        assert opened.configuration.refresh() is False
        assert why in (opened.configuration.problem or "")
        assert "\n" not in (opened.configuration.problem or "")
    assert opened.configuration.now is before
    assert opened.names == ["One"]
    (home / file).write_text(right)
    assert opened.configuration.refresh() is True
    assert opened.configuration.problem is None
    assert opened.configuration.refresh() is False


def test_a_file_that_is_gone_keeps_what_was_read(home: Path) -> None:
    opened = Opened(home)
    (home / "opsctl.toml").rename(home / "elsewhere.toml")
    assert opened.configuration.refresh() is False
    assert "no such configuration file" in (opened.configuration.problem or "")


def test_the_journal_of_the_same_place_stays_open_and_another_place_gets_its_own(home: Path) -> None:
    opened = Opened(home)
    journal = opened.configuration.now.journal()
    opened.configuration.force()
    opened.configuration.refresh()
    assert opened.configuration.now.journal() is journal
    (home / "opsctl.toml").write_text(CONFIG.format(state="other"))
    assert opened.configuration.refresh() is True
    assert opened.configuration.now.journal().path == str(home / "other" / "journal.sqlite3")
    with pytest.raises(Exception, match="closed"):
        journal.last_success()


def test_a_journal_of_another_namespace_keeps_the_old_place(home: Path) -> None:
    from opsctl.adapters.clock import SystemClock
    from opsctl.adapters.journal import open_journal

    open_journal(home / "theirs", "somebody", SystemClock()).close()
    opened = Opened(home)
    opened.configuration.now.journal()
    (home / "opsctl.toml").write_text(CONFIG.format(state="theirs"))
    assert opened.configuration.refresh() is False
    assert "belongs to namespace somebody" in (opened.configuration.problem or "")
    assert opened.configuration.now.journal().last_success() is None


def test_it_does_not_begin_with_what_is_wrong(home: Path) -> None:
    with pytest.raises(UsageError, match="has no sink"):
        Configuration(compose(home / "opsctl.toml", "a"), lambda: None, notify=True)  # type: ignore[arg-type, return-value]


def test_the_inputs_are_what_the_chosen_context_names(home: Path) -> None:
    settings = compose(home / "opsctl.toml", "a").settings
    names = {path.name for path in inputs(settings)}
    assert names == {"opsctl.toml", "services.yaml", "rules", "windows", "token"}
    assert {Path(one[0]).name for one in signature(inputs(settings))} == names - {"rules", "windows"} | {
        "one.rules.yaml"
    }
