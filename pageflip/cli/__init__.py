"""The command `pageflip`."""
