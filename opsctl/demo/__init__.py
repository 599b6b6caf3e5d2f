"""The simulated gaming platform."""
