"""`silences.yaml`: what is read, every wrong place by line, and changes that leave the rest of the file alone."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from opsctl.core.catalogue import Catalogue, Service
from opsctl.core.routing import Matcher, Silence
from opsctl.errors import ConfigErrors, OpsctlError, Refused, UsageError
from opsctl.files.backend_settings import BACKEND_KEYS
from opsctl.files.context_reader import CONTEXT_KEYS
from opsctl.files.matchers import parse_matchers
from opsctl.files.routes import ROUTE_KEYS
from opsctl.files.schemas import settings_schema, silences_schema
from opsctl.files.silence_file import SilenceFile, entry_text
from opsctl.files.silences import SILENCE_KEYS, load_silences, parse_silences
from opsctl.files.toml_lines import parse_toml
from opsctl.files.yaml_lines import parse_yaml
from tests.unit.files.test_sink_settings import GOOD as SETTINGS

CATALOGUE = Catalogue({name: Service(name, 1, team) for name, team in (("wallet", "money"), ("chat", "social"))})
GOOD = """\
# reviewed by the platform team
silences:
  - id: chg-7
    owner: ana
    reason: "Wallet migration, CHG-7"
    matchers: ['service="wallet"', 'severity!="show"']
    starts: 2026-05-01T03:00:00Z
    ends: 2026-05-01T07:00:00+02:00   # until five in UTC

  # every week
  - owner: bo
    reason: index rebuild
    matchers: ["team=social, cause=burn"]
    starts: "2026-05-01T00:00:00Z"
    ends: 2026-07-01T00:00:00Z
    hours: Sat,Sun 02:00-04:00 Europe/Berlin
