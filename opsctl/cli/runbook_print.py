"""How runbooks, plans and runs are printed, and how a person at the terminal is asked.

Everything that comes from a file or from outside goes through `clean` here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from opsctl.cli.frame import Frame, write_json
from opsctl.render.text import clean, clean_block
from opsctl.views.runbooks import GLYPHS, edit_of, terms, verb

if TYPE_CHECKING:
    from opsctl.core.runbooks import Runbook
    from opsctl.ports.runbooks import Question, RunbookRun, RunbookStep
    from opsctl.runner import Event, Planned, Report

_SHOWN_LINES = 12


def table(run: Frame, columns: Sequence[str], rows: Sequence[Sequence[str]], form: str, wrap: str = "") -> None:
    """Rows on stdout, as a table or tab-separated."""
    from opsctl.render.table import Column, write_rows

    heads = [Column(name, wrap=name == wrap) for name in columns]
    write_rows(sys.stdout, heads, rows, table=form == "table", color=run.colored(sys.stdout))


class Terminal:
    """`opsctl.ports.Person`: whoever sits at the terminal, or nobody."""

    def __init__(self, run: Frame, *, no_input: bool) -> None:
        self._run = run
        self._there = not no_input and sys.stdin.isatty()

    def answer(self, question: Question) -> bool | None:
        """Show it, and ask; None when nobody is there or the line ends."""
        self._run.warn(indented(question.text))
        for fact in question.facts:
            self._run.warn(indented(fact))
        if not self._there:
            return None
        words = {"approval": "approve", "manual": "done", "happened": "it happened"}[question.kind]
        # An approval opens a mutation: it wants the whole word. What was done by hand takes y.
        short = {} if question.kind == "approval" else {"y": True, "n": False}
        known = {"yes": True, "no": False, **short}
        while True:
            said = self.line(f"    {words}? [{'yes/no' if not short else 'y/n'}] ")
            if said is None:
                return None
            if said.lower() in known:
                return known[said.lower()]
            self._run.warn(f"    please type {'yes or no, the whole word' if not short else 'y or n'}")

    def line(self, prompt: str) -> str | None:
        """One line that a person types, or None."""
        if not self._there:
            return None
        sys.stderr.write(prompt)
        sys.stderr.flush()
        text = sys.stdin.readline()
        return text.strip() if text else None


def indented(text: str, width: int = 4) -> str:
    """Clean text, moved to the right."""
    return "\n".join(" " * width + line for line in clean_block(text).splitlines())


def teller(run: Frame) -> Callable[[Event], None]:
    """Tell on stderr what a run does while it does it."""

    def tell(event: Event) -> None:
        step = event.step
        prefix = "" if event.role.value == "step" else f"{event.role.value} "
        if event.kind == "begin":
            why = f" ({clean(event.text)})" if event.text else ""
            run.say(f"▶ {prefix}{clean(step.id)}: {clean(step.title)}{why}")
        elif event.kind == "wait":
            run.say(f"    … {clean(event.text)}")
        elif event.outcome is not None:
            _told(run, prefix, step.id, event.outcome)

    return tell


def _told(run: Frame, prefix: str, step_id: str, outcome: Any) -> None:
    glyph = GLYPHS.get(outcome.state, " ")
    captured = ", ".join(f"{name} = {value}" for name, value in outcome.captured.items())
    words = "; ".join(part for part in (outcome.message, captured) if part)
    say = run.say if outcome.state == "ok" else run.warn
    say(f"{glyph} {prefix}{clean(step_id)} {outcome.state}" + (f": {clean(words)}" if words else ""))
    if outcome.state not in ("ok", "waiting") and outcome.output:
        lines = outcome.output.splitlines()
        for line in lines[-_SHOWN_LINES:]:
            run.warn(f"    {clean(line)}")


def print_plan(runbook: Runbook, planned: Sequence[Planned], form: str, dry: bool) -> None:
    """A plan or a dry run: what is read, the gates, every write byte for byte."""
    if form == "json":
        steps = [_planned_json(item) for item in planned]
        write_json(
            "runbook/dry-run/v1" if dry else "runbook/plan/v1",
            {"runbook": runbook.id, "digest": runbook.digest, "steps": steps},
        )
        return
    out = [f"{clean(runbook.id)} {runbook.version}: {clean(runbook.title)}", ""]
    for item in planned:
        step = item.step
        words = "; ".join(terms(step))
        out.append(f"{verb(item)} {clean(step.id)}: {clean(step.title)}" + (f"  [{clean(words)}]" if words else ""))
        out.append(indented(item.text))
        if item.outcome is not None:
            words = (
                item.outcome.message
                or ", ".join(f"{k} = {v}" for k, v in item.outcome.captured.items())
                or clean(item.outcome.output)[:200]
            )
            out.append(
                f"  {GLYPHS[item.outcome.state]} now: {item.outcome.state}" + (f": {clean(words)}" if words else "")
            )
        out.append("")
    sys.stdout.write("\n".join(out))


def _planned_json(item: Planned) -> dict[str, Any]:
    step = item.step
    body: dict[str, Any] = {
        "id": step.id,
        "title": step.title,
        "kind": step.kind.value,
        "role": step.role.value,
        "what": item.what,
        "text": item.text,
        "complete": item.complete,
        "mutates": step.mutates,
        "requires": step.requires,
        "undo": step.undo,
        "expect": step.expect_text or None,
    }
    if item.outcome is not None:
        body["now"] = {
            "state": item.outcome.state,
            "message": item.outcome.message,
            "captured": dict(item.outcome.captured),
        }
    return body


def print_report(run: Frame, report: Report, form: str) -> None:
    """How a run stands: its steps and what became of them."""
    if form == "json":
        write_json("runbook/run/v1", report_json(report))
        return
    rows = [step_row(step) for step in report.steps if not step.step.startswith("@")]
    table(run, ("state", "step", "attempt", "ended", "message"), rows, form, wrap="message")


def step_row(step: RunbookStep) -> tuple[str, str, str, str, str]:
    """One attempt as cells."""
    message = (step.captured or {}).get("@message", "")
    ended = step.ended.strftime("%H:%M:%SZ") if step.ended is not None else ""
    return (f"{GLYPHS.get(step.state, ' ')} {step.state}", step.step, str(step.attempt), ended, message)


def report_json(report: Report) -> dict[str, Any]:
    """The run and its attempts as JSON."""
    run = report.run
    return {
        "run": run.run,
        "runbook": run.runbook,
        "digest": run.digest,
        "params": dict(run.params),
        "who": run.who,
        "incident_key": run.incident_key,
        "started": run.started,
        "ended": run.ended,
        "state": report.state,
        "message": report.message,
        "steps": [step_json(step) for step in report.steps],
    }


def step_json(step: RunbookStep) -> dict[str, Any]:
    """One attempt as JSON; captured values are JSON texts in the journal."""
    import json

    pairs = (step.captured or {}).items()
    return {
        "step": step.step,
        "attempt": step.attempt,
        "state": step.state,
        "started": step.started,
        "ended": step.ended,
        "message": (step.captured or {}).get("@message", ""),
        "output": step.output,
        "exit_code": step.exit_code,
        "idempotency_key": step.idempotency_key,
        "captured": {name: json.loads(text) for name, text in pairs if not name.startswith("@")},
    }


def diff(record: RunbookRun, runbook: Runbook) -> str:
    """What was edited since a run started."""
    return "\n".join(clean(line) for line in edit_of(record, runbook))
