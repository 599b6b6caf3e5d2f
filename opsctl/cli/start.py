"""Plain `opsctl`: the state of the context and the next useful commands."""

from __future__ import annotations

import sys

from opsctl.cli.frame import Frame
from opsctl.errors import ConfigError, UsageError

NEXT = (
    ("opsctl check", "judge every rule and exit with a verdict"),
    ("opsctl status", "one line a service, worst first"),
    ("opsctl incident ls", "what is open, as we know it"),
    ("opsctl doctor", "is opsctl itself fit"),
)


def start(frame: Frame) -> None:
    """Say which context this is, what it holds, and what to type next."""
    try:
        composition = frame.composition
    except UsageError as missing:
        sys.stdout.write(f"{missing}\n")
        sys.stdout.write("\n  opsctl demo            see the whole main job on a simulated platform\n")
        sys.stdout.write(
            "  opsctl config init     write a configuration to start from\n  opsctl --help          all commands\n"
        )
        return
    context = composition.context
    sys.stdout.write(f"context {context.name}, namespace {context.namespace}")
    sys.stdout.write(f", {composition.settings.path}\n" if composition.settings.path else "\n")
    try:
        rules = composition.rules
        services = len(composition.catalogue.services)
        sys.stdout.write(f"{len(rules.slos)} SLOs, {len(rules.alerting)} alert rules, {services} services\n\n")
    except ConfigError as wrong:
        sys.stdout.write(f"{wrong}\n\n")
    for command, what in NEXT:
        sys.stdout.write(f"  {command:<22} {what}\n")
