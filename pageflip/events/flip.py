"""What a flip is, and baselines that find flips; `pageflip.events.decoder` is the decoder that is used.

`find_flips`: a running median takes out single odd frames; a flip is then a stretch above the threshold, long
enough to be one. Stretches that a short dip parts are one flip.
"""

from dataclasses import dataclass

MAX_UNSEEN_S = 0.5  # no flip reaches across a longer stretch of frames that could not be read


@dataclass(frozen=True)
class Flip:
    """One flip: the first and last frame of it (both belong to it), their times in seconds, the surest frame."""

    start_index: int
    end_index: int
    start_s: float
    end_s: float
    peak_probability: float
