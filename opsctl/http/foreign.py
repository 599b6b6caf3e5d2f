"""Why a body came that is not the JSON of the API that was asked: a missing prefix, a proxy's page, a cut."""

from __future__ import annotations

from opsctl.core.signals import Reason
from opsctl.http.endpoint import Answer, HttpProblem, one_line, status_problem


def no_json(answer: Answer, api: str) -> HttpProblem | None:
    """The problem with a body that is plainly no JSON: nothing, or a page for people; None where it may be JSON."""
    if not answer.body.strip():
        return HttpProblem(Reason.MALFORMED, f"answered nothing (0 bytes) instead of {api} JSON")
    if "html" in answer.content_type or answer.body.lstrip()[:1] == b"<":
        shown = one_line(answer.content_type, 40) or "no content type"
        what = f"answered HTML ({shown}) instead of {api} JSON; is the url right, or is there a login in front?"
        return HttpProblem(Reason.MALFORMED, what)
    return None


def foreign(answer: Answer, wrong: Exception, api: str, address: str) -> HttpProblem:
    """The problem in words; `api` is whose JSON was expected (`Jaeger`), `wrong` what its decoder said."""
    if answer.status == 404:
        what = f"answered 404: no {api} API below {address}; is a path prefix missing in the url?"
        return HttpProblem(Reason.MALFORMED, what, status=404)
    problem = status_problem(answer)
    if problem is not None:
        return problem
    plain = no_json(answer, api)
    if plain is not None:
        return plain
    said = one_line(str(wrong), 120)
    return HttpProblem(Reason.MALFORMED, f"answered {len(answer.body)} bytes that are not {api} JSON: {said}")
