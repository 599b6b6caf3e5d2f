"""`opsctl service ls|show|deps`: the catalogue, what is watched of each service, and what traces say of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from opsctl.cli.frame import Frame, frame, write_json
from opsctl.cli.metric import finish, seconds, span, status
from opsctl.cli.options import Json, Output, Since, Timeout, To, chosen_output
from opsctl.cli.pivots import pivot
from opsctl.core.signals import Absent, Failed, Measured
from opsctl.core.slo import Slo
from opsctl.errors import AuthError, ExitCode, UnknownError, UsageError
from opsctl.views.services import trace_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.core.catalogue import Service
    from opsctl.core.rules import Rule
    from opsctl.render.table import Column
    from opsctl.views.services import Dependency, Knowledge

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)

_LEAST_NAMES = 14  # columns of a table for dependencies


@app.command("ls")
def list_(timeout: Timeout = None, output: Output = None, json: Json = False) -> None:
    """List the catalogue. And which signals have something of each service in the last hour."""
    from opsctl.cli.service_signals import knowledge

    run = frame()
    form = chosen_output(run, output, json)
    services = list(run.composition.catalogue.services.values())
    signals = knowledge(run, trace_kind(run.composition.context), seconds(run, timeout))
    if form == "json":
        write_json("service/ls/v1", {"backends": _backends(signals), "services": [_row(s, signals) for s in services]})
    else:
        from opsctl.render.text import clean

        _print_list(run, services, signals, form)
        for one in signals:
            if one.problem and one.status != "not_configured":
                run.warn(clean(f"{one.signal}: {one.problem}"))
    if refused := [one.problem for one in signals if one.status == "auth"]:
        raise AuthError(refused[0])
    if any(one.problem and one.status != "not_configured" for one in signals):
        raise UnknownError("which signals know a service could not be told for all of them")


def _backends(signals: Sequence[Knowledge]) -> list[dict[str, Any]]:
    return [
        {"signal": one.signal, "backend": one.backend or None, "status": one.status, "error": one.problem or None}
        for one in signals
    ]


def _row(service: Service, signals: Sequence[Knowledge]) -> dict[str, Any]:
    return {
        "service": service.name,
        "tier": service.tier,
        "team": service.team,
        "kind": service.kind,
        "depends_on": list(service.depends_on),
        "signals": {one.signal: one.of(service.name) for one in signals},
    }


def _print_list(run: Frame, services: Sequence[Service], signals: Sequence[Knowledge], form: str) -> None:
    from opsctl.render.table import Column, write_rows

    columns = [Column("service"), Column("tier", right=True), Column("team"), Column("kind")]
    columns += [Column(one.signal) for one in signals]
    words = {True: "yes", False: "no", None: "?"}
    cells = []
    for service in services:
        known = ["-" if one.status == "not_configured" else words[one.of(service.name)] for one in signals]
        cells.append([service.name, str(service.tier), service.team, service.kind.replace("_", " "), *known])
    table = form == "table"
    room = _room(columns, cells)
    if room < _LEAST_NAMES and table:  # the name of a service that is cut is of no use to anybody
        del columns[3]
        cells = [[*row[:3], *row[4:]] for row in cells]
        room = _room(columns, cells)
    for row, service in zip(cells, services, strict=True):
        row.append(_some(service.depends_on, room) if table else ", ".join(service.depends_on))
    write_rows(sys.stdout, [*columns, Column("depends on")], cells, table=table, color=run.colored(sys.stdout))


def _room(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> int:
    """What is left of the terminal's width."""
    import shutil

    widths = [max([len(column.name), *(len(row[i]) for row in cells)]) for i, column in enumerate(columns)]
    return shutil.get_terminal_size((120, 40)).columns - sum(width + 2 for width in widths)


def _some(names: Sequence[str], room: int) -> str:
    """As many as there is room for; how many more."""
    for count in range(len(names), 0, -1):
        more = f" +{len(names) - count}" if count < len(names) else ""
        if len(text := ", ".join(names[:count]) + more) <= room:
            return text
    return f"{len(names)} services" if names else ""


