"""Changes to `silences.yaml` that leave its comments and its form alone: one entry more, one entry ended.

Must never write a file that says anything else than before but for that one change: the new text is read back first.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.routing import Silence
from opsctl.errors import ConfigError, Refused, UsageError
from opsctl.files.atomic import write_whole
from opsctl.files.silences import load_silences, parse_silences
from opsctl.files.text import decode, os_words

HEAD = "# Who is not told of what, and until when (docs/routing.md). Alerts are judged as ever.\nsilences:\n"
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class SilenceFile:
    """One context's file, and what its silences are read against."""

    path: Path
    namespace: str
    catalogue: Catalogue

    def read(self) -> tuple[Silence, ...]:
        """Every silence; none where there is no file yet."""
        return load_silences(self.path, self.namespace, self.catalogue) if self._there() else ()

    def with_one_more(self, silence: Silence) -> str:
        """The file's text with one entry more."""
        before = self.read()
        if not before and not self._there():
            text = HEAD + entry_text(silence, "  ")
        else:
            text = _appended(self._text(), silence)
        return self._checked(text, (*before, silence))

    def with_end(self, name: str, at: datetime) -> str:
        """The file's text with one silence ended at that time."""
        before = self.read()
        index = next(number for number, one in enumerate(before) if one.id == name)
        after = (*before[:index], replace(before[index], ends=at), *before[index + 1 :])
        return self._checked(_ended(self._text(), index, at), after)

    def write(self, make: Callable[[], str]) -> None:
        """Write what `make` gives, while nobody else of this host changes the file; Refused where that cannot be."""
        try:
            with _alone(self.path.parent):
                write_whole(self.path, make().encode(), keep_mode=True)
        except OSError as wrong:
            raise Refused(f"{self.path} cannot be written: {os_words(wrong)}") from None

    def _there(self) -> bool:
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        except OSError:
            return True  # reading says what is wrong
        return True

    def _text(self) -> str:
        try:
            return self.path.read_bytes().decode()
        except UnicodeDecodeError:
            raise ConfigError(str(self.path), None, "is not UTF-8 text") from None

    def _checked(self, text: str, expected: tuple[Silence, ...]) -> str:
        try:
            name = str(self.path)
            found = parse_silences(decode(text.encode(), name), name, self.namespace, self.catalogue)
        except ConfigError as wrong:
            raise UsageError(f"not written, the file would be wrong: {wrong}") from None
        if [replace(one, origin="") for one in found] != [replace(one, origin="") for one in expected]:
            raise _by_hand(self.path)
        return text


def entry_text(silence: Silence, indent: str = "") -> str:
    """One entry as it stands in the file."""
    matchers = ", ".join("'" + str(one).replace("'", "''") + "'" for one in silence.matchers)
    fields = [
        ("id", silence.id),
        ("owner", json.dumps(silence.owner, ensure_ascii=False)),
        ("reason", json.dumps(silence.reason, ensure_ascii=False)),
        ("matchers", f"[{matchers}]"),
        ("starts", _time(silence.starts)),
        ("ends", _time(silence.ends)),
    ]
    if silence.hours is not None:
        fields.append(("hours", json.dumps(str(silence.hours))))
    dash = f"{indent}- "
    return "".join(f"{dash if n == 0 else indent + '  '}{name}: {text}\n" for n, (name, text) in enumerate(fields))


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _appended(text: str, silence: Silence) -> str:
    value = _silences_node(text)
    end = "\r\n" if "\r\n" in text else "\n"
    ready = text if text.endswith("\n") else text + end
    if isinstance(value, yaml.SequenceNode) and not value.flow_style:
        entry = entry_text(silence, " " * value.start_mark.column)
        return ready + entry.replace("\n", end)
    if value is None or (isinstance(value, yaml.SequenceNode) and value.value):
        raise UsageError("the silences stand in one line: give each its own, with a dash", hint="see docs/routing.md")
    shift = 1 if text.startswith(_BOM) else 0
    start, stop = value.start_mark.index + shift, value.end_mark.index + shift
    line = ready.find("\n", stop) + 1
    head = (ready[:start].rstrip(" ") + ready[stop:line]) if stop > start else ready[:line]
    return head + entry_text(silence, "  ").replace("\n", end) + ready[line:]


def _ended(text: str, index: int, at: datetime) -> str:
    value = _silences_node(text)
    item = value.value[index]
    node = next((child for key, child in item.value if key.value == "ends"), None)
    if not isinstance(node, yaml.ScalarNode):
        raise UsageError("its entry does not say `ends` itself: change it by hand")
    shift = 1 if text.startswith(_BOM) else 0
    return text[: node.start_mark.index + shift] + _time(at) + text[node.end_mark.index + shift :]


def _silences_node(text: str) -> Any:
    """The value of `silences`, with its place in the text."""
    try:
        root: Any = yaml.compose(text.removeprefix(_BOM), Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # the reader's parser takes a little more than the one that knows places
        raise UsageError("the file has a form that cannot be changed here", hint="change it by hand") from None
    return next((value for key, value in root.value if key.value == "silences"), None)


def _by_hand(path: Path) -> UsageError:
    return UsageError(f"{path} has a form that cannot be changed here: nothing was written", hint="change it by hand")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two commands at once would lose one entry."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
