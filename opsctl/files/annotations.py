"""The annotations `opsctl.dev/…` of an OpenSLO objective (docs/configuration.md), as typed values.

Must never let an unknown one pass: it would be a wish that nobody reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from opsctl.core.frozen import dataclass
from opsctl.core.slo import MissingBad, OnNoEvents, Severity
from opsctl.files.burn import SEVERITIES
from opsctl.files.nodes import Node, Problems, Table, kind_words

PREFIX = "opsctl.dev/"
KEYS = (
    "windows",
    "tier",
    "rule-uid",
    "formerly",
    "on-no-data",
    "on-no-events",
    "missing-bad",
    "min-events",
    "confidence",
    "runbook",
    "runbook-no-data",
    "identity-labels",
    "exclude",
)


@dataclass(frozen=True, slots=True)
class Annotations:
    """What an author said; None where they said nothing. `nodes` has the place of each one that was said."""

    nodes: Mapping[str, Node]
    windows: str | None = None
    tier: Severity | None = None
    rule_uid: str | None = None
    formerly: tuple[str, ...] = ()
    on_no_data: Severity | None = None
    on_no_events: OnNoEvents | None = None
    missing_bad: MissingBad | None = None
    min_events: int = 0
    confidence: float = 0.95
    runbook: str | None = None
    runbook_no_data: str | None = None
    identity_labels: tuple[str, ...] = ()


def read_annotations(metadata: Table, problems: Problems) -> Annotations:
    """Read them; other annotations than ours are left alone."""
    node = metadata.node_of("annotations")
    if node is None:
        return Annotations({})
    found: dict[str, Node] = {}
    for key, child in Table(node, problems, None).items():
        if not key.startswith(PREFIX):
            continue
        if key.removeprefix(PREFIX) in KEYS:
            found[key.removeprefix(PREFIX)] = child
        else:
            known = [PREFIX + name for name in KEYS]
            problems.unknown(child, "annotation", key, known)
    read = _Reader(found, problems)
    if "exclude" in found:
        words = f"{PREFIX}exclude is not supported: windows of planned work cannot be left out of a budget"
        problems.add(found["exclude"], words)
    return Annotations(
        nodes=found,
        windows=read.text("windows"),
        tier=read.severity("tier"),
        rule_uid=read.text("rule-uid"),
        formerly=read.words("formerly"),
        on_no_data=read.severity("on-no-data"),
        on_no_events=cast("Literal['unknown', 'pass'] | None", read.choice("on-no-events", ("unknown", "pass"))),
        missing_bad=cast("Literal['zero', 'no-data'] | None", read.choice("missing-bad", ("zero", "no-data"))),
        min_events=int(read.number("min-events", 0, 0, 1e9, whole=True)),
        confidence=read.number("confidence", 0.95, 0.5, 0.999999),
        runbook=read.text("runbook"),
        runbook_no_data=read.text("runbook-no-data"),
        identity_labels=read.words("identity-labels"),
    )


class _Reader:
    """Typed values of annotations: they may be written as text, as Kubernetes wants it, or as YAML values."""

    def __init__(self, found: Mapping[str, Node], problems: Problems) -> None:
        self.found = found
        self.problems = problems

    def _wrong(self, key: str, expected: str) -> None:
        node = self.found[key]
        self.problems.add(node, f"{PREFIX}{key}: expected {expected}, got {kind_words(node)}")

    def text(self, key: str) -> str | None:
        node = self.found.get(key)
        if node is None:
            return None
        if isinstance(node.value, str) and node.value.strip():
            return node.value.strip()
        self._wrong(key, "a text")
        return None

    def choice(self, key: str, words: tuple[str, ...]) -> str | None:
        node = self.found.get(key)
        if node is None:
            return None
        if node.value in words:
            return str(node.value)
        self._wrong(key, f"one of {', '.join(words)}")
        return None

    def severity(self, key: str) -> Severity | None:
        word = self.choice(key, SEVERITIES)
        return Severity(word) if word else None

    def words(self, key: str) -> tuple[str, ...]:
        """A list, or words with commas between."""
        node = self.found.get(key)
        if node is None:
            return ()
        if isinstance(node.value, str):
            return tuple(part.strip() for part in node.value.split(",") if part.strip())
        if isinstance(node.value, list) and all(isinstance(item.value, str) for item in node.value):
            return tuple(str(item.value) for item in node.value)
        self._wrong(key, 'a list of texts, or "a, b"')
        return ()

    def number(self, key: str, default: float, least: float, most: float, *, whole: bool = False) -> float:
        node = self.found.get(key)
        if node is None:
            return default
        kind = "a whole number" if whole else "a number"
        try:
            if isinstance(node.value, (bool, dict, list)) or node.value is None:
                raise ValueError
            value = int(node.text) if whole else float(node.text)
            if least <= value <= most:
                return value
        except ValueError:
            pass
        self._wrong(key, f"{kind} from {least:g} to {most:g}")
        return default
