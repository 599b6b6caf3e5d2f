"""What changes something: planned, refused where that is not allowed, done. TUI and command line both ask here.

Effects are values: an `Action` says what, a `Planned` how far it reaches and which command does the same, a `Done` what
became of it. Must never print, prompt, or clean text: whoever shows it does.
"""

from opsctl.actions.action import (
    Acknowledge,
    Acting,
    Action,
    Done,
    EndSilence,
    MakeSilence,
    Planned,
    Resolve,
    ResumeRun,
    Risk,
    StartRun,
    WriteNote,
)
from opsctl.actions.desk import READ_ONLY, Desk, user

__all__ = [
    "READ_ONLY",
    "Acknowledge",
    "Acting",
    "Action",
    "Desk",
    "Done",
    "EndSilence",
    "MakeSilence",
    "Planned",
    "Resolve",
    "ResumeRun",
    "Risk",
    "StartRun",
    "WriteNote",
    "user",
]
