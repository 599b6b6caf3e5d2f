"""`opsctl grafana build`: the dashboards of the context's services and objectives, and YAML that provisions them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.options import Json
from opsctl.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from opsctl.render.grafana import Places

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def group() -> None:
    """Dashboards from the catalogue and its objectives."""


@app.command()
def build(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The folder to write to.")] = Path("grafana"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where a file is not what would be written.")
    ] = False,
    logs_url: Annotated[
        str | None, typer.Option("--logs-url", metavar="URL", help="Kibana as people open it, for links to logs.")
    ] = None,
    traces_url: Annotated[
        str | None, typer.Option("--traces-url", metavar="URL", help="Jaeger as people open it, for links to traces.")
    ] = None,
    dashboards_path: Annotated[
        str | None,
        typer.Option("--dashboards-path", metavar="DIR", help="Where Grafana will find the dashboards on its machine."),
    ] = None,
    json: Json = False,
) -> None:
    """Write two dashboards and the YAML that provisions them; the same catalogue and rules give the same bytes."""
    from opsctl.render.grafana import files

    run = frame()
    composition = run.composition
    made = files(composition.catalogue, composition.rules.slos, _places(run, logs_url, traces_url, dashboards_path))
    states = {path: _state(output / path, text) for path, text in made.items()}
    if not check:
        for path, text in made.items():
            if states[path] != "unchanged":
                _write(output / path, text)
                states[path] = "written"
    _print(run, output, states, json)
    if check and set(states.values()) != {"unchanged"}:
        run.say(f"run `opsctl grafana build --output {output}`")
        run.code = int(ExitCode.FINDING)
        raise typer.Exit(run.code)


def _places(run: Frame, logs_url: str | None, traces_url: str | None, dashboards_path: str | None) -> Places:
    """Flags, then the context's backends, then this machine."""
    from opsctl.render.grafana import Places

    context, usual = run.composition.context, Places()
    for flag, url in (("--logs-url", logs_url), ("--traces-url", traces_url)):
        if url is not None and not url.startswith(("http://", "https://")):
            raise UsageError(f"{flag} {url}: expected an address like https://…")
    jaeger = context.jaeger.url if context.jaeger else usual.jaeger
    return Places(
        prometheus=context.prometheus.url if context.prometheus else usual.prometheus,
        jaeger=jaeger,
        elasticsearch=context.elasticsearch.url if context.elasticsearch else usual.elasticsearch,
        logs=(logs_url or usual.logs).rstrip("/"),
        traces=(traces_url or jaeger).rstrip("/"),
        dashboards=dashboards_path or usual.dashboards,
    )


def _state(path: Path, text: str) -> str:
    try:
        return "unchanged" if path.read_bytes() == text.encode() else "differs"
    except FileNotFoundError:
        return "missing"
    except OSError as wrong:
        raise UsageError(f"{path}: {wrong.strerror or type(wrong).__name__}") from wrong


def _write(path: Path, text: str) -> None:
    """Whole or not at all: Grafana may read the folder meanwhile."""
    import os
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as out:
                out.write(text)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as wrong:
        raise UsageError(f"{path}: {wrong.strerror or type(wrong).__name__}", hint="choose another --output") from wrong


def _print(run: Frame, output: Path, states: dict[str, str], json: bool) -> None:
    if json:
        rows = [{"file": path, "state": state} for path, state in states.items()]
        write_json("grafana/build/v1", {"folder": str(output), "files": rows})
        return
    from opsctl.render.table import Column, write_rows

    cells = [[str(output / path), state] for path, state in states.items()]
    write_rows(
        sys.stdout,
        [Column("file"), Column("state")],
        cells,
        table=run.stdout_is_terminal,
        color=run.colored(sys.stdout),
    )
