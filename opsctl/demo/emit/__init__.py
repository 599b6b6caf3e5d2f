"""Sends what the simulated platform does to real backends, with the libraries that services use for that."""
