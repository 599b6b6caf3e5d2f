"""Runbooks as text, for the tests of this folder."""

from opsctl.core.runbooks import Runbook
from opsctl.files.runbooks import parse_runbook

FRONT = """runbook: Sample
version: 1
title: A sample
owner: play
services: [chat]
"""
PARAMS = """params:
  admin: {type: url, default: "http://127.0.0.1:9"}
  region: {type: enum, values: [eu-1, us-1], default: eu-1}
"""
LOOK = """```promql
#| id: look
up > 0
```
"""


def document(*fences: str, front: str = FRONT + PARAMS) -> str:
    """A whole file."""
    return f"---\n{front}---\n\n# A sample\n\n" + "\n".join(fences)


def fence(kind: str, body: str, **options: str) -> str:
    """One fence; `for_` is `for`."""
    lines = "".join(f"#| {name.rstrip('_')}: {value}\n" for name, value in options.items())
    return f"```{kind}\n{lines}{body}\n```\n"


def change(step: str, **more: str) -> str:
    """A whole http mutation."""
    options = {
        "id": step,
        "mutates": "chat",
        "requires": "none",
        "idempotency": "key",
        "undo": "none",
        "timeout": "5s",
        **more,
    }
    return fence("http", f"PUT ${{admin}}/v1/{step}\n\n{{}}", **{k: v for k, v in options.items() if v})


def book(*fences: str, front: str = FRONT + PARAMS) -> Runbook:
    """The runbook; a finding fails the test."""
    runbook, findings = parse_runbook(document(*fences, front=front), "sample.md")
    assert runbook is not None, findings
    return runbook
