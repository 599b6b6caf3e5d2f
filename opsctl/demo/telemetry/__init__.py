"""Traces and logs of the simulated platform: what its services say about a sample of their requests."""
