"""A page of 10,000 log lines at the client, from the bytes of the answer: ours against the official client's own way.

Both get the same prerecorded answer of a search (ECS lines of an Elasticsearch 8.19, 12 fields each) without a network.
The unit is `elasticsearch-py` as it comes: its default serializer makes dictionaries, and the time, message, severity,
service, trace and span of each hit are read out of them. Ours is what the collector does with the same bytes: a typed
answer and 10,000 whole `LogRecord`s, whose other fields are decoded when somebody looks at them.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.pairs import Figure, ratio

LINES = 10_000
PAIRS = 9
MESSAGES = (
    "payment accepted for order {0}",
    "wallet lock timeout after {0} ms, retrying with backoff",
    "GET /api/v2/players/{0}/inventory answered 200 in {1:.3f}s",
    "payment failed for order {0}: ledger is closed\n\tat com.example.Ledger.debit(Ledger.java:{0})",
)


def log_page() -> Figure:
    """Typed decoding against dictionaries."""
    from elasticsearch.serializer import DEFAULT_SERIALIZERS

    from collectors.elasticsearch.answers import decoded
    from collectors.elasticsearch.fields import FieldMap, Mapped
    from collectors.elasticsearch.hits import Reader, SearchAnswer

    body = _answer()
    loads = DEFAULT_SERIALIZERS["application/vnd.elasticsearch+json"].loads
    reader = Reader(FieldMap(decoded(_mapping(), Mapped), {}), {})

    def ours() -> int:
        return len(reader.records(decoded(body, SearchAnswer).hits.hits))

    def theirs() -> int:
        return len([_read(hit) for hit in loads(body)["hits"]["hits"]])

    if not ours() == theirs() == LINES:
        raise RuntimeError("the answer was not read whole")
    what = f"a page of {LINES:,} lines at the client / elasticsearch-py's own parsing"
    return Figure("log_page", ratio(ours, theirs, PAIRS), 1 / 3, "lower", what)


def _read(hit: dict[str, Any]) -> tuple[object, ...]:
    fields = hit["fields"]
    return (
        datetime.fromisoformat(hit["sort"][0]),
        fields["message"][0],
        fields["log.level"][0],
        fields["service.name"][0],
        fields["trace.id"][0] if "trace.id" in fields else "",
        fields["span.id"][0] if "span.id" in fields else "",
        f"{hit['_index']}/{hit['_id']}",
    )


def _answer() -> bytes:
    """The bytes that a server sends for such a page."""
    dice = random.Random(7)
    end = datetime(2026, 3, 1, 12, tzinfo=UTC)
    hits = []
    for number in range(LINES):
        at = (end - timedelta(milliseconds=37 * number)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        trace = f"{dice.getrandbits(128):032x}"
        fields = {
            "@timestamp": at,
            "message": dice.choice(MESSAGES).format(dice.randrange(10**6), dice.random()),
            "log.level": dice.choice(("INFO", "INFO", "INFO", "WARN", "error")),
            "service.name": dice.choice(("payments", "wallet", "matchmaking", "lobby")),
            "service.version": "2026.3.1",
            "service.environment": "prod-eu",
            "trace.id": trace,
            "span.id": trace[:16],
            "event.action": dice.choice(("wallet-debit", "payment-authorize")),
            "host.name": f"node-{dice.randrange(40)}",
            "http.response.status_code": dice.choice((200, 200, 402, 500)),
            "event.duration": dice.randrange(10**9),
        }
        hits.append(
            {
                "_index": ".ds-logs-app-prod-2026.03.01-000001",
                "_id": f"AZ{dice.getrandbits(90):018x}",
                "_score": None,
                "fields": {name: [value] for name, value in fields.items()},
                "sort": [at, 4294967296 + number],
            }
        )
    shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    answer = {"pit_id": "x" * 200, "took": 9, "timed_out": False, "_shards": shards, "hits": {"hits": hits}}
    return json.dumps(answer, separators=(",", ":")).encode()


def _mapping() -> bytes:
    kinds = {"@timestamp": "date", "message": "text", "log.level": "keyword", "service.name": "keyword"}
    kinds |= {"trace.id": "keyword", "span.id": "keyword"}
    fields = {name: {kind: {"type": kind, "aggregatable": kind != "text"}} for name, kind in kinds.items()}
    return json.dumps({"indices": ["logs-app-prod"], "fields": fields}).encode()
