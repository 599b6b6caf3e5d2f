"""What a verdict was made from: the record of each question, digests, fingerprints of rules.

Pure. Must never leave out a reading that the verdict leans on: a saved verdict is judged again from this alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from opsctl.core.rules import AlertingRule, Asked, Evidence, Rule
from opsctl.core.signals import Absent, Failed, Matrix, Measured, Reading, Vector
from opsctl.core.slo import Slo


def asked(query: str, at: datetime, reading: Reading[Vector], *, elements: bool = False) -> Asked:
    """The record of an instant question; `elements` keeps every element even of a short answer."""
    match reading:
        case Absent(backend, _, notes):
            return Asked(query, at, "absent", backend, warnings=notes)
        case Failed(reason, message, backend, partial, warnings):
            kept = partial.samples if partial is not None else ()
            return Asked(query, at, "failed", backend, None, len(kept), message, warnings, reason=reason, samples=kept)
        case Measured(data, backend, _, notes):
            samples = data.samples
            one = len(samples) == 1 and not elements
            value = samples[0].value if one else None
            return Asked(
                query, at, "measured", backend, value, len(samples), None, notes, samples=() if one else samples
            )


def looked_back(query: str, start: datetime, end: datetime, step: timedelta, reading: Reading[Matrix]) -> Asked:
    """The record of a look back: every step from `start` to `end`."""
    match reading:
        case Absent(backend, _, notes):
            return Asked(query, end, "absent", backend, warnings=notes, since=start, step=step)
        case Failed(reason, message, backend, _, warnings):
            return Asked(
                query, end, "failed", backend, None, 0, message, warnings, reason=reason, since=start, step=step
            )
        case Measured(data, backend, _, notes):
            n = len(data.series)
            return Asked(
                query, end, "measured", backend, None, n, None, notes, since=start, step=step, series=data.series
            )


def sealed(evidence: Evidence) -> Evidence:
    """The evidence with its digest: sha256 over its canonical JSON without the digest."""
    return replace(evidence, digest=digest(evidence))


def digest(evidence: Evidence) -> str:
    """What `sealed` writes into evidence; of a saved one it must come out the same."""
    bare = replace(evidence, digest="") if evidence.digest else evidence
    return hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


def fingerprint(rule: Rule) -> str:
    """Changes with everything that a remembered state depends on: an edited rule computes its state afresh."""
    return _slo_print(_slo_key(rule)) if isinstance(rule, Slo) else _rule_print(_rule_key(rule))


def _slo_key(slo: Slo) -> tuple[object, ...]:
    queries = tuple((window, slo.queries[window]) for window in slo.burn.windows())
    return (slo.target, slo.severity, slo.burn, slo.part, queries, slo.missing_part, slo.confidence, slo.min_events)


def _rule_key(rule: AlertingRule) -> tuple[object, ...]:
    labels = tuple(sorted(rule.labels.items()))
    return (rule.name, rule.expr, rule.for_, rule.keep_firing_for, labels, rule.interval, rule.query_offset)


@lru_cache(maxsize=8192)
def _slo_print(key: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


_rule_print = _slo_print
