"""The result type of everything that finds flips."""

from dataclasses import dataclass

MAX_UNSEEN_S = 0.5  # no flip spans a longer stretch of unreadable frames


@dataclass(frozen=True)
class Flip:
    """A page flip.

    Attributes:
        start_index, end_index: first and last frame; both belong to the flip.
        start_s, end_s: times of these frames in seconds.
        peak_probability: highest probability of its frames.
    """

    start_index: int
    end_index: int
    start_s: float
    end_s: float
    peak_probability: float
