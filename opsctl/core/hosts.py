"""What a host's name says about where it is, without asking a name server."""

from __future__ import annotations

import ipaddress


def is_address(host: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, brackets not included."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether it is this machine and nothing else: `localhost`, or a loopback address with or without brackets."""
    name = host.strip("[]").rstrip(".").lower()
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)
