"""`opsctl config init|show|validate|schema`: make a configuration, show what holds and why, check what it names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from opsctl.cli.confirming import changing
from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json, Output, chosen_output
from opsctl.errors import ConfigError, ConfigErrors, ExitCode, OpsctlError, Refused, UsageError

if TYPE_CHECKING:
    from opsctl.core.catalogue import Catalogue
    from opsctl.files.settings import ContextSettings, Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
state_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)
app.add_typer(state_app, name="state", help="The journal's own upkeep.")

Counts = dict[str, int]
T = TypeVar("T")
HERE = Path("opsctl.toml")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="Where to write; a folder gets opsctl.toml.")] = HERE,
    context: str | None = typer.Option(None, "--context", help="The context's name; default prod."),
) -> None:
    """Write a commented configuration to start from; a file that is there stays as it is."""
    from opsctl.files.starter import starter

    run = frame()
    changing(run, "writing a configuration")
    text = starter(context or run.context or "prod")
    target = path / "opsctl.toml" if path.is_dir() else path
    _write_new(target, text)
    sys.stdout.write(f"{target}\n")
    flag = "" if target == HERE else f" --config {target}"
    run.say(
        f"next: set the url of your Prometheus in it, then `opsctl{flag} config validate` and `opsctl{flag} doctor`"
    )


def _write_new(target: Path, text: str) -> None:
    from opsctl.files.text import os_words

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(
            f"{target} is there already: nothing was written", hint="give another PATH, or move it away"
        ) from None
    except OSError as wrong:
        raise UsageError(f"{target} cannot be written: {os_words(wrong)}") from None


@app.command()
def show(
    origin: bool = typer.Option(False, "--origin", help="Say where each value came from."),
    output: Output = None,
    json: Json = False,
) -> None:
    """Print the settings of the context; secrets are shown as references only."""
    from opsctl.files.shown import shown

    run = frame()
    form = chosen_output(run, output, json)
    settings = run.composition.settings
    lines = shown(settings)
    if form == "json":
        body = [{"key": line.key, "value": line.value, "origin": line.origin} for line in lines]
        where = str(settings.path) if settings.path else None
        write_json("config/show/v1", {"file": where, "contexts": sorted(settings.contexts), "settings": body})
        return
    from opsctl.render.table import Column, write_rows

    columns = [Column("setting"), Column("value", wrap=True), *([Column("origin", wrap=True)] if origin else [])]
    rows = [[line.key, line.value, *([line.origin] if origin else [])] for line in lines]
    write_rows(sys.stdout, columns, rows, table=form == "table", color=run.colored(sys.stdout))


@app.command()
def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="This configuration, not the one in use.")
    ] = None,
    json: Json = False,
) -> None:
    """Read the configuration and every file that it names; exit 2 and one line for each wrong place."""
    run = frame()
    errors: list[OpsctlError] = []
    settings = _try(lambda: _settings(run, file), errors)
    counts, notes = _read_files(settings.chosen, errors) if settings else ({}, ())
    if settings is not None and settings.board.keys:
        from opsctl.tui.keys import check_keys  # which ids there are, only the board knows

        _try(lambda: check_keys(settings.board.keys), errors)
    if json:
        context = settings.chosen.name if settings else None
        lines = [_error_body(error) for error in errors]
        write_json("config/validate/v1", {"context": context, "counts": counts, "errors": lines, "notes": list(notes)})
    else:
        _print(run, settings, counts, notes, errors)
    if errors:
        raise typer.Exit(ExitCode.USAGE)


@app.command()
def schema(
    silences: bool = typer.Option(False, "--silences", help="Of silences.yaml, not of opsctl.toml."),
) -> None:
    """Print the JSON schema of the configuration, for editors; `config validate` checks more than a schema can."""
    import json

    from opsctl.files.schemas import settings_schema, silences_schema

    made = silences_schema() if silences else settings_schema()
    sys.stdout.write(json.dumps(made, indent=2) + "\n")


def _settings(run: Frame, file: Path | None) -> Settings:
    if file is None:
        return run.composition.settings
    from opsctl.files.settings import load_settings

    return load_settings(file, run.context, env=os.environ, cwd=Path.cwd())


def _try(read: Callable[[], T], errors: list[OpsctlError]) -> T | None:
    """What `read` gives, or None and its errors one by one."""
    try:
        return read()
    except ConfigErrors as several:
        errors.extend(several.errors)
    except (ConfigError, UsageError) as wrong:
        errors.append(wrong)
    return None


def _read_files(context: ContextSettings, errors: list[OpsctlError]) -> tuple[Counts, tuple[str, ...]]:
    """How much of each kind the context's files hold, and what a reader may not expect."""
    from opsctl.files.catalogue import load_catalogue
    from opsctl.files.rules import RuleSet, load_rules
    from opsctl.files.runbooks import load_runbooks

    read = _try(lambda: load_catalogue(context.catalogue, context.base), errors)
    counts: Counts = {"services": len(read.services) if read else 0}
    rules = None
    if read is not None:
        rules = _try(lambda: load_rules(context.rules, context.base, read), errors)
    rules = rules or RuleSet()
    counts |= {"slos": len(rules.slos), "alert_rules": len(rules.alerting), "recording_rules": len(rules.recording)}
    counts["runbooks"] = len(_try(lambda: load_runbooks(context.runbooks, context.base), errors) or ())
    notes = _read_routing(context, read, counts, errors) if read is not None else ()
    return counts, (*rules.notes, *notes)


