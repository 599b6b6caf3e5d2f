"""The catalogue: services with their tiers, teams and dependencies, strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsctl.errors import ConfigError, ConfigErrors
from opsctl.files.catalogue import load_catalogue

GOOD = """\
services:
  - name: payments
    tier: 1
    team: money
    depends_on: [wallet, psp]
    selectors: { prometheus: { service: pay }, jaeger: pay-svc }
    links: { dashboard: "https://grafana.example.net/d/x" }
  - { name: wallet, tier: 1, team: money }
  - name: psp
    tier: 3
    team: third-parties
    kind: third_party
"""


def test_whole_file(tmp_path: Path) -> None:
    """Every key arrives, in the order of the file."""
    (tmp_path / "services.yaml").write_text(GOOD)
    catalogue = load_catalogue("services.yaml", tmp_path)
    assert list(catalogue.services) == ["payments", "wallet", "psp"]
    payments = catalogue.services["payments"]
    assert (payments.tier, payments.team, payments.kind) == (1, "money", "internal")
    assert payments.depends_on == ("wallet", "psp")
    assert payments.selectors == {"prometheus": {"service": "pay"}, "jaeger": "pay-svc"}
    assert payments.links == {"dashboard": "https://grafana.example.net/d/x"}
    assert catalogue.services["psp"].kind == "third_party"


def test_bundled() -> None:
    """The demo platform's catalogue loads."""
    assert load_catalogue("bundled:", Path()).get("payments") is not None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("services:", "service:", "1: unknown key service in the catalogue (did you mean services?)"),
        ("    team: money", "    taem: money", "4: unknown key taem in services[0] (did you mean team?)"),
        ("    team: money\n", "", "2: services[0]: team is missing"),
        ("tier: 3", "tier: 4", "10: services[2].tier: expected a whole number from 1 to 3, got 4"),
        ("tier: 3", "tier: high", '10: services[2].tier: expected a whole number, got "high"'),
        ("    tier: 3\n", "", "9: services[2]: tier is missing"),
        ("kind: third_party", "kind: third-party", '12: services[2].kind: expected one of internal, third_party, got "third-party" (did you mean third_party?)'),
        ("[wallet, psp]", "[walet, psp]", "5: unknown service walet in depends_on of payments (did you mean wallet?)"),
        ("[wallet, psp]", "[\n      wallet,\n      zzz]", "7: unknown service zzz in depends_on of payments (known: payments, psp, wallet)"),
        ("[wallet, psp]", "[payments]", "5: service payments depends on itself"),
        ("[wallet, psp]", "wallet", '5: services[0].depends_on: expected a list of texts, got "wallet"'),
        ("name: psp", "name: wallet", "9: service wallet stands twice, first in line 8"),
        ("name: psp", "name: 7", "9: services[2].name: expected a text, got 7"),
        ("jaeger: pay-svc", "jager: pay-svc", "6: unknown key jager in services[0].selectors (did you mean jaeger?)"),
        ('"https://grafana.example.net/d/x"', "javascript:1", '7: services[0].links.dashboard: expected an address like https://…, got "javascript:1"'),
        ("services:\n", "services: none\nx:\n", '1: services: expected a list, got "none"'),
        ("    tier: 1\n", "    tier: 1\n    tier: 2\n", "4: key tier stands twice, first in line 3"),
    ],
)  # fmt: skip
def test_wrong_catalogue(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A wrong place is named by line, with what was expected and the nearest name."""
    (tmp_path / "services.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_catalogue("services.yaml", tmp_path)
    errors = caught.value.errors if isinstance(caught.value, ConfigErrors) else (caught.value,)
    assert f"{tmp_path}/services.yaml:{message}" in [str(error) for error in errors]
