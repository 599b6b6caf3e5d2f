"""The engine against the language of Prometheus's own PromQL tests: a small corpus of ours, and upstream's selection."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.promqltest.__main__ import main
from tests.promqltest.run import run_files

HERE = Path(__file__).resolve().parents[1]
CORPUS = HERE / "promqltest" / "corpus"
SHARED = Path(os.environ.get("OPSCTL_TEST_DATA") or HERE.parents[1] / "shared" / "data") / "promqltest"


def _files(folder: Path) -> list[tuple[str, str]]:
    return [(str(path), path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.test"))]


def test_our_corpus_passes_and_what_is_out_of_scope_is_refused_by_name() -> None:
    """Every eval passes but two, which name what the engine refuses."""
    tally = run_files(_files(CORPUS))
    assert not tally.failed
    assert tally.passed == 14
    assert set(tally.out_of_scope) == {"the experimental function mad_over_time() is", "native histograms are"}


@pytest.mark.shared_data
def test_upstreams_selection_passes() -> None:
    """At least 700 evals of Prometheus's acceptance cases pass, each also pinned by `@` and inside a range; none fails."""
    if not SHARED.is_dir():
        pytest.skip("no shared data")
    tally = run_files(_files(SHARED))
    assert not tally.failed
    assert tally.passed >= 700
    for reason in tally.out_of_scope:
        assert "native histograms" in reason or "experimental" in reason


def test_a_wrong_expectation_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The runner can fail: a wrong value, a missing error and an unexpected series are each told with path and line."""
    wrong = tmp_path / "wrong.test"
    wrong.write_text(
        "load 1m\n  x 1 2 3\n\n"
        "eval instant at 1m x\n  x 3\n\n"
        "eval instant at 1m x\n  expect fail\n\n"
        "eval instant at 1m x + 1\n\n"
        "eval instant at 1m x\n  x 2\n"
    )
    assert main([str(tmp_path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "passed=1 failed=3 out_of_scope=0"
    assert [line.split(": ")[0] for line in out[:3]] == [f"FAILED {wrong}:{n}" for n in (4, 7, 10)]


def test_nothing_to_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without tests is not a pass."""
    assert main([str(tmp_path)]) == 2
    assert "no *.test files" in capsys.readouterr().err
