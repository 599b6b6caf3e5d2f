"""Reads promqltest files: load, clear and eval commands with what they expect."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Union

from opsctl.core.signals import Labels, labels
from opsctl.core.windows import parse_duration

_NUMBER = r"[+-]?(?:0x[0-9a-f]+|[0-9][0-9_]*\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?|inf|nan)"
_REPEATED = re.compile(rf"({_NUMBER})([+-](?:{_NUMBER[5:]}))?x([0-9]+)", re.IGNORECASE)
_VALUES = re.compile(r"\{\{.*?\}\}(?:[+-]\{\{.*?\}\})?(?:x[0-9]+)?|\S+")
_EVAL = re.compile(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(\S+)\s+)?(.+)", re.DOTALL)
_EVAL_RANGE = re.compile(r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)")
_EXPECT = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):\s*(.+))?")
_EXPECT_RANGE = re.compile(r"expect range vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)")
_LABEL = re.compile(
    r"\s*(?:(\"(?:[^\"\\]|\\.)*\")|([A-Za-z_][\w.]*))\s*(?:=\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'))?\s*,?"
)

Values = list[Union[float, str, None]]  # a number, "_" as None, "stale", "native"


@dataclass
class Clear:
    """Forget all samples."""


@dataclass
class Load:
    """Samples every `gap_ms` from 0."""

    gap_ms: int
    series: list[tuple[Labels, Values]]
    also_native: bool


@dataclass
class Eval:
    """One question; times in ms; `expects` is (what, how, text)."""

    path: str
    line: int
    expr: str
    start_ms: int
    end_ms: int
    step_ms: int  # 0: instant
    expects: list[tuple[str, str, str]] = field(default_factory=list)
    series: list[tuple[Labels, Values]] = field(default_factory=list)
    scalar: float | None = None
    text: str | None = None
    range_vector: tuple[int, int, int] | None = None

    def wants(self, what: str) -> bool:
        """Whether it expects to fail, warn, …"""
        return any(each[0] == what for each in self.expects)


Command = Union[Clear, Load, Eval]


def read(path: str, text: str) -> Iterator[Command]:
    """The commands of a file, in order; `ValueError` says path:line."""
    lines = ["" if line.strip().startswith("#") else line.strip() for line in text.split("\n")]
    i = 0
    while i < len(lines):
        line = lines[i]
        block = _block(lines, i + 1)
        try:
            if line == "clear":
                yield Clear()
            elif line.startswith("load"):
                command, _, gap = line.partition(" ")
                yield Load(_ms(gap), [series(each) for each in block], command == "load_with_nhcb")
                i += len(block)
            elif line.startswith("eval"):
                yield _eval(path, i + 1, line, block)
                i += len(block)
            elif line:
                raise ValueError(f"not a command: {line}")
        except ValueError as wrong:
            raise ValueError(f"{path}:{i + 1}: {wrong}") from wrong
        i += 1


def _block(lines: list[str], start: int) -> list[str]:
    end = start
    while end < len(lines) and lines[end]:
        end += 1
    return lines[start:end]


def _ms(text: str) -> int:
    """A duration or a number of seconds, in ms."""
    text = text.strip()
    sign = -1 if text.startswith("-") else 1
    bare = text.lstrip("+-")
    try:
        return sign * round(float(bare) * 1000)
    except ValueError:
        return sign * round(parse_duration(bare).total_seconds() * 1000)


def _eval(path: str, number: int, line: str, block: list[str]) -> Eval:
    if ranged := _EVAL_RANGE.fullmatch(line):
        old, start, end, step, expr = ranged.groups()
        out = Eval(path, number, expr, _ms(start), _ms(end), _ms(step))
    elif instant := _EVAL.fullmatch(line):
        old, at, expr = instant.groups()
        out = Eval(path, number, expr, _ms(at or "0"), _ms(at or "0"), 0)
    else:
        raise ValueError(f"not an eval command: {line}")
    if old:
        out.expects.append((old, "", ""))
    for each in block:
        _expectation(out, each)
    return out


def _expectation(out: Eval, line: str) -> None:
    if plain := _EXPECT.fullmatch(line):
        out.expects.append((plain[1], plain[2] or "", (plain[3] or "").strip()))
    elif ranged := _EXPECT_RANGE.fullmatch(line):
        out.range_vector = _ms(ranged[1]), _ms(ranged[2]), _ms(ranged[3])
    elif line.startswith("expect string"):
        quoted = line.removeprefix("expect string").strip()
        out.text = quoted[1:-1] if quoted[0] in "`'" else json.loads(quoted)
    elif (number := _number(line)) is not None:
        out.scalar = number
    else:
        out.series.append(series(line))


def _number(text: str) -> float | None:
    if not re.fullmatch(_NUMBER, text, re.IGNORECASE):
        return None
    return float(int(text, 16)) if text.lower().startswith("0x") else float(text)


def series(line: str) -> tuple[Labels, Values]:
    """`name{label="value"} 1 2+1x3 _ stale`."""
    name = re.match(r"[A-Za-z_:][\w:]*", line)
    at = name.end() if name else 0
    pairs: dict[str, str] = {"__name__": name[0]} if name else {}
    if line[at : at + 1] == "{":
        at += 1
        while line[at] != "}":
            label = _LABEL.match(line, at)
            if label is None:
                raise ValueError(f"not a label at {line[at:]!r}")
            key = label[2] or _unquoted(label[1])
            pairs |= {key: _unquoted(label[3])} if label[3] else {"__name__": key}
            at = label.end()
            at += len(line[at:]) - len(line[at:].lstrip())
        at += 1
    pairs = {k: v for k, v in pairs.items() if v}
    return labels(pairs), [value for token in _VALUES.findall(line[at:]) for value in _expanded(token)]


def _unquoted(text: str) -> str:
    if text[0] == "'":
        text = '"' + text[1:-1].replace('"', '\\"').replace("\\'", "'") + '"'
    return str(json.loads(re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", text)))


def _expanded(token: str) -> Values:
    if token.startswith("{{"):
        times = re.search(r"\}\}x([0-9]+)$", token)
        return ["native"] * (int(times[1]) + 1 if times else 1)
    if missing := re.fullmatch(r"(_|stale)(?:x([0-9]+))?", token):
        one = None if missing[1] == "_" else "stale"
        times_of = int(missing[2] or 1)
        return [one] * (times_of if one is None else times_of + (missing[2] is not None))
    if repeated := _REPEATED.fullmatch(token):
        first, step = float(repeated[1]), float(repeated[2] or 0)
        count = int(repeated[3]) + 1
        if step == 0:
            return [first] * count
        out: Values = [first]
        for _ in range(count - 1):
            first += step
            out.append(first)
        return out
    number = _number(token)
    if number is None:
        raise ValueError(f"not a value: {token!r}")
    return [number]


def nearly(a: float, b: float, epsilon: float = 1e-6) -> bool:
    """Prometheus's comparison: relative to the sum of magnitudes; NaN equals NaN."""
    if math.isnan(a) and math.isnan(b):
        return True
    if a == b:
        return True
    both, apart = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or both < 2.2250738585072014e-308:
        return apart < epsilon * 2.2250738585072014e-308
    return apart / min(both, 1.7976931348623157e308) < epsilon
