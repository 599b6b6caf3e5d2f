"""The wheel, the sdist and the editable install each give a working command in a clean environment.

Dependencies are borrowed from the environment that runs the tests (a path entry, so that its own editable install of
opsctl stays invisible); `make demo` from a fresh clone is what installs them for real.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*argv: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(a) for a in argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ".", cwd=ROOT)
    return out


def clean_environment(folder: Path) -> tuple[Path, dict[str, str]]:
    """A new virtual environment and a bare process environment with its own HOME."""
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    site = next((folder / "venv" / "lib").glob("python3*/site-packages"))
    (site / "zz_borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    home = folder / "home"
    home.mkdir()
    return folder / "venv" / "bin", {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize("how", ["wheel", "sdist", "editable"])
def test_installs_and_finds_its_data(how: str, built: Path, tmp_path: Path) -> None:
    """`opsctl` starts from another folder, is the installed copy, and finds its bundled rules and runbooks."""
    bin_, env = clean_environment(tmp_path)
    target = {"wheel": next(built.glob("*.whl")), "sdist": next(built.glob("*.tar.gz")), "editable": ROOT}[how]
    flags = ["-e"] if how == "editable" else []
    run(
        bin_ / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        *flags,
        target,
        cwd=tmp_path,
        env=env,
    )
    assert run(bin_ / "opsctl", "--version", cwd=tmp_path, env=env).startswith("opsctl ")
    show = "import opsctl, collectors; print(opsctl.__file__); print(collectors.__file__)"
    for where in run(bin_ / "python", "-c", show, cwd=tmp_path, env=env).splitlines():
        expected = ROOT if how == "editable" else tmp_path
        assert Path(where).resolve().is_relative_to(expected), f"{how}: imported from {where}"
    run(bin_ / "opsctl", "config", "init", "opsctl.toml", cwd=tmp_path, env=env)
    counted = run(bin_ / "opsctl", "config", "validate", "opsctl.toml", cwd=tmp_path, env=env)
    assert "slo" in counted.lower()


def test_wheel_holds_code_and_data_only(built: Path) -> None:
    """Both import packages and the three data folders are in the wheel; tests, docs and caches are not."""
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"opsctl", "collectors"}
    assert any(n.startswith("opsctl/_bundled/alert_rules/slo/") for n in names)
    assert {n.rsplit("/")[-1] for n in names if n.startswith("opsctl/_bundled/grafana/dashboards/")} == {
        "opsctl-overview.json",
        "opsctl-service.json",
    }
    assert any(n.startswith("opsctl/_bundled/runbooks/") and n.endswith(".md") for n in names)
    assert not [n for n in names if "__pycache__" in n or n.endswith(".pyc")]


def test_no_python_in_data_folders() -> None:
    """A .py file in a data folder would break the editable install."""
    assert [p for d in ("alert_rules", "grafana", "runbooks") for p in (ROOT / d).rglob("*.py")] == []


def test_the_units_and_manifests_are_in_the_sdist_and_not_in_the_wheel(built: Path) -> None:
    """`deploy/` is for who has the sources; an installed package puts no units anywhere."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        sources = {name.partition("/")[2] for name in sdist.getnames()}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "deploy").rglob("*") if path.is_file()}
    assert len(ours) > 7
    assert ours <= sources
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        assert not [name for name in wheel.namelist() if "deploy/" in name]
