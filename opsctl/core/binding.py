"""Values into steps: one structural encoder for each place that a `${name}` may stand in.

| place                          | what may stand there              | how it gets there                               |
|--------------------------------|-----------------------------------|-------------------------------------------------|
| PromQL, inside quotes          | anything                          | escaped; for `=~`, `!~` also quoted as pattern  |
| PromQL, number or duration     | number, duration                  | written as such                                 |
| URL, at its very start         | an address (`type: url`)          | checked again                                   |
| URL host                       | letters, digits, hyphens          | checked                                         |
| URL path segment, query value  | anything but `.` and `..`         | percent-encoded                                 |
| JSON body                      | anything                          | put into the parsed document                    |
| header value                   | printable ASCII                   | checked                                         |
| bash                           | anything without NUL              | environment `OPS_NAME`, never the script's text |
| approval, manual               | anything                          | shown; the printer cleans it                    |

Must never join text from outside into code. `${secret.name}` stays as it is in header values: only the adapter that
sends the request knows secrets.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Union
from urllib.parse import quote

from opsctl.core.frozen import dataclass
from opsctl.core.params import check_url, plain
from opsctl.core.runbooks import Approval, Manual, Query, Request, Script, Step, Value
from opsctl.core.windows import format_duration

NAME = r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)?"
VARIABLE = re.compile(r"\$\{(" + NAME + r")\}")
SECRET = re.compile(r"\$\{secret\.([a-z][a-z0-9_]*)\}")
_PROMQL = re.compile(
    r"(?P<comment>#[^\n]*)|(?P<text>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')|(?P<raw>`[^`]*`)|(?P<variable>\$\{"
    + NAME
    + r"\})|(?P<other>.)",
    re.DOTALL,
)
_URL = re.compile(r"(?P<base>\$\{" + NAME + r"\}|https?://[^/?#\s]+)(?P<path>(?:/[^?#\s]*)?)(?P<query>(?:\?[^#\s]*)?)")
_HOST_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_JSON = re.compile(r"\"(?:[^\"\\]|\\.)*\"|\$\{(" + NAME + r")\}")
_HOLE = "\ue000"  # private use: a text that a template cannot hold marks the place of a bare ${name} in a JSON body


class BindError(ValueError):
    """A value may not stand where the template has it, or the template is wrong; one line."""


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """PromQL, ready to ask."""

    expression: str


@dataclass(frozen=True, slots=True)
class BoundRequest:
    """An HTTP request, ready to send but for `${secret.name}` in header values."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class BoundScript:
    """A script as it was written, and its whole environment but for PATH and secrets."""

    text: str
    environment: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BoundText:
    """Words for a person; not cleaned yet."""

    text: str


Bound = Union[BoundQuery, BoundRequest, BoundScript, BoundText]
Values = Mapping[str, Value]


def bind(step: Step, values: Values) -> Bound:
    """Put the values into a step; BindError where one may not stand where it is used, or is not there."""
    match step.body:
        case Query(expression):
            return BoundQuery(bind_promql(expression, values))
        case Request():
            return bind_request(step.body, values)
        case Script(text):
            return BoundScript(text, environment(values))
        case Approval(text, _, _) | Manual(text):
            return BoundText(_replace(text, lambda name: plain(_get(name, values))))


def variables(step: Step) -> frozenset[str]:
    """The names that a step uses, secrets left out; a script uses what its environment offers and counts as none."""
    match step.body:
        case Query(expression):
            used = set(VARIABLE.findall(_without_comments(expression)))
        case Request(_, url, headers, body):
            text = "\n".join([url, *(value for _, value in headers), body or ""])
            used = set(VARIABLE.findall(text))
        case Script():
            used = set()
        case Approval(text, _, _) | Manual(text):
            used = set(VARIABLE.findall(text))
    return frozenset(name for name in used if not name.startswith("secret."))


def environment_name(name: str) -> str:
    """How bash sees a value."""
    return "OPS_" + name.upper().replace(".", "_")


def environment(values: Values) -> tuple[tuple[str, str], ...]:
    """The variables of a script, sorted; BindError for a value that no environment can hold."""
    out = []
    for name, value in sorted(values.items()):
        text = plain(value)
        if "\0" in text or len(text) > 65_536:
            raise BindError(f"{name}: a value with NUL or of more than 64 KiB cannot be given to bash")
        out.append((environment_name(name), text))
    return tuple(out)