"""


def read(text: str) -> tuple[Silence, ...]:
    return parse_silences(text, "s.yaml", "prod", CATALOGUE)


def test_every_silence_arrives() -> None:
    """Times in UTC, matchers, hours, and where each stands."""
    first, second = read(GOOD)
    assert (first.id, first.owner, first.reason, first.origin) == (
        "chg-7",
        "ana",
        "Wallet migration, CHG-7",
        "s.yaml:3",
    )
    assert first.matchers == (Matcher("service", "=", "wallet"), Matcher("severity", "!=", "show"))
    assert first.ends == datetime(2026, 5, 1, 5, tzinfo=UTC)
    assert str(second.hours) == "Sat,Sun 02:00-04:00 Europe/Berlin"
    assert second.id.startswith("s-")


def test_the_id_of_a_silence_without_one_stays_when_it_is_ended_early() -> None:
    """A digest of what it silences, and why."""
    _, before = read(GOOD)
    _, after = read(GOOD.replace("2026-07-01", "2026-06-01"))
    _, other = read(GOOD.replace("index rebuild", "index"))
    assert before.id == after.id != other.id


@pytest.mark.parametrize("text", ["silences: []\n", "silences:\n", "silences: # none\n"])
def test_no_silence_is_a_file_too(text: str) -> None:
    assert read(text) == ()


ONE = (
    "silences:\n  - owner: ana\n    reason: x\n    matchers: [service=wallet]\n"
    "    starts: 2026-05-01T03:00:00Z\n    ends: 2026-05-01T05:00:00Z\n"
)
EVERYTHING = (
    "would silence pages whatever they are about: name a service, a team, an alert or a label that they must have"
)
WRONG = [
    ("owner: ana", "ownr: ana", ["2: unknown key ownr in silences[0] (did you mean owner?)", "2: silences[0]: owner is missing"]),
    ("owner: ana", "owner: ' '", ["2: silences[0].owner: expected a text of at most 1000 characters"]),
    ("reason: x", "reason:", ["3: silences[0]: reason is missing"]),
    ("reason: x", "reason: 3", ["3: silences[0].reason: expected a text, got 3"]),
    ("matchers: [service=wallet]", "x: y", ["4: unknown key x in silences[0] (known: ends, hours, id, matchers, owner, reason, starts)", "2: silences[0]: matchers is missing"]),
    ("[service=wallet]", "[]", ['4: silences[0].matchers: expected at least one, like service="wallet"']),
    ("[service=wallet]", "service=wallet", ['4: silences[0].matchers: expected a list, got "service=wallet"']),
    ("[service=wallet]", "[service]", ['4: silences[0].matchers[0]: expected a matcher like team="money", with =, !=, =~ or !~, got "service"']),
    ("[service=wallet]", "['severity=critical']", ['4: silences[0].matchers[0]: severity is one of page, ticket, show, got "severity=critical"']),
    ("[service=wallet]", "['service=~\".*\"']", [f"4: silences[0].matchers: {EVERYTHING}"]),
    ("[service=wallet]", "['service!=wallet']", [f"4: silences[0].matchers: {EVERYTHING}"]),
    ("[service=wallet]", "['severity=page', namespace=prod]", [f"4: silences[0].matchers: {EVERYTHING}"]),
    ("[service=wallet]", "['service=~\"wallet|chat\"']", [f"4: silences[0].matchers: {EVERYTHING}"]),
    ("[service=wallet]", "['service=~\"(w+)+\"']", None),
    ("03:00:00Z", "03:00:00", ['5: silences[0].starts: expected a time with its zone like 2026-05-01T03:00:00Z, got "2026-05-01T03:00:00"']),
    ("2026-05-01T03:00:00Z", "2026-05-01", ['5: silences[0].starts: expected a time with its zone like 2026-05-01T03:00:00Z, got "2026-05-01"']),
    ("2026-05-01T03:00:00Z", "2026-02-30T03:00:00Z", ['5: silences[0].starts: expected a time with its zone like 2026-05-01T03:00:00Z, got "2026-02-30T03:00:00Z"']),
    ("2026-05-01T03:00:00Z", "0001-01-01T00:00:00+14:00", ['5: silences[0].starts: expected a time with its zone like 2026-05-01T03:00:00Z, got "0001-01-01T00:00:00+14:00"']),
    ("2026-05-01T03:00:00Z", "1777604400", ["5: silences[0].starts: expected a text, got 1777604400"]),
    ("    ends: 2026-05-01T05:00:00Z\n", "", ["2: silences[0]: ends is missing"]),
    ("ends: 2026-05-01", "ends: 2026-04-01", ["6: silences[0].ends: expected a time after starts"]),
    ("ends: 2026-05-01T05", "ends: 2026-05-01T03", ["6: silences[0].ends: expected a time after starts"]),
    ("ends: 2026-05-01", "ends: 2026-08-01", ["6: silences[0].ends: expected at most 90 days after starts"]),
    ("  - owner", "  - hours: Mon-Fri\n    owner", ["2: silences[0].hours: expected days, spans and a zone, like Mon-Fri 09:00-17:00 Europe/Berlin"]),
    ("  - owner", "  - id: a b\n    owner", ["2: silences[0].id: expected letters, digits, '.', '_' and '-', at most 64"]),
    ("silences:", "silence:", ["1: unknown key silence in the silences (did you mean silences?)", "1: the silences: silences is missing"]),
    (ONE, "- owner: ana\n", ["1: the silences: expected a mapping, got a list", "1: the silences: silences is missing"]),
    (ONE, "silences: yes\n", ['1: silences: expected a list, got "yes"']),
    (ONE, "silences: [\n", ["2: is not YAML: while parsing a flow node did not find expected node content"]),
    (ONE, ONE + ONE.partition("\n")[2], [f"7: silence {read(ONE)[0].id} stands twice, first in s.yaml:2"]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), WRONG, ids=[new[:50] for _, new, _ in WRONG])
def test_wrong_silences(old: str, new: str, expected: list[str] | None) -> None:
    """A wrong place is named by line; one is enough, and none of the file's silences holds."""
    text = ONE.replace(old, new, 1)
    assert text != ONE
    with pytest.raises(OpsctlError) as caught:
        read(text)
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else (caught.value,)
    found = [str(error).removeprefix("s.yaml:") for error in errors]
    if expected is None:
        assert "can be tried in too many ways" in found[0] or "pattern" in found[0]
    else:
        assert found == expected


# -- changes


def new(**changes: Any) -> Silence:
    fields: dict[str, Any] = {
        "id": "s-new",
        "owner": "cy",
        "reason": 'it\'s "odd": #1, {x}',
        "matchers": parse_matchers('service="wal let", team=~"a\\\\.b\'c"'),
        "starts": datetime(2026, 5, 2, tzinfo=UTC),
        "ends": datetime(2026, 5, 3, tzinfo=UTC),
    }
    return Silence(**fields | changes)


