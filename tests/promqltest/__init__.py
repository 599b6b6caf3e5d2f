"""A runner for the language of Prometheus's own PromQL tests: `python -m tests.promqltest FOLDER`."""
