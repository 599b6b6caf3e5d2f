"""Which sinks, readers and fallbacks a context gets from what it configures, and that none of it is touched before use."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from opsctl.adapters.sinks import open_sinks
from opsctl.files.context import (
    Backend,
    ContextSettings,
    Opsgenie,
    PagerDuty,
    Paging,
    Rest,
    Secret,
    Webhook,
)
from opsctl.http import Endpoint
from opsctl.ports import Sinks
from tests.contract.sink_world import now

NEVER = Secret("file", "/nowhere/at-all")
"""A secret that cannot be read: whoever reads it too early fails."""
PARTS: dict[str, dict[str, Any]] = {
    "pagerduty": {"pagerduty": PagerDuty({"default": NEVER})},
    "pagerduty with fallback": {"pagerduty": PagerDuty({"default": NEVER, "fallback": NEVER})},
    "pagerduty with rest": {"pagerduty": PagerDuty({"default": NEVER}, rest=Rest(NEVER, "a@example.com"))},
    "opsgenie": {"opsgenie": Opsgenie("https://api.opsgenie.com", {"default": NEVER})},
    "jsm": {"opsgenie": Opsgenie("https://api.atlassian.com/jsm/ops/integration", {"default": NEVER})},
    "alertmanager": {"alertmanager": Backend("https://am.example")},
    "webhook": {"webhooks": MappingProxyType({"chat": Webhook(Backend("https://hooks.example/x"), NEVER)})},
    "console": {"console": True},
}


def opened(*names: str, **changes: Any) -> Sinks:
    settings: dict[str, Any] = {"name": "t", "namespace": "t", "state_dir": Path("/nowhere"), "base": Path("/nowhere")}
    for name in names:
        settings |= PARTS[name]
    context = ContextSettings(**settings, **changes)
    return open_sinks(context, {}, now, lambda backend: Endpoint(backend.url), lambda line: None)


@pytest.mark.parametrize(
    ("parts", "sinks", "readers", "fallbacks"),
    [
        ((), (), (), ()),
        (("pagerduty",), ("pagerduty",), (), ()),
        (("pagerduty with rest",), ("pagerduty",), ("pagerduty",), ()),
        (("pagerduty with fallback",), ("pagerduty",), (), ("pagerduty/fallback",)),
        (("opsgenie",), ("opsgenie",), ("opsgenie",), ()),
        (("jsm",), ("opsgenie",), (), ()),
        (("alertmanager",), ("alertmanager",), ("alertmanager",), ()),
        (("webhook",), ("webhook/chat",), (), ()),
        (("console",), ("console",), (), ()),
        (
            ("opsgenie", "alertmanager"),
            ("opsgenie", "alertmanager"),
            ("opsgenie", "alertmanager"),
            ("alertmanager/fallback",),
        ),
        (
            ("pagerduty with fallback", "opsgenie", "alertmanager", "webhook", "console"),
            ("pagerduty", "opsgenie", "alertmanager", "webhook/chat", "console"),
            ("opsgenie", "alertmanager"),
            ("pagerduty/fallback", "alertmanager/fallback", "opsgenie/"),
        ),
    ],
    ids=lambda value: "+".join(value) or "none",
)
def test_what_is_configured_is_there_in_the_order_that_it_is_asked(
    parts: tuple[str, ...], sinks: tuple[str, ...], readers: tuple[str, ...], fallbacks: tuple[str, ...]
) -> None:
    made = opened(*parts)
    assert tuple(made.by_name) == sinks
    assert tuple(reader.name for reader in made.readers) == readers
    assert made.fallbacks == fallbacks
    made.close()
    made.close()


def test_an_alert_outlasts_hold_open_and_a_refused_one_the_next_repeat() -> None:
    """Held open nobody says it; what PagerDuty refused is said once in `repeat_interval`."""
    paging = Paging(hold_open=timedelta(minutes=30), repeat_interval=timedelta(hours=2))
    sink = opened("alertmanager", paging=paging).by_name["alertmanager"]
    assert sink._lasts == timedelta(minutes=34)  # type: ignore[attr-defined]
    assert sink._refused_lasts == timedelta(hours=2, minutes=34)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("configured", "never"),
    [
        ("alertmanager", ("pagerduty", "httpx2", "opsctl.adapters.sinks.opsgenie", "opsctl.adapters.sinks.webhook")),
        ("webhook", ("pagerduty", "httpx2", "opsctl.adapters.sinks.alertmanager")),
        ("console", ("pagerduty", "httpx2", "opsctl.http", "opsctl.adapters.sinks.posting")),
        ("pagerduty", ("httpx2", "opsctl.adapters.sinks.alertmanager", "opsctl.adapters.sinks.opsgenie")),
    ],
)
def test_only_the_configured_kind_is_imported(configured: str, never: tuple[str, ...]) -> None:
    code = f"""
import sys
from pathlib import Path
from opsctl.adapters.sinks import open_sinks
from opsctl.files.context import Backend, ContextSettings, PagerDuty, Secret, Webhook
parts = {{
    "alertmanager": {{"alertmanager": Backend("https://am.example")}},
    "webhook": {{"webhooks": {{"chat": Webhook(Backend("https://hooks.example/x"))}}}},
    "console": {{"console": True}},
    "pagerduty": {{"pagerduty": PagerDuty({{"default": Secret("env", "X")}})}},
}}[{configured!r}]
def reach(backend):
    from opsctl.http import Endpoint
    return Endpoint(backend.url)
open_sinks(ContextSettings("t", "t", Path("/n"), Path("/n"), **parts), {{}}, None, reach, print)
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert not set(never) & set(done.stdout.split())
