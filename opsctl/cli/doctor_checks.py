"""What `opsctl doctor` looks at: each check answers with findings and never raises for what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.core.frozen import dataclass
from opsctl.core.rules import State
from opsctl.core.windows import format_duration
from opsctl.errors import AuthError, ConfigError, ConfigErrors, ExitCode, OpsctlError, UsageError

if TYPE_CHECKING:
    from opsctl.app import Composition
    from opsctl.files.context import Backend
    from opsctl.files.rules import RuleSet
    from opsctl.ports import Probe

SKEW_SECONDS = 30.0
LITTLE_ROOM = 200 * 2**20
NO_ROOM = 20 * 2**20
_NAMED = 5  # so many rules are named in one line


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found, what to do; `code` is what the process should say of it."""

    name: str
    state: State
    what: str
    todo: str = ""
    code: ExitCode = ExitCode.OK


def examine(
    composition: Composition, env: Mapping[str, str], timeout_seconds: float, max_age: timedelta | None
) -> list[Finding]:
    """Every check, in the order in which one would look."""
    out = [_configuration(composition), *_packages()]
    out += _files(composition)
    out += _backends(composition, env, timeout_seconds)
    out += _secrets(composition, env)
    out += _state_dir(composition, env)
    out += _journal(composition, max_age)
    out += _routing(composition)
    return out


