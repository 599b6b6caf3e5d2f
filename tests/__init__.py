"""The tests; a package so that `python -m tests.servers` works."""
