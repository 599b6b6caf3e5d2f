"""What the leader key offers about an incident or an alert: acknowledge, resolve, a note, a silence.

Must never act: it makes actions, or asks for what they lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opsctl.actions import Acknowledge, Action, MakeSilence, Resolve, WriteNote, new_silence
from opsctl.core.routing import Matcher
from opsctl.core.windows import parse_duration
from opsctl.errors import UsageError
from opsctl.ports import Incident
from opsctl.render.text import clean
from opsctl.tui.dialogs import Field, Values, ask
from opsctl.tui.pane import Offer

if TYPE_CHECKING:
    from opsctl.tui.app import OpsctlApp

FOR = "1h"
"""How long a silence is offered for."""
_MOST = 900  # characters of matchers that are prefilled
_NAMED = ("alertname", "service")


def incident_offers(app: OpsctlApp, one: Incident) -> list[Offer]:
    """Take it, write on it, close it; nothing for one that is resolved."""
    if one.resolved is not None:
        return []
    number, name = one.episode, f"#{one.episode} {one.rule_name}"
    return [
        Offer("a", f"acknowledge {name}", lambda: Acknowledge(number)),
        Offer("n", f"write a note on {name}", lambda: _note(app, number, name)),
        Offer("r", f"resolve {name}", lambda: Resolve(number)),
    ]


def silence_offer(app: OpsctlApp, name: str, labels: Mapping[str, str], identity: Mapping[str, str]) -> Offer:
    """Silence what has these labels."""
    return Offer("s", f"silence {name} for a time", lambda: _silence(app, name, prefilled(labels, identity)))


def prefilled(labels: Mapping[str, str], identity: Mapping[str, str]) -> str:
    """Matchers of an alert, as one types them; what cannot be typed as it is is left out."""
    wanted = {name: labels.get(name, "") for name in _NAMED} | dict(identity)
    parts: list[str] = []
    for name, value in wanted.items():
        said = str(Matcher(name, "=", value))
        if value and clean(said) == said and sum(map(len, parts)) + len(said) < _MOST:
            parts.append(said)
    return ", ".join(parts)


def _note(app: OpsctlApp, episode: int, name: str) -> Action | None:
    title = (((f"Note on {name}", "strong"),),)
    ask(app, title, (Field("text", "note"),), lambda values: WriteNote(episode, values["text"]))
    return None


def _silence(app: OpsctlApp, name: str, matchers: str) -> Action | None:
    title = (
        ((f"Silence {name}", "strong"),),
        (("nobody is told of what every matcher takes; it is judged as ever", "dim"),),
    )
    fields = (
        Field("matchers", "matchers", matchers, 'service="wallet", region="eu-1"'),
        Field("for", "for", FOR, "2h; at most 90d"),
        Field("reason", "reason", "", "stands beside each alert that is withheld"),
    )
    ask(app, title, fields, lambda values: silence_of(app, values))
    return None


def silence_of(app: OpsctlApp, values: Values) -> MakeSilence:
    """The silence that was typed; UsageError or ValueError as `opsctl alert silence` has it."""
    try:
        length = parse_duration(values["for"].strip())
    except ValueError:
        raise UsageError(f"for {values['for']}: expected a duration like 10s, 5m or 1h30m") from None
    if not values["matchers"].strip():
        raise UsageError('matchers: expected at least one, like service="wallet"')
    if not values["reason"].strip():
        raise UsageError("reason: say why; it stands beside each alert that is withheld")
    made = new_silence(app.now, (values["matchers"],), length, values["reason"], app.desk.who)
    return MakeSilence(made)