def _get(name: str, values: Values) -> Value:
    if name not in values:
        raise BindError(f"no value for ${{{name}}}")
    return values[name]


def _replace(text: str, value: Callable[[str], str]) -> str:
    return VARIABLE.sub(lambda match: value(match[1]), text)


# -- PromQL ----------------------------------------------------------------------------------------------------------


def _without_comments(text: str) -> str:
    return "".join(match[0] for match in _PROMQL.finditer(text) if match.lastgroup != "comment")


def bind_promql(template: str, values: Values) -> str:
    """Put values into an expression: escaped inside quotes, else as numbers and durations between separators."""
    out = ""
    for match in _PROMQL.finditer(template):
        token = match[0]
        match match.lastgroup:
            case "text":
                out += _quoted(token, out.rstrip().endswith(("=~", "!~")), values)
            case "variable":
                name = token[2:-1]
                after = template[match.end() : match.end() + 1]
                out += _number(name, _get(name, values), out[-1:], after)
            case "raw" if "${" in token:
                raise BindError(f"no variable may stand between backticks: {token[:60]}")
            case "other" if token == "$" and template[match.end() : match.end() + 1] == "{":
                raise BindError("a `${` that is not `${name}`")
            case _:
                out += token
    return out


def _quoted(token: str, pattern: bool, values: Values) -> str:
    def escaped(name: str) -> str:
        text = plain(_get(name, values))
        return _escape(_pattern(text) if pattern else text)

    return _replace(token, escaped)


def _escape(text: str) -> str:
    """The text inside a quoted PromQL string, whichever of the two quotes it has."""
    return "".join(_escaped(ch) for ch in text)


def _escaped(ch: str) -> str:
    if ch == "\\":
        return "\\\\"
    if ch in "\"'":  # the escape of the other quote is an error in a quoted string, its code is not
        return f"\\x{ord(ch):02x}"
    if ch.isprintable():
        return ch
    if 0xD800 <= ord(ch) <= 0xDFFF:
        raise BindError("half a surrogate pair cannot be asked for")
    return f"\\x{ord(ch):02x}" if ord(ch) < 0x80 else f"\\U{ord(ch):08x}"


def _pattern(text: str) -> str:
    """The text as an RE2 pattern that matches it and nothing else."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _number(name: str, value: Value, before: str, after: str) -> str:
    if re.match(r"[A-Za-z0-9_:.\"'`]", before or " ") or re.match(r"[A-Za-z0-9_:.\"'`$]", after or " "):
        raise BindError(f"${{{name}}} touches other text; put it in quotes or between separators")
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BindError(f"${{{name}}} is not a number or a duration; a text has to stand in quotes")
    return repr(value)


# -- HTTP ------------------------------------------------------------------------------------------------------------


def bind_request(request: Request, values: Values) -> BoundRequest:
    """Put values into the parts of a request."""
    headers = tuple((name, _header(name, value, values)) for name, value in request.headers)
    if request.body is None:
        return BoundRequest(request.method, bind_url(request.url, values), headers, None)
    kind = next((value for name, value in headers if name.lower() == "content-type"), None)
    if kind is None:
        headers, kind = (*headers, ("Content-Type", "application/json")), "application/json"
    body = bind_json(request.body, values) if is_json(kind) else _literal(request.body)
    return BoundRequest(request.method, bind_url(request.url, values), headers, body)


def is_json(content_type: str) -> bool:
    """Whether a Content-Type says JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _literal(body: str) -> bytes:
    if "${" in body:
        raise BindError("variables may stand in JSON bodies only")
    return body.encode()


def _header(name: str, template: str, values: Values) -> str:
    def put(found: str) -> str:
        return f"${{{found}}}" if found.startswith("secret.") else plain(_get(found, values))

    value = _replace(template, put)
    if not (value.isascii() and value.isprintable()):
        raise BindError(f"header {name}: its value is not printable ASCII")
    return value