def ok(name: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(name, State.OK, what)


def warn(name: str, what: str, todo: str = "") -> Finding:
    """Worth a look; the exit code stays."""
    return Finding(name, State.WARN, what, todo)


def fail(name: str, code: ExitCode, what: str, todo: str = "") -> Finding:
    """Broken."""
    return Finding(name, State.UNKNOWN if code is ExitCode.UNKNOWN else State.FAIL, what, todo, code)


def some(names: Iterable[str]) -> str:
    """The first few names of many."""
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


# -- configuration and files


def _configuration(composition: Composition) -> Finding:
    context = composition.context
    where = str(composition.settings.path or "built in")
    return ok("configuration", f"{where}, context {context.name}, namespace {context.namespace}")


def _packages() -> Iterator[Finding]:
    """`collectors` is a common name: another distribution may have put its own in our place."""
    import collectors
    import opsctl

    ours, theirs = (Path(module.__file__ or "").resolve().parent.parent for module in (opsctl, collectors))
    if ours != theirs:
        todo = "install opsctl-cli in an environment of its own (pipx, uv tool)"
        yield fail("installation", ExitCode.USAGE, f"the package collectors comes from {theirs}, not from opsctl", todo)


def _files(composition: Composition) -> Iterator[Finding]:
    catalogue = _Loaded("catalogue", lambda: f"{len(composition.catalogue.services)} services")
    yield from catalogue.findings
    if catalogue.good:
        rules = _Loaded("rules", lambda: _rule_words(composition.rules))
        yield from rules.findings
        if rules.good:
            yield from _rules(composition.rules)
    yield from _Loaded("runbooks", lambda: f"{len(composition.runbooks)} runbooks").findings


class _Loaded:
    """A file read, or its errors as findings."""

    def __init__(self, name: str, read: Callable[[], str]) -> None:
        self.good = True
        try:
            self.findings = [ok(name, read())]
        except ConfigErrors as several:
            self.findings = [fail(name, ExitCode.USAGE, str(wrong)) for wrong in several.errors]
            self.good = False
        except OpsctlError as wrong:
            self.findings = [fail(name, wrong.exit_code, str(wrong))]
            self.good = False


def _rule_words(rules: RuleSet) -> str:
    return f"{len(rules.slos)} SLOs, {len(rules.alerting)} alert rules, {len(rules.recording)} recording rules"


def _rules(rules: RuleSet) -> Iterator[Finding]:
    from opsctl.files.burn import row_words

    for slo in rules.slos:
        if slo.burn.dropped:
            rows = ", ".join(row_words(row) for row in slo.burn.dropped)
            what = f"{slo.name}: {rows} cannot fire at target {slo.target:g} and was left out ({slo.origin})"
            yield warn("rules", what, "choose another opsctl.dev/windows, or accept it")
        clamped = [row_words(row) for row in slo.burn.rows if row.clamped]
        if clamped:
            what = f"{slo.name}: the factor of {', '.join(clamped)} was raised to 1 ({slo.origin})"
            yield warn("rules", what, "below 1 it would alert while the objective is met")
    for note in rules.notes:
        yield warn("rules", note)


def _routing(composition: Composition) -> Iterator[Finding]:
    """Routes and silences, where the context has some."""
    context = composition.context
    if not context.routes and context.silences is None:
        return
    from opsctl.adapters.state_dir import journal_file
    from opsctl.cli.doctor_routing import routing_findings

    try:
        there = journal_file(context.state_dir).exists() and not composition.journal().problem
        yield from routing_findings(composition, journal=there)
    except OpsctlError:
        return  # said where the files and the journal were read


# -- backends


def _backends(composition: Composition, env: Mapping[str, str], timeout_seconds: float) -> Iterator[Finding]:
    context = composition.context
    if context.prometheus is not None or composition.source is not None:
        yield from asked("prometheus", lambda: composition.metrics.probe(timeout_seconds))
    else:
        todo = f"add [contexts.{context.name}.prometheus] with its url"
        yield fail("prometheus", ExitCode.USAGE, "no Prometheus is configured", todo)
    if context.elasticsearch is not None or composition.log_source is not None:
        yield from asked("elasticsearch", lambda: composition.logs.probe(timeout_seconds))
    traces = "jaeger" if context.jaeger else "zipkin" if context.zipkin else "traces"
    if traces != "traces" or composition.trace_source is not None:
        yield from asked(traces, lambda: composition.traces.probe(timeout_seconds))
    second = context.zipkin if context.jaeger else None  # no command asks it while there is a Jaeger
    if second is not None:
        yield from asked("zipkin", lambda: _zipkin(composition, second, env, timeout_seconds))
    if context.pagerduty is not None:
        from opsctl.cli.doctor_pagerduty import pagerduty_findings

        yield from pagerduty_findings(composition, context.pagerduty, timeout_seconds)
    elif not context.sinks():
        yield warn("pagerduty", "not configured: nobody is paged", f"add [contexts.{context.name}.pagerduty]")


def asked(name: str, ask: Callable[[], Probe]) -> Iterator[Finding]:
    """What one probe learned, in words."""
    try:
        found = ask()
    except OpsctlError as wrong:
        yield fail(name, wrong.exit_code, str(wrong))
        return
    where = f"{found.address}: {found.message}"
    if not found.reachable:
        yield fail(name, ExitCode.UNKNOWN, f"{where}", "is the url right, and does the server run?")
    elif not found.authorised:
        yield fail(name, ExitCode.AUTH, where, "check its token_file, token_command, token_env or basic")
    elif not found.usable:
        yield warn(name, where, "is the setting index right, and do logs arrive?")
    else:
        version = f", version {found.version}" if found.version else ""
        yield ok(name, f"{where}{version}, {found.took_seconds * 1000:.0f} ms")
    skew = found.clock_skew_seconds
    if skew is not None and abs(skew) > SKEW_SECONDS:
        side = "ahead of" if skew > 0 else "behind"
        yield warn(
            f"{name} clock", f"is {abs(skew):.0f} s {side} ours", "let both hosts follow NTP: rules ask by our clock"
        )


def _zipkin(composition: Composition, backend: Backend, env: Mapping[str, str], timeout: float) -> Probe:
    from opsctl.adapters.probe import probe
    from opsctl.files.endpoints import endpoint

    return probe("zipkin", endpoint(backend, env), timeout, composition.clock.now, path="/api/v2/services")


def _secrets(composition: Composition, env: Mapping[str, str]) -> Iterator[Finding]:
    from opsctl.files.secrets import resolve, warnings

    secrets = composition.context.secrets()
    good = 0
    for name, secret in secrets.items():
        try:
            resolve(secret, env)
            good += 1
        except AuthError as wrong:
            yield fail("secrets", ExitCode.AUTH, f"{name}: {wrong}", "put the secret there, or correct the setting")
        for line in warnings(secret):
            what, _, todo = line.partition(": ")
            yield warn("secrets", f"{name}: {what}", todo)
    if secrets and good == len(secrets):
        yield ok("secrets", f"all {good} can be read")


# -- state folder and journal


def _state_dir(composition: Composition, env: Mapping[str, str]) -> Iterator[Finding]:
    from opsctl.adapters import state_dir as places

    folder = composition.context.state_dir
    kind = places.file_system(folder)
    why = places.unfit(kind) if kind else None
    if why:
        yield warn("state_dir", f"{folder} is on {kind}, which {why}", "choose a state_dir on a local disk")
    if not places.writable(folder):
        what = f"{folder} cannot be written by this user"
        yield fail(
            "state_dir", ExitCode.ACTION, what, "give it to the user that runs opsctl, or choose another state_dir"
        )
        return
    yield from _room(folder)
    namespace = composition.context.namespace
    for other in places.neighbours(folder, env):
        if places.namespace_of(other) == namespace:
            what = f"{places.journal_file(other)} is a second journal of namespace {namespace}"
            yield warn("state_dir", what, "keep one: two journals of one namespace page and resolve past each other")


def _room(folder: Path) -> Iterator[Finding]:
    from opsctl.adapters.state_dir import free_bytes

    try:
        free = free_bytes(folder)
    except OSError:
        return
    room = f"{folder}: {free / 2**20:,.0f} MiB free"
    if free < NO_ROOM:
        yield fail("disk", ExitCode.ACTION, room, "make room: the journal cannot be written")
    elif free < LITTLE_ROOM:
        yield warn("disk", room, "make room before the journal cannot be written")
    else:
        yield ok("disk", room)


def _journal(composition: Composition, max_age: timedelta | None) -> Iterator[Finding]:
    from opsctl.adapters.state_dir import journal_file

    file = journal_file(composition.context.state_dir)
    if not file.exists():
        yield warn("journal", f"{file} is not there yet", "the first `opsctl check` makes it")
        if max_age is not None:
            yield _never()
        return
    try:
        journal = composition.journal()
        broken = (journal.problem,) if journal.problem else journal.integrity()
        if broken:
            todo = "restore a copy, or let the next run begin a new one; open incidents are found again by their keys"
            yield fail("journal", ExitCode.ACTION, f"{file}: {some(broken)}", todo)
        else:
            yield ok("journal", f"{file} is whole")
        yield from _age(composition, max_age)
        yield from _never_had_data(composition)
    except (ConfigError, UsageError, OpsctlError) as wrong:
        yield fail("journal", wrong.exit_code, str(wrong))


def _never() -> Finding:
    return fail("last run", ExitCode.UNKNOWN, "no run ended well yet", "is the cron job of `opsctl check` there?")


def _age(composition: Composition, max_age: timedelta | None) -> Iterator[Finding]:
    last = composition.journal().last_success()
    if last is None:
        yield _never() if max_age is not None else warn("last run", "no run ended well yet")
        return
    age = max(timedelta(0), composition.clock.now() - last)
    words = f"ended well {format_duration(timedelta(seconds=round(age.total_seconds())))} ago"
    if max_age is not None and age > max_age:
        what = f"{words}, the limit is {format_duration(max_age)}"
        yield fail("last run", ExitCode.UNKNOWN, what, "is the cron job of `opsctl check` there, and what does it say?")
    else:
        yield ok("last run", words)


def _never_had_data(composition: Composition) -> Iterator[Finding]:
    """Loaded rules that were judged and never saw a sample."""
    from opsctl.engine.facts import memory_of

    try:
        names = {rule.uid: rule.name for rule in composition.rules.rules}
    except OpsctlError:
        return  # said where the files were read
    memory = memory_of(composition.journal().facts)
    never = [names[uid] for uid, was in sorted(memory.rules.items()) if was.never_had_data and uid in names]
    if never:
        what = f"{len(never)} never had data: {some(never)}"
        yield warn("rules", what, "are the metric names right for this Prometheus? such rules wake nobody")
