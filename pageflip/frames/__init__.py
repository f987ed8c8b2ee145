"""Frames from an archive to a validated, split pack of pixels."""