def bind_url(template: str, values: Values) -> str:
    """Put values into an address: base, host labels, path segments, query values."""
    match = _URL.fullmatch(template)
    if match is None:
        raise BindError(f"not an address: {template[:80]}; expected https://host/path or ${{base}}/path")
    path = "/".join(_segment(part, values) for part in match["path"].split("/"))
    query = match["query"]
    if query:
        query = "?" + "&".join(_pair(pair, values) for pair in query[1:].split("&"))
    return _base(match["base"], values) + path + query


def _base(template: str, values: Values) -> str:
    whole = VARIABLE.fullmatch(template)
    if whole is not None:
        base = check_url(plain(_get(whole[1], values)))
    else:
        base = check_url(_replace(template, lambda name: _host_part(name, values)))
    if base is None:
        raise BindError(f"{template[:80]}: not the base of an address (https, or http to loopback)")
    return base


def _host_part(name: str, values: Values) -> str:
    text = plain(_get(name, values))
    if not _HOST_PART.fullmatch(text):
        raise BindError(f"${{{name}}}: {text[:60]!r} cannot stand in the name of a host")
    return text


def _segment(template: str, values: Values) -> str:
    text = _replace(template, lambda name: quote(plain(_get(name, values)), safe=""))
    if "${" in template and text.replace("%2E", ".") in {"", ".", ".."}:
        raise BindError(f"{template[:80]}: {text!r} cannot be a part of a path")
    return _safe(text)


def _pair(template: str, values: Values) -> str:
    name, equals, value = template.partition("=")
    if "${" in name:
        raise BindError(f"{template[:80]}: a variable may be the value of a query parameter, not its name")
    return _safe(name + equals + _replace(value, lambda found: quote(plain(_get(found, values)), safe="")))


def _safe(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]*", text) or "${" in text:
        raise BindError(f"not a part of an address: {text[:60]!r}")
    return text


def bind_json(template: str, values: Values) -> bytes:
    """Put values into a JSON document; the template is parsed first, so no value can change its shape."""
    if _HOLE in template:
        raise BindError("the body holds a character of the private use area")

    def hole(match: re.Match[str]) -> str:
        return match[0] if match[1] is None else f'"{_HOLE}{match[1]}"'

    try:
        document = json.loads(_JSON.sub(hole, template))
    except (ValueError, RecursionError) as wrong:
        raise BindError(f"the body is not JSON: {wrong}") from wrong
    return json.dumps(_fill(document, values), ensure_ascii=False).encode("utf-8", "strict")


def _fill(node: Any, values: Values) -> Any:
    match node:
        case dict():
            for key in node:
                if "${" in key:
                    raise BindError(f"a variable may not be the name of a member: {key[:60]!r}")
            return {key: _fill(item, values) for key, item in node.items()}
        case list():
            return [_fill(item, values) for item in node]
        case str() if node.startswith(_HOLE):
            return _typed(node[1:], values)
        case str():
            return _replace(node, lambda name: _unicode(name, plain(_get(name, values))))
        case _:
            return node


def _typed(name: str, values: Values) -> str | int | float | bool:
    value = _get(name, values)
    if isinstance(value, float) and not math.isfinite(value):
        raise BindError(f"${{{name}}}: {value} is not a JSON number")
    if isinstance(value, timedelta):
        return format_duration(value)
    return _unicode(name, value) if isinstance(value, str) else value


def _unicode(name: str, text: str) -> str:
    if any(0xD800 <= ord(ch) <= 0xDFFF for ch in text):
        raise BindError(f"${{{name}}}: half a surrogate pair cannot be sent")
    return text


# -- preview ---------------------------------------------------------------------------------------------------------


def preview(bound: Bound, key: str | None = None) -> str:
    """What would be sent or run, byte for byte, but for secrets, which stay `${secret.name}`."""
    match bound:
        case BoundQuery(expression):
            return expression.strip()
        case BoundRequest(method, url, headers, body):
            lines = [f"{method} {url}", *(f"{name}: {value}" for name, value in headers)]
            if key is not None:
                lines.append(f"Idempotency-Key: {key}")
            return "\n".join(lines) + (f"\n\n{body.decode('utf-8', 'replace')}" if body is not None else "")
        case BoundScript(text, variables_):
            return "\n".join(f"{name}={value}" for name, value in variables_) + f"\n\n{text.rstrip()}"
        case BoundText(text):
            return text.strip()
