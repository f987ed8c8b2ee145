"""Hermetic runs of single stages, with DVC's cache and remote."""
