"""A check as a Markdown report: for a pull request, an incident channel, the summary of a CI job.

Must never let text from outside become markup: no link, no image, no HTML, no mention of a person.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from opsctl.core.rules import Evidence, State, Verdict, state_of
from opsctl.core.windows import format_duration
from opsctl.render.text import clean
from opsctl.views.check import Line, Result, counts, lines
from opsctl.views.words import GLYPHS, WORST_FIRST, percent

ROWS = 100
DETAILS = 20  # rules whose evidence is shown
LIMIT = 300_000  # characters; GitHub takes 1 MiB for a summary, and less for a comment
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~$&])")
_WORDS = {
    State.FAIL: "a page-tier alert fires",
    State.UNKNOWN: "a pass cannot be claimed",
    State.WARN: "nothing that pages",
    State.OK: "everything holds",
}


def markdown(result: Result) -> str:
    """Heading, numbers, a table of what does not hold, the evidence of each of those, the backends."""
    rows = lines(result.verdicts, result.incidents)
    worst = rows[0].state if rows else State.UNKNOWN
    out = [
        f"## {GLYPHS[worst]} {worst}: {_WORDS[worst]}",
        "",
        f"{_numbers(result)} · context {plain_text(result.context)} · {_time(result.at)} · exit {int(result.code)}",
        "",
    ]
    bad = [row for row in rows if row.state is not State.OK]
    out += _table(bad)
    if bad:
        out += _details(result)
    out += _backends(result)
    out += [f"- {plain_text(problem)}" for problem in result.problems] + ([""] if result.problems else [])
    return _bounded(out)


def _numbers(result: Result) -> str:
    return ", ".join(f"{n} {state}" for state, n in counts(result.verdicts).items())


def _table(rows: Sequence[Line]) -> list[str]:
    if not rows:
        return []
    out = ["| state | service | rule | severity | since | why | runbook |", "|---|---|---|---|---|---|---|"]
    for row in rows[:ROWS]:
        since = ("at least " if row.since_at_least else "") + _time(row.since) if row.since else ""
        runbook = code_text(row.runbook) if row.runbook else ""
        cells = (
            row.words,
            plain_text(row.service),
            plain_text(row.rule),
            row.severity,
            since,
            plain_text(row.headline),
            runbook,
        )
        out.append(f"| {' | '.join(cells)} |")
    if len(rows) > ROWS:
        out.append(f"\nand {len(rows) - ROWS} more")
    return [*out, ""]


def _details(result: Result) -> list[str]:
    bad = [verdict for verdict in result.verdicts if state_of(verdict) is not State.OK]
    ranked = sorted(bad, key=lambda v: (WORST_FIRST.index(state_of(v)), v.rule.service, v.rule.name))
    out = []
    for verdict in ranked[:DETAILS]:
        out += _evidence(verdict)
    return out


def _evidence(verdict: Verdict) -> list[str]:
    rule, evidence = verdict.rule, verdict.evidence
    title = f"Evidence of {_html(rule.name)}"
    out = [
        f"<details><summary>{title}</summary>",
        "",
        f"Rule: {code_text(str(rule.origin))}; digest {code_text(evidence.digest)}",
        "",
    ]
    out += _windows(evidence)
    asked = [one for one in evidence.asked if one.since is None]
    if asked:
        out += ["| asked | at | came |", "|---|---|---|"]
        for one in asked:
            came = one.message or ("absent" if one.result == "absent" else _value(one.value, one.elements))
            out.append(f"| {code_text(one.expression)} | {_time(one.at)} | {plain_text(came)} |")
        out.append("")
    back = len(evidence.asked) - len(asked)
    if back:
        out += [f"and {back} questions about the past, for since when it is so", ""]
    return [*out, "</details>", ""]


def _value(value: float | None, elements: int) -> str:
    return f"{elements} elements" if value is None else f"{value:.10g}"


def _windows(evidence: Evidence) -> list[str]:
    if not evidence.windows:
        return []
    out = ["| window | bad | total | ratio | burn | line |", "|---|---|---|---|---|---|"]
    for one in evidence.windows:
        numbers = (_count(one.bad), _count(one.total), _share(one.ratio), _rate(one.burn), _share(one.threshold))
        out.append(f"| {format_duration(one.window)} | {' | '.join(numbers)} |")
    if evidence.budget is not None:
        budget = evidence.budget
        out += ["", f"Budget: {percent(budget.remaining)} left, asked at {_time(budget.asked_at)}"]
    return [*out, ""]


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}×"


def _backends(result: Result) -> list[str]:
    out = ["| backend | signal | status | questions | seconds | first failure |", "|---|---|---|---|---|---|"]
    for one in result.backends:
        out.append(
            f"| {plain_text(one.name)} | {one.signal} | {one.status} | {one.queries} | {one.took_seconds:.2f} "
            f"| {plain_text(one.error or '')} |"
        )
    return [*out, ""] if result.backends else []


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def plain_text(text: str) -> str:
    """Text that stays text: markup is escaped, and neither a mention nor an address becomes a link."""
    shown = _MARKUP.sub(r"\\\1", clean(text))
    return shown.replace("@", "@<!-- -->").replace("://", ":<!-- -->//").replace("www.", "www<!-- -->.")


def code_text(text: str) -> str:
    """A code span of a table cell: as many backticks around it as it takes, and no bar that ends the cell."""
    shown = clean(text)
    ticks = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown[:1] == "`" or shown[-1:] == "`" or not shown.strip() else ""
    return f"{ticks}{pad}{shown.replace('|', chr(92) + '|')}{pad}{ticks}"


def _html(text: str) -> str:
    """Text inside of HTML, where Markdown is not read."""
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@<!-- -->")


def _bounded(out: list[str]) -> str:
    kept, size = [], 0
    for line in out:
        size += len(line) + 1
        if size > LIMIT:
            kept.append("\nand more than fits here: `opsctl check -o json` has all of it")
            break
        kept.append(line)
    return "\n".join(kept).rstrip("\n") + "\n"
