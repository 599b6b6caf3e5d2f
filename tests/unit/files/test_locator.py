"""Lines of TOML and YAML values: exact whatever the layout; hostile documents end as one line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.nodes import Node, Problems, Table
from opsctl.files.text import meant, nearest, size_words
from opsctl.files.toml_lines import Place, locate, parse_toml
from opsctl.files.yaml_lines import parse_yaml, parse_yaml_all, read_yaml

KEYS = st.text("abcxyz_-09 .\"'#=[]é", min_size=1, max_size=6)
SCALARS = st.one_of(
    st.integers(-5, 5),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.text("ab \"'\\#[]{},=\n", max_size=12),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | VALUES, max_size=3),
    max_leaves=6,
)


class Writer:
    """Writes a document in a layout drawn from `draw`, and notes on which line it put what."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.out = ""
        self.lines: dict[Place, int] = {}

    def pick(self, *choices: str) -> str:
        return self.data.draw(st.sampled_from(choices))

    def note(self, at: Place) -> None:
        self.lines.setdefault(at, self.out.count("\n") + 1)

    def key(self, key: str) -> str:
        if key.isascii() and key.replace("-", "").replace("_", "").isalnum():
            return key
        return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def table(self, values: dict[str, object], at: Place) -> None:
        tables = [
            k for k, v in values.items() if isinstance(v, dict) and v and self.pick("header", "inline") == "header"
        ]
        for key, value in values.items():
            if key in tables:
                continue
            self.out += self.pick("", "\n", "# [x]\n", "  ")
            self.note((*at, key))
            self.out += self.key(key) + self.pick("=", " = ")
            self.value(value, (*at, key))
            self.out += self.pick("\n", " # c\n")
        for key in tables:
            self.out += self.pick("", "\n")
            for depth in range(len(at) + 1):
                self.note((*at, key)[: depth + 1])
            path = " . ".join(self.key(str(part)) for part in (*at, key))
            self.out += f"[{path}]\n"
            inner = values[key]
            assert isinstance(inner, dict)
            self.table(inner, (*at, key))

    def value(self, value: object, at: Place) -> None:
        if isinstance(value, list):
            self.out += "[" + self.pick("", "\n", " # [\n")
            for i, item in enumerate(value):
                self.note((*at, i))
                self.value(item, (*at, i))
                self.out += self.pick(",", ",\n", " , # ]\n")
            self.out += "]"
        elif isinstance(value, dict):
            self.out += "{ "
            for i, (key, item) in enumerate(value.items()):
                self.out += ", " if i else ""
                self.note((*at, key))
                self.out += self.key(key) + " = "
                self.value(item, (*at, key))
            self.out += " }"
        elif isinstance(value, str):
            self.out += self.text(value)
        else:
            self.out += str(value).lower()

    def text(self, value: str) -> str:
        if "'" not in value and "\n" not in value and self.pick("literal", "basic") == "literal":
            return f"'{value}'"
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        if self.pick("one", "many") == "many":
            return f'"""\n{escaped}"""'
        return '"' + escaped.replace("\n", "\\n") + '"'


@settings(max_examples=150, deadline=None)
@given(data=st.data(), document=TABLES)
def test_toml_lines(data: st.DataObject, document: dict[str, object]) -> None:
    """Every key and item is found on the line where it was written, in any layout."""
    writer = Writer(data)
    writer.table(document, ())
    assert tomllib.loads(writer.out) == document
    assert locate(writer.out) == writer.lines


def test_toml_arrays_of_tables() -> None:
    """Arrays of tables count up; their sub-tables belong to the last one."""
    text = "[[a.b]]\nc = 1\n[[a.b]]\n[a.b.d]\ne.f = 2\n[x]\n"
    assert locate(text) == {
        ("a",): 1,
        ("a", "b"): 1,
        ("a", "b", 0): 1,
        ("a", "b", 0, "c"): 2,
        ("a", "b", 1): 3,
        ("a", "b", 1, "d"): 4,
        ("a", "b", 1, "d", "e"): 5,
        ("a", "b", 1, "d", "e", "f"): 5,
        ("x",): 6,
    }
    node = parse_toml(text, "f")
    assert node.plain() == tomllib.loads(text)


