"""Exported models: loading, prediction, and the pretrained files that ship with the package."""
