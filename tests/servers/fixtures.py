"""Pytest fixtures of real servers; a server that cannot be had skips the test and names the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.servers import prometheus as real
from tests.servers.build import Missing

StartPrometheus = Callable[..., real.Running]


@pytest.fixture(scope="session")
def start_prometheus() -> Iterator[StartPrometheus]:
    """`start_prometheus(openmetrics_text_or_path="", version="3.16") -> Running`; one a history and version."""
    running: dict[tuple[str, str], real.Running] = {}

    def start(history: str | Path = "", version: str = "3.16") -> real.Running:
        text = history.read_text() if isinstance(history, Path) else history
        key = (sha256(text.encode()).hexdigest(), version)
        if key not in running or running[key].stopped:
            try:
                running[key] = real.start(text, version)
            except Missing as reason:
                pytest.skip(str(reason))
        return running[key]

    yield start
    for one in running.values():
        one.stop()


@pytest.fixture(scope="session")
def prometheus3(start_prometheus: StartPrometheus) -> real.Running:
    """A Prometheus 3.16 without a past; shared by the session."""
    return start_prometheus("", "3.16")


@pytest.fixture(scope="session")
def prometheus2(start_prometheus: StartPrometheus) -> real.Running:
    """A Prometheus 2.42 without a past; shared by the session."""
    return start_prometheus("", "2.42")


@pytest.fixture(scope="session", params=["3.16", "2.42"])
def prometheus(request: pytest.FixtureRequest, start_prometheus: StartPrometheus) -> real.Running:
    """Each of the two versions, without a past."""
    return start_prometheus("", request.param)
