"""YAML and TOML files into core types; every error says path:line, what was expected and the nearest name."""
