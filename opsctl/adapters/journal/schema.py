"""The tables, as migrations: each applied once, in order, in one transaction. Times are microseconds since 1970.

Must never change a migration that was released: later needs are new entries at the end.
"""

from __future__ import annotations

FIRST = """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  started INTEGER NOT NULL, at INTEGER NOT NULL, full INTEGER NOT NULL, notify INTEGER NOT NULL,
  rules INTEGER NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL,
  ended INTEGER, exit_code INTEGER, success INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_success ON runs (success, ended);

CREATE TABLE verdicts (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  rule_uid TEXT NOT NULL, outcome TEXT NOT NULL, fresh INTEGER NOT NULL, headline TEXT NOT NULL, digest TEXT NOT NULL,
  first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, first_run INTEGER NOT NULL, last_run INTEGER NOT NULL,
  runs INTEGER NOT NULL
) STRICT;
CREATE INDEX verdicts_rule ON verdicts (rule_uid, id);

CREATE TABLE facts (
  kind TEXT NOT NULL, subject TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE alerts (
  key TEXT PRIMARY KEY,
  rule_uid TEXT NOT NULL, severity TEXT NOT NULL, state TEXT NOT NULL, route TEXT NOT NULL,
  episode INTEGER, opened INTEGER, triggers INTEGER NOT NULL, triggered INTEGER,
  under_since INTEGER, closed INTEGER, missing_runs INTEGER NOT NULL,
  alert TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_rule ON alerts (rule_uid);

CREATE TABLE episodes (
  episode INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL, rule_uid TEXT NOT NULL, rule_name TEXT NOT NULL, service TEXT NOT NULL, team TEXT NOT NULL,
  severity TEXT NOT NULL, cause TEXT NOT NULL, summary TEXT NOT NULL, runbook TEXT, route TEXT NOT NULL,
  since INTEGER NOT NULL, opened INTEGER NOT NULL, run INTEGER NOT NULL,
  acknowledged INTEGER, acknowledged_by TEXT,
  resolved INTEGER, resolved_by TEXT, reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX episodes_key ON episodes (key);
CREATE INDEX episodes_resolved ON episodes (resolved);

CREATE TABLE timeline (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  episode INTEGER NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
  who TEXT NOT NULL DEFAULT '', run INTEGER
) STRICT;
CREATE INDEX timeline_episode ON timeline (episode, at);

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL, episode INTEGER NOT NULL, action TEXT NOT NULL, repeat INTEGER NOT NULL,
  route TEXT NOT NULL, priority INTEGER NOT NULL, rule_name TEXT NOT NULL, body TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  created INTEGER NOT NULL, not_after INTEGER NOT NULL, due INTEGER NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, minimal INTEGER NOT NULL DEFAULT 0,
  via TEXT NOT NULL DEFAULT '', last_status INTEGER, last_error TEXT NOT NULL DEFAULT '',
  attempted INTEGER, accepted INTEGER, visible INTEGER, acknowledged INTEGER, resolved INTEGER, ended INTEGER,
  remote_id TEXT,
  UNIQUE (key, episode, action, repeat)
) STRICT;
CREATE INDEX outbox_unfinished ON outbox (id) WHERE state IN ('queued', 'attempted');
CREATE INDEX outbox_episode ON outbox (episode);

CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  outbox INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
  attempt INTEGER NOT NULL, pager TEXT NOT NULL, minimal INTEGER NOT NULL,
  started INTEGER NOT NULL, ended INTEGER, outcome TEXT NOT NULL, status INTEGER, message TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_outbox ON deliveries (outbox);

CREATE TABLE buckets (channel TEXT PRIMARY KEY, tokens REAL NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE runbook_runs (
  id TEXT PRIMARY KEY,
  runbook TEXT NOT NULL, digest TEXT NOT NULL, params TEXT NOT NULL, source TEXT NOT NULL,
  incident_key TEXT, who TEXT NOT NULL, state TEXT NOT NULL, note TEXT NOT NULL,
  started INTEGER NOT NULL, ended INTEGER
) STRICT;
CREATE INDEX runbook_runs_started ON runbook_runs (started);
CREATE INDEX runbook_runs_incident ON runbook_runs (incident_key);

CREATE TABLE runbook_steps (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL REFERENCES runbook_runs (id) ON DELETE CASCADE,
  step TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
  started INTEGER NOT NULL, ended INTEGER, output TEXT NOT NULL, exit_code INTEGER,
  idempotency_key TEXT, captured TEXT,
  UNIQUE (run, step, attempt)
) STRICT;
"""

SECOND = """
ALTER TABLE alerts ADD COLUMN withheld TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN visible INTEGER;
ALTER TABLE alerts ADD COLUMN seen_at INTEGER;
ALTER TABLE alerts ADD COLUMN remote_id TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN last_remote_id TEXT NOT NULL DEFAULT '';
ALTER TABLE episodes ADD COLUMN withheld TEXT NOT NULL DEFAULT '';
ALTER TABLE episodes ADD COLUMN visible INTEGER;
ALTER TABLE episodes ADD COLUMN confirmed INTEGER;
ALTER TABLE episodes ADD COLUMN remote_id TEXT NOT NULL DEFAULT '';
ALTER TABLE episodes ADD COLUMN remote_url TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN problems TEXT NOT NULL DEFAULT '';
CREATE INDEX outbox_resolves ON outbox (accepted) WHERE action = 'resolve';
UPDATE alerts SET route = CASE WHEN triggers > 0 THEN 'pagerduty/' || route ELSE '' END;
UPDATE episodes SET route = CASE severity WHEN 'page' THEN 'pagerduty/' || route ELSE '' END;
UPDATE outbox SET route = 'pagerduty/' || route,
  via = CASE via WHEN '' THEN '' WHEN 'pagerduty fallback' THEN 'pagerduty/fallback' ELSE 'pagerduty/' || route END;
ALTER TABLE deliveries RENAME COLUMN pager TO sink;
UPDATE deliveries SET sink = replace(sink, ' ', '/');
"""
"""Where things go is a sink and a key; what the far side shows is kept. `episodes.confirmed`: seen resolved there."""

MIGRATIONS: tuple[str, ...] = (FIRST, SECOND)

BASE = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied INTEGER NOT NULL) STRICT;
"""
