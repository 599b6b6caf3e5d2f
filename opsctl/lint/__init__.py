"""Checks that need more than one file, or another program."""
