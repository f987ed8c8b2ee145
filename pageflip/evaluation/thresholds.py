"""How good predictions are: counts, F1, its interval, calibration, and the same per clip and per book.

The positive class is `flip`; a frame is called flip when its probability is at or above the threshold. Every number
comes from all predictions at once, never from an average over batches. A table of predictions has the columns row,
label, video, frame, clip, book (nullable), group, part ("val" or "test"), target (1 is flip) and probability.
"""

from typing import NamedTuple

import numpy as np

from pageflip.base.errors import DataError
from pageflip.evaluation.metrics import Values, checked
from pageflip.frames.names import LABELS


def choose_threshold(target: Values, probability: Values, tolerance: float = 0.0) -> float:
    """The threshold that maximises the F1 of class flip; to be called on validation predictions only.

    F1 is a step function of the threshold. Neighbouring steps of equal F1 form a plateau; of the plateaus at the
    maximum the widest is taken (of equals, the lowest) and its middle returned, which is the choice that a small shift
    of the probabilities harms least. The value is a float32 whenever one lies on the plateau, so that comparing float32
    probabilities with it gives the same answer in either precision.

    Args:
        target: int [N], 1 is flip.
        probability: float [N].
        tolerance: F1 that may be given up for a wider plateau, where the frames to come differ from those at hand.

    Raises:
        DataError: the inputs are unusable, or one of the two classes is missing.
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
    """The threshold with the highest recall among those of the wanted precision, or the highest precision among those
    of the wanted recall; None where no threshold reaches what is wanted. To be called on validation predictions only.

    The middle of the step is returned, as `choose_threshold` does.

    Raises:
        DataError: the inputs are unusable, or one of the two classes is missing.
    """
    steps = _steps(target, probability)
    if precision is not None:
        fits = steps.hits >= precision * steps.called * (1 - 1e-12)  # 0.95 of 20 frames is 19, for floats too
    else:
        fits = steps.hits >= (recall or 0.0) * steps.flips * (1 - 1e-12)
    if not fits.any():
        return None
    order = steps.hits * (len(np.asarray(target)) + 1) - steps.called  # of as many hits, the fewest calls
    if recall is not None:
        order = steps.hits / steps.called
    step = int(np.argmax(np.where(fits, order, -np.inf)))
    return _middle(steps.lower[step], steps.upper[step])


class _Steps(NamedTuple):
    """Step k, for thresholds in (lower[k], upper[k]], calls every frame with probability >= upper[k] a flip."""

    lower: np.ndarray
    upper: np.ndarray
    hits: np.ndarray  # flips among the frames that are called so
    called: np.ndarray
    flips: int


def _steps(target: Values, probability: Values) -> _Steps:
    target, probability = checked(target, probability)
    flips = int(target.sum())
    if flips in (0, len(target)):
        raise DataError(
            f"no threshold can be chosen: all {len(target)} validation frames are {LABELS[int(flips > 0)]}",
            "give the validation part clips of both labels (split.shares, split.seed), or import more clips.",
        )
    upper, inverse = np.unique(probability, return_inverse=True)
    lower = np.concatenate([[0.0], upper[:-1]])
    hits, called = (_counts_from_above(inverse, weights) for weights in (target, np.ones_like(target)))
    return _Steps(lower, upper, hits, called, flips)


def _middle(low: float, high: float) -> float:
    """The middle of (low, high], as a float32 where one lies there."""
    middle = float(np.float32((low + high) / 2))
    return middle if low < middle <= high else float(high)


def _counts_from_above(inverse: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each distinct probability, the sum of the weights of the frames at or above it."""
    return np.bincount(inverse, weights=weights)[::-1].cumsum()[::-1]
