"""One cycle: ask, judge, and say what to remember; nothing is written and nobody is told here."""

from __future__ import annotations

from opsctl.engine.cycle import CycleReport, Limits, run_cycle
from opsctl.engine.facts import FACT_KINDS, memory_of

__all__ = ["FACT_KINDS", "CycleReport", "Limits", "memory_of", "run_cycle"]
