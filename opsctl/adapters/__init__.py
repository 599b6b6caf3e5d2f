"""The world that is not a signal: pager, journal, runbook steps, clock."""
