"""Damaged files: whatever is cut, doubled or put in, a loader answers with a value or with errors that say where."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opsctl.core.windows import format_duration, parse_duration
from opsctl.errors import ConfigError, ConfigErrors, UsageError
from opsctl.files.catalogue import load_catalogue
from opsctl.files.nodes import Node, Problems
from opsctl.files.rules import load_rules
from opsctl.files.settings import load_settings
from opsctl.files.silence_file import SilenceFile
from opsctl.files.slo import read_shorthand
from tests.unit.files.rule_texts import CATALOGUE, RULES, SLO, THRESHOLD
from tests.unit.files.test_catalogue import GOOD as SERVICES
from tests.unit.files.test_settings import GOOD as SETTINGS
from tests.unit.files.test_silences import GOOD as SILENCES
from tests.unit.files.test_silences import new
from tests.unit.files.test_sink_settings import GOOD as ROUTES

ONE_MORE = new()

WEEDS = [
    "",
    " ",
    "\n",
    "\n  ",
    ":",
    "- ",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "#",
    "&a ",
    "*a",
    "null",
    "true",
    "3",
    "-1",
    "1e999",
    "x",
]
WEEDS += [
    "\u2028",
    "\ud83d",
    "[5m]",
    "{{.window}}",
    "sum(",
    "opsctl.dev/tier: page",
    "=",
    '"""',
    "\t",
    "nan",
    "'''",
    "..",
    "|\n",
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def damaged(data: st.DataObject, text: str) -> str:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(st.sampled_from(WEEDS)) + text[start + length :]
    return text


def each(wrong: Exception) -> tuple[Exception, ...]:
    return wrong.errors if isinstance(wrong, ConfigErrors) else (wrong,)


@settings(max_examples=250, deadline=None)
@given(data=st.data(), text=st.sampled_from([SLO, THRESHOLD, RULES, SERVICES]))
def test_damaged_yaml(folder: Path, data: st.DataObject, text: str) -> None:
    """SLOs, rules and catalogues: only configuration errors, each one line with its file."""
    path = folder / ("a.rules.yaml" if text is RULES else "services.yaml" if text is SERVICES else "a.slo.yaml")
    path.write_bytes(damaged(data, text).encode("utf-8", "surrogatepass"))
    try:
        if text is SERVICES:
            load_catalogue(str(path), folder)
        else:
            load_rules([str(path)], folder, CATALOGUE)
    except ConfigError as wrong:
        for error in each(wrong):
            assert str(error).startswith(str(path))
            assert "\n" not in str(error)


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_damaged_silences(folder: Path, data: st.DataObject) -> None:
    """Silences: the same; and whoever adds to or ends one in a damaged file leaves it so or makes what was asked."""
    file = SilenceFile(folder / "silences.yaml", "prod", CATALOGUE)
    text = damaged(data, SILENCES)
    file.path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        before = file.read()
    except ConfigError as wrong:
        for error in each(wrong):
            assert str(error).startswith(str(file.path))
            assert "\n" not in str(error)
        return
    made = ONE_MORE
    try:
        file.write(lambda: file.with_one_more(made))
    except (UsageError, ConfigError):
        assert file.path.read_bytes() == text.encode()
        return
    assert [one.id for one in file.read()] == [*(one.id for one in before), made.id]


@settings(max_examples=250, deadline=None)
@given(data=st.data(), source=st.sampled_from([SETTINGS, ROUTES]))
def test_damaged_settings(folder: Path, data: st.DataObject, source: str) -> None:
    """The configuration: the same, and a line below its end is never named."""
    path = folder / "opsctl.toml"
    text = damaged(data, source)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_settings(path, None, env={"HOME": str(folder)}, cwd=folder)
    except ConfigError as wrong:
        for error in each(wrong):
            assert isinstance(error, ConfigError)
            assert str(error).startswith(str(path))
            assert "\n" not in str(error)
            assert error.line is None or 1 <= error.line <= text.count("\n") + 1
    except UsageError as wrong:
        if "context" not in str(wrong):
            raise


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**12))
@example(59_999)
def test_durations_survive_the_file(ms: int) -> None:
    """What is shown of a duration reads back to the same duration."""
    value = timedelta(milliseconds=ms)
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", timedelta(days=30)),
        ("4w", timedelta(weeks=4)),
        ("720h", timedelta(days=30)),
        ("90m", timedelta(minutes=90)),
    ],
)
def test_shorthand(text: str, expected: timedelta) -> None:
    """OpenSLO's shorthand: `m` is minutes."""
    problems = Problems()
    assert read_shorthand(text, Node(text, "f", 1, "duration", text), problems) == expected
    assert not problems.errors


@settings(max_examples=200, deadline=None)
@given(st.text("0123456789mhdwMQY .-", max_size=8))
def test_shorthand_never_guesses(text: str) -> None:
    """A text is a duration between an hour and 400 days, or exactly one error."""
    problems = Problems()
    found = read_shorthand(text, Node(text, "f", 1, "duration", text), problems)
    assert (found is None) == (len(problems.errors) == 1)
    assert found is None or timedelta(hours=1) <= found <= timedelta(days=400)
