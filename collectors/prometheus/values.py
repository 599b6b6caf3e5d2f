"""The answers of `/query` and `/query_range` to vectors and matrices.

Must never guess a value: a series without a number is an error, not a zero.
"""

from __future__ import annotations

import msgspec

from collectors.prometheus.answers import Got
from opsctl.core.signals import Labels, Matrix, Reason, Sample, Series, Vector
from opsctl.http import HttpProblem, one_line


class _Data(msgspec.Struct):
    resultType: str
    result: msgspec.Raw


class _VectorItem(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str] | None = None
    histogram: msgspec.Raw = msgspec.Raw()


class _MatrixItem(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] | None = None
    histograms: msgspec.Raw = msgspec.Raw()


_decode_data = msgspec.json.Decoder(_Data).decode
_decode_vector = msgspec.json.Decoder(list[_VectorItem]).decode
_decode_matrix = msgspec.json.Decoder(list[_MatrixItem]).decode
_decode_scalar = msgspec.json.Decoder(tuple[float, str]).decode


def vector(raw: msgspec.Raw, cap: int) -> Vector:
    """An instant answer; a scalar is one sample without labels. More than `cap` series are refused."""
    data = _decode_data(raw)
    if data.resultType == "scalar":
        return Vector((Sample((), float(_decode_scalar(data.result)[1])),))
    if data.resultType != "vector":
        raise _wrong_kind(data.resultType)
    items = _decode_vector(data.result)
    check_count(len(items), cap)
    samples = []
    for item in items:
        if item.value is None:
            raise _no_number(bool(bytes(item.histogram)))
        samples.append(Sample(tuple(sorted(item.metric.items())), float(item.value[1])))
    _check_unique([sample.labels for sample in samples])
    return Vector(tuple(samples))


def matrix(raw: msgspec.Raw, cap: int) -> Matrix:
    """A range answer. More than `cap` series are refused."""
    data = _decode_data(raw)
    if data.resultType != "matrix":
        raise _wrong_kind(data.resultType)
    items = _decode_matrix(data.result)
    check_count(len(items), cap)
    series = []
    for item in items:
        if bytes(item.histograms) or item.values is None:
            raise _no_number(bool(bytes(item.histograms)))
        points = tuple([(at, float(value)) for at, value in item.values])
        series.append(Series(tuple(sorted(item.metric.items())), points))
    _check_unique([one.labels for one in series])
    return Matrix(tuple(series))


def joined(parts: list[Got[Matrix]]) -> Got[Matrix]:
    """One matrix of parts that follow each other in time."""
    if len(parts) == 1:
        return parts[0]
    points: dict[Labels, list[tuple[float, float]]] = {}
    for part in parts:
        for series in part.data.series:
            points.setdefault(series.labels, []).extend(series.points)
    warnings = tuple(dict.fromkeys(warning for part in parts for warning in part.warnings))
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return Got(Matrix(tuple(Series(labels, tuple(of)) for labels, of in points.items())), warnings, notes)


def check_count(count: int, cap: int) -> None:
    """Refuse more series than the configuration allows."""
    if count > cap:
        raise HttpProblem(Reason.TOO_LARGE, f"answered {count} series, more than {cap} (limits.series)")


def _wrong_kind(kind: str) -> HttpProblem:
    if kind in {"matrix", "string", "scalar", "vector"}:
        return HttpProblem(Reason.REJECTED, f"the expression gives a {kind}; an instant vector or a scalar is needed")
    return HttpProblem(Reason.MALFORMED, f"answered a result of the unknown type {one_line(kind, 40)!r}")


def _no_number(histogram: bool) -> HttpProblem:
    if histogram:
        return HttpProblem(
            Reason.UNSUPPORTED,
            "the expression gives native histograms, which have no one value; use histogram_quantile() or the like",
        )
    return HttpProblem(Reason.MALFORMED, "answered JSON that is not Prometheus': a series without a value")


def _check_unique(labels: list[Labels]) -> None:
    if len(set(labels)) != len(labels):
        raise HttpProblem(Reason.MALFORMED, "answered the same series twice")
