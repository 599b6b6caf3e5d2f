"""Every format of a check, with names, headlines and labels that want to be something else."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from opsctl.core.replay import BackendRecord, SentRecord
from opsctl.core.rules import Outcome, Verdict
from opsctl.core.signals import Failed, Reason, Signal
from opsctl.core.slo import Origin
from opsctl.engine import run_cycle
from opsctl.errors import ExitCode
from opsctl.render.github import github
from opsctl.render.junit import junit
from opsctl.render.markdown import markdown
from opsctl.render.nagios import LIMIT_BYTES, nagios
from opsctl.render.openmetrics import openmetrics
from opsctl.views.check import Result, nagios_code
from tests.servers.build import Missing, server
from tests.unit.engine.fakes import AT, BACKEND, HOUR, History, element, rule, slo, steady

HOSTILE = (
    "a\nb",
    "a\r\n::error::owned",
    "::stop-commands::x",
    "##[error]x",
    "100 % | fail=0",
    "x=y 'quoted' \"double\" \\",
    "<script>alert(1)</script>",
    "<img src=x onerror=y>",
    "[click](http://evil.example) ![i](http://evil.example/i.png)",
    "@everyone @org/team https://evil.example www.evil.example",
    "`code` ``more`` ```",
    "| a | b |\n|---|---|",
    "</details><h1>x",
    "# HELP x\n# EOF\nx 1",
    'x"} 1\nfake{a="b',
    "\x1b[31m\x9b\u202e\u2028\ufeff\x00",
    "&lt;&#64;amp; $x^2$ ~~s~~ **b** _i_",
    "-" * 5000,
    "é😀×",
    "",
)
FORMATS: dict[str, Callable[[Result], str]] = {
    "nagios": nagios,
    "markdown": markdown,
    "github": lambda result: github(result, "/checkout"),
    "openmetrics": lambda result: openmetrics(result, "0.1.0"),
    "junit": lambda result: junit(result.verdicts, result.at),
}


def result(verdicts: tuple[Verdict, ...], **changes: Any) -> Result:
    """A check with those verdicts."""
    given: dict[str, Any] = {
        "at": AT,
        "verdicts": verdicts,
        "stale": (),
        "backends": (BackendRecord(BACKEND, "ok", None, 0.25, 14),),
        "took_seconds": 0.25,
        "context": "prod",
        "namespace": "prod",
        "held": frozenset({ExitCode.FINDING}),
        "incidents": {},
        "ended": AT + timedelta(seconds=1),
        "last_success": AT + timedelta(seconds=1),
    }
    return Result(**{**given, **changes})


@cache
def plainly_burning() -> Verdict:
    """An SLO that burns."""
    return run_cycle([slo()], History(steady(0.5)), AT).verdicts[0]


def burning(text: str = "redemption-success") -> Verdict:
    """An SLO that burns, with a text in every place that a stranger writes to."""
    verdict = plainly_burning()
    hostile = replace(
        verdict.rule,
        name=text,
        uid=text or "u",
        service=text,
        origin=Origin(f"/checkout/rules/{text}.slo.yaml".replace("\x00", ""), 3),
    )
    asked = tuple(replace(one, expression=text + one.expression, message=text) for one in verdict.evidence.asked)
    alerts = tuple(replace(alert, runbook=text) for alert in verdict.alerts)
    evidence = replace(verdict.evidence, asked=asked)
    return replace(verdict, rule=hostile, headline=text, evidence=evidence, alerts=alerts)


def firing(text: str) -> Verdict:
    """An alert whose labels and annotations a stranger writes."""
    ours = rule(annotations={"summary": text}, labels={"severity": "page", "shard": text or "x"})
    return run_cycle(
        [ours], History(lambda q, at: (element(1.0, region=text),) if at > AT - HOUR else None), AT
    ).verdicts[0]


@cache
def hostile(text: str) -> Result:
    """A check that is full of it."""
    backend = BackendRecord(f"prometheus {text}", "failed", text, 0.1, 3, True, Signal.METRICS)
    return result(
        (burning(text), firing(text)),
        backends=(backend,),
        context=text,
        namespace=text,
        incidents={text or "u": text},
        problems=(text,),
    )


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", FORMATS)
def test_no_control_character_gets_out(form: str, text: str) -> None:
    """Only line ends of our own, and whatever encoding can write."""
    out = FORMATS[form](hostile(text))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\ud800-\udfff]", out)
    assert out.endswith("\n")


# Nagios


@pytest.mark.parametrize("text", HOSTILE)
def test_nagios_has_one_bar_and_a_bounded_length(text: str) -> None:
    """The bar begins the numbers, which are numbers; nothing else has one."""
    out = nagios(hostile(text))
    first, *more = out.splitlines()
    assert out.count("|") == 1
    assert first.startswith("OPSCTL CRITICAL - 2 FAIL, 0 UNKNOWN, 0 WARN, 0 OK")
    assert len(out.encode()) <= LIMIT_BYTES + 1
    words = first.split(" | ")[1]
    label = r"(?:[a-z]+|'(?:[^'=|]|'')*')"
    value = r"=-?[0-9.]+(?:s|%)?;[0-9:]*;[0-9:]*;[0-9]*(?:;[0-9]*)?"
    assert re.fullmatch(f"(?:{label}{value} ?)+", words), words
    assert all(line.startswith(("FAIL ", "UNKNOWN ", "WARN ", "and ")) for line in more)


def test_nagios_is_bounded_for_a_thousand_rules() -> None:
    """8 KiB is all that Nagios takes: the rest is counted."""
    many = tuple(burning("x" * 300) for _ in range(40))
    out = nagios(result(many * 25))
    assert len(out.encode()) <= LIMIT_BYTES
    assert out.startswith("OPSCTL CRITICAL - 1000 FAIL")


@pytest.mark.parametrize(
    ("code", "warned", "word", "style"),
    [
        (ExitCode.OK, False, "OK", 0),
        (ExitCode.OK, True, "WARNING", 1),
        (ExitCode.FINDING, False, "CRITICAL", 2),
        (ExitCode.ACTION, True, "CRITICAL", 2),
        (ExitCode.UNKNOWN, True, "UNKNOWN", 3),
        (ExitCode.AUTH, False, "UNKNOWN", 3),
    ],
)
def test_the_word_is_the_exit_code(code: ExitCode, warned: bool, word: str, style: int) -> None:
    """A pass with a warning is a warning; whatever is neither a breach nor a pass is unknown."""
    verdict = replace(burning(), outcome=Outcome.WARN if warned else Outcome.PASS)
    out = nagios(result((verdict,), held=frozenset({code} - {ExitCode.OK})))
    assert out.startswith(f"OPSCTL {word} - ")
    assert nagios_code(int(code), warned=warned) == style


# GitHub


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """The workflow commands of a text, parsed as the runner does: command, properties, message."""
    out = []
    for line in text.splitlines():
        found = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line)
        assert found, line
        properties = dict(part.split("=", 1) for part in found[2].split(","))
        for pairs in (properties,):
            for name, value in pairs.items():
                pairs[name] = unescape(value.replace("%3A", ":").replace("%2C", ","))
        out.append((found[1], properties, unescape(found[3])))
    return out


def unescape(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


@pytest.mark.parametrize("text", HOSTILE)
def test_github_commands_are_ours_alone(text: str) -> None:
    """Two rules, a backend, a problem and the sum: five lines, each with its own properties and no others."""
    found = commands(github(hostile(text), "/checkout"))
    assert [command for command, _, _ in found] == ["error", "error", "error", "error", "notice"]
    assert [sorted(properties) for _, properties, _ in found] == [
        *[["file", "line", "title"]] * 2,
        *[["title"]] * 3,
    ]


def test_github_says_where_and_how_bad() -> None:
    """The file as the workspace has it; outside of it none. Unknown is what the policy makes of it."""
    refused: Failed[Any] = Failed(Reason.UNREACHABLE, "refused", BACKEND)
    (gone,) = run_cycle([slo()], History(lambda q, at: refused), AT).verdicts
    odd = replace(burning(), headline="5 % of a, b: c")
    error, warning, notice = github(result((odd, gone), on_unknown="ignore"), "/checkout").splitlines()
    assert error == (
        "::error file=rules/redemption-success.slo.yaml,line=3,title=FAIL redemption-success / redemption-success"
        "::5 %25 of a, b: c"
    )
    assert warning.startswith("::warning file=promo.slo.yaml,line=1,title=UNKNOWN promo / ")
    assert notice == "::notice title=opsctl check::1 FAIL, 1 UNKNOWN, 0 WARN, 0 OK; exit 1"
    assert github(result((odd,)), "/elsewhere").startswith("::error title=FAIL ")
    late = replace(burning(), outcome=Outcome.WARN)
    assert github(result((late,), fail_on="ticket"), "/checkout").startswith("::error ")
    assert github(result((late,)), "/checkout").startswith("::warning ")


# Markdown


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_stays_a_report(text: str) -> None:
    """As GitHub reads it: our own table rows and details, no link, no image, no other HTML, nobody is mentioned."""
    out = markdown(hostile(text))
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(out)
    inline = [child for token in tokens for child in token.children or ()]
    assert not [token for token in inline if token.type in {"link_open", "image"}]
    html = [token.content.strip() for token in tokens if token.type == "html_block"]
    assert all(re.fullmatch(r"<details><summary>Evidence of .*</summary>|</details>", one) for one in html), html
    assert len(html) == 4
    assert {token.content for token in inline if token.type == "html_inline"} <= {"<!-- -->"}
    assert not re.search(r"@\w", "".join(token.content for token in inline if token.type != "code_inline"))
    assert [token.type for token in tokens].count("table_open") == 5
    widths = [len(cells) for cells in rows(tokens)]
    assert widths[:3] == [7, 7, 7]
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2"]


def rows(tokens: list[Any]) -> list[list[str]]:
    """The cells of every table row."""
    out: list[list[str]] = []
    for i, token in enumerate(tokens):
        if token.type == "tr_open":
            out.append([])
        elif token.type in {"td_open", "th_open"}:
            out[-1].append(tokens[i + 1].content)
    return out


def test_markdown_is_bounded() -> None:
    """A thousand rules that fail fit into a comment, and it says that there are more."""
    out = markdown(result(tuple(burning("x" * 100) for _ in range(40)) * 25))
    assert len(out) < 400_000
    assert "\nand 900 more" in out


def test_markdown_of_a_pass_is_short() -> None:
    """No table of failures, and the heading says that everything holds."""
    (fine,) = run_cycle([slo()], History(steady(0.0)), AT).verdicts
    out = markdown(result((fine,), held=frozenset()))
    assert out.startswith("## ✔ OK: everything holds\n")
    assert "<details>" not in out
    assert "exit 0" in out


# OpenMetrics


@pytest.mark.parametrize("text", HOSTILE)
def test_openmetrics_is_valid_in_both_languages(text: str) -> None:
    """The strict parser of OpenMetrics takes it, and the one of Prometheus text reads the same samples."""
    out = openmetrics(hostile(text), "0.1.0")
    strict = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in parse_openmetrics(out) for s in f.samples}
    plain = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in parse_prometheus(out) for s in f.samples}
    assert strict == plain
    assert {name for name, _ in strict} <= NAMES


NAMES = {
    "opsctl_build_info",
    "opsctl_check_evaluated_timestamp_seconds",
    "opsctl_check_last_run_timestamp_seconds",
    "opsctl_check_last_success_timestamp_seconds",
    "opsctl_check_duration_seconds",
    "opsctl_check_exit_code",
    "opsctl_check_events",
    "opsctl_backend_up",
    "opsctl_backend_partial",
    "opsctl_backend_questions",
    "opsctl_rule_state",
    "opsctl_service_state",
    "opsctl_verdicts",
    "opsctl_alerts",
    "opsctl_slo_target_ratio",
    "opsctl_slo_budget_remaining_ratio",
    "opsctl_slo_budget_asked_timestamp_seconds",
    "opsctl_slo_burn_rate",
    "opsctl_slo_window_events",
    "opsctl_slo_window_bad_events",
}


def test_every_metric_is_documented() -> None:
    """docs/cron.md has a row for each name, and no other."""
    page = (Path(__file__).parents[3] / "docs" / "cron.md").read_text()
    assert set(re.findall(r"^\| `(opsctl_\w+)", page, re.M)) == NAMES
    out = openmetrics(result((burning(),), sent=SentRecord(1, 0, 0, 0)), "0.1.0")
    assert {family.name for family in parse_openmetrics(out)} >= NAMES - {"opsctl_slo_budget_remaining_ratio"} - {
        "opsctl_slo_budget_asked_timestamp_seconds"
    }


def test_what_is_not_known_has_no_sample() -> None:
    """Neither a zero nor a NaN for a window without data, a budget that was not asked, a run that is not one."""
    (silent,) = run_cycle([slo()], History(lambda q, at: None), AT).verdicts
    out = openmetrics(result((silent,), ended=None, last_success=None), "0.1.0")
    for name in (
        "opsctl_slo_burn_rate",
        "opsctl_slo_budget_remaining",
        "last_run",
        "last_success",
        "opsctl_check_events",
    ):
        assert name not in out
    assert 'state="UNKNOWN"} 1' in out
    assert "NaN" not in out


def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    """`promtool check metrics` reads it as node_exporter's textfile collector does."""
    try:
        promtool = server("prometheus", "3.16").program("promtool")
    except Missing as reason:
        pytest.skip(str(reason))
    out = openmetrics(result((burning('a"b\\c|d'), firing("x\ny")), sent=SentRecord(1, 0, 0, 0)), "0.1.0")
    done = subprocess.run(
        [str(promtool), "check", "metrics"], input=out.encode(), capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# JUnit


@pytest.mark.parametrize("text", HOSTILE)
def test_junit_is_xml(text: str) -> None:
    """Two cases, two failures, whatever the names are."""
    root = ET.fromstring(junit(hostile(text).verdicts, AT))
    assert (root.get("tests"), root.get("failures"), len(list(root.iter("testcase")))) == ("2", "2", 2)
