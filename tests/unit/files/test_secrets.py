"""Secrets: read from files, commands and variables; whatever goes wrong is one line without the value."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from opsctl.errors import AuthError, ExitCode
from opsctl.files import secrets
from opsctl.files.context import Secret


def command(*words: str) -> Secret:
    return Secret("command", " ".join(words), words, "opsctl.toml:3")


def python(code: str) -> Secret:
    return command(sys.executable, "-S", "-E", "-c", code)


def test_three_sources(tmp_path: Path) -> None:
    """The line end of a file and of a command's answer is not part of the secret."""
    (tmp_path / "token").write_text("hunter2\n")
    assert secrets.resolve(Secret("file", str(tmp_path / "token"))) == "hunter2"
    assert secrets.resolve(python("print('hunter2')")) == "hunter2"
    assert secrets.resolve(Secret("env", "T"), {"T": "hunter2"}) == "hunter2"


def test_no_shell(tmp_path: Path) -> None:
    """Words of a command are words: nothing in them is run, expanded or redirected."""
    words = ("echo", "$HOME;", "touch", str(tmp_path / "x"), "|", "cat")
    assert secrets.resolve(command(*words)) == " ".join(words[1:])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"hunter2\nhunter2", "gives several lines or control characters: expected one line"),
        (b"hunter2\x00", "gives several lines or control characters: expected one line"),
        (b"hunter2\xff", "does not give UTF-8 text"),
        (b"hunter2" * 10_000, "gives more than 64KiB: that is no secret"),
    ],
)
def test_contents_that_are_no_secret(tmp_path: Path, raw: bytes, words: str) -> None:
    """Empty, binary, long and many-lined contents are refused, and not shown."""
    (tmp_path / "token").write_bytes(raw)
    with pytest.raises(AuthError) as caught:
        secrets.resolve(Secret("file", str(tmp_path / "token"), origin="opsctl.toml:3"))
    assert str(caught.value) == f"secret file {tmp_path / 'token'} (opsctl.toml:3) {words}"
    assert caught.value.exit_code is ExitCode.AUTH
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (Secret("file", "/nowhere/token"), "secret file /nowhere/token cannot be read: No such file or directory"),
        (Secret("file", "/"), "secret file / cannot be read: Is a directory"),
        (Secret("env", "GONE"), "environment variable GONE is not set"),
        (command("/nowhere/pass"), "secret command /nowhere/pass (opsctl.toml:3) cannot be run: No such file or directory"),
        (command("a\0b"), "cannot be run: a word of it holds NUL"),
        (python("import sys; print('hunter2'); sys.stderr.write('hunter2'); sys.exit(3)"), "ended with code 3: run it by hand to see why"),
        (python("while True: print('hunter2' * 1000)"), "gives more than 64KiB: that is no secret"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(secret: Secret, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Missing files, commands that fail or flood: one line; neither output nor error of the command is shown."""
    with pytest.raises(AuthError) as caught:
        secrets.resolve(secret, {})
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", "import os, time; os.close(1); time.sleep(60)"])
def test_a_command_that_hangs(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """It is killed at its limit, also when it has closed its output."""
    monkeypatch.setattr(secrets, "COMMAND_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(AuthError, match=r"gave no answer in 0\.3 s$"):
        secrets.resolve(python(code))
    assert time.monotonic() - begun < 10


def test_children_of_a_command_are_killed_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child that keeps the pipe open ends with the command."""
    monkeypatch.setattr(secrets, "COMMAND_SECONDS", 1.0)
    code = f"import os, time\npid = os.fork()\nif pid: open({str(tmp_path / 'pid')!r}, 'w').write(str(pid))\ntime.sleep(60)"
    with pytest.raises(AuthError, match="gave no answer"):
        secrets.resolve(python(code))
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.02)
    os.kill(pid, 9)
    pytest.fail("the command's child outlived it")


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1), (0o620, 1)])
def test_open_files_are_warned_of(tmp_path: Path, mode: int, count: int) -> None:
    """A file that group or others can read or write is a warning with its remedy."""
    file = tmp_path / "my token"
    file.write_text("x")
    file.chmod(mode)
    found = secrets.warnings(Secret("file", str(file)))
    assert len(found) == count
    assert all(f"chmod 600 '{file}'" in line and f"{mode:04o}" in line for line in found)
    assert secrets.warnings(Secret("env", "X")) == ()
    assert secrets.warnings(Secret("file", str(tmp_path / "gone"))) == ()
