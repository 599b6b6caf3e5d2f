"""Commands that are offered for copying ask the configuration and the context of the command that offers them.

Must never offer one that answers from somewhere else.
"""

from __future__ import annotations

import shlex

from typer._click.globals import get_current_context

from opsctl.cli.frame import Frame


def pivot(run: Frame, command: str) -> str:
    """`opsctl …` with the global flags that were typed for this run; what the environment says holds for both."""
    flags = [("--config", run.config), ("--context", run.context)]
    root = get_current_context().find_root()
    typed = []
    for flag, value in flags:
        source = root.get_parameter_source(flag[2:])
        if value is not None and source is not None and source.name == "COMMANDLINE":
            typed += [flag, shlex.quote(str(value))]
    return " ".join(["opsctl", *typed, command.removeprefix("opsctl ")])
