"""Times of frames, with and without a clock.

A folder of frames has no clock: its frames are taken as SEQUENCE_FPS frames per second.
"""

from collections.abc import Sequence

import numpy as np

SEQUENCE_FPS = 30.0  # phones film at 30 frames per second
SHORTEST_STEP_S = 1e-3  # of recordings whose times do not ascend


def frame_times(times_s: Sequence[float | None], first: int = 0) -> np.ndarray:
    """Return times in seconds, float64 [N], with None replaced by what SEQUENCE_FPS gives.

    Args:
        times_s: times of successive frames; None where there is no clock.
        first: position of the first of these frames in the recording.
    """
    return np.array([i / SEQUENCE_FPS if time is None else time for i, time in enumerate(times_s, first)], np.float64)


def frame_step_s(times_s: np.ndarray) -> float:
    """Return the duration of a frame in seconds: the median step, or 1 / SEQUENCE_FPS for a single frame.

    Args:
        times_s: ascending times of frames in seconds, float [N].
    """
    if len(times_s) < 2:
        return 1 / SEQUENCE_FPS
    return max(float(np.median(np.diff(times_s))), SHORTEST_STEP_S)
