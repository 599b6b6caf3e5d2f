"""What `trace` and `service` print, byte for byte, over a few traces that never change."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.unit.traces.stage import run

HERE = Path(__file__).parent / "traces"
FIRST, SECOND = "abc0", "abc1"

DOCUMENTS = {
    "trace-search": ["trace", "search", "shop", "--limit", "2", "--json"],
    "trace-show": ["trace", "show", FIRST, "--json"],
    "trace-show-span": ["trace", "show", SECOND, "--span", "c", "--json"],
    "trace-compare": ["trace", "compare", FIRST, SECOND, "--json"],
    "service-ls": ["service", "ls", "--json"],
    "service-show": ["service", "show", "wallet", "--json"],
    "service-deps": ["service", "deps", "--json"],
}
TEXTS = {
    "trace-search.txt": ["trace", "search", "shop", "-o", "table"],
    "trace-search.tsv": ["trace", "search", "shop", "-o", "plain"],
    "trace-show.txt": ["trace", "show", "f01d", "-o", "table"],
    "trace-show-all.txt": ["trace", "show", "f01d", "--all", "-o", "table"],
    "trace-show.tsv": ["trace", "show", "f01d", "-o", "plain"],
    "trace-show-torn.txt": ["trace", "show", "abc2", "-o", "table"],
    "trace-show-span.txt": ["trace", "show", SECOND, "--span", "c", "-o", "table"],
    "trace-compare.txt": ["trace", "compare", FIRST, SECOND, "-o", "table"],
    "service-ls.txt": ["service", "ls", "-o", "table"],
    "service-show.txt": ["service", "show", "shop", "-o", "table"],
    "service-deps.txt": ["service", "deps", "-o", "table"],
}


def compare(name: str, text: str) -> None:
    """The file's text, or with OPSCTL_UPDATE_GOLDEN=1 the new one."""
    path = HERE / name
    if os.environ.get("OPSCTL_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"no golden {path.name}: OPSCTL_UPDATE_GOLDEN=1 writes it"
    assert text == path.read_text()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_documents(name: str, tmp_path: Path) -> None:
    """Each document names its version and is what it was."""
    code, text, err = run(tmp_path, DOCUMENTS[name])
    assert code == 0, text + err
    assert re.fullmatch(r"opsctl/[a-z/-]+/v\d+", json.loads(text)["schema"])
    compare(f"{name}.json", text)


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, tmp_path: Path) -> None:
    """Tables and plain rows are what they were, with what is said on stderr below them."""
    code, text, err = run(tmp_path, TEXTS[name])
    assert code == 0, text + err
    compare(name, text + "-- stderr --\n" + err)
