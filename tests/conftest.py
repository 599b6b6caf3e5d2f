"""What all tests share: order, the clean home, the network guard, and skips that are counted and named.

In CI a test that skips fails, unless it is marked `shared_data`: a missing server must not look like a pass.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.build import SERVERS, required
from tests.servers.fixtures import (
    alertmanager,
    elasticsearch,
    elasticsearch8,
    elasticsearch9,
    jaeger,
    jaeger_with_spm,
    otelcol,
    prometheus,
    prometheus2,
    prometheus3,
    serve,
    start_alertmanager,
    start_elasticsearch,
    start_jaeger,
    start_otelcol,
    start_prometheus,
    zipkin,
)

__all__ = [
    "alertmanager",
    "elasticsearch",
    "elasticsearch8",
    "elasticsearch9",
    "jaeger",
    "jaeger_with_spm",
    "otelcol",
    "prometheus",
    "prometheus2",
    "prometheus3",
    "serve",
    "start_alertmanager",
    "start_elasticsearch",
    "start_jaeger",
    "start_otelcol",
    "start_prometheus",
    "zipkin",
]

HERE = Path(__file__).parent
FOLDERS = ("unit", "contract", "integration", "golden", "tui", "e2e", "packaging")
SECONDS_A_TEST = {
    "unit": 0.02,
    "contract": 0.05,
    "integration": 0.3,
    "golden": 0.2,
    "tui": 0.5,
    "e2e": 1.5,
    "packaging": 15,
}

_outcomes: Counter[str] = Counter()
_reasons: Counter[str] = Counter()
_reached: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line("markers", "shared_data: needs the public test data and may skip without it, also in CI")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap and telling tests first; inside a folder the order stays."""
    items.sort(key=lambda item: FOLDERS.index(_folder(item)) if _folder(item) in FOLDERS else len(FOLDERS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say first what will be done and about how long it takes."""
    counts = Counter(_folder(item) for item in session.items)
    if not counts or session.config.option.collectonly:
        return
    seconds = sum(SECONDS_A_TEST.get(folder, 0.1) * count for folder, count in counts.items())
    about = "under 10 seconds" if seconds < 10 else f"about {max(seconds, 60) / 60:.0f} minutes"
    if 10 <= seconds < 60:
        about = f"about {seconds:.0f} seconds"
    what = ", ".join(f"{counts[folder]} {folder}" for folder in (*FOLDERS, "") if counts[folder])
    missing = [f"{row.title} ({row.lacking() or 'make servers'})" for row in SERVERS if not row.there]
    servers = f"without {', '.join(missing)}" if missing else f"all {len(SERVERS)} real servers"
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"{sum(counts.values())} tests ({what}), {about}; {servers}")


def _folder(item: pytest.Item) -> str:
    try:
        parts = item.path.relative_to(HERE).parts
    except ValueError:
        return ""
    return parts[0] if len(parts) > 1 else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """In CI a skip is a failure unless the test says that it may."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and required() and not item.get_closest_marker("shared_data"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped ({_reason(report.longrepr)}), and in CI nothing may be skipped"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """A module that skips itself counts as one skip, and in CI as a failure."""
    report = yield
    if report.skipped:
        if required() and "shared_data" not in str(getattr(report, "longrepr", "")):
            report.outcome = "failed"
            report.longrepr = f"{collector.nodeid}: skipped, and in CI nothing may be skipped"
        else:
            _outcomes["skipped"] += 1
            _reasons[_reason(report.longrepr)] += 1
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be read as tests has failed."""
    if report.failed:
        _outcomes["failed"] += 1


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count outcomes, and skips by reason."""
    if report.failed:
        _outcomes["failed"] += 1
    elif report.skipped and not hasattr(report, "wasxfail"):
        _outcomes["skipped"] += 1
        _reasons[_reason(report.longrepr)] += 1
    elif report.when == "call":
        _outcomes["passed"] += 1


def _reason(longrepr: Any) -> str:
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ").strip() or "no reason given"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Any:
    """The last line: what passed, what failed, what was skipped and why."""
    result = yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not session.config.option.collectonly:
        why = ", ".join(f"{reason}: {count}" for reason, count in _reasons.most_common())
        line = f"{_outcomes['passed']} passed, {_outcomes['failed']} failed, {_outcomes['skipped']} skipped"
        reporter.write_line(line + (f" ({why})" if why else ""))
    return result


@pytest.fixture
def fixed_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean HOME with XDG folders below it and no variable of ours set; the working folder is in it too."""
    for name in list(os.environ):
        if name.startswith(("OPSCTL_", "PROMETHEUS_", "OTEL_")) or name in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    for variable, folder in (
        ("HOME", ""),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_RUNTIME_DIR", ".run"),
    ):
        path = home / folder
        path.mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(variable, str(path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.chdir(home)
    return home


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public test data; mark the test `shared_data`, for it skips where there is none."""
    folder = Path(os.environ.get("OPSCTL_TEST_DATA") or HERE.parent.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no shared data")
    return folder


def _address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _loopback(host: str) -> bool:
    return host in {"", "localhost"} or (_address(host) and ipaddress.ip_address(host).is_loopback)


@pytest.fixture(scope="session", autouse=True)
def _guarded_network() -> Iterator[None]:
    """In this process no socket leaves the machine, and no name is looked up outside it."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not _loopback(str(address[0])):
            _reached.append(f"{address[0]}:{address[1]} ({threading.current_thread().name})")
            raise OSError(101, "the tests' network guard: not a loopback address")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        if not _loopback(name) and not _address(name):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return getaddrinfo(host, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture(autouse=True)
def _stayed_home(_guarded_network: None) -> Iterator[None]:
    """A test that tried to leave the machine fails, also when the product swallowed the error."""
    before = len(_reached)
    yield
    assert _reached[before:] == [], "the test tried to leave this machine"
