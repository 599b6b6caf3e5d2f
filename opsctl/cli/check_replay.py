"""Evidence of a check, saved and judged again: no configuration is read and nobody is asked."""

from __future__ import annotations

import difflib
import fnmatch
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from opsctl.core.replay import Saved, SavedVerdict, judge_again, same, saved_verdict
from opsctl.errors import ConfigError, ExitCode, UsageError
from opsctl.render.text import clean

if TYPE_CHECKING:
    from opsctl.cli.frame import Frame
    from opsctl.core.rules import Verdict
    from opsctl.views.check import Result


def saved_of(result: Result) -> Saved:
    """What is to be kept of a check."""
    from importlib.metadata import version

    return Saved(
        at=result.at,
        context=result.context,
        namespace=result.namespace,
        fail_on="ticket" if result.fail_on == "ticket" else "page",
        on_unknown=_on_unknown(result.on_unknown),
        exit_code=int(result.code),
        conditions=tuple(sorted(code.name.lower() for code in result.held)),
        verdicts=tuple(saved_verdict(verdict) for verdict in result.verdicts),
        backends=result.backends,
        took_seconds=result.took_seconds,
        stale=result.stale,
        incidents=dict(result.incidents),
        sent=result.sent,
        problems=result.problems,
        banner=result.banner,
        version=version("opsctl-cli"),
    )


def judged_again(
    run: Frame, path: str, services: list[str] | None, fail_on: str | None, on_unknown: str | None
) -> Result:
    """The check of an evidence file; flags that were not given are those of the run that saved it."""
    from opsctl.files.evidence import read_evidence
    from opsctl.views.check import Result, conditions

    if path == "-" and services and "-" in services:
        raise UsageError("--replay - and SERVICE - both read stdin: give one of them a file or names")
    saved = read_evidence(path)
    kept = _chosen(saved, services)
    verdicts = tuple(_judged(one, path) for one in kept)
    fail_on, on_unknown = fail_on or saved.fail_on, on_unknown or saved.on_unknown
    auth = any(backend.auth_failed for backend in saved.backends)
    held = conditions(verdicts, auth_failed=auth, fail_on=fail_on, on_unknown=on_unknown)
    if ExitCode.ACTION.name.lower() in saved.conditions:
        held |= {ExitCode.ACTION}
    _say(run, path, saved, kept, verdicts)
    return Result(
        at=saved.at,
        verdicts=verdicts,
        stale=saved.stale,
        backends=saved.backends,
        took_seconds=saved.took_seconds,
        context=saved.context,
        namespace=saved.namespace,
        held=held,
        incidents=saved.incidents,
        problems=saved.problems,
        banner=saved.banner,
        sent=saved.sent,
        fail_on=fail_on,
        on_unknown=on_unknown,
    )


def _judged(one: SavedVerdict, path: str) -> Verdict:
    rule = one.rule
    assert rule is not None  # the reader made sure
    try:
        return judge_again(rule, one.evidence).verdict
    except Exception as wrong:  # a digest is no signature: the values may still be nonsense
        name = "stdin" if path == "-" else path
        line = f"the evidence of {rule.name} cannot be judged: {type(wrong).__name__}: {wrong}"
        raise ConfigError(name, None, line) from wrong


def _chosen(saved: Saved, services: list[str] | None) -> Sequence[SavedVerdict]:
    if not services:
        return saved.verdicts
    words = [part for word in services for part in (sys.stdin.read().split() if word == "-" else [word])]
    if not words:
        raise UsageError("stdin named no service", hint="write their names to it, or leave - out for all")
    known = sorted({one.rule.service for one in saved.verdicts if one.rule is not None and one.rule.service})
    wanted: set[str] = set()
    for word in words:
        found = fnmatch.filter(known, word)
        if not found:
            near = difflib.get_close_matches(word, known, n=1)
            more = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"the evidence has no rule about a service {word}{more}")
        wanted.update(found)
    return tuple(one for one in saved.verdicts if one.rule is not None and one.rule.service in wanted)


def _say(run: Frame, path: str, saved: Saved, kept: Sequence[SavedVerdict], verdicts: Sequence[Verdict]) -> None:
    """Whose evidence this is, and where this opsctl judges otherwise than the one that saved it."""
    name = "stdin" if path == "-" else path
    when = saved.at.strftime("%Y-%m-%dT%H:%M:%SZ")
    run.say(f"judged again from {clean(name)}: context {clean(saved.context)} at {when}; nobody was asked")
    for one, verdict in zip(kept, verdicts, strict=True):
        if not same(one, verdict):
            run.warn(
                f"opsctl: {clean(verdict.rule.name)} was {one.outcome.value} ({clean(one.headline)}) where it was "
                f"saved by opsctl {clean(saved.version)}, and is {verdict.outcome.value} here"
            )


def _on_unknown(word: str) -> Literal["fail", "warn", "ignore"]:
    return "warn" if word == "warn" else "ignore" if word == "ignore" else "fail"