@app.command()
def show(name: str = typer.Argument(..., metavar="SERVICE"), output: Output = None, json: Json = False) -> None:
    """Show one service. Its place in the catalogue, its rules, their targets and runbooks, and where to look."""
    run = frame()
    form = chosen_output(run, output, json)
    service = named(run, name)
    rules = [rule for rule in run.composition.rules.rules if rule.service == service.name]
    books = [book.id for book in run.composition.runbooks if service.name in book.services]
    needed_by = [s.name for s in run.composition.catalogue.services.values() if service.name in s.depends_on]
    if form == "json":
        write_json("service/show/v1", {"service": _body(service, needed_by, rules, books)})
        return
    _print_show(service, needed_by, rules, books)
    for command in _next(run, service, needed_by, rules):
        run.say(f"next: {pivot(run, command)}")


def named(run: Frame, name: str) -> Service:
    """The service of that name; UsageError with the nearest name."""
    from opsctl.files.text import nearest

    catalogue = run.composition.catalogue
    service = catalogue.get(name)
    if service is None:
        near = nearest(name, catalogue.services)
        raise UsageError(f"no service {name} in the catalogue" + (f"; did you mean {near}?" if near else ""))
    return service


def _selectors(service: Service) -> dict[str, Any]:
    from opsctl.views.services import selector_of

    out: dict[str, Any] = {}
    for backend in ("prometheus", "jaeger", "zipkin", "elasticsearch"):
        selector = selector_of(service, backend)
        out[backend] = selector if isinstance(selector, str) else dict(selector)
    return out


def _body(service: Service, needed_by: Sequence[str], rules: Sequence[Rule], books: Sequence[str]) -> dict[str, Any]:
    return {
        "service": service.name,
        "tier": service.tier,
        "team": service.team,
        "kind": service.kind,
        "depends_on": list(service.depends_on),
        "needed_by": list(needed_by),
        "selectors": _selectors(service),
        "links": dict(service.links),
        "rules": [
            {
                "rule": rule.name,
                "kind": "slo" if isinstance(rule, Slo) else "alert",
                "severity": rule.severity.value,
                "target_ratio": rule.target if isinstance(rule, Slo) else None,
                "period_seconds": int(rule.period.total_seconds()) if isinstance(rule, Slo) else None,
                "runbook": rule.runbook,
            }
            for rule in rules
        ],
        "runbooks": list(books),
    }


def _print_show(service: Service, needed_by: Sequence[str], rules: Sequence[Rule], books: Sequence[str]) -> None:
    from opsctl.core.windows import format_duration
    from opsctl.render.text import clean

    words = {1: "pages", 2: "tickets", 3: "shows"}
    facts = [
        ("service", f"{service.name}, {service.kind.replace('_', ' ')}, team {service.team}"),
        ("tier", f"{service.tier} ({words.get(service.tier, '')})"),
        ("depends on", ", ".join(service.depends_on) or "nothing"),
        ("needed by", ", ".join(needed_by) or "nobody"),
    ]
    for rule in rules:
        book = f", runbook {rule.runbook}" if rule.runbook else ""
        if isinstance(rule, Slo):
            target = f"{rule.target * 100:.10g} % over {format_duration(rule.period)}"
            facts.append(("slo", f"{rule.name}: {target}, {rule.severity.value}{book}"))
        else:
            facts.append(("alert", f"{rule.name}: {rule.severity.value}{book}"))
    facts += [("runbook", book) for book in books]
    facts += [("link", f"{title}: {url}") for title, url in service.links.items()]
    for backend, selector in _selectors(service).items():
        if selector != service.name:
            facts.append((backend, str(selector) if isinstance(selector, str) else _pairs(selector)))
    sys.stdout.writelines(f"{key:<14} {clean(value)}\n" for key, value in facts)


def _pairs(selector: dict[str, str]) -> str:
    return ", ".join(f'{label}="{value}"' for label, value in selector.items())


