"""Prometheus's templates: what rules use renders as Prometheus does it, the rest is shown as written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.core.signals import labels
from opsctl.core.template_words import show
from opsctl.core.templates import render

LABELS = labels({"instance": "db-1.example.net:9090", "job": "db", "hostile": '{{ $value }}"`\\'})

CASES = [
    ("plain { text }", 1.0, "plain { text }"),
    ("{{ $labels.instance }} of {{ $labels.job }}", 1.0, "db-1.example.net:9090 of db"),
    ("{{ .Labels.job }} {{ .Value }}", 2.5, "db 2.5"),
    ("{{$labels.job}}{{ $labels.nope }}.", 1.0, "db."),
    ("{{ $value }}", 1234567.0, "1.234567e+06"),
    ("{{ $value }}", 3.0, "3"),
    ("{{ $value | humanize }}", 1234567.0, "1.235M"),
    ("{{ $value | humanize }}", 0.00042, "420u"),
    ("{{ humanize 0.0 }}", 1.0, "0"),
    ("{{ $value | humanize1024 }}", 5 * 1024**3, "5Gi"),
    ("{{ $value | humanizePercentage }}", 0.12345, "12.35%"),
    ("{{ $value | humanizeDuration }}", 93784.0, "1d 2h 3m 4s"),
    ("{{ $value | humanizeDuration }}", 59.5, "59.5s"),
    ("{{ $value | humanizeDuration }}", 0.0123, "12.3ms"),
    ("{{ $value | humanizeDuration }}", -3661.0, "-1h 1m 1s"),
    ("{{ $value | humanizeTimestamp }}", 0.0, "1970-01-01 00:00:00 +0000 UTC"),
    ('{{ printf "%.2f" $value }}%', 12.3456, "12.35%"),
    ('{{ $value | printf "%5.1f|%%" }}', 2.25, "  2.2|%"),
    ('{{ printf "%s is %v and %d %q" $labels.job $value 3 "x" }}', 1.5, 'db is 1.5 and 3 "x"'),
    ("{{ $labels.job | toUpper | title }}", 1.0, "DB"),
    ("{{ $labels.instance | stripPort }}", 1.0, "db-1.example.net"),
    ('{{ reReplaceAll "(.*):.*" "$1!" $labels.instance }}', 1.0, "db-1.example.net!"),
    ('{{ if match "^db" $labels.job }}yes{{ else }}no{{ end }}', 1.0, "yes"),
    ("{{ if gt $value 5.0 }}big{{ else if gt $value 2.0 }}mid{{ else }}small{{ end }}", 3.0, "mid"),
    ("{{ if and (gt $value 1.0) (not (eq $labels.job `x`)) }}both{{ end }}", 3.0, "both"),
    ("{{ with $labels.job }}<{{ . }}>{{ end }}", 1.0, "<db>"),
    ("{{ with $labels.nope }}x{{ else }}none{{ end }}", 1.0, "none"),
    ("{{ $x := $value | humanize }}{{ $x }}{{ $x }}", 2000.0, "2k2k"),
    ("a  {{- /* gone */ -}}  b", 1.0, "ab"),
    ('{{ "a}}b" }}', 1.0, "a}}b"),
    ('{{ index $labels "job" }}', 1.0, "db"),
    ("{{ $externalLabels.cluster }}|{{ $externalURL }}", 1.0, "|"),
    ("{{ $value | humanize }}", float("nan"), "NaN"),
    ("{{ $value }}", float("inf"), "+Inf"),
    ("{{ $labels.hostile }}", 1.0, '{{ $value }}"`\\'),
]


@pytest.mark.parametrize(("template", "value", "text"), CASES)
def test_renders(template: str, value: float, text: str) -> None:
    assert render(template, LABELS, value) == text


@pytest.mark.parametrize(
    "template",
    [
        '{{ with query "up" }}{{ . | first | value }}{{ end }}',
        "{{ unclosed",
        "{{ if true }}no end",
        "{{ end }}",
        "{{ $nope }}",
        "{{ nosuch $value }}",
        "{{ humanize $labels.job }}",
        "{{ printf }}",
        '{{ printf "%999d" 1 }}',
        "{{ $labels.job.deeper }}",
        '{{ match "((a+)+)+$" $labels.job }}',
        '{{ match "(" $labels.job }}',
        "{{ template `x` }}",
        "{{ ( $value }}",
        "{{ | }}",
        "{{}}",
        "{{ range $value }}{{ end }}",
        "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
        "{{ if true }}" * 200 + "{{ end }}" * 200,
    ],
)
def test_what_cannot_be_rendered_is_shown_with_a_note(template: str) -> None:
    text = render(template, LABELS, 1.0)
    assert text.startswith(template)
    assert "[not rendered: " in text


def test_output_has_a_bound() -> None:
    long = labels({"a": "x" * 9_000})
    assert "[not rendered: more than" in render("{{ $labels.a }}{{ $labels.a }}", long, 1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.5, "-0.5"),
        (123456.0, "123456"),
        (1e6, "1e+06"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1e-7, "1e-07"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (100.25, "100.25"),
        (float("-inf"), "-Inf"),
    ],
)
def test_numbers_are_written_as_go_does(value: float, text: str) -> None:
    assert show(value) == text


PIECES = [
    "{{",
    "}}",
    "-",
    " ",
    "$labels",
    ".job",
    "$value",
    "|",
    "(",
    ")",
    '"',
    "`",
    "if",
    "end",
    "range",
    "printf",
    "1",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=25).map("".join))
def test_no_template_raises(template: str) -> None:
    assert isinstance(render(template, LABELS, 1.0), str)