def file(folder: Path, text: str | None) -> SilenceFile:
    path = folder / "silences.yaml"
    if text is not None:
        path.write_bytes(text.encode())
    return SilenceFile(path, "prod", CATALOGUE)


FORMS = [
    GOOD,
    ONE,
    ONE.rstrip("\n"),
    ONE + "# the end\n",
    ONE + "\n\n",
    ONE.replace("\n", "\r\n"),
    "\ufeff" + ONE,
    ONE.replace("\n  ", "\n").replace("\n  ", "\n  "),
    "silences: []\n",
    "silences: []",
    "silences: [ ]  # none\n# the end\n",
    "silences:\n",
    "silences:",
    "silences: # none\n",
    "silences: ~\n",
    "# head\n\nsilences: null # none\n",
    "---\nsilences:\n",
    None,
]


@pytest.mark.parametrize("text", FORMS, ids=[repr(text)[-40:] for text in FORMS])
def test_an_entry_is_added_and_nothing_else_changes(tmp_path: Path, text: str | None) -> None:
    """Whatever the form of the file: its lines stay, the new entry is read back as it was meant."""
    made = file(tmp_path, text)
    before = made.read()
    made.write(lambda: made.with_one_more(new()))
    after = made.read()
    assert after[:-1] == before
    assert replace(after[-1], origin="") == new()
    written = made.path.read_bytes().decode()
    for line in (text or "").splitlines():
        comment = line.partition("#")[1] + line.partition("#")[2]
        assert (line if "silences:" not in line else comment) in written
    if text and "\r\n" in text:
        assert "\n" not in written.replace("\r\n", "")
    made.write(lambda: made.with_one_more(new(id="s-second", hours=None)))
    assert [one.id for one in made.read()] == [*(one.id for one in before), "s-new", "s-second"]


@pytest.mark.parametrize("text", [GOOD, GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD], ids=["plain", "crlf", "bom"])
def test_a_silence_ends_and_its_entry_stays(tmp_path: Path, text: str) -> None:
    """Only the time changes: comments, quotes and order stay."""
    made = file(tmp_path, text)
    first, second = made.read()
    for one in (first, second):
        at = one.starts + timedelta(minutes=7)
        made.write(lambda name=one.id, at=at: made.with_end(name, at))  # type: ignore[misc]
    assert [one.ends - one.starts for one in made.read()] == [timedelta(minutes=7)] * 2
    expected = text.replace("2026-05-01T07:00:00+02:00", "2026-05-01T03:07:00Z")
    assert made.path.read_bytes().decode() == expected.replace("2026-07-01T00:00:00Z", "2026-05-01T00:07:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "silences: [{owner: ana, reason: x, matchers: [service=wallet], starts: 2026-05-01T03:00:00Z, ends: 2026-05-01T05:00:00Z}]\n",
        ONE + "...\n",
        "{" + "silences: []}\n",
    ],
)
def test_a_form_that_cannot_be_added_to_is_left_alone(tmp_path: Path, text: str) -> None:
    """Nothing is written; the error says so."""
    made = file(tmp_path, text)
    with pytest.raises(UsageError):
        made.write(lambda: made.with_one_more(new()))
    assert made.path.read_text() == text


def test_an_end_that_two_entries_share_is_not_moved(tmp_path: Path) -> None:
    """An alias means another entry's time: changing it would end that one too."""
    second = ONE.partition("\n")[2].replace("ana", "bo").replace("2026-05-01T05:00:00Z", "*e")
    made = file(tmp_path, ONE.replace("ends: ", "ends: &e ") + second)
    first, other = made.read()
    for one in (first, other):
        with pytest.raises(UsageError):
            made.with_end(one.id, datetime(2026, 5, 1, 4, tzinfo=UTC))


def test_a_broken_file_is_not_added_to(tmp_path: Path) -> None:
    made = file(tmp_path, ONE.replace("owner", "ownr"))
    with pytest.raises(OpsctlError, match="unknown key ownr"):
        made.write(lambda: made.with_one_more(new()))
    assert "s-new" not in made.path.read_text()


def test_a_link_leads_to_the_file_still(tmp_path: Path) -> None:
    """A reviewed file may be a link into a checkout: the file changes, not the link."""
    (tmp_path / "real.yaml").write_text(ONE)
    (tmp_path / "silences.yaml").symlink_to("real.yaml")
    made = file(tmp_path, None)
    made.write(lambda: made.with_one_more(new()))
    assert made.path.is_symlink()
    assert "s-new" in (tmp_path / "real.yaml").read_text()


