"""Random samples and random expressions over them, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from opsctl.core.signals import Labels, labels

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000

History = dict[Labels, list[tuple[int, float]]]


def history(seed: int, minutes: int = 150) -> History:
    """Counters with resets, gauges, flags, buckets and gappy series; a scrape every 30 s, some at odd times."""
    rng = Random(seed)
    out: History = {}
    grid = [START_MS + i * 30_000 for i in range(minutes * 2)]
    for job in ("api", "web"):
        out[labels({"__name__": "limit", "job": job})] = [(at, 40.0 + 7 * (job == "web")) for at in grid]
        for instance in ("a", "b", "c"):
            key = {"job": job, "instance": instance}
            for code in ("200", "404", "500"):
                out[labels({"__name__": "requests_total", "code": code, **key})] = _counter(rng, grid)
            out[labels({"__name__": "temperature", **key})] = [(at, round(rng.gauss(5, 30), 3)) for at in grid]
            out[labels({"__name__": "up", **key})] = [(at, float(rng.random() < 0.8)) for at in grid]
            odd = sorted({at + rng.randrange(30_000) for at in grid if rng.random() < 0.5})
            if instance != "c":
                gone = rng.randrange(len(odd) // 2), rng.randrange(10, 60)
                kept = odd[: gone[0]] + odd[gone[0] + gone[1] :]
                out[labels({"__name__": "sparse_total", **key})] = _counter(rng, kept)
        _buckets(rng, out, job, grid)
    return out


def _counter(rng: Random, grid: list[int]) -> list[tuple[int, float]]:
    value, points = float(rng.randrange(100)), []
    for at in grid:
        value = float(rng.randrange(5)) if rng.random() < 0.02 else value + rng.randrange(8)
        points.append((at, value))
    return points


def _buckets(rng: Random, out: History, job: str, grid: list[int]) -> None:
    bounds = ("0.1", "0.5", "1", "5", "+Inf")
    counts = [0.0] * len(bounds)
    points: list[list[tuple[int, float]]] = [[] for _ in bounds]
    for at in grid:
        for i in range(len(bounds)):
            counts[i] += rng.randrange(4)
        for i in range(len(bounds)):
            points[i].append((at, sum(counts[: i + 1])))
    for bound, each in zip(bounds, points, strict=True):
        out[labels({"__name__": "latency_bucket", "job": job, "le": bound})] = each


def openmetrics(samples: History) -> str:
    """The text that `promtool tsdb create-blocks-from openmetrics` takes."""
    lines = []
    for series, points in sorted(samples.items()):
        pairs = dict(series)
        name = pairs.pop("__name__")
        shown = ",".join(f'{key}="{value}"' for key, value in pairs.items())
        lines += [f"{name}{{{shown}}} {value!r} {at / 1000:.3f}" for at, value in points]
    return "\n".join([*lines, "# EOF\n"])


_WINDOWS = ("1m", "90s", "5m", "17m", "1h")
_COUNTERS = ("rate", "increase", "irate", "resets", "changes", "delta", "deriv", "count_over_time")
_OVER = ("avg", "sum", "min", "max", "count", "last", "stddev", "stdvar", "present")
_MATH = ("abs", "ceil", "floor", "exp", "sqrt", "ln", "sgn", "-", "+")


@dataclass
class Expressions:
    """Draws expressions; `depth` bounds how they nest."""

    rng: Random

    def any(self, depth: int = 3) -> str:
        """An instant vector, now and then a scalar."""
        return self.scalar(depth) if self.rng.random() < 0.08 else self.vector(depth)

    def vector(self, depth: int) -> str:
        """An expression that is an instant vector."""
        if depth <= 0:
            return self._leaf()
        kinds = (self._leaf, self._function, self._aggregate, self._aggregate, self._binary, self._binary, self._other)
        return self.rng.choice(kinds)(depth)

    def scalar(self, depth: int) -> str:
        """An expression that is a scalar."""
        if depth <= 0 or self.rng.random() < 0.6:
            return self.rng.choice(("2", "0.5", "-3", "1e3", "time() / 1e9", "pi()", "7"))
        if self.rng.random() < 0.5:
            return f"scalar({self.vector(depth - 1)})"
        return f"({self.scalar(depth - 1)} {self.rng.choice('+-*/%^')} {self.scalar(depth - 1)})"

    def _selector(self) -> str:
        name = self.rng.choice(("requests_total", "temperature", "up", "sparse_total", "limit"))
        matchers = ("", "", '{job="api"}', '{job=~"a.*|web"}', '{instance!="a"}', '{code!~"5..",job!=""}', '{job="no"}')
        return name + self.rng.choice(matchers)

    def _modifier(self) -> str:
        offset = self.rng.choice(("", "", "", " offset 3m", " offset -7m", " offset 45s"))
        at = self.rng.choice(
            ("", "", "", f" @ {START_MS // 1000 + self.rng.randrange(6000)}.5", " @ end()", " @ start()")
        )
        return self.rng.choice((offset + at, at + offset))

    def _leaf(self, depth: int = 0) -> str:
        return self._selector() + self._modifier()

    def _range(self, depth: int) -> str:
        if depth > 0 and self.rng.random() < 0.25:
            step = self.rng.choice(("", "30s", "1m", "70s"))
            return f"({self.vector(depth - 1)})[{self.rng.choice(_WINDOWS)}:{step}]{self._modifier()}"
        return f"{self._selector()}[{self.rng.choice(_WINDOWS)}]{self._modifier()}"

    def _function(self, depth: int) -> str:
        draw = self.rng.random()
        if draw < 0.4:
            name = self.rng.choice(_COUNTERS)
            exact = name not in ("delta", "deriv", "count_over_time")  # a rounding in a subquery would be a reset
            return f"{name}({self._range(1 if exact else depth)})"
        if draw < 0.75:
            return f"{self.rng.choice(_OVER)}_over_time({self._range(depth)})"
        if draw < 0.82:
            return f"quantile_over_time({self.rng.choice(('0.5', '0.9', '0', '1'))}, {self._range(depth)})"
        if draw < 0.88:
            return f"predict_linear({self._range(depth)}, 600)"
        return f"histogram_quantile(0.{self.rng.randrange(1, 10)}, {self._histogram()})"

    def _histogram(self) -> str:
        by = self.rng.choice(("le", "le, job"))
        return f"sum by ({by}) (rate(latency_bucket[{self.rng.choice(('5m', '17m'))}]))"

    def _aggregate(self, depth: int) -> str:
        how = self.rng.choice(("", " by (job)", " by (job, instance)", " without (code)", " without (instance, job)"))
        op = self.rng.choice(("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "topk"))
        if op == "quantile":
            return f"quantile{how} (0.{self.rng.randrange(10)}, {self.vector(depth - 1)})"
        if op == "topk":  # of values without ties
            return (
                f"{self.rng.choice(('topk', 'bottomk'))}{how} ({self.rng.randrange(4)}, temperature{self._modifier()})"
            )
        return f"{op}{how} ({self.vector(depth - 1)})"

    def _binary(self, depth: int) -> str:
        left = self.vector(depth - 1)
        draw = self.rng.random()
        if draw < 0.25:
            op = self.rng.choice(("and", "or", "unless"))
            return f"({left} {op}{self._on()} {self.vector(depth - 1)})"
        op = self.rng.choice(("+", "-", "*", "/", ">", "<", ">=", "==", "!=", "> bool", "== bool"))
        if draw < 0.5:
            sides = [left, self.scalar(depth - 1)]
            self.rng.shuffle(sides)
            return f"({sides[0]} {op} {sides[1]})"
        if draw < 0.75:
            return f"({left} {op}{self._on()} {self.vector(depth - 1)})"
        group = self.rng.choice(("group_left", "group_left (code)", "group_left ()"))
        return f"({left} {op} on (job) {group} sum by (job) ({self.vector(depth - 1)}))"

    def _on(self) -> str:
        return self.rng.choice(("", "", " on (job, instance)", " ignoring (code)", " on (job)", " on ()"))

    def _other(self, depth: int) -> str:
        inner = self.vector(depth - 1)
        return self.rng.choice(
            (
                f"absent({inner})",
                f"clamp({inner}, -5, 20)",
                f"clamp_max({inner}, 3)",
                f"vector({self.scalar(depth - 1)})",
                f"timestamp({inner})",
                f"hour(timestamp({inner}))",
                f"day_of_month(timestamp({inner}) * 1.1)",
                f'label_replace({inner}, "zone", "z-$1", "instance", "(a|b)")',
                f'label_join({inner}, "both", "/", "job", "instance")',
                f"absent_over_time({self._range(depth)})",
                f'count_values("v", {self.rng.choice(("up", "limit"))}{self._modifier()})',
                f"-{inner}" if not inner.startswith("-") else inner,
                f"abs({inner})",
                f"sgn({inner})",
                f"exp({inner} / 1000)",
                f"({inner})",
            )
        )
