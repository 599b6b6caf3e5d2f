"""Serves the platform's `/metrics` on loopback: one page for everything, one for each service in each region.

`/metrics` has every series with its labels; `/metrics/REGION/SERVICE` is a scrape target and answers 503 while that
service is gone, so that Prometheus's own `up` tells it. `/targets` lists them for Prometheus's HTTP service discovery.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from opsctl.demo.emit.exposition import Exposition, Target

JOB = "gaming"
_PATH = "/metrics"
_TARGETS = "/targets"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


class MetricsPages:
    """A server from construction until `stop`; a context manager does both."""

    def __init__(self, exposition: Exposition, host: str = "127.0.0.1", port: int = 0) -> None:
        self._exposition = exposition
        self._apps: dict[Target | None, Any] = {}
        self._server = _Server((host, port), _Quiet)
        self._server.set_app(self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def scrape(self) -> list[tuple[str, str, Mapping[str, str]]]:
        """What a Prometheus scrapes: job, address and labels of each target, with `__metrics_path__`.

        A region of which nothing is left is not among them: who would scrape it went with it.
        """
        targets = self._exposition.targets
        left = {region for region, service in targets if self._exposition.there((region, service))}
        return [
            (
                JOB,
                self.address,
                {
                    "__metrics_path__": f"{_PATH}/{region}/{service}",
                    "instance": f"{service}:9090",
                    "region": region,
                    "service": service,
                },
            )
            for region, service in targets
            if region in left
        ]

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> MetricsPages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path == _TARGETS:
            return _answered(start, "200 OK", self._discovered(), "application/json")
        if path == _PATH:
            return self._app(None)(environ, start)
        target = next((t for t in self._exposition.targets if path == f"{_PATH}/{t[0]}/{t[1]}"), None)
        if target is None:
            return _answered(start, "404 Not Found", f"no such page; {_PATH} has everything\n")
        if not self._exposition.there(target):
            return _answered(start, "503 Service Unavailable", f"{target[1]} in {target[0]} does not answer\n")
        return self._app(target)(environ, start)

    def _discovered(self) -> str:
        return json.dumps([{"targets": [address], "labels": labels} for _, address, labels in self.scrape()])

    def _app(self, target: Target | None) -> Callable[..., Iterable[bytes]]:
        if target not in self._apps:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(self._exposition.collector(target))
            self._apps[target] = make_wsgi_app(registry)
        app: Callable[..., Iterable[bytes]] = self._apps[target]
        return app


def _answered(start: Callable[..., Any], status: str, text: str, kind: str = "text/plain") -> Iterable[bytes]:
    start(status, [("Content-Type", f"{kind}; charset=utf-8" if kind == "text/plain" else kind)])
    return [text.encode()]
