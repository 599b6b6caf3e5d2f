"""Log lines to Elasticsearch: bulk `create` into the data stream of each service, `logs-SERVICE-demo`, as ECS.

A line that is there already is not sent twice: its id is its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

from elasticsearch import Elasticsearch

from opsctl.core.logs import LogRecord
from opsctl.demo.emit.delivery import Delivery

NAMESPACE = "demo"
TEMPLATE = "logs-gaming-demo"
BATCH = 2000
_THERE_ALREADY = 409

_KEYWORD: Mapping[str, Any] = {"type": "keyword", "ignore_above": 1024}
MAPPING: Mapping[str, Any] = {
    "dynamic_templates": [{"words": {"match_mapping_type": "string", "mapping": _KEYWORD}}],
    "date_detection": False,
    "properties": {
        "@timestamp": {"type": "date"},
        "message": {"type": "text"},
        "error": {"properties": {"message": {"type": "text"}, "type": _KEYWORD}},
        "source": {
            "properties": {
                "ip": {"type": "ip"},
                "as": {"properties": {"number": {"type": "long"}}},
                "geo": {"properties": {"country_iso_code": _KEYWORD}},
            }
        },
        "event": {"properties": {"duration": {"type": "long"}}},
    },
}


class LogSender:
    """Sends log records; the index template is put before the first of them."""

    def __init__(self, client: Elasticsearch, name: str, say: Callable[[str], None]) -> None:
        for library in ("elastic_transport", "elasticsearch"):
            logging.getLogger(library).addHandler(logging.NullHandler())
            logging.getLogger(library).propagate = False  # we say it ourselves, once
        self._client = client
        self._ready = False
        self.delivery: Delivery[LogRecord] = Delivery(f"Elasticsearch {name}", self._send, say, BATCH)

    def deliver(self, records: Sequence[LogRecord]) -> None:
        """Send all of them now."""
        self.delivery.deliver(records)

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def _send(self, records: Sequence[LogRecord]) -> tuple[int, str]:
        if not self._ready:
            self._put_template()
        lines: list[Mapping[str, Any]] = []
        for record in records:
            lines += [{"create": {"_index": stream_of(record), "_id": record.id}}, document(record)]
        answer = self._client.bulk(operations=lines)
        wrong = [item["create"] for item in answer["items"] if "error" in item["create"]]
        wrong = [item for item in wrong if item["status"] != _THERE_ALREADY]
        why = f"{wrong[0]['error']['type']}: {wrong[0]['error']['reason']}" if wrong else ""
        return len(records) - len(wrong), why

    def _put_template(self) -> None:
        self._client.indices.put_index_template(
            name=TEMPLATE,
            index_patterns=[f"logs-*-{NAMESPACE}"],
            data_stream={},
            priority=200,
            template={"settings": {"number_of_replicas": 0}, "mappings": dict(MAPPING)},
        )
        self._ready = True


def open_log_sender(url: str, say: Callable[[str], None], timeout_seconds: float = 30.0) -> LogSender:
    """A sender to an Elasticsearch that asks for no credentials."""
    client = Elasticsearch(url, request_timeout=timeout_seconds, max_retries=0, http_compress=False)
    return LogSender(client, url, say)


def stream_of(record: LogRecord) -> str:
    """The data stream that a line belongs to."""
    return f"logs-{record.fields['event.dataset']}-{NAMESPACE}"


def document(record: LogRecord) -> dict[str, Any]:
    """The line as ECS keeps it: dotted names, which Elasticsearch takes as objects."""
    return {
        "@timestamp": record.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "message": record.message,
        "log.level": record.severity.lower(),
        "service.name": record.service,
        "trace.id": record.trace_id,
        "span.id": record.span_id,
        "data_stream.type": "logs",
        "data_stream.dataset": str(record.fields["event.dataset"]),
        "data_stream.namespace": NAMESPACE,
        **record.fields,
    }
