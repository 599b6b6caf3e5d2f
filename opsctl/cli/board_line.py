"""The command line inside the board: what may be typed behind `:`, and how it is run there.

A context of a file is asked in a process of its own, which can be ended and costs the board's loop nothing. A world in
memory (the demo, a recorded session) is there in this process only: its commands run in this process, and what they
print is told apart by the thread that prints it. Either way `--read-only` holds: what changes something goes through
the board's desk. Must never touch the terminal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from typer._click import exceptions as click_exceptions
from typer._click.core import Command, Context
from typer.core import TyperGroup

from opsctl.cli.captured import captured
from opsctl.errors import Refused, UsageError
from opsctl.tui.typed import CommandPath, Grammar, Ran

if TYPE_CHECKING:
    from opsctl.actions import Action
    from opsctl.app import Composition
    from opsctl.cli.frame import Frame

DEADLINE_SECONDS = 120.0
MOST_CHARACTERS = 2_000_000
_TOO_MUCH = "more than {:,} characters"
_ACTS = frozenset(
    {
        ("incident", "ack"),
        ("incident", "resolve"),
        ("incident", "note"),
        ("alert", "silence"),
        ("alert", "silence", "end"),
    }
)
_NOT_HERE: Mapping[CommandPath, str] = {
    ("watch",): "it does not end",
    ("tui",): "this is it",
    ("demo",): "it is a world of its own",
    ("completion",): "it is for a shell",
    ("log", "tail"): "the Logs screen follows",
    ("change", "send"): "it tells PagerDuty",
    ("grafana", "build"): "it writes files",
    ("config", "init"): "it writes a file",
    ("config", "state", "vacuum"): "it changes the journal",
    ("runbook", "run"): "the Runbooks screen runs and resumes",
    ("runbook", "resume"): "the Runbooks screen runs and resumes",
}
_CHANGING_FLAGS = frozenset({"--notify", "--evidence"})


@dataclass
class BoardLine:
    """The command line of one context, as `frame` was started with it."""

    frame: Frame
    composition: Composition
    _one: threading.Lock = field(default_factory=threading.Lock)

    # -- what there is

    def grammar(self) -> Grammar:
        """Every command and its options; what is not for the board is refused when it is typed, with a reason."""
        return self._grammar

    @cached_property
    def _grammar(self) -> Grammar:
        from opsctl.cli.main import COMMANDS, root_app

        root = root_app()
        context = Context(root)
        found: dict[CommandPath, tuple[str, ...]] = {}
        for name in COMMANDS:
            command = root.get_command(context, name)
            if command is not None:
                found |= dict(_walked(command, (name,)))
        return found

    # -- what would change something

    def action(self, words: Sequence[str]) -> Action | None:
        """The action that a command is, None for one that shows; Refused for what is not for the board."""
        if {"-h", "--help"} & set(words):
            return None
        if "-" in words:
            raise UsageError("the board has no stdin: write out what - stands for")
        path = max((tuple(words[:n]) for n in (1, 2, 3) if tuple(words[:n]) in {*_NOT_HERE, *_ACTS}), default=())
        if path in _NOT_HERE:
            typed = " ".join(path)
            raise Refused(f"{typed} is not for the board: {_NOT_HERE[path]}", hint=f"in a terminal: opsctl {typed}")
        flag = next((word for word in words if word.partition("=")[0] in _CHANGING_FLAGS), None)
        if flag is not None:
            raise Refused(f"{words[0]} {flag} is not for the board", hint="in a terminal: opsctl " + " ".join(words))
        if path not in _ACTS or tuple(words[:3]) == ("alert", "silence", "ls"):
            return None
        try:
            return self._action(path, _params(words))
        except click_exceptions.ClickException as wrong:
            raise UsageError(wrong.format_message()) from None

    def _action(self, path: CommandPath, params: Mapping[str, Any]) -> Action:
        from opsctl.actions import Acknowledge, EndSilence, MakeSilence, Resolve, WriteNote, known_silence, silence_file

        if params.get("dry_run"):
            raise UsageError("the dialog is the dry run: leave --dry-run out")
        if path == ("alert", "silence", "end"):
            return EndSilence(known_silence(silence_file(self.composition).read(), params["silence"]).id)
        if path == ("alert", "silence"):
            return MakeSilence(self._silence(params))
        episode = self._episode(params["incident"])
        if path[1] == "note":
            return WriteNote(episode, params["text"])
        return Acknowledge(episode) if path[1] == "ack" else Resolve(episode)

    def _episode(self, selector: str) -> int:
        from opsctl.actions import trusted
        from opsctl.cli.incident import pick_open

        return pick_open(trusted(self.composition.journal()), selector).episode

    def _silence(self, params: Mapping[str, Any]) -> Any:
        from opsctl.actions import new_silence, user
        from opsctl.cli.options import duration, moment

        needed = (("-l", "match"), ("--for", "for_"), ("--reason", "reason"))
        wanted = [flag for flag, name in needed if not params.get(name)]
        if wanted:
            example = "alert silence -l 'service=\"wallet\"' --for 2h --reason 'CHG-12'"
            raise UsageError(f"alert silence: {', '.join(wanted)} missing", hint=f"like {example}")
        now = self.composition.clock.now()
        starts = moment("--from", params["from_"], now) if params.get("from_") else None
        length: timedelta = duration("--for", params["for_"])
        owner = params.get("owner") or user()
        return new_silence(
            now, params["match"], length, params["reason"], owner, starts=starts, hours=params.get("hours")
        )

    # -- what shows something

    def run(self, words: Sequence[str], width: int, stop: threading.Event) -> Ran:
        """Run a command until it ends, for at most two minutes."""
        if self._in_memory:
            return self._here(words, stop)
        env = {**os.environ, "COLUMNS": str(max(40, width)), "PYTHONIOENCODING": "utf-8"}
        return _beside([*self._flags(), *self._as_table(words)], env, stop)

    def _as_table(self, words: Sequence[str]) -> list[str]:
        """For a person, though stdout is a pipe."""
        given = any(word in {"-o", "--json"} or word.startswith("--output") for word in words)
        path = max((p for p in self.grammar() if tuple(words[: len(p)]) == p), key=len, default=())
        if given or "-o" not in self.grammar().get(path, ()):
            return list(words)
        return [*path, "-o", "table", *words[len(path) :]]

    @property
    def _in_memory(self) -> bool:
        mine = self.composition
        return mine.settings.path is None or any((mine.source, mine.log_source, mine.trace_source))

    def _flags(self) -> list[str]:
        flags = ["--read-only", "--color", "never", *(["--utc"] if self.frame.utc else [])]
        path = self.composition.settings.path
        return ["--config", str(path), "--context", self.composition.context.name, *flags]

    def _here(self, words: Sequence[str], stop: threading.Event) -> Ran:
        if not self._one.acquire(timeout=1):
            return Ran(None, "", "", "the command before has not ended yet")
        box: list[Ran] = []
        worker = threading.Thread(target=self._carry, args=(list(words), box), daemon=True, name="command")
        worker.start()
        end = time.monotonic() + DEADLINE_SECONDS
        while worker.is_alive() and not stop.is_set() and time.monotonic() < end:
            worker.join(0.05)
        if box:
            return box[0]
        return Ran(None, "", "", "closed" if stop.is_set() else f"not ended after {DEADLINE_SECONDS:g} s")

    def _carry(self, words: list[str], box: list[Ran]) -> None:
        from opsctl.cli.main import main

        flags = ["--read-only", "--color", "never", *(["--utc"] if self.frame.utc else [])]
        try:
            with captured(MOST_CHARACTERS) as streams:
                code = main([*flags, *words], clock=self.composition.clock, compose_with=lambda _: self._borrowed())
            box.append(Ran(code, streams.out.text, streams.err.text, streams.cut))
        finally:
            self._one.release()

    def _borrowed(self) -> Composition:
        """The same world, which a command that ends does not close."""
        from opsctl.app import Composition

        class Borrowed(Composition):
            def close(self) -> None:
                """It is not the command's."""

        mine = self.composition
        made = Borrowed(**{one.name: getattr(mine, one.name) for one in fields(Composition) if one.init})
        made.__dict__["_journal"] = mine.journal()
        return made