def _next(run: Frame, service: Service, needed_by: Sequence[str], rules: Sequence[Rule]) -> list[str]:
    """Where to look; a third party sends neither spans nor lines, who calls it does."""
    out = [f"opsctl check {service.name}"] if rules else []
    name = next(iter(needed_by), "") if service.kind == "third_party" else service.name
    if name:
        out.append(f"opsctl trace search {name} --error --since 15m")
    if name and run.composition.context.elasticsearch is not None:
        out.append(f"opsctl log search -s {name} --severity error --since 15m")
    out.append(f"opsctl service deps {service.name}")
    return out


@app.command()
def deps(
    name: str | None = typer.Argument(None, metavar="[SERVICE]", help="Only what it needs and who needs it."),
    strict: bool = typer.Option(False, "--strict", help="Exit 1 when traces and catalogue disagree."),
    since: Since = "1h",
    to: To = None,
    timeout: Timeout = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Check who needs whom. The dependencies that traces show against those that the catalogue declares."""
    from opsctl.views.services import FINDINGS, dependencies

    run = frame()
    form = chosen_output(run, output, json)
    service = named(run, name).name if name is not None else None
    start, end = span(run, since, to)
    source = run.composition.traces
    reading = source.dependencies(end, end - start, seconds(run, timeout))
    traced = source.services(seconds(run, timeout))
    edges = reading.data if isinstance(reading, Measured) else reading.partial if isinstance(reading, Failed) else ()
    asked = {"service": service, "start": start, "end": end, "backend": reading.backend, **status(reading)}
    if edges is None:
        if form == "json":
            write_json("service/deps/v1", asked | {"findings": None, "dependencies": []})
        finish(reading)
    names = traced.data if isinstance(traced, Measured) else ()
    catalogue = run.composition.catalogue
    found = dependencies(catalogue, edges or (), names, backend=trace_kind(run.composition.context), service=service)
    findings = sum(one.seen in FINDINGS for one in found)
    run.code = ExitCode.FINDING if strict and findings else ExitCode.OK
    if form == "json":
        write_json("service/deps/v1", asked | {"findings": findings, "dependencies": [_edge(one) for one in found]})
    else:
        _print_deps(run, found, form)
        _say_deps(run, reading.notes if isinstance(reading, Absent) else (), isinstance(reading, Absent), findings)
    finish(reading)
    finish(traced)
    if strict and isinstance(reading, Absent):
        raise UnknownError(f"{reading.backend}: no dependencies are recorded in this time")
    raise typer.Exit(run.code)


def _edge(one: Dependency) -> dict[str, Any]:
    return {
        "parent": one.parent,
        "child": one.child,
        "seen": one.seen.name.lower(),
        "calls": one.calls,
        "errors": one.errors,
    }


def _print_deps(run: Frame, found: Sequence[Dependency], form: str) -> None:
    from opsctl.render.table import Column, write_rows
    from opsctl.views.services import GLYPHS

    plain = form == "plain"
    columns = [Column("what")] if plain else [Column("what traces say")]
    columns += [Column("service", wrap=True), Column("needs", wrap=True)]  # names are folded before numbers are cut
    columns += [Column("calls", right=True), Column("errors", right=True)]
    cells = []
    for one in found:
        counts = ["" if count is None else str(count) if plain else f"{count:,}" for count in (one.calls, one.errors)]
        what = one.seen.value if plain else f"{GLYPHS[one.seen]} {one.seen.value}"
        cells.append([what, one.parent, one.child, *counts])
    write_rows(sys.stdout, columns, cells, table=not plain, color=run.colored(sys.stdout))


def _say_deps(run: Frame, notes: Sequence[str], absent: bool, findings: int) -> None:
    if absent:
        run.say("no dependencies are recorded in this time" + "".join(f"; {note}" for note in notes))
    elif findings:
        many = f"{findings} dependencies do" if findings > 1 else "1 dependency does"
        run.say(f"{many} not agree: correct depends_on in the catalogue, or find out who calls whom and why")
    else:
        run.say("traces and catalogue agree")
