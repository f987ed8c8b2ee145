"""Batch scoring of uploads, with exactly-once publication of results."""
