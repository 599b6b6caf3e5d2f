"""Evidence files that are not what `--evidence` wrote: one clear line each, never a verdict."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsctl.core.replay import Saved, saved_verdict
from opsctl.engine import run_cycle
from opsctl.errors import ConfigError
from opsctl.files.atomic import write_whole
from opsctl.files.evidence import SCHEMA, evidence_document, read_evidence
from tests.unit.engine.fakes import AT, History, rule, slo, steady


@pytest.fixture
def document() -> bytes:
    """The evidence of an SLO that burns and of a rule that fires."""
    report = run_cycle([slo(), rule("x:part:60")], History(steady(0.5)), AT)
    verdicts = tuple(saved_verdict(verdict) for verdict in report.verdicts)
    return evidence_document(Saved(AT, "prod", "eu", "page", "fail", 1, ("finding",), verdicts, ()))


def refused(path: Path, raw: bytes, **limits: int) -> str:
    """The one line of a file that is refused."""
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as wrong:
        read_evidence(str(path), **limits)
    line = str(wrong.value)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return line.removeprefix(f"{path}: ")


def changed(document: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The document with a change that somebody made by hand."""
    tree = json.loads(document)
    change(tree)
    return json.dumps(tree).encode()


def test_a_document_is_read_as_it_was_written(document: bytes, tmp_path: Path) -> None:
    """Also after another program wrote the same values with other blanks and escapes."""
    (tmp_path / "a").write_bytes(document)
    (tmp_path / "b").write_bytes(json.dumps(json.loads(document), indent=3, ensure_ascii=True).encode())
    assert read_evidence(str(tmp_path / "a")) == read_evidence(str(tmp_path / "b"))
    assert json.loads(document)["schema"] == SCHEMA


def test_stdin(document: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads it, and is called stdin in errors."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(document)))
    assert read_evidence("-").context == "prod"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(ConfigError, match=r"^stdin: is empty"):
        read_evidence("-")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_truncated(document: bytes, part: float, tmp_path: Path) -> None:
    """A copy that stopped half-way."""
    assert "is not a whole JSON document" in refused(tmp_path / "e", document[: int(len(document) * part)])


TAMPERED: dict[str, Callable[[dict[str, Any]], None]] = {
    "a count": lambda tree: tree["verdicts"][0]["evidence"]["asked"][0].update(value=0.0),
    "an answer that is gone": lambda tree: tree["verdicts"][0]["evidence"]["asked"].pop(),
    "a digest": lambda tree: tree["verdicts"][0]["evidence"].update(digest="0" * 64),
    "a target": lambda tree: tree["verdicts"][0]["slo"].update(target=0.5),
    "the policy": lambda tree: tree.update(on_unknown="ignore"),
    "a verdict that is gone": lambda tree: tree["verdicts"].pop(0),
    "an outcome": lambda tree: tree["verdicts"][0].update(outcome="pass"),
    "the digest of all": lambda tree: tree.update(digest="f" * 64),
    "no digest": lambda tree: tree.pop("digest"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampered(document: bytes, what: str, tmp_path: Path) -> None:
    """Whatever was changed by hand, its digest says so."""
    assert "was changed after it was saved" in refused(tmp_path / "e", changed(document, TAMPERED[what]))


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another schema": (lambda tree: tree.update(schema="opsctl/check/v1"), "has schema opsctl/check/v1, expected"),
    "a later one": (lambda tree: tree.update(schema="opsctl/evidence/v9"), "this opsctl reads opsctl/evidence/v1"),
    "no schema": (lambda tree: tree.pop("schema"), "expected a JSON object with schema"),
    "text for a number": (
        lambda tree: tree["verdicts"][0]["evidence"]["asked"][0].update(value="many"),
        "Expected `float | null`, got `str` - at `$.verdicts[0].evidence.asked[0].value`",
    ),
    "no evidence": (lambda tree: tree["verdicts"][0].pop("evidence"), "evidence"),
    "verdicts that are none": (lambda tree: tree.update(verdicts="all fine"), "$.verdicts"),
    "a verdict that is none": (lambda tree: tree["verdicts"].append(7), "$.verdicts[2]"),
    "an unknown outcome": (lambda tree: tree["verdicts"][0].update(outcome="great"), "great"),
    "a time that is none": (lambda tree: tree.update(at="yesterday"), "$.at"),
    "no rule": (lambda tree: tree["verdicts"][0].update(slo=None), "a verdict has no rule, or two"),
    "two rules": (
        lambda tree: tree["verdicts"][0].update(alerting=tree["verdicts"][1]["alerting"]),
        "a verdict has no rule, or two",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_types(document: bytes, what: str, tmp_path: Path) -> None:
    """The line says where and what was expected."""
    change, words = WRONG[what]
    assert words in refused(tmp_path / "e", changed(document, change))


@pytest.mark.parametrize(
    "raw", [b"", b" \n", b"[]", b"7", b"null", b'"text"', b"\xff\xfe\x00", b"{" * 100_000, b"[" * 100_000]
)
def test_no_evidence_at_all(raw: bytes, tmp_path: Path) -> None:
    """Neither an empty file nor a strange one is a traceback."""
    refused(tmp_path / "e", raw)


def test_evidence_without_a_verdict_is_no_pass(tmp_path: Path) -> None:
    """Not even where all digests are right: exit 0 would say that something was judged."""
    nothing = evidence_document(Saved(AT, "prod", "eu", "page", "fail", 0, (), (), ()))
    assert "has no verdict: nothing was judged" in refused(tmp_path / "e", nothing)


def test_deep_nesting(document: bytes, tmp_path: Path) -> None:
    """A tree deeper than Python's stack is refused."""
    deep = document.replace(b'"remembered":null', b'"remembered":' + b"[" * 900 + b"]" * 900, 1)
    assert deep != document
    refused(tmp_path / "e", deep)


def test_larger_than_the_limit(document: bytes, tmp_path: Path) -> None:
    """No more than the limit is read."""
    assert "is larger than 1KiB, the limit" in refused(tmp_path / "e", document, limit_bytes=1024)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """A folder, and a file that is not there."""
    for path, words in ((tmp_path, "Is a directory"), (tmp_path / "no", "No such file")):
        with pytest.raises(ConfigError, match=words):
            read_evidence(str(path))


# Written whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Private files are 0600, others as the umask says; a symbolic link stays one; nothing else is left."""
    mask = os.umask(0o022)
    try:
        write_whole(tmp_path / "a", b"1", private=True)
        write_whole(tmp_path / "b", b"1")
        (tmp_path / "link").symlink_to("b")
        write_whole(tmp_path / "link", b"2")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o644
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "b").read_bytes() == b"2"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "b", "link"]


def test_what_cannot_be_written_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old content stays, and no half file is left behind."""
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, b"x")
    write_whole(Path(os.devnull), b"x")
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)
