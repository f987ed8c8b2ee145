"""Timelines of videos and stitched streams, true events above and found ones below, as shapes for inline SVG.

A timeline is cut into rows of one scale, of at most ROW_S seconds and some ROW_EVENTS true events each, since an hour
on one line shows nothing. A row is 1000 wide, the probabilities 1000 x 100 with 1 at the top; the template stretches it
to the reader's screen and puts the words beside it. No peak is lost: of each step, the lowest and the highest
probability are drawn.
"""

from dataclasses import dataclass

import numpy as np

from pageflip.events.metrics import Event


@dataclass(frozen=True)
class Timeline:
    """What happened and what was found in a video or stream, and the probabilities it was found in.

    Attributes:
        name: what stands above it.
        times_s, probabilities: of each frame, float [N], N >= 1, times ascending; NaN where a frame cannot be read.
        true, found: (onset, offset) of each event, the times of its first and last frame.
    """

    name: str
    times_s: np.ndarray
    probabilities: np.ndarray
    true: tuple[Event, ...]
    found: tuple[Event, ...]
