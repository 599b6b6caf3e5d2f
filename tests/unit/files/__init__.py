"""Tests of the file loaders."""
