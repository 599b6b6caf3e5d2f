"""`silences.yaml`: who is not told of what, from when until when, who says so and why.

Strict: one wrong entry makes the whole file wrong, and then no silence holds. Must never read a silence that takes
everything, that nobody owns, or that does not end.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from opsctl.core.catalogue import Catalogue
from opsctl.core.routing import Matcher, Silence
from opsctl.core.slo import Severity
from opsctl.errors import ConfigError
from opsctl.files.matchers import takes_everything
from opsctl.files.nodes import Problems, Table, kind_words, place
from opsctl.files.routes import read_hours, read_matchers
from opsctl.files.text import read_text
from opsctl.files.yaml_lines import parse_yaml

SILENCE_KEYS = ("id", "owner", "reason", "matchers", "starts", "ends", "hours")
LONGEST = timedelta(days=90)
TEXT_LIMIT = 1000
EVERYTHING = (
    "would silence pages whatever they are about: name a service, a team, an alert or a label that they must have"
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)")
_EXAMPLE = "2026-05-01T03:00:00Z"


def load_silences(path: Path, namespace: str, catalogue: Catalogue) -> tuple[Silence, ...]:
    """Every silence of a file, also those that are over; ConfigError(s) with each wrong place."""
    with suppress(OSError):  # reading says what is wrong
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ConfigError(str(path), None, "expected a file")  # a pipe would be waited for
    return parse_silences(read_text(path), str(path), namespace, catalogue)


def parse_silences(text: str, path: str, namespace: str, catalogue: Catalogue) -> tuple[Silence, ...]:
    """The silences of a file's text."""
    problems = Problems()
    top = Table(parse_yaml(text, path), problems, ("silences",), "the silences")
    if "silences" not in top:
        top.need("silences")
    found: dict[str, Silence] = {}
    for node in top.nodes("silences"):
        silence = _silence(Table(node, problems, SILENCE_KEYS), namespace, catalogue)
        if silence is None:
            continue
        if silence.id in found:
            problems.add(node, f"silence {silence.id} stands twice, first in {found[silence.id].origin}")
        found.setdefault(silence.id, silence)
    problems.check()
    return tuple(found.values())


def _silence(table: Table, namespace: str, catalogue: Catalogue) -> Silence | None:
    before = len(table.problems.errors)
    owner, reason = _line(table, "owner"), _line(table, "reason")
    matchers = read_matchers(table, required=True)
    starts, ends = _time(table, "starts"), _time(table, "ends")
    name = _id(table)
    hours = read_hours(table)
    if starts is None or ends is None:
        return None
    for key, words in faults(matchers, starts, ends, namespace, catalogue):
        if key != "matchers" or len(table.problems.errors) == before:
            node = table.node_of(key) or table.node
            table.problems.add(node, f"{node.where}: {words}")
    return Silence(
        id=name or digest(owner, reason, matchers, starts),
        owner=owner,
        reason=reason,
        matchers=matchers,
        starts=starts,
        ends=ends,
        hours=hours,
        origin=place(table.node),
    )


def digest(owner: str, reason: str, matchers: Iterable[Matcher], starts: datetime) -> str:
    """The id of a silence that has none; it stays when the silence is ended early."""
    parts = [owner, reason, [str(one) for one in matchers], starts.isoformat()]
    return "s-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def _line(table: Table, key: str) -> str:
    text = table.text(key, required=True).strip()
    node = table.node_of(key)
    if node is not None and isinstance(node.value, str) and not 0 < len(text) <= TEXT_LIMIT:
        table.problems.add(node, f"{node.where}: expected a text of at most {TEXT_LIMIT} characters")
    return " ".join(text.split())


def _id(table: Table) -> str:
    text = table.text("id", loose=True)
    node = table.node_of("id")
    if node is not None and not isinstance(node.value, (dict, list)) and not _ID.fullmatch(text):
        table.problems.add(node, f"{node.where}: expected letters, digits, '.', '_' and '-', at most 64")
    return text


def _time(table: Table, key: str) -> datetime | None:
    text = table.text(key, required=True)
    node = table.node_of(key)
    if node is None or not isinstance(node.value, str):
        return None
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    table.problems.add(node, f"{node.where}: expected a time with its zone like {_EXAMPLE}, got {kind_words(node)}")
    return None


def faults(
    matchers: tuple[Matcher, ...], starts: datetime, ends: datetime, namespace: str, catalogue: Catalogue
) -> Iterator[tuple[str, str]]:
    """What no silence may be: the setting that is wrong, and the words for it."""
    if not matchers:
        yield "matchers", 'expected at least one, like service="wallet"'
    elif takes_everything(matchers, namespace, (Severity.PAGE,)) or _every_service(matchers, namespace, catalogue):
        yield "matchers", EVERYTHING
    if ends <= starts:
        yield "ends", "expected a time after starts"
    elif ends - starts > LONGEST:
        yield "ends", f"expected at most {LONGEST.days} days after starts"


def _every_service(matchers: tuple[Matcher, ...], namespace: str, catalogue: Catalogue) -> bool:
    """Whether the pages of every service that there is would be silenced, by what only says service or team."""
    if len(catalogue.services) < 2:
        return False
    return all(one.holds(labels) for labels in _pages(namespace, catalogue) for one in matchers)


def _pages(namespace: str, catalogue: Catalogue) -> list[Mapping[str, str]]:
    same = {"severity": Severity.PAGE.value, "namespace": namespace, "cause": "burn"}
    return [{"service": name, "team": one.team, **same} for name, one in catalogue.services.items()]
