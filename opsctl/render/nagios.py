"""A check as a monitoring plugin prints it: one line, numbers after a bar, then a bounded list.

The line's word is the one of `--exit-style nagios`. Must never let text from outside end a line or begin the numbers.
"""

from __future__ import annotations

from opsctl.core.rules import State
from opsctl.core.slo import Slo
from opsctl.render.text import clean
from opsctl.views.check import Line, Result, counts, lines, nagios_code

STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
FIRST_LINE = 300  # characters of text
LONG_LINES = 30
NUMBERS = 20  # budgets among the performance data
LIMIT_BYTES = 7_900  # Nagios cuts at 8 KiB


def nagios(result: Result) -> str:
    """`OPSCTL CRITICAL - …|fail=1 …` and at most 30 lines of what does not hold."""
    word = STATES[nagios_code(int(result.code), warned=result.warned)]
    rows = [row for row in lines(result.verdicts, result.incidents) if row.state is not State.OK]
    numbers = ", ".join(f"{n} {state}" for state, n in counts(result.verdicts).items())
    first = f"OPSCTL {word} - {numbers}"
    if rows:
        first += f"; {_said(rows[0])}"
    elif result.problems:
        first += f"; {_text(result.problems[0])}"
    out = [f"{_cut(first, FIRST_LINE)} | {' '.join(_numbers(result))}"]
    out += [_cut(f"{row.state} {_said(row)}", FIRST_LINE) for row in rows[:LONG_LINES]]
    if len(rows) > LONG_LINES:
        out.append(f"and {len(rows) - LONG_LINES} more")
    return _bounded(out)


def _said(row: Line) -> str:
    return _text(f"{row.service} / {row.rule}: {row.headline}")


def _text(text: str) -> str:
    """One line without the bar that begins performance data."""
    return clean(text).replace("|", "/")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _numbers(result: Result) -> list[str]:
    found = [f"{state.value.lower()}={n};;;0" for state, n in counts(result.verdicts).items()]
    found.append(f"seconds={result.took_seconds:.3f}s;;;0")
    found += [f"questions={sum(backend.queries for backend in result.backends)};;;0"]
    left = [
        (verdict.evidence.budget.remaining, verdict.rule.service, verdict.rule.name)
        for verdict in result.verdicts
        if isinstance(verdict.rule, Slo) and verdict.evidence.budget is not None
    ]
    for remaining, service, name in sorted(left)[:NUMBERS]:
        found.append(f"{_label(f'{service} {name} budget')}={remaining * 100:.2f}%;;0:;;100")
    return found


def _label(text: str) -> str:
    """A quoted label: no equals sign, no bar, quotes doubled."""
    plain = _cut(clean(text).replace("|", "/").replace("=", ":"), 80)
    return "'" + plain.replace("'", "''") + "'"


def _bounded(out: list[str]) -> str:
    text, size = [], 0
    for line in out:
        size += len(line.encode("utf-8", "backslashreplace")) + 1
        if size > LIMIT_BYTES:
            break
        text.append(line)
    return "\n".join(text or [out[0][:1000]]) + "\n"