def _read_routing(
    context: ContextSettings, catalogue: Catalogue, counts: Counts, errors: list[OpsctlError]
) -> tuple[str, ...]:
    """Count routes and silences, where the context names some; what is odd about them."""
    notes: tuple[str, ...] = ()
    if context.routes:
        from opsctl.files.routing_notes import route_notes

        counts["routes"] = len(context.routes)
        notes += route_notes(context.routes, catalogue)
    path = context.silences
    if path is not None:
        from opsctl.files.routing_notes import silence_notes
        from opsctl.files.silences import load_silences

        silences = _try(lambda: load_silences(path, context.namespace, catalogue), errors) or ()
        counts["silences"] = len(silences)
        notes += silence_notes(silences, catalogue)
    return notes


def _print(
    run: Frame,
    settings: Settings | None,
    counts: Counts,
    notes: tuple[str, ...],
    errors: list[OpsctlError],
) -> None:
    from opsctl.render.text import clean

    for note in notes:
        run.say(f"note: {clean(note)}")
    for error in errors:
        sys.stdout.write(f"{clean(str(error))}\n")
    if errors:
        run.say(f"{len(errors)} wrong place{'s' if len(errors) > 1 else ''}")
    elif settings is not None:
        found = ", ".join(f"{count} {name.replace('_', ' ').replace('slos', 'SLOs')}" for name, count in counts.items())
        sys.stdout.write(f"✔ OK  {clean(str(settings.path or 'built in'))}, context {settings.chosen.name}: {found}\n")


def _error_body(error: OpsctlError) -> dict[str, object]:
    place = {"path": error.path, "line": error.line} if isinstance(error, ConfigError) else {"path": None, "line": None}
    return {**place, "message": str(error)}


@state_app.command()
def vacuum(
    keep: str = typer.Option("400d", "--keep", help="Keep what ended within this time."),
) -> None:
    """Drop old rows of the journal and give their room back; open incidents stay."""
    from opsctl.cli.options import duration

    run = frame()
    changing(run, "dropping rows of the journal")
    composition = run.composition
    with composition.journal().lock("evaluate", 20.0):
        dropped = composition.journal().vacuum(composition.clock.now() - duration("--keep", keep))
    run.say(f"dropped {dropped} rows of {composition.journal().path}")
    composition.close()
