"""Reading a form once is reading each of its texts: the same changes, the same findings, the same errors."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from opsctl.promql import PromqlError, rewrite
from opsctl.promql.forms import by_form, each_by_form, form_of

SHAPES = (
    'sum(increase(a_total{{service="{0}",code="{1}"}}[{{{{.window}}}}]))',
    "sum(a_total{{service='{0}', code!=\"{1}\"}})",
    'a_total{{service="{0}"}} / on(x) b_total{{service="{1}"}}',
    'sum(rate(a_total{{code=~"{1}", s="{0}"}}[5m]))',
    'label_replace(a, "{0}", "$1", "b", "{1}")',
    'count({{__name__="{0}", b="{1}"}})',
    '{{"{0}"="{1}", a="{0}"}}',
    'a{{"b.c"="{0}"}} or b{{c="{1}"}}',
    'a{{b="{0}"}} == "{1}"',
    "a{{b=`{0}`}} + b{{b='{1}'}}",
    'a{{b="{0}"}} # it is "{1}"',
    'a{{b="{0}",b="{1}"}}[',
    'a{{b="{0}"}} $ {{c="{1}"}}',
    'a{{b="{0}', "x{{a.b=\"{0}\"}} {{'{1}'}}",
    "",
)  # fmt: skip
VALUES = (
    "x",
    "service-0001",
    "5xx",
    "",
    "a b",
    'q\\"uote',
    "\\x",
    "é",
    "o'clock",
    "`",
    "(",
    "a|b",
    "opsctl slot 1",
    "#",
)


def outcome(read: Callable[..., object], *args: object) -> object:
    """What came, or the words of the error."""
    try:
        found = read(*args)
    except PromqlError as wrong:
        return f"{wrong} {wrong.hint}"
    return list(found) if isinstance(found, (list, tuple)) else found


def asked(text: str, *windows: str) -> Sequence[str]:
    """The two ways that render a text anew, and the one that keeps it as written."""
    if rewrite.has_window(text):
        return [rewrite.with_window(text, window) for window in windows]
    return [*(rewrite.wrap_counter(text, w) for w in windows), *(rewrite.over_steps(text, w, "1m") for w in windows)]


def texts() -> list[str]:
    """Every shape with every two values, in an order that mixes them."""
    out = list(dict.fromkeys(shape.format(one, other) for shape in SHAPES for one in VALUES for other in VALUES))
    random.Random(7).shuffle(out)
    return out


def test_each_text_becomes_what_it_would_alone() -> None:
    """Rewritten texts and errors with their columns are those of the text itself, whichever of its form came first."""
    for text in texts():
        assert outcome(each_by_form, asked, text, "5m", "1h") == outcome(asked, text, "5m", "1h"), text
        assert outcome(by_form, rewrite.has_window, text) == outcome(rewrite.has_window, text), text
        assert outcome(by_form, rewrite.metric_names, text) == outcome(rewrite.metric_names, text), text


def test_two_texts_are_compared_as_they_would_be_alone() -> None:
    """Which values are equal is part of the form."""
    total = 'sum(a{{service="{}"}})'
    parts = ('sum(a{{service="{}",code="{}"}})', 'sum(a{{code="{}",service="{}"}})', "sum(a{{service='{}',x='{}'}})")
    seen = set()
    for part in parts:
        for one in VALUES:
            for other in VALUES:
                pair = (part.format(one, other), total.format(other))
                found = outcome(by_form, rewrite.adds_only_matchers, *pair)
                assert found == outcome(rewrite.adds_only_matchers, *pair), pair
                seen.add(found)
    assert {True, False} <= seen


def test_plain_values_make_one_form_and_others_none() -> None:
    """2,000 services are one form; a value that could change how a text is read is not taken for another."""
    forms = {form_of(f'sum(a{{service="s-{n}",code="500"}})') for n in range(3)}
    assert len({form.texts for form in forms if form is not None}) == 1
    assert form_of('a{b="500"} / a{b="500"}') != form_of('a{b="500"} / a{b="501"}')
    assert form_of('a{b=""}') is None
    assert form_of('a{b="\\n"}') is None
    assert form_of('a{b="x"} # "') is None
    assert form_of('a{b="' + "x" * 5000 + '"}') is None


def test_a_form_is_read_once() -> None:
    """The second text of a form costs no parsing."""
    read: list[str] = []

    def names(text: str) -> frozenset[str]:
        read.append(text)
        return rewrite.metric_names(text)

    for n in range(5):
        assert by_form(names, f'sum(a{{service="s-{n}"}})') == {"a"}
    assert len(read) == 1
