"""Elasticsearch as a source of logs: the official client, its answers as typed records."""

from collectors.elasticsearch.source import ElasticsearchSource

__all__ = ["ElasticsearchSource"]
