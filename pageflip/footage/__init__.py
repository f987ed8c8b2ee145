"""Reading of untrusted media, and predictions on it."""
