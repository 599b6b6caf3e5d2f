"""What the palette offers: everything that one can look at or do from here, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from opsctl.core.windows import format_duration
from opsctl.tui.panes import PANES
from opsctl.tui.picker import Choice
from opsctl.tui.tones import NAMES

if TYPE_CHECKING:
    from opsctl.tui.shell import Shell

WINDOWS = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 180, 360, 1440, 10_080))


def choices(app: Shell) -> Iterator[Choice]:
    """All of them, in groups."""
    yield from _actions(app)
    for entry in PANES:
        yield Choice(entry.title, "screens", entry.key, partial(app.go, entry.name))
    known = app.known()
    for name in known.services:
        yield Choice(name, "services", "look at it", partial(app.go, "service", service=name))
    report = app.report
    for one in report.incidents if report is not None else ():
        note = f"{one.state} {one.service}"
        yield Choice(
            f"#{one.episode} {one.rule_name}", "incidents", note, partial(app.go, "incidents", incident=one.episode)
        )
    for book in app.composition.runbooks:
        yield Choice(book.id, "runbooks", book.title, partial(app.go, "runbooks", runbook=book.id))
    yield from _rest(app)


def _actions(app: Shell) -> Iterator[Choice]:
    """What the leader key offers here, and the keys of this screen."""
    pane = app.pane
    for offer in pane.offers() if pane is not None else ():
        yield Choice(offer.label, "act", f"x {offer.key}", partial(_act, app, offer.make))
    for active in app.screen.active_bindings.values():
        binding = active.binding
        if binding.id and binding.id.partition(".")[0] == app.screen_name and binding.description:
            run = partial(app.run_action, binding.action, active.node)
            yield Choice(binding.description, "this screen", app.get_key_display(binding), run)


def _act(app: Shell, make: Callable[[], object]) -> None:
    action = make()
    if action is not None:
        app.propose(action)  # type: ignore[arg-type]


def _rest(app: Shell) -> Iterator[Choice]:
    pane = app.pane
    if pane is not None and pane.filter_text() is not None:
        for text in dict.fromkeys(reversed(app.query_one_bar().past("/"))):
            yield Choice(text, "recent filters", "", partial(pane.set_filter, text))
    for length in WINDOWS:
        words = format_duration(length)
        yield Choice(f"window {words}", "time", "", partial(app.take_command, f"window {words}"))
    yield Choice("live: follow the clock", "time", "L", app.action_live)
    for name in NAMES:
        yield Choice(f"theme {name}", "themes", "", partial(app.take_command, f"theme {name}"))
    for word, what in (("write", "lift the read-only of a protected context"), ("ro", "read-only again")):
        yield Choice(f":{word}", "commands", what, partial(app.take_command, word))