def _walked(command: Command, path: CommandPath) -> Iterator[tuple[CommandPath, tuple[str, ...]]]:
    options = [name for param in command.params for name in getattr(param, "opts", ()) if name.startswith("-")]
    yield path, tuple(dict.fromkeys([*options, "--help"]))
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _walked(inner, (*path, name))


def _params(words: Sequence[str]) -> Mapping[str, Any]:
    """The values of a command's arguments and options, as its own parser reads them."""
    from opsctl.cli.main import root_app

    command: Command = root_app()
    context = command.make_context("opsctl", list(words))
    while isinstance(command, TyperGroup):
        rest = [*context._protected_args, *context.args]
        if not rest:
            break
        name, found, rest = command.resolve_command(context, rest)
        if found is None:
            break
        command, context = found, found.make_context(name, rest, parent=context)
    return context.params


def _beside(words: list[str], env: Mapping[str, str], stop: threading.Event) -> Ran:
    """Run it in a process and a session of its own, which the terminal's keys do not reach."""
    program = [sys.executable, "-m", "opsctl", *words]
    try:
        child = subprocess.Popen(
            program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as wrong:
        return Ran(None, "", f"opsctl cannot be started: {wrong.strerror}")
    assert child.stdout is not None
    assert child.stderr is not None
    full = threading.Event()
    texts: list[list[str]] = [[], []]
    readers = [
        threading.Thread(target=_drained, args=(stream, into, full), daemon=True)
        for stream, into in zip((child.stdout, child.stderr), texts, strict=True)
    ]
    for reader in readers:
        reader.start()
    cut = _waited(child, stop, full)
    for reader in readers:
        reader.join(1)
    if full.is_set():  # perhaps it had ended already
        cut = _TOO_MUCH.format(MOST_CHARACTERS)
    out, talk = ("".join(parts)[:MOST_CHARACTERS] for parts in texts)
    return Ran(None if cut else child.returncode, out, talk, cut)


def _drained(stream: IO[str], into: list[str], full: threading.Event) -> None:
    size = 0
    with suppress(OSError, ValueError):
        while part := stream.read(65_536):
            size += len(part)
            into.append(part)
            if size > MOST_CHARACTERS:
                full.set()
                return


def _waited(child: subprocess.Popen[str], stop: threading.Event, full: threading.Event) -> str:
    """Wait for its end, or see to it; why it was not waited for, ""."""
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        if stop.is_set():
            why = "closed"
        elif full.is_set():
            why = _TOO_MUCH.format(MOST_CHARACTERS)
        elif time.monotonic() > end:
            why = f"not ended after {DEADLINE_SECONDS:g} s"
        else:
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.05)
                return ""
            continue
        _end(child)
        return why


def _end(child: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(2)
            return
