"""Drawn hands and arms."""
