"""From plans to spans, as OpenTelemetry's instrumentations would have made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from opsctl.core.traces import Span, SpanEvent, Trace, Value
from opsctl.demo.faults import REGIONS
from opsctl.demo.telemetry.draw import Ints, hexes, span_words
from opsctl.demo.telemetry.plan import BROKEN, CALLEE, FINE, NO_HOME, REFUSED, SHED, SILENT, STUCK, Plan, Row
from opsctl.demo.telemetry.shapes import ALWAYS_SAMPLED, Step

NAMESPACE, ENVIRONMENT = "gaming", "demo"
_INSTANCES = 3

# Why an operation failed: error.type, the exception's text, the HTTP status of it, the gRPC status code of it.
ERRORS: Mapping[int, tuple[str, str, int, int]] = {
    BROKEN: ("internal", "unexpected state", 500, 13),
    REFUSED: ("overloaded", "no room for this request: the queue is full", 503, 14),
    CALLEE: ("dependency", "a request that this one needs failed", 500, 14),
    SILENT: ("timeout", "the service does not answer", 504, 4),
    NO_HOME: ("no_home_region", "the player's home region does not answer", 503, 14),
    STUCK: ("pool_timeout", "no database connection became free in time", 500, 4),
}
_ORIGINS = frozenset({BROKEN, REFUSED, SILENT, NO_HOME, STUCK})


def traces(plan: Plan) -> list[Trace]:
    """The plan's traces, in its order."""
    ids = [high + low for high, low in zip(hexes(plan.high), hexes(plan.low), strict=True)]
    spans: list[list[Span]] = [[] for _ in ids]
    names = [hexes(span_words(plan.low, number)) for number in range(len(plan.rows))]
    instance = (plan.spare % np.uint64(_INSTANCES)).astype(np.int64)
    for number, row in enumerate(plan.rows):
        for at, span in _spans(
            plan, row, ids, names[number], None if row.parent is None else names[row.parent], instance
        ):
            spans[at].append(span)
    late = any(row.step.timing == "consumer" for row in plan.rows)
    return [
        Trace(trace_id, tuple(sorted(found, key=lambda span: span.start_us) if late else found))
        for trace_id, found in zip(ids, spans, strict=True)
    ]


def micros(plan: Plan, row: Row) -> tuple[Ints, Ints]:
    """Start (since the epoch) and duration of the operation; rounded so that children stay inside their parents."""
    start = plan.begin + np.floor(row.start * 1e6).astype(np.int64)
    end = plan.begin + np.floor((row.start + row.seconds) * 1e6).astype(np.int64)
    return start, np.maximum(end - start, 1)


def _spans(
    plan: Plan, row: Row, ids: Sequence[str], names: Sequence[str], parents: Sequence[str] | None, instance: Ints
) -> list[tuple[int, Span]]:
    """The spans of one operation, with the number of the trace."""
    step = row.step
    start, duration = micros(plan, row)
    where = np.flatnonzero(row.present)
    if not len(where):
        return []
    numbers = zip(
        where.tolist(),
        start[where].tolist(),
        duration[where].tolist(),
        row.why[where].tolist(),
        plan.region[where].tolist(),
        instance[where].tolist(),
        strict=True,
    )
    own = _own_attributes(plan, row)
    out = []
    for at, start_us, took_us, why, region, replica in numbers:
        attributes = _attributes(step, why, region)
        if own is not None:
            attributes = {**attributes, **own(at)}
        failed = why not in (FINE, SHED)
        out.append(
            (
                at,
                Span(
                    ids[at],
                    names[at],
                    None if parents is None else parents[at],
                    step.name,
                    step.service,
                    step.kind,
                    start_us,
                    took_us,
                    "error" if failed else "unset",
                    attributes,
                    _resource(step.service, region, replica),
                    (_exception(why, start_us + took_us),) if why in _ORIGINS else (),
                    ((ids[at], parents[at]),) if step.kind == "consumer" and parents else (),
                ),
            )
        )
    return out


def _own_attributes(plan: Plan, row: Row) -> Callable[[int], dict[str, Value]] | None:
    """What only this trace's span has, as a function of its number; None where there is nothing."""
    if row.step.kind == "consumer":
        expired = plan.expired.tolist()
        return lambda at: {"gaming.ticket.outcome": "expired" if expired[at] else "matched"}
    keys = idempotency_keys(plan) if row.step.keyed else None
    root = _root_attributes(plan) if row.parent is None else {}
    if keys is None and row.parent is not None:
        return None
    users = plan.people.user
    homes = [REGIONS[1 - region] for region in plan.region.tolist()] if plan.asked.variant == "orphan" else None

    def own(at: int) -> dict[str, Value]:
        found: dict[str, Value] = {"user.id": users[at], **root}
        if keys is not None:
            found["gaming.idempotency_key"] = keys[at]
        if homes is not None:
            found["gaming.home_region"] = homes[at]
        return found

    return own


def _root_attributes(plan: Plan) -> dict[str, Value]:
    return {"gaming.sampled": "always"} if plan.asked.shape.name in ALWAYS_SAMPLED else {}


def idempotency_keys(plan: Plan) -> list[str]:
    """One for each trace: what was asked once is done once."""
    return [f"k-{key}" for key in hexes(span_words(plan.spare, 0))]


@cache
def _resource(service: str, region: int, replica: int) -> Mapping[str, Value]:
    return {
        "service.name": service,
        "service.namespace": NAMESPACE,
        "service.instance.id": f"{service}-{REGIONS[region]}-{replica}",
        "deployment.environment.name": ENVIRONMENT,
        "cloud.region": REGIONS[region],
    }


_ATTRIBUTES: dict[tuple[int, int, int], Mapping[str, Value]] = {}


def _attributes(step: Step, why: int, region: int) -> Mapping[str, Value]:
    """What all spans of an operation with that outcome have; one object for all of them."""
    key = (id(step), why, region)  # steps are part of a constant
    found = _ATTRIBUTES.get(key)
    if found is None:
        found = _ATTRIBUTES[key] = {**step.attributes, "gaming.region": REGIONS[region], **_outcome(step, why)}
    return found


def _outcome(step: Step, why: int) -> dict[str, Value]:
    status = status_of(step, why)
    error = "" if why in (FINE, SHED) else ERRORS[why][0]
    found: dict[str, Value] = {"error.type": error} if error else {}
    if "rpc.system" in step.attributes:
        found["rpc.grpc.status_code"] = ERRORS[why][3] if error else 0
    elif status:
        found["http.response.status_code"] = status
    return found


def status_of(step: Step, why: int) -> int:
    """The HTTP status that the operation answers, or 0 where it is no HTTP."""
    if "http.request.method" not in step.attributes:
        return 0
    if why == SHED:
        return 429
    if why == FINE:
        return 200
    if step.service == "gateway" and step.kind == "server":
        return 503
    return ERRORS[why][2]


def _exception(why: int, at_us: int) -> SpanEvent:
    kind, text, _, _ = ERRORS[why]
    return SpanEvent(at_us, "exception", {"exception.type": kind, "exception.message": text})
