"""The entry point: lazy commands, global flags, and the one place that maps errors to exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer._click import exceptions as click_exceptions
from typer._click.core import Command, Context
from typer.core import TyperGroup

from opsctl.cli.frame import Frame
from opsctl.cli.streams import drop, flushed, prepare, reader_left, talk
from opsctl.errors import ExitCode, OpsctlError

if TYPE_CHECKING:
    from opsctl.adapters.telemetry import Telemetry
    from opsctl.app import Composition
    from opsctl.ports import Clock

# name -> (module:attribute, one line of help). The attribute is a Typer (a group) or a function (one command).
COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("opsctl.cli.check:check", "Evaluate the rules and exit with a verdict: for cron and CI."),
    "watch": ("opsctl.cli.watch:watch", "The checks again and again, with metrics and health of its own."),
    "status": ("opsctl.cli.status:status", "One line a service, worst first."),
    "tui": ("opsctl.cli.tui:tui", "The board: live, on one screen, from a red row to its runbook."),
    "service": ("opsctl.cli.service:app", "The catalogue: who owns what, what is watched, who needs whom."),
    "slo": ("opsctl.cli.slo:app", "Objectives: what they ask and what is left of their budgets."),
    "rule": ("opsctl.cli.rule:app", "Alert rules: list them, evaluate one."),
    "metric": ("opsctl.cli.metric:app", "Ask PromQL now or over time; metrics, labels, exemplars."),
    "log": ("opsctl.cli.log:app", "Log lines: search, follow, group by pattern."),
    "trace": ("opsctl.cli.trace:app", "Traces: find them, where their time went, what two differ in."),
    "alert": ("opsctl.cli.alert:app", "Alerts: what fires, where it goes and why, what is silenced."),
    "incident": ("opsctl.cli.incident:app", "Incidents: who was told, and why not; acknowledge, resolve."),
    "oncall": ("opsctl.cli.oncall:app", "Who is on call now, or at another time, as PagerDuty has it."),
    "change": ("opsctl.cli.change:app", "Tell PagerDuty of deployments and other changes."),
    "runbook": ("opsctl.cli.runbook:app", "Runbooks: plan, run, resume, test."),
    "grafana": ("opsctl.cli.grafana:app", "Dashboards from the catalogue and its objectives."),
    "config": ("opsctl.cli.config:app", "The configuration: make one, show it, check it."),
    "doctor": ("opsctl.cli.doctor:doctor", "Is opsctl itself fit: backends, clocks, journal, rules."),
    "demo": ("opsctl.cli.demo:demo", "The whole main job on an embedded platform, nothing installed."),
    "completion": ("opsctl.cli.completion:completion", "Print the completion script of a shell."),
}


class LazyGroup(TyperGroup):
    """A command group that imports a command's module only when that command is used."""

    def list_commands(self, ctx: Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Import and build one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        return build(getattr(import_module(module), attribute), cmd_name, entry[1])

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Resolve the command name, or say which known one is near."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise unknown_word("command", args[0], list(COMMANDS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: Any) -> None:
        """Write the table without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def unknown_word(kind: str, word: str, known: list[str]) -> click_exceptions.UsageError:
    """A usage error that names the nearest known word."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return click_exceptions.UsageError(f"no such {kind}: {word}" + (f"; did you mean {near[0]}?" if near else ""))


def build(target: Any, name: str, help_line: str) -> Command:
    """Make the click command of a Typer app (a group) or of a function (one command)."""
    if isinstance(target, typer.Typer):
        group = typer.main.get_group(target)
        group.name, group.help = name, help_line
        return group
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=name)(target)
    return typer.main.get_command(app)


