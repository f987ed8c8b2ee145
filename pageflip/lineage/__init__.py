"""Provenance of a model version, and the results it produced."""
