"""Core types to rows and words, shared by the CLI, the TUI and reports."""
