"""Production of the pretrained files that ship with the package."""