def root_app() -> TyperGroup:
    """The root group; commands are not imported yet."""
    app = typer.Typer(
        cls=LazyGroup,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=False,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    return typer.main.get_group(app)


def root(
    ctx: typer.Context,
    config: Path | None = typer.Option(None, "--config", envvar="OPSCTL_CONFIG", help="Use this file and no other."),
    context: str | None = typer.Option(None, "--context", envvar="OPSCTL_CONTEXT", help="The context to work in."),
    color: str = typer.Option("auto", "--color", help="auto, always or never."),
    utc: bool = typer.Option(False, "--utc", help="Show times in UTC."),
    read_only: bool = typer.Option(False, "--read-only", envvar="OPSCTL_READ_ONLY", help="Refuse to change anything."),
    quiet: bool = typer.Option(False, "-q", "--quiet", help="Results and errors only."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of a bug."),
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """opsctl judges SLOs and alert rules, pages people and walks them through runbooks."""
    if color not in {"auto", "always", "never"}:
        raise click_exceptions.UsageError(f"--color {color}: expected auto, always or never")
    frame: Frame = ctx.obj
    frame.config, frame.context, frame.read_only = config, context, read_only
    frame.color, frame.utc, frame.quiet, frame.debug = color, utc, quiet, debug
    if version:
        from importlib.metadata import version as version_of

        sys.stdout.write(f"opsctl {version_of('opsctl-cli')}\n")
        raise typer.Exit(0)
    if ctx.invoked_subcommand is None:
        from opsctl.cli.start import start

        start(frame)


class _Terminated(BaseException):
    """SIGTERM arrived."""


def _on_sigterm(signum: int, stack: object) -> None:
    raise _Terminated


def main(
    argv: list[str] | None = None,
    *,
    clock: Clock | None = None,
    compose_with: Callable[[Frame], Composition] | None = None,
) -> int:
    """Run one command and return its exit code; `clock` and `compose_with` replace the world for demo and tests."""
    if argv is None:
        _spare_the_collector()
    frame = Frame(clock=clock, compose_with=compose_with)
    before = _install_sigterm()
    try:
        prepare()
        words = sys.argv[1:] if argv is None else argv
        code = _observed(words, frame)
        return _as_plugin(code, frame) if _plugin(words) else code
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _spare_the_collector() -> None:
    """A sixth of a short command was looking for cycles in modules and classes, which live until the end anyway."""
    gc.set_threshold(100_000, 10, 10)
    atexit.register(gc.freeze)


def _install_sigterm() -> Any:
    try:
        return signal.signal(signal.SIGTERM, _on_sigterm)
    except ValueError:  # not the main thread
        return None


_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)


def _observed(argv: list[str], frame: Frame) -> int:
    """Run, with opsctl's own telemetry where the standard variables name a place for it."""
    if not any(os.environ.get(name) for name in _ENDPOINTS) or not _works(argv):
        return _whole(argv, frame)
    from opsctl.app import telemetry

    frame.telemetry, wrong = telemetry(os.environ)
    code = _whole(argv, frame) if frame.telemetry is None else _traced(argv, frame, frame.telemetry)
    if wrong is not None:
        frame.say(f"opsctl: {wrong}")
    return code


def _works(argv: list[str]) -> bool:
    """Whether a command is to run: help and completion are not worth a span."""
    asks = {"-h", "--help", "--version"} & set(argv) or "_OPSCTL_COMPLETE" in os.environ
    return not asks and any(word in COMMANDS for word in argv)


def _traced(argv: list[str], frame: Frame, telemetry: Telemetry) -> int:
    name = next((word for word in argv if word in COMMANDS), "opsctl")
    begun = time.monotonic()
    with telemetry.span(f"opsctl {name}", {"opsctl.command": name, "process.pid": os.getpid()}) as note:
        code = _whole(argv, frame)
        note({"process.exit.code": code})
    telemetry.command(name, begun, code)
    with suppress(KeyboardInterrupt, _Terminated):  # the result is out: nothing is worth waiting for
        lost = telemetry.finish()
        if lost is not None:
            frame.say(f"opsctl: {lost}")
    return code


def _whole(argv: list[str], frame: Frame) -> int:
    """Run, and see that all of the result is out."""
    code = _run(argv, frame)
    lost = flushed()
    return code if lost is None else _unwritten(lost, frame, code)


def _plugin(argv: list[str]) -> bool:
    """Whether a monitoring plugin's exit codes are wanted, which holds for a wrong command line too."""
    return "check" in argv and ("--exit-style=nagios" in argv or ("--exit-style", "nagios") in pairwise(argv))


def _as_plugin(code: int, frame: Frame) -> int:
    """The exit code in that style; a monitoring system reads stdout alone, so it gets a line where there is none."""
    from opsctl.views.check import nagios_code

    if frame.complaint is not None:
        with suppress(OSError, ValueError):
            sys.stdout.write(f"OPSCTL UNKNOWN - {frame.complaint}\n")
            sys.stdout.flush()
    return nagios_code(code, warned=frame.warned)


def _run(argv: list[str], frame: Frame) -> int:
    try:
        if "_OPSCTL_COMPLETE" in os.environ:
            from typer._completion_classes import completion_init

            completion_init()
        code = root_app()(args=argv, prog_name="opsctl", standalone_mode=False, obj=frame)
        if code == ExitCode.INTERRUPTED:  # typer makes this of Ctrl-C, without a word
            raise KeyboardInterrupt
        return int(code) if isinstance(code, int) else 0
    except SystemExit as stop:  # completion is done, or click saw that the reader of stdout went away
        gone = stop.__context__
        if not isinstance(gone, BrokenPipeError):
            return int(stop.code or 0)
        return _unwritten(gone, frame) if _of_stdout(gone) else _failed(gone, frame)
    except (typer.Abort, KeyboardInterrupt):
        talk("opsctl: interrupted\n")
        return ExitCode.INTERRUPTED
    except _Terminated:
        talk("opsctl: terminated\n")
        return ExitCode.TERMINATED
    except OSError as wrong:
        return _unwritten(wrong, frame) if _of_stdout(wrong) else _failed(wrong, frame)
    except Exception as wrong:  # noqa: BLE001 - the one place that may: a bug is one line and exit 70
        return _failed(wrong, frame)


def _of_stdout(wrong: OSError) -> bool:
    if wrong.errno == errno.EPIPE:
        return reader_left()
    return wrong.filename is None and wrong.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def _unwritten(wrong: OSError, frame: Frame, code: int | None = None) -> int:
    """The verdict stands though nobody can read it; a pass that nobody was told is none, unless the reader left."""
    drop("stdout")
    code = frame.code if code is None else code
    if wrong.errno == errno.EPIPE:
        return code
    _complain(f"stdout cannot be written: {wrong.strerror}; the result is lost")
    return code or ExitCode.UNKNOWN


def _failed(wrong: Exception, frame: Frame) -> int:
    """One line for a person, and the exit code of the error's kind."""
    match wrong:
        case typer.Exit():
            return int(wrong.exit_code)
        case click_exceptions.ClickException():
            _complain(wrong.format_message(), frame)
            return ExitCode.USAGE
        case OpsctlError():
            _complain(str(wrong), frame)
            return wrong.exit_code
    from opsctl.files.secrets import hide

    if frame.debug:
        import traceback

        from opsctl.render.text import clean

        told = hide("".join(traceback.format_exception(wrong)))
        talk("".join(f"{clean(line)}\n" for line in told.splitlines()))
        return ExitCode.BUG
    where = wrong.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    at = f" at {Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
    _complain(f"a bug in opsctl: {type(wrong).__name__}: {hide(str(wrong))}{at}; --debug shows the traceback", frame)
    return ExitCode.BUG


def _complain(text: str, frame: Frame | None = None) -> None:
    from opsctl.render.text import clean

    if frame is not None:
        frame.complaint = clean(text.partition("\n")[0]).replace("|", "/")
    talk("".join(f"opsctl: {clean(line)}\n" for line in text.splitlines() or [""]))
