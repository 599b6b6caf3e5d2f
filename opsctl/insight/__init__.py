"""What readings mean: pure functions from spans, logs and series to answers. Must never do I/O."""