def yaml_lines(node: Node, out: dict[str, int | None]) -> dict[str, int | None]:
    out[node.where] = node.line
    children = (
        node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    )
    for child in children:
        yaml_lines(child, out)
    return out


def test_yaml_lines() -> None:
    """Keys have their own line also when the value begins below; later documents count on."""
    text = "a:\n  b: |\n    x\n    y\n  c:\n    - 1\n    - d: 2\n---\ne: [1,\n  2]\n"
    first, second = parse_yaml_all(text, "f", first_line=10)
    assert yaml_lines(first, {}) == {"": 10, "a": 10, "a.b": 11, "a.c": 14, "a.c[0]": 15, "a.c[1]": 16, "a.c[1].d": 16}
    assert yaml_lines(second, {}) == {"": 18, "e": 18, "e[0]": 18, "e[1]": 19}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("true", True),
        ("~", None),
        ("012", 12),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("!!str 5", "5"),
        ("'5'", "5"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
    ],
)
def test_yaml_scalars(text: str, value: object) -> None:
    """Plain scalars follow YAML 1.2; times, sexagesimals and yes/no stay text."""
    found = parse_yaml(f"a: {text}", "f").get("a")
    assert found is not None
    assert found.value == value
    assert type(found.value) is type(value)


def test_yaml_merge_keys_and_anchors() -> None:
    """`<<` merges without overwriting; an alias has the line of its use."""
    node = parse_yaml("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\nz: *x\n", "f")
    assert node.plain() == {"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 2}, "z": {"a": 1, "b": 2}}
    assert node.get("z") is not None
    assert node.get("z").line == 5  # type: ignore[union-attr]


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3: key a stands twice, first in line 1"),
        ("a: [1\nb: 2", "f:2: is not YAML: "),
        ("a: !!python/object:os.system x", "f:1: the tag tag:yaml.org,2002:python/object:os.system is not supported"),
        ("a: !vault x", "f:1: the tag !vault is not supported"),
        ("? [a]\n: 1", "f:1: expected a text as key"),
        ("a: 1\n---\nb: 1", "f:3: expected one document, this begins a second one"),
        ("# nothing\n", "f: is empty"),
        ("a: \x07", "f:1: is not YAML: "),
        ("a: *b", "f:1: is not YAML: found undefined alias"),
        ("&a [*a]", "is nested deeper than 100 levels"),
        ("[" * 5000, "f:1: is not YAML: while increasing flow level exceeded maximum nesting depth"),
        ("[" * 500 + "]" * 500, "is nested deeper than 100 levels"),
        (LAUGHS, "holds more than 200000 values, anchors expanded"),
    ],
    ids=lambda value: value[:30],
)
def test_hostile_yaml(text: str, expected: str) -> None:
    """Broken, recursive, exploding and object-building documents end as one clear line."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_errors_are_told_together() -> None:
    """A file's wrong places come in one go, each once and in the order of the file."""
    problems = Problems()
    table = Table(parse_yaml("a: x\nb: 3\nbb: 1\n", "f"), problems, ("a", "b"), "the thing")
    table.integer("a")
    table.text("b")
    table.text("b")
    table.text("c", required=True)
    with pytest.raises(ConfigErrors) as caught:
        problems.check()
    assert str(caught.value).splitlines() == [
        "f:3: unknown key bb in the thing (did you mean b?)",
        'f:1: a: expected a whole number, got "x"',
        "f:2: b: expected a text, got 3",
        "f:1: the thing: c is missing",
    ]


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file, a folder, and bytes that are no text are one line each."""
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read: No such file or directory$"):
        read_yaml(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=r": expected a file, this is a folder$"):
        read_yaml(tmp_path)
    (tmp_path / "a.yaml").write_bytes(b"a: 1\nb: \xfe\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:2: is not UTF-8 text \(byte 0xfe\)$"):
        read_yaml(tmp_path / "a.yaml")


def test_nearest_word() -> None:
    """Case and separators do not matter; far words are listed instead."""
    assert nearest("HoldOpen", ["hold_open", "not_after"]) == "hold_open"
    assert nearest("zzz", ["hold_open"]) is None
    assert meant("zzz", ["b", "a"]) == "known: a, b"
    assert meant("zzz", []) == "there is none"
    assert (size_words(64 * 2**20), size_words(1000)) == ("64MiB", "1000B")
