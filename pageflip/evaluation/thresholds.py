"""The choice of the threshold from validation predictions: for the best F1, or for a precision or recall."""

from typing import NamedTuple

import numpy as np

from pageflip.base.errors import DataError
from pageflip.evaluation.metrics import Values, check_predictions
from pageflip.frames.names import LABELS


def choose_threshold(target: Values, probability: Values, tolerance: float = 0.0) -> float:
    """Choose the threshold with the best F1 of class flip; to be called on validation predictions only.

    F1 is a step function of the threshold, and neighbouring steps of equal F1 form a plateau. Of the plateaus at the
    maximum, the middle of the widest is returned (the lowest of several equally wide ones): a small shift of the
    probabilities harms this choice least. The value is a float32 if one lies on the plateau, so that comparing float32
    probabilities with it gives the same answer in either precision.

    Args:
        target: int [N], 1 is flip.
        probability: float [N].
        tolerance: F1 that may be given up for a wider plateau, if future frames differ from these.

    Raises:
        DataError: the inputs are unusable, or a class is missing.
    """
    steps = _steps(target, probability)
    f1 = 2 * steps.hits / (steps.flips + steps.called)  # equal fractions of integers give equal floats: == is exact
    best = np.flatnonzero(f1 >= f1.max() - tolerance)
    plateaus = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    widest = max(plateaus, key=lambda run: steps.upper[run[-1]] - steps.lower[run[0]])
    return _middle(steps.lower[widest[0]], steps.upper[widest[-1]])


def threshold_that_reaches(
    target: Values, probability: Values, *, precision: float | None = None, recall: float | None = None
) -> float | None:
    """Choose the threshold that reaches a precision at the highest recall, or a recall at the highest precision.

    To be called on validation predictions only.

    Args:
        target: int [N], 1 is flip.
        probability: float [N].
        precision: that must be reached.
        recall: that must be reached, if no precision is given.

    Returns:
        The middle of the step, as `choose_threshold` does; None if no threshold reaches the goal.

    Raises:
        DataError: the inputs are unusable, or a class is missing.
    """
    steps = _steps(target, probability)
    if precision is not None:
        fits = steps.hits >= precision * steps.called * (
            1 - 1e-12
        )  # so that 19 of 20 frames reach 0.95 in floating point too
    else:
        fits = steps.hits >= (recall or 0.0) * steps.flips * (1 - 1e-12)
    if not fits.any():
        return None
    order = steps.hits * (len(np.asarray(target)) + 1) - steps.called  # the most hits, then the fewest calls
    if recall is not None:
        order = steps.hits / steps.called
    step = int(np.argmax(np.where(fits, order, -np.inf)))
    return _middle(steps.lower[step], steps.upper[step])


class _Steps(NamedTuple):
    """Steps of the threshold: one in (lower[k], upper[k]] calls the frames with probability >= upper[k] flips."""

    lower: np.ndarray
    upper: np.ndarray
    hits: np.ndarray  # flips among the frames called flip
    called: np.ndarray
    flips: int


def _steps(target: Values, probability: Values) -> _Steps:
    target, probability = check_predictions(target, probability)
    flips = int(target.sum())
    if flips in (0, len(target)):
        raise DataError(
            f"no threshold can be chosen: all {len(target)} validation frames are {LABELS[int(flips > 0)]}",
            "give validation clips of both labels (split.shares, split.seed), or import more clips.",
        )
    upper, inverse = np.unique(probability, return_inverse=True)
    lower = np.concatenate([[0.0], upper[:-1]])
    hits, called = (_counts_from_above(inverse, weights) for weights in (target, np.ones_like(target)))
    return _Steps(lower, upper, hits, called, flips)


def _middle(low: float, high: float) -> float:
    """Return the middle of (low, high], as a float32 if one lies there."""
    middle = float(np.float32((low + high) / 2))
    return middle if low < middle <= high else float(high)


def _counts_from_above(inverse: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return, for each distinct probability, the sum of the weights of the frames at or above it."""
    return np.bincount(inverse, weights=weights)[::-1].cumsum()[::-1]
