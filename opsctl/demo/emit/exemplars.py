"""Which histogram's series each span is a measurement of, so that a chart leads to a trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.samples import Exemplar

from opsctl.core.traces import Span, Trace
from opsctl.demo.emit.exposition import Key
from opsctl.demo.requests import grpc_labels, http_labels
from opsctl.demo.topology import GRPC, HTTP

# Histograms of a whole operation: span name -> metric and the labels beside service and region.
_OPERATIONS: dict[str, tuple[str, dict[str, str]]] = {
    "promo.redeem": ("gaming_redemption_duration_seconds", {"stage": "e2e"}),
    "wallet.debit": ("gaming_wallet_duration_seconds", {}),
    "wallet.credit": ("gaming_wallet_duration_seconds", {}),
    "fraud.score": ("gaming_fraud_score_duration_seconds", {}),
    "kyc.decide": ("gaming_kyc_duration_seconds", {}),
}


def exemplars(traces: Iterable[Trace]) -> Iterator[tuple[Key, float, Exemplar]]:
    """For each span that some histogram counts: the series, the seconds, and the exemplar that names the span."""
    for trace in traces:
        for span in trace.spans:
            for key in _series(span):
                seconds = span.duration_us / 1e6
                names = {"trace_id": span.trace_id, "span_id": span.span_id}
                yield key, seconds, Exemplar(names, seconds, span.end_us / 1e6)


def _series(span: Span) -> Iterator[Key]:
    region = str(span.attributes.get("gaming.region", ""))
    if span.kind == "server":
        if span.service in ("gateway", *HTTP):
            yield _http(span, region)
        elif span.service in GRPC:
            yield _key("grpc_server_handling_seconds", span.service, region, grpc_labels(span.service))
        if span.name in _OPERATIONS:
            metric, labels = _OPERATIONS[span.name]
            yield _key(metric, span.service, region, labels)
    stage = span.attributes.get("gaming.stage")
    if stage is not None:  # measured by promo, whoever does it
        yield _key("gaming_redemption_duration_seconds", "promo", region, {"stage": str(stage)})


def _http(span: Span, region: str) -> Key:
    route, status = str(span.attributes["http.route"]), str(span.attributes["http.response.status_code"])
    if span.service != "gateway" and status != "200":
        status = "500"  # services count all their failures as one
    subject = route.removeprefix("/") if span.service == "gateway" else span.service
    return _key("http_server_request_duration_seconds", span.service, region, http_labels(route, status, subject))


def _key(metric: str, service: str, region: str, labels: dict[str, str]) -> Key:
    return metric, frozenset({**labels, "service": service, "region": region}.items())
