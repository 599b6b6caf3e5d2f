"""The pages that the daemon serves: /metrics, /healthz (does it live?) and /readyz (does it do its work?)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from opsctl.adapters.listener import Page, Reply
from opsctl.daemon.health import Patience, dead, unready
from opsctl.daemon.metrics import Numbers
from opsctl.daemon.turn import WatchTurn
from opsctl.loop import Pulse
from opsctl.ports import Clock
from opsctl.render.text import clean


def pages(
    turn: WatchTurn, numbers: Numbers, pulse: Pulse, patience: Callable[[], Patience], clock: Clock
) -> Mapping[str, Page]:
    """Each page by its path; all of them are made without asking anybody."""

    def metrics(headers: Mapping[str, str]) -> Reply:
        body, content_type = numbers.page(headers.get("accept", ""))
        return Reply(200, body, content_type)

    def healthz(headers: Mapping[str, str]) -> Reply:
        return _said(dead(pulse, patience(), clock.monotonic()), turn)

    def readyz(headers: Mapping[str, str]) -> Reply:
        reasons = (
            *dead(pulse, patience(), clock.monotonic()),
            *unready(turn.standing, patience(), clock.now()),
        )
        return _said(reasons, turn)

    return {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}


def _said(reasons: Iterable[str], turn: WatchTurn) -> Reply:
    """200 without reasons, else 503; what is wrong and costs no page yet stands among the warnings."""
    found = [clean(reason) for reason in reasons]
    standing = turn.standing
    warnings = [f"the new configuration is wrong: {standing.config_problem}"] if standing.config_problem else []
    body = {
        "schema": "opsctl/watch/health/v1",
        "status": "failing" if found else "ok",
        "reasons": found,
        "warnings": [clean(warning) for warning in warnings],
        "begun": standing.begun,
        "last_success": standing.last_success,
    }
    return Reply(503 if found else 200, msgspec.json.encode(body) + b"\n", "application/json")
