"""Local servers of the demo and the tests; each binds to loopback only."""
