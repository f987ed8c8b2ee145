"""Baselines that find flips, for comparison with `pageflip.events.decoder`."""

import numpy as np
from scipy.ndimage import median_filter

from pageflip.events.clock import frame_step_s
from pageflip.events.flip import MAX_UNSEEN_S, Flip

MEDIAN_S = 0.1
MIN_FLIP_S = 0.1
MIN_GAP_S = 0.1
MOTION_SHARE = 0.25  # position of the threshold between the quiet and the busy frames of a video


def median_flips(probabilities: np.ndarray, times_s: np.ndarray, threshold: float) -> list[Flip]:
    """Find stretches above the threshold after a running median, which removes single outliers.

    Stretches separated by less than MIN_GAP_S are one flip; those shorter than MIN_FLIP_S are none.

    Args:
        probabilities: of `flip`, float [N]; NaN where a frame could not be read.
        times_s: ascending times of the frames in seconds, float [N].
        threshold: of the model that gave the probabilities.
    """
    known = np.isfinite(probabilities)
    if not known.any():
        return []
    position = np.flatnonzero(known)
    unseen_s = np.where(np.diff(position) > 1, np.diff(np.asarray(times_s)[known]), 0)
    holes = np.flatnonzero(unseen_s > MAX_UNSEEN_S) + 1
    return [
        flip
        for seen in np.split(position, holes)
        for flip in _flips_between_holes(np.asarray(probabilities), np.asarray(times_s), threshold, seen)
    ]


def threshold_flips(probabilities: np.ndarray, times_s: np.ndarray, threshold: float) -> list[Flip]:
    """Find all stretches of frames at or above the threshold, however short."""
    above = np.nan_to_num(np.asarray(probabilities)) >= threshold
    return _as_flips(above, np.asarray(probabilities), np.asarray(times_s))


def difference_flips(changes: np.ndarray, times_s: np.ndarray) -> list[Flip]:
    """Find stretches of motion, without a model.

    Args:
        changes: mean absolute difference of each frame's grey levels from those of the frame before, float [N].
        times_s: ascending times of the frames in seconds, float [N].
    """
    step = frame_step_s(times_s)
    smooth = median_filter(np.asarray(changes, np.float64), size=2 * round(MEDIAN_S / step / 2) + 3, mode="nearest")
    quiet, busy = np.quantile(smooth, [0.2, 0.9])
    moving = smooth >= quiet + (busy - quiet) * MOTION_SHARE
    flips = _as_flips(moving, smooth / max(float(smooth.max()), 1e-9), np.asarray(times_s))
    return [flip for flip in flips if flip.end_s - flip.start_s + step >= MIN_FLIP_S]


BASELINES = {"threshold": threshold_flips, "median": median_flips}  # those of probabilities alone


def _as_flips(above: np.ndarray, values: np.ndarray, times_s: np.ndarray) -> list[Flip]:
    return [
        Flip(first, last, float(times_s[first]), float(times_s[last]), float(np.nanmax(values[first : last + 1])))
        for first, last in _stretches(above, times_s, 0.0)
    ]


def _flips_between_holes(
    probabilities: np.ndarray, times_s: np.ndarray, threshold: float, position: np.ndarray
) -> list[Flip]:
    values, times = probabilities[position], times_s[position]
    step = frame_step_s(times)
    width = 2 * round(MEDIAN_S / step / 2) + 1
    smooth = median_filter(values, size=width, mode="nearest")
    flips = []
    for first, last in _stretches(smooth >= threshold, times, MIN_GAP_S):
        if times[last] - times[first] + step >= MIN_FLIP_S - 1e-9:
            ends = int(position[first]), int(position[last])
            flips.append(Flip(*ends, float(times[first]), float(times[last]), float(values[first : last + 1].max())))
    return flips


def _stretches(above: np.ndarray, times: np.ndarray, gap_s: float) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate([[0], above.astype(int), [0]]))
    stretches: list[tuple[int, int]] = []
    for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True):
        if stretches and times[first] - times[stretches[-1][1]] < gap_s:
            stretches[-1] = (stretches[-1][0], int(last))
        else:
            stretches.append((int(first), int(last)))
    return stretches
