"""Dedup keys: what makes two pages the same incident, on every host and in every process.

Must never depend on anything but namespace, rule uid, severity and identity labels: a key that changed would leave
an open incident that nobody resolves.
"""

from __future__ import annotations

import hashlib
import json

from opsctl.core.alerts import Alert
from opsctl.core.signals import Labels
from opsctl.core.slo import Severity

PREFIX = "opsctl/"


def dedup_key(namespace: str, rule_uid: str, severity: Severity, identity: Labels) -> str:
    """`opsctl/` and 40 hex digits of sha256 over the canonical JSON of its parts; far under PagerDuty's 255."""
    parts = [namespace, rule_uid, severity.value, sorted([name, value] for name, value in identity)]
    canonical = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return PREFIX + hashlib.sha256(canonical.encode()).hexdigest()[:40]


def key_of(namespace: str, alert: Alert) -> str:
    """The dedup key of an alert."""
    return dedup_key(namespace, alert.rule_uid, alert.severity, alert.identity)


def short(key: str) -> str:
    """The first eight hex digits, as people type a key."""
    return key.removeprefix(PREFIX)[:8]
