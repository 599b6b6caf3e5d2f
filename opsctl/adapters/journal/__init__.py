"""The journal: one SQLite file per context that remembers what was decided, sent and run.

Must never be the judge of health, hold a routing key, or stop a page: a journal that cannot be trusted is moved aside
and the run goes on (`Journal.problem` says so).
"""

from opsctl.adapters.journal.store import SqliteJournal, open_journal

__all__ = ["SqliteJournal", "open_journal"]
