"""Data of a timeline: the true and the found events of a video."""

from dataclasses import dataclass

import numpy as np

from pageflip.events.metrics import Event


@dataclass(frozen=True)
class Timeline:
    """True and found events of a video, and its frame probabilities.

    Attributes:
        name: title.
        times_s, probabilities: of each frame, float [N], N >= 1, times ascending; NaN where a frame cannot be read.
        true, found: (onset, offset) of each event, the times of its first and last frame in seconds.
    """

    name: str
    times_s: np.ndarray
    probabilities: np.ndarray
    true: tuple[Event, ...]
    found: tuple[Event, ...]
