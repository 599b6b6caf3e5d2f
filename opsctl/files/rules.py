"""Every rule of a configuration: OpenSLO objectives, Prometheus alerts and recordings, with one uid each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from opsctl.core.catalogue import Catalogue
from opsctl.core.frozen import dataclass
from opsctl.core.rules import GROUP, AlertingRule, RecordingRule, Rule
from opsctl.core.slo import Slo
from opsctl.errors import ConfigError
from opsctl.files.burn import read_windows
from opsctl.files.nodes import Problems
from opsctl.files.openslo import sort_documents
from opsctl.files.prometheus_rules import read_rule_files, tell_apart
from opsctl.files.recorded import Recorded, metrics_read
from opsctl.files.rule_files import find
from opsctl.files.signals import mixed, signals_read, watched
from opsctl.files.slo import Rest, read_slos


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The loaded rules in the order of their files; `notes` are lines about what a reader may not expect."""

    slos: tuple[Slo, ...] = ()
    alerting: tuple[AlertingRule, ...] = ()
    recording: tuple[RecordingRule, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What is judged."""
        return (*self.slos, *self.alerting)


def load_rules(sources: Sequence[str], base: Path, catalogue: Catalogue) -> RuleSet:
    """Read all rules; ConfigErrors with every wrong place of every file."""
    problems = Problems()
    found = find(sources, base, problems)
    windows = read_windows(found.windows, problems)
    prometheus = read_rule_files(found.prometheus, catalogue, problems)
    recorded = Recorded(prometheus.recording)
    documents = sort_documents(found.openslo, catalogue, problems)
    slos = read_slos(Rest(catalogue, windows, documents, recorded.inline, problems))
    alerting = [_inlined(rule, recorded, problems) for rule in tell_apart(prometheus)]
    _check_uids((*slos, *alerting), problems)
    problems.check()
    return RuleSet(tuple(slos), tuple(alerting), tuple(prometheus.recording), (*found.notes, *prometheus.notes))


def _inlined(rule: AlertingRule, recorded: Recorded, problems: Problems) -> AlertingRule:
    expr = recorded.inline(rule.expr)
    metrics = metrics_read(expr)
    signals = signals_read(expr)
    if len(signals) > 1:
        words = f"alert {rule.name}: {mixed(signals)}"
        hint = "split it: each rule asks one backend"
        problems.errors.append(ConfigError(rule.origin.path, rule.origin.line, words, hint=hint))
    still = recorded.still_read(metrics)
    return replace(rule, expr=expr, metrics=watched(expr, metrics), recorded=still, signal=signals[0])


def _check_uids(rules: Sequence[Rule], problems: Problems) -> None:
    first: dict[str, Rule] = {}
    for rule in rules:
        if rule.uid in first:
            words = f"rule uid {rule.uid} stands twice, first in {first[rule.uid].origin}"
            problems.errors.append(ConfigError(rule.origin.path, rule.origin.line, words))
        first.setdefault(rule.uid, rule)
        if rule.uid.startswith(GROUP):
            words = f"rule uid {rule.uid}: those that begin with {GROUP} are of groups of alerts"
            problems.errors.append(ConfigError(rule.origin.path, rule.origin.line, words, hint="choose another"))
