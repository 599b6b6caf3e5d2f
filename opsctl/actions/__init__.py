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
from opsctl.actions.desk import READ_ONLY, Desk, refusal, user
from opsctl.actions.incidents import note_words, trusted
from opsctl.actions.runs import Nobody, Prepared, Resumable, ended
from opsctl.actions.silences import known_silence, new_silence, reach, silence_file

__all__ = [
    "READ_ONLY",
    "Acknowledge",
    "Acting",
    "Action",
    "Desk",
    "Done",
    "EndSilence",
    "MakeSilence",
    "Nobody",
    "Planned",
    "Prepared",
    "Resolve",
    "Resumable",
    "ResumeRun",
    "Risk",
    "StartRun",
    "WriteNote",
    "ended",
    "known_silence",
    "new_silence",
    "note_words",
    "reach",
    "refusal",
    "silence_file",
    "trusted",
    "user",
]
