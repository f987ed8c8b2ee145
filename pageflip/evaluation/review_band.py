"""The band of probabilities around the threshold in which a person should review the frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pageflip.evaluation.metrics import Values, binary_metrics

REST_SCORES = ("n", "n_flip", "f1", "precision", "recall")
UNREACHED = float("inf")


@dataclass(frozen=True)
class ReviewBand:
    """Frames with low <= probability <= high are uncertain; both ends are None if no frame is.

    `reached` says for each label whether the wanted error rate is kept outside the band. Where it is not, the band
    extends to that end, and no frame of that label is certain.
    """

    low: float | None
    high: float | None
    reached: Mapping[str, bool]

    def contains(self, probability: Values) -> np.ndarray:
        """Return whether each frame is uncertain, bool [N]."""
        probability = np.asarray(probability)
        if self.low is None or self.high is None:
            return np.zeros(probability.shape, bool)
        return (probability >= self.low) & (probability <= self.high)


def choose_review_band(target: Values, probability: Values, threshold: float, error_rate: float) -> ReviewBand:
    """Choose the narrowest band around the threshold that keeps the error rate on either side, on validation.

    Above the band at most that share of the frames called flip is wrong, below it at most that share of the others. The
    ends lie halfway between neighbouring frames.

    Args:
        target: int [N], 1 is flip.
        probability: float [N].
        threshold: of the probabilities.
        error_rate: share of wrong frames that is allowed, 0..1.
    """
    target, probability = np.asarray(target), np.asarray(probability, np.float64)
    called = probability >= threshold
    upper = _edge(probability[called], target[called] == 0, error_rate)
    lower = _edge(-probability[~called], target[~called] == 1, error_rate)
    reached = {"flip": upper != UNREACHED, "notflip": lower != UNREACHED}
    if upper is None and lower is None:
        return ReviewBand(None, None, reached)
    return ReviewBand(
        threshold if lower is None else max(-lower, 0.0),
        _below(threshold) if upper is None else min(upper, 1.0),
        reached,
    )


def review_table(predictions: pd.DataFrame, threshold: float, band: ReviewBand) -> dict[str, Any]:
    """Measure the effect of the band on a part.

    Returns:
        frames and share that are in the band; rest, the REST_SCORES and error_rate of the other frames, or None if
        there are none.
    """
    uncertain = band.contains(predictions["probability"])
    rest = predictions[~uncertain]
    table: dict[str, Any] = {"frames": int(uncertain.sum()), "share": float(uncertain.mean()), "rest": None}
    if len(rest):
        scores = binary_metrics(rest["target"], rest["probability"], threshold)
        table["rest"] = {name: scores[name] for name in REST_SCORES} | {"error_rate": 1 - scores["accuracy"]}
    return table


def _edge(score: np.ndarray, wrong: np.ndarray, error_rate: float) -> float | None:
    """Return the score up to which frames are uncertain, or None if none is; higher scores are more certain.

    UNREACHED if no score keeps the error rate.
    """
    if not len(score):
        return None
    levels, inverse = np.unique(score, return_inverse=True)
    frames = np.bincount(inverse)[::-1].cumsum()[::-1]
    mistakes = np.bincount(inverse, weights=wrong)[::-1].cumsum()[::-1]
    kept = np.flatnonzero(mistakes <= error_rate * frames * (1 + 1e-12))
    if not len(kept):
        return UNREACHED
    if kept[0] == 0:
        return None
    uncertain, certain = float(levels[kept[0] - 1]), float(levels[kept[0]])
    middle = float(np.float32((uncertain + certain) / 2))
    return middle if uncertain <= middle < certain else uncertain


def _below(threshold: float) -> float:
    """Return the largest float32 below the threshold."""
    value = np.float32(threshold)
    return float(value if float(value) < threshold else np.nextafter(value, np.float32(0)))
