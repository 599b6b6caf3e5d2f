"""What the deliveries say of a page besides its row: whether anybody was told, and where else it may be open.

Inside the caller's transaction. Must never take a refusal for an incident.
"""

from __future__ import annotations

import sqlite3

_TOLD = """
SELECT count(*) AS tried, count(accepted) AS told FROM outbox WHERE key = ? AND episode = ? AND action = 'trigger'
"""
_TAKEN_BY = """
SELECT via FROM outbox WHERE key = ? AND episode = ? AND action = 'trigger' AND accepted IS NOT NULL AND via != ''
ORDER BY id LIMIT 1
"""
_PERHAPS = """
SELECT DISTINCT d.sink FROM deliveries d JOIN outbox o ON o.id = d.outbox
WHERE o.key = :key AND o.episode = :episode AND o.action = 'trigger' AND d.sink != :taken
AND (d.outcome = 'accepted' OR (d.outcome IN ('retry', 'unknown') AND coalesce(d.status, 500) >= 500))
AND NOT EXISTS (SELECT 1 FROM outbox r WHERE r.key = :key AND r.episode = :episode AND r.action = 'resolve'
  AND r.state IN ('queued', 'attempted') AND r.via = d.sink)
"""
_ALSO_THERE = """
INSERT INTO outbox (key, episode, action, repeat, route, via, priority, rule_name, body, reason, created, not_after,
  due, state)
SELECT key, episode, action, repeat + 1, :place, :place, priority, rule_name, body, reason, created, not_after,
  due, 'queued'
FROM outbox WHERE key = :key AND episode = :episode AND action = 'resolve' ORDER BY repeat DESC LIMIT 1
"""


def nobody_was_told(db: sqlite3.Connection, key: str, episode: int) -> bool:
    """Whether a page was tried and nothing took it: its next try is no mere repeat."""
    row = db.execute(_TOLD, (key, episode)).fetchone()
    return bool(row["tried"]) and not row["told"]


def resolve_elsewhere(db: sqlite3.Connection, key: str, episode: int) -> None:
    """Where a resolve waits: also one for each other place that took the page, or whose answer was lost."""
    taken = db.execute(_TAKEN_BY, (key, episode)).fetchone()
    waits = "SELECT 1 FROM outbox WHERE key = ? AND episode = ? AND action = 'resolve' AND state = 'queued'"
    if taken is None or not db.execute(waits, (key, episode)).fetchone():
        return
    where: dict[str, object] = {"key": key, "episode": episode}
    for row in db.execute(_PERHAPS, where | {"taken": taken["via"]}).fetchall():
        db.execute(_ALSO_THERE, where | {"place": row["sink"]})
