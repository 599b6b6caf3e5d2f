"""What a command loads: the runtime twin of the import contracts, seen in `sys.modules` of a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "textual",
    "elasticsearch",
    "opentelemetry",
    "numpy",
    "urllib3",
    "http.client",
    "requests",
    "pagerduty",
    "httpx2",
    "rich",
    "yaml",
    "prometheus_client",
}


def loaded_by(code: str) -> set[str]:
    """The names in `sys.modules` after running `code`."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("argv", [["--help"], ["--version"]])
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    """`opsctl --help` imports no library that asks, draws or computes."""
    found = loaded_by(f"from opsctl.cli.main import main\nmain({argv!r})")
    assert not HEAVY & found


def test_prometheus_check_needs_no_numpy() -> None:
    """What `check` on a Prometheus is made of imports neither numpy nor a TUI nor a client it does not use."""
    found = loaded_by(
        "import opsctl.cli.check, opsctl.app, opsctl.engine, opsctl.adapters.journal, collectors.prometheus"
    )
    assert not (HEAVY - {"urllib3", "http.client", "yaml"}) & found


def test_every_command_of_the_help_exists() -> None:
    """A command that does not work is not in the help: each entry of the table imports and builds."""
    from opsctl.cli.main import COMMANDS, root_app

    group = root_app()
    for name in COMMANDS:
        assert group.get_command(None, name) is not None, name  # type: ignore[arg-type]
