"""The world that is not a signal: sinks, journal, runbook steps, clock."""
