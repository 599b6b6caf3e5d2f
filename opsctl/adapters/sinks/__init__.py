"""Where events go: one module a kind of sink, imported on use. `open_sinks` makes those of a context.

docs/sinks.md says what each of them does; tests/contract/test_sinks.py holds all of them to the port `Sink`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from opsctl.core.routing import target
from opsctl.ports import IncidentReader, Sink, Sinks

if TYPE_CHECKING:
    from opsctl.files.context import Backend, ContextSettings, Opsgenie, PagerDuty, Secret
    from opsctl.http import Endpoint
    from opsctl.ports.account import Account, ChangeEvents

FALLBACK = "fallback"
_FALLBACKS = {"alertmanager": FALLBACK, "opsgenie": ""}
"""What is asked after PagerDuty's fallback key, where it is configured, and under which key."""

Parts = tuple[Sequence[Sink], Sequence[IncidentReader]]


def open_sinks(
    context: ContextSettings,
    env: Mapping[str, str],
    now: Callable[[], datetime],
    reach: Callable[[Backend], Endpoint],
    say: Callable[[str], None],
) -> Sinks:
    """Every sink that the context configures; a secret is read when the first event needs it.

    `reach` says how to get at a backend of the configuration; `say` prints a line of outside text safely.
    """
    from opsctl.files.secrets import resolve

    def secret(one: Secret) -> str:
        return resolve(one, env)

    parts: list[Parts] = []
    if context.pagerduty is not None:
        parts.append(_pagerduty(context.pagerduty, secret, now))
    if context.opsgenie is not None:
        parts.append(_opsgenie(context.opsgenie, secret, now))
    if context.alertmanager is not None:
        parts.append(_alertmanager(context, reach(context.alertmanager), now))
    for name, hook in context.webhooks.items():
        from opsctl.adapters.sinks.webhook import Webhook

        signing = partial(secret, hook.signing) if hook.signing is not None else None
        parts.append(((Webhook(name, reach(hook.backend), now, signing),), ()))
    if context.console:
        from opsctl.adapters.sinks.console import Console

        parts.append(((Console(say),), ()))
    sinks = [sink for some, _ in parts for sink in some]
    readers = tuple(reader for _, some in parts for reader in some)
    return Sinks({one.name: one for one in sinks}, _fallbacks(context), readers)


def open_account(context: ContextSettings, env: Mapping[str, str]) -> Account | None:
    """Whom to ask who is on call: PagerDuty, where the context has a REST token."""
    from opsctl.files.secrets import resolve

    if context.pagerduty is None or context.pagerduty.rest is None:
        return None
    from opsctl.adapters.sinks.pagerduty_account import open_account

    return open_account(context.pagerduty, lambda secret: resolve(secret, env))


def open_change_events(context: ContextSettings, env: Mapping[str, str]) -> ChangeEvents | None:
    """Who takes news of deployments: PagerDuty, where the context has it."""
    from opsctl.files.secrets import resolve

    if context.pagerduty is None:
        return None
    from opsctl.adapters.sinks.pagerduty import open_pagerduty

    return open_pagerduty(context.pagerduty, lambda secret: resolve(secret, env))


def _fallbacks(context: ContextSettings) -> tuple[str, ...]:
    """Where refused events go, in this order; the sink that takes pages by default has refused them already."""
    found: list[str] = []
    if context.pagerduty is not None and FALLBACK in context.pagerduty.routing_keys:
        found.append(target("pagerduty", FALLBACK))
    names = context.sinks()
    return (*found, *(target(name, key) for name, key in _FALLBACKS.items() if name in names[1:]))


def _pagerduty(settings: PagerDuty, secret: Callable[[Secret], str], now: Callable[[], datetime]) -> Parts:
    from opsctl.adapters.sinks.pagerduty_parts import open_parts

    return open_parts(settings, secret, now)


def _opsgenie(settings: Opsgenie, secret: Callable[[Secret], str], now: Callable[[], datetime]) -> Parts:
    from opsctl.adapters.sinks.opsgenie import open_opsgenie
    from opsctl.adapters.sinks.opsgenie_reader import OpsgenieReader

    sink, account = open_opsgenie(settings, secret)
    return (sink,), ((OpsgenieReader(account, now),) if account.readable else ())


def _alertmanager(context: ContextSettings, endpoint: Endpoint, now: Callable[[], datetime]) -> Parts:
    """An alert that goes under the line is kept for `hold_open` without a word, so it lasts that much longer.

    What another sink refused is that sink's, and said again every `repeat_interval`.
    """
    from opsctl.adapters.sinks.alertmanager import LASTS, Alertmanager, FarSide
    from opsctl.adapters.sinks.alertmanager_reader import ANSWER_BYTES, AlertmanagerReader
    from opsctl.adapters.sinks.posting import Server

    far, lasts = FarSide(now), LASTS + context.paging.hold_open
    refused_lasts = lasts + context.paging.repeat_interval
    sink = Alertmanager(Server(endpoint), context.namespace, far, lasts, refused_lasts)
    return (sink,), (AlertmanagerReader(Server(endpoint, answer_bytes=ANSWER_BYTES), context.namespace, far),)
