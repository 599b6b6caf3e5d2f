"""The names of fields in the configuration, and the credential that goes to Elasticsearch."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from opsctl.errors import ConfigError
from opsctl.files.context import Backend, Basic, Bearer, Secret
from opsctl.files.endpoints import endpoint
from opsctl.files.settings import Settings, load_settings

SECTION = '[contexts.t]\n[contexts.t.elasticsearch]\nurl = "http://127.0.0.1:9200"\n'


def load(folder: Path, more: str) -> Settings:
    """The settings with more lines in the section."""
    (folder / "opsctl.toml").write_text(SECTION + more)
    return load_settings(None, None, env={"HOME": str(folder)}, cwd=folder)


def test_fields_are_read_by_what_they_mean(tmp_path: Path) -> None:
    """As a table or inline; without it there are none."""
    backend = load(tmp_path, 'fields = { message = ["msg", "txt"], trace_id = ["tid"] }\n').chosen.elasticsearch
    assert backend is not None
    assert dict(backend.fields) == {"message": ("msg", "txt"), "trace_id": ("tid",)}
    table = load(tmp_path, '[contexts.t.elasticsearch.fields]\nseverity = ["sev"]\n').chosen.elasticsearch
    assert table is not None
    assert dict(table.fields) == {"severity": ("sev",)}
    without = load(tmp_path, "").chosen.elasticsearch
    assert without is not None
    assert dict(without.fields) == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            'fields = { mesage = ["msg"] }',
            "unknown key mesage in contexts.t.elasticsearch.fields (did you mean message?)",
        ),
        ('fields = { message = "msg" }', "expected a list"),
        ("fields = { message = [3] }", "expected a text"),
        ('fields = { message = ["msg*"] }', "expected the name of a field"),
        ('fields = { message = [""] }', "expected the name of a field"),
        ('fields = ["msg"]', "expected a mapping"),
    ],
)
def test_a_wrong_one_is_named_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    """Strict, as everything in the file."""
    with pytest.raises(ConfigError) as wrong:
        load(tmp_path, line + "\n")
    assert "opsctl.toml:4: " in str(wrong.value)
    assert words in str(wrong.value)


def test_only_elasticsearch_has_fields(tmp_path: Path) -> None:
    """Another backend has no such key."""
    (tmp_path / "opsctl.toml").write_text(
        '[contexts.t]\n[contexts.t.prometheus]\nurl = "http://127.0.0.1:9"\nfields = { message = ["m"] }\n'
    )
    with pytest.raises(ConfigError, match="unknown key fields"):
        load_settings(None, None, env={"HOME": str(tmp_path)}, cwd=tmp_path)


def test_a_token_is_an_api_key_for_elasticsearch_and_a_bearer_elsewhere() -> None:
    """`id:key`, as Elasticsearch shows a new one, is sent in base64; what is base64 already stays; basic stays basic."""
    env = {"KEY": "abc", "PAIR": "id:key", "PASSWORD": "pw"}
    one = Backend("https://x", credentials=Bearer(Secret("env", "KEY")))
    pair = Backend("https://x", credentials=Bearer(Secret("env", "PAIR")))
    basic = Backend("https://x", credentials=Basic("user", Secret("env", "PASSWORD")))

    def sent(backend: Backend, **scheme: str) -> str:
        authorization = endpoint(backend, env, **scheme).authorization
        assert authorization is not None
        return authorization()

    assert sent(one) == "Bearer abc"
    assert sent(one, token="ApiKey") == "ApiKey abc"
    assert sent(pair) == "Bearer id:key"
    assert sent(pair, token="ApiKey") == "ApiKey " + base64.b64encode(b"id:key").decode()
    assert sent(basic, token="ApiKey") == "Basic " + base64.b64encode(b"user:pw").decode()