def test_a_link_that_leads_nowhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "silences.yaml").symlink_to("later.yaml")
    made = file(tmp_path, None)
    assert made.read() == ()
    made.write(lambda: made.with_one_more(new()))
    assert "s-new" in (tmp_path / "later.yaml").read_text()


def test_what_cannot_be_looked_at_is_no_empty_file(tmp_path: Path) -> None:
    """A link in a circle: an error of the configuration, not "there is none yet"."""
    (tmp_path / "silences.yaml").symlink_to("silences.yaml")
    made = file(tmp_path, None)
    with pytest.raises(OpsctlError, match="cannot be read: Too many levels"):
        made.read()


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    made = SilenceFile(tmp_path / "no" / "silences.yaml", "prod", CATALOGUE)
    with pytest.raises(Refused, match="cannot be written: No such file or directory"):
        made.write(lambda: made.with_one_more(new()))


def test_two_who_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Eight threads add one entry each: all eight are there."""
    made = file(tmp_path, ONE)

    def add(number: int) -> None:
        made.write(lambda: made.with_one_more(new(id=f"s-{number}")))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.id for one in made.read()} >= {f"s-{number}" for number in range(8)}


def test_an_entry_reads_as_it_is_written() -> None:
    hours = read(GOOD)[1].hours
    text = "silences:\n" + entry_text(new(hours=hours, reason="é — 漢"))
    assert replace(read(text)[0], origin="") == new(hours=hours, reason="é — 漢")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.yaml"):
        with pytest.raises(OpsctlError, match=r"folder|cannot be read"):
            load_silences(path, "prod", CATALOGUE)


# -- schemas


def fits(value: Any, schema: Any, root: Any) -> list[str]:
    """What a JSON schema of the kind that we print says against a value."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        tried = [fits(value, one, root) for one in schema["anyOf"]]
        return [] if [] in tried else tried[0]
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": float,
        "null": type(None),
    }
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if wanted and not any(isinstance(value, kinds[one]) for one in wanted):
        return [f"{value!r} is no {wanted}"]
    found = [f"{value!r} is none of {schema['enum']}"] if "enum" in schema and value not in schema["enum"] else []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, inner in value.items():
            more = known.get(name, schema.get("additionalProperties", True))
            found += [f"{name} is unknown"] if more is False else [] if more is True else fits(inner, more, root)
    if isinstance(value, list):
        found += [] if len(value) >= schema.get("minItems", 0) else ["too few items"]
        found += [line for item in value for line in fits(item, schema.get("items", {}), root)]
    if isinstance(value, str) and "pattern" in schema:
        import re

        found += [] if re.search(schema["pattern"], value) else [f"{value!r} does not fit {schema['pattern']}"]
    return found


def test_the_schema_of_silences_takes_what_the_reader_takes() -> None:
    """The example passes, keys and required ones are the reader's, and a wrong entry does not pass."""
    schema = silences_schema()
    entry = schema["properties"]["silences"]["items"]
    assert tuple(entry["properties"]) == SILENCE_KEYS
    assert fits(parse_yaml(GOOD, "x").plain(), schema, schema) == []
    for key in entry["required"]:
        with pytest.raises(OpsctlError):
            read(ONE.replace(f"{key}:", f"{key}x:"))
        assert fits(parse_yaml(ONE.replace(f"{key}:", f"{key}x:"), "x").plain(), schema, schema) != []


def test_the_schema_of_the_settings_has_the_readers_keys() -> None:
    """The example passes; each table has the keys of its reader and no other."""
    schema = settings_schema()
    context = schema["properties"]["contexts"]["additionalProperties"]["properties"]
    assert tuple(context) == CONTEXT_KEYS
    assert tuple(context["alertmanager"]["properties"]) == BACKEND_KEYS
    assert tuple(context["routes"]["items"]["properties"]) == ROUTE_KEYS
    assert fits(parse_toml(SETTINGS, "x").plain(), schema, schema) == []
    for old, new_text in (("sink =", "snk ="), ("inhibit = false", "inhibit = 3"), ("api_keys", "apikeys")):
        assert fits(parse_toml(SETTINGS.replace(old, new_text, 1), "x").plain(), schema, schema) != []
