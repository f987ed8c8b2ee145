"""Flip events and page stills from frame probabilities over time."""
