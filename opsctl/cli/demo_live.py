"""`opsctl demo --live`: the simulated platform on the wall clock, for servers of one's own, until Ctrl-C.

It serves `/metrics` and the admin server on loopback and sends to the addresses that it is given, to no other.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opsctl.errors import UsageError

if TYPE_CHECKING:
    from opsctl.demo.emit.bulk import LogSender
    from opsctl.demo.emit.live import LivePlatform
    from opsctl.demo.emit.otlp import SpanSender
    from opsctl.demo.emit.page import MetricsPages
    from opsctl.demo.platform import Platform

BEFORE = timedelta(hours=1)  # that the counters have been counting when it begins
RECENT_MINUTES = 11  # of spans and lines that are sent at once: bundled rules look back ten


def run_live(seed: int, otlp: str | None, elasticsearch: str | None, port: int) -> None:
    """Everything up, until Ctrl-C."""
    from opsctl.demo.emit.exposition import Exposition
    from opsctl.demo.emit.live import LivePlatform
    from opsctl.demo.emit.page import MetricsPages
    from opsctl.demo.platform import Platform
    from opsctl.demo.servers.admin import AdminServer
    from opsctl.demo.telemetry.minutes import Telemetry

    exposition = Exposition()
    platform = Platform(seed, wall() - BEFORE, exposition)
    platform.advance(wall())
    with ExitStack() as cleanup:
        spans, lines = _senders(otlp, elasticsearch)
        for sender in (spans, lines):
            if sender is not None:
                cleanup.callback(sender.close)
        live = LivePlatform(platform, Telemetry(seed, platform.state), exposition, spans, lines, wall)
        try:
            pages = cleanup.enter_context(MetricsPages(exposition, port=port))
        except OSError as wrong:
            raise UsageError(f"--port {port}: {wrong.strerror or wrong}", hint="0 takes a free one") from wrong
        admin = cleanup.enter_context(AdminServer(lambda action, params: platform.mitigate(action, wall(), params)))
        _say(*_welcome(pages, admin.url, otlp, elasticsearch))
        live.catch_up(RECENT_MINUTES)
        live_until_interrupted(live)


def live_until_interrupted(live: LivePlatform, beside: Iterable[Callable[[threading.Event], None]] = ()) -> None:
    """Step it in a thread of its own, with others `beside`, and let lines of stdin begin faults, until Ctrl-C."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(stop,), daemon=True) for work in (live.run, *beside)]
    for thread in threads:
        thread.start()
    try:
        listen(live.platform)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        _say("", "ending …")
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def listen(platform: Platform) -> None:
    """Lets the faults begin that are named on stdin, until that ends."""
    from opsctl.demo.faults import FAULTS

    for line in sys.stdin:
        name = line.strip()
        if not name:
            continue
        try:
            platform.inject(name, wall())
            _say(f"{FAULTS[name].what_happens} Its runbook: opsctl runbook run {FAULTS[name].runbook}")
        except ValueError as wrong:
            _say(f"{wrong}")


def wall() -> datetime:
    """The time that is."""
    return datetime.now(UTC)


def _senders(otlp: str | None, elasticsearch: str | None) -> tuple[SpanSender | None, LogSender | None]:
    from opsctl.demo.emit.bulk import open_log_sender
    from opsctl.demo.emit.otlp import SpanSender

    for flag, url, port in (("--otlp", otlp, 4318), ("--elasticsearch", elasticsearch, 9200)):
        if url is not None:
            _check_url(flag, url, port)

    def say(text: str) -> None:
        sys.stderr.write(f"opsctl: {text}\n")
        sys.stderr.flush()

    return (
        None if otlp is None else SpanSender(otlp, say),
        None if elasticsearch is None else open_log_sender(elasticsearch, say),
    )


def _check_url(flag: str, url: str, port: int) -> None:
    """An address with scheme, host and port, and without a secret: it is shown."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
    except ValueError:
        whole = False
    else:
        whole = whole and "@" not in parts.netloc
    if not whole:
        raise UsageError(f"{flag}: expected scheme, host and port and no password, such as http://127.0.0.1:{port}")


def _welcome(pages: MetricsPages, admin: str, otlp: str | None, elasticsearch: str | None) -> list[str]:
    from opsctl.demo.faults import FAULTS

    return [
        f"The platform lives. Metrics: http://{pages.address}/metrics  admin: {admin}",
        f"Spans go to {otlp or 'nobody (--otlp URL)'}, log lines to {elasticsearch or 'nobody (--elasticsearch URL)'}.",
        "For your Prometheus:",
        "  scrape_configs:",
        "    - job_name: gaming",
        "      scrape_interval: 15s",
        f'      http_sd_configs: [{{url: "http://{pages.address}/targets", refresh_interval: 5s}}]',
        f"Type a fault and Enter to let it begin: {', '.join(FAULTS)}.",
        "Ctrl-C ends it.",
    ]


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
