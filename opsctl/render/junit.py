"""Verdicts as JUnit XML: a suite for each service, a case for each rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree as ET

from opsctl.core.rules import Outcome, Verdict
from opsctl.core.slo import Slo
from opsctl.render.text import clean
from opsctl.views.words import kind


def junit(verdicts: Sequence[Verdict], at: datetime) -> str:
    """One XML document; breach is `failure`, no data or a failed backend is `error`, too few events is `skipped`."""
    root = ET.Element("testsuites", name="opsctl check", tests=str(len(verdicts)))
    suites: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        suites.setdefault(verdict.rule.service or "-", []).append(verdict)
    totals = dict.fromkeys(("failure", "error", "skipped"), 0)
    for service in sorted(suites):
        cases = suites[service]
        suite = ET.SubElement(root, "testsuite", name=clean(service), tests=str(len(cases)), timestamp=at.isoformat())
        kinds = [_case(suite, verdict) for verdict in sorted(cases, key=lambda v: v.rule.name)]
        for name, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(attribute, str(kinds.count(name)))
            totals[name] += kinds.count(name)
    root.set("failures", str(totals["failure"]))
    root.set("errors", str(totals["error"]))
    root.set("skipped", str(totals["skipped"]))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, verdict: Verdict) -> str:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=clean(f"{kind(verdict)}.{verdict.rule.service or '-'}"),
        name=clean(verdict.rule.name),
        time="0",
    )
    element = result_of(verdict)
    text = clean(verdict.headline)
    if element in {"failure", "error", "skipped"}:
        child = ET.SubElement(case, element, message=text)
        if element != "skipped":
            child.set("type", verdict.outcome.value)
            child.text = "\n".join(
                clean(f"{asked.expression}  = {asked.value}") for asked in verdict.evidence.asked if asked.since is None
            )
    elif verdict.outcome is Outcome.WARN:
        ET.SubElement(case, "system-out").text = text
    return element


def result_of(verdict: Verdict) -> str:
    """`pass`, `failure`, `error` or `skipped`, as in the verdict table."""
    match verdict.outcome:
        case Outcome.FAIL:
            return "failure"
        case Outcome.NO_DATA | Outcome.UNKNOWN:
            return "error"
        case Outcome.NO_EVENTS:
            return "skipped" if isinstance(verdict.rule, Slo) and verdict.rule.on_no_events == "pass" else "error"
        case Outcome.LOW_CONFIDENCE | Outcome.SUPPRESSED:
            return "skipped"
        case Outcome.PASS | Outcome.WARN:
            return "pass"
