"""Verbs: one thin module per stage or job, run as `python -m tasks.NAME`."""
