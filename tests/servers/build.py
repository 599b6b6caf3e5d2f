"""The real servers of the tests, and clients of others': one row of `SERVERS` each, in the order in which they are made.

Must never name a package registry: each tool uses the one that the machine is set up for.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.servers.making import Missing, Server, build, cache, required
from tests.servers.recipes import (
    apt_package,
    collector,
    go_install,
    go_kubernetes,
    go_program,
    go_wrapped,
    maven_file,
    maven_zip,
    no_apt,
    no_go,
    no_maven,
    no_npm,
    npm_package,
)

__all__ = ["SERVERS", "Missing", "Server", "build", "cache", "required", "server"]

_PROMETHEUS = ("prometheus", "promtool")
_ALERTMANAGER = ("alertmanager", "amtool")
_OTEL = "go.opentelemetry.io/collector"
_CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib"

_COLLECTOR = {
    "receivers": (f"{_OTEL}/receiver/otlpreceiver",),
    "processors": (f"{_OTEL}/processor/batchprocessor", f"{_CONTRIB}/processor/deltatocumulativeprocessor"),
    "connectors": (f"{_CONTRIB}/connector/countconnector", f"{_CONTRIB}/connector/spanmetricsconnector"),
    "exporters": (
        f"{_OTEL}/exporter/debugexporter",
        f"{_OTEL}/exporter/otlphttpexporter",
        f"{_CONTRIB}/exporter/prometheusexporter",
    ),
}


def _elasticsearch(version: str, java: int) -> Server:
    artifact = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"
    return Server(
        "elasticsearch",
        version,
        ("elasticsearch", "elasticsearch-keystore"),
        maven_zip(artifact),
        no_maven(java),
        "15 seconds",
        files=("config/elasticsearch.yml",),
        try_out=None,  # Java programs; the archive has checksums
    )


def _alertmanager(version: str, tag: str) -> Server:
    make = go_install("github.com/prometheus/alertmanager", tag, _ALERTMANAGER)
    return Server("alertmanager", version, _ALERTMANAGER, make, no_go, "1 minute")


def _go_pagerduty() -> Server:
    source = Path(__file__).parent / "pagerduty_clients" / "client.go"
    made_of = sha256(source.read_bytes()).hexdigest()[:8]  # another source is another program
    make = go_program(source, "github.com/PagerDuty/go-pagerduty", "v1.8.0")
    return Server("go-pagerduty", f"1.8.0-{made_of}", ("client",), make, no_go, "10 seconds")


def _manifests() -> Server:
    source = Path(__file__).parent / "kubernetes" / "manifests.go"
    made_of = sha256(source.read_bytes()).hexdigest()[:8]
    make = go_kubernetes(source, "v1.36.3", "v0.36.3")
    return Server("kubernetes-validation", f"1.36.3-{made_of}", ("manifests",), make, no_go, "3 minutes")


SERVERS = (
    Server(
        "prometheus",
        "2.42",
        _PROMETHEUS,
        apt_package("prometheus", "2.42", _PROMETHEUS),
        no_apt,
        "10 seconds",
    ),
    Server(
        "zipkin",
        "3.6.1",
        (),
        maven_file("io.zipkin:zipkin-server:3.6.1:jar:exec", "zipkin.jar"),
        no_maven(17),
        "15 seconds",
        files=("zipkin.jar",),
    ),
    _elasticsearch("8.19.21", 17),
    _elasticsearch("9.2.0", 21),
    Server(
        "prometheus",
        "3.16",
        _PROMETHEUS,
        go_install("github.com/prometheus/prometheus", "v0.316.0", _PROMETHEUS, "remove_all_sd,netgo"),
        no_go,
        "4 minutes",
    ),
    Server(
        "jaeger",
        "2.13",
        ("jaeger",),
        # v2 tags are no Go versions; v1.76.0 is the same commit as v2.13.0
        go_wrapped(
            "github.com/jaegertracing/jaeger",
            "v1.76.0",
            "jaeger",
            {"github.com/Shopify/sarama": "github.com/Shopify/sarama v1.33.0"},
        ),
        no_go,
        "4 minutes",
        try_out=("version",),
    ),
    # Debian's 0.25 opens a template below /usr/share, so that it cannot run from a folder of ours
    _alertmanager("0.25", "v0.25.0"),
    _alertmanager("0.31", "v0.31.0"),  # the web page of 0.32 and later is not in their modules
    Server(
        "otelcol",
        "0.155.0",
        ("otelcol",),
        collector("v0.155.0", "v1.61.0", _COLLECTOR),
        no_go,
        "2 minutes",
    ),
    _go_pagerduty(),
    _manifests(),
    Server(
        "pdjs",
        "2.2.4",
        (),
        npm_package("@pagerduty/pdjs", "2.2.4"),
        no_npm,
        "5 seconds",
        files=("node_modules/@pagerduty/pdjs/package.json",),
    ),
)


def server(name: str, version: str = "") -> Server:
    """The row of one server; without a version, of the only one of that name."""
    return next(row for row in SERVERS if row.name == name and version in {"", row.version})
