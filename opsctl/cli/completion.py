"""`opsctl completion SHELL`: the script that makes a shell complete our words."""

from __future__ import annotations

import sys

import typer

from opsctl.errors import UsageError

SHELLS = ("bash", "zsh", "fish", "powershell")


def completion(shell: str = typer.Argument(..., metavar="bash|zsh|fish|powershell")) -> None:
    """Print the completion script of a shell; `source <(opsctl completion bash)` switches it on."""
    from typer._completion_classes import completion_init
    from typer._completion_shared import get_completion_script

    if shell not in SHELLS:
        raise UsageError(f"no completion for {shell}: expected one of {', '.join(SHELLS)}")
    completion_init()
    script = get_completion_script(prog_name="opsctl", complete_var="_OPSCTL_COMPLETE", shell=shell)
    sys.stdout.write(script.rstrip() + "\n")
