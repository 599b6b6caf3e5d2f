"""Who asks: players and their networks, devices and countries, all pseudonymous and of documentation ranges.

Addresses are of RFC 5737, network numbers of RFC 5398. The attack's two networks are hosting providers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opsctl.demo.faults import ATTACKERS, NETWORKS
from opsctl.demo.noise import scramble
from opsctl.demo.telemetry.draw import Draw, Ints, hexes

PLAYERS = 20_000
_ADDRESSES = 64  # of each network
_BLOCKS = ("192.0.2", "198.51.100", "203.0.113")
COUNTRIES = ("DE", "FR", "PL", "GB", "SE", "ES", "US", "CA", "BR", "IT", "NL", "US")
_BOTS = 12  # machines that an attack comes from, in each of its networks
_FIRST_ATTACKER = len(NETWORKS) - len(ATTACKERS)
NETWORK_NUMBERS = tuple(int(name.removeprefix("AS")) for name in NETWORKS)


@dataclass(frozen=True, slots=True)
class People:
    """One player a request; `network` is an index into NETWORKS."""

    network: Ints
    address: list[str]
    user: list[str]
    device: list[str]


def people(draw: Draw, network: Ints) -> People:
    """Players of those networks: one player has one address and one device, except that attackers try everybody."""
    player = (draw.uniform() * PLAYERS).astype(np.int64)
    bot = (draw.uniform() * _BOTS).astype(np.int64)
    attacker = network >= _FIRST_ATTACKER
    host = np.where(attacker, bot, player % _ADDRESSES) + (network % 4) * _ADDRESSES
    machine = np.where(attacker, PLAYERS + network * _BOTS + bot, player)
    addresses = [f"{_BLOCKS[of // 4]}.{last}" for of, last in zip(network.tolist(), host.tolist(), strict=True)]
    return People(network, addresses, _names("u", player, 1), _names("d", machine, 2))


def _names(prefix: str, numbers: Ints, salt: int) -> list[str]:
    words = scramble(numbers.astype(np.uint64) * np.uint64(2) + np.uint64(salt << 40))
    return [f"{prefix}-{text[:8]}" for text in hexes(words)]
