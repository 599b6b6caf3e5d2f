"""Where the shipped folders are: in the wheel `opsctl/_bundled/`, in a checkout beside the package.

Must never guess: a folder that is in neither place is an error.
"""

from __future__ import annotations

from pathlib import Path

from opsctl.errors import OpsctlError

FOLDERS = ("alert_rules", "grafana", "runbooks")
_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder of that name: the wheel's first, the checkout's second."""
    if name not in FOLDERS:
        raise OpsctlError(f"no shipped folder is called {name}")
    for candidate in (_PACKAGE / "_bundled" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    raise OpsctlError(f"the shipped folder {name} is missing: this installation of opsctl is not whole")


def catalogue() -> Path:
    """The catalogue of the demo platform."""
    return _PACKAGE / "demo" / "services.yaml"
