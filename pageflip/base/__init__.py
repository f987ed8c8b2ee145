"""Modules without knowledge of pages: console, progress, errors, settings, crash-safe files, storage."""
