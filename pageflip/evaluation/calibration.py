"""Probabilities that mean what they say: a temperature fitted on validation, and the band of frames to look at again.

Dividing the logits by one number, the temperature, leaves their order (so F1, ROC and every ranking) as it is and moves
the probabilities towards the shares that are seen (Guo et al., On calibration of modern neural networks, 2017). Frames
of one group resemble each other, so each group weighs the same, however many frames it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from pageflip.base.errors import DataError
from pageflip.evaluation.metrics import binary_metrics, expected_calibration_error

FOLDS = 5  # of the groups, that say whether a temperature helps groups which it was not fitted on
REST = ("n", "n_flip", "f1", "precision", "recall")

Values = npt.ArrayLike


@dataclass(frozen=True)
class Temperature:
    """What logits are divided by. `reason` says why it is not the fitted optimum; it is None where it is."""

    value: float = 1.0
    reason: str | None = None


def fit_temperature(
    target: Values, logit: Values, groups: Values, *, lowest: float, highest: float, min_groups: int
) -> Temperature:
    """The temperature of the least negative log-likelihood, each group weighing the same; for validation only.

    Where validation holds too few mistakes to bound it from below, labels are smoothed as if each had one more group
    against it (`smoothed`): probabilities then become no surer than the number of groups allows. An optimum beyond the
    bounds gives the bound, with the reason. It stays 1, with the reason, with fewer than `min_groups` groups that hold
    flips, or that hold other frames, and where temperatures fitted on some groups do not help the others.

    Args:
        target: int [N], 1 is flip; logit: float [N]; groups: [N], any values that sort.

    Raises:
        DataError: the inputs are empty, of unequal length or not finite.
    """
    target, logit, groups = _checked(target, logit, groups)
    for value, word in ((1, "flips"), (0, "other frames")):
        count = len(np.unique(groups[target == value]))
        if count < min_groups:
            return Temperature(1.0, f"only {count} validation groups hold {word}, wanted are {min_groups}")
    value = _optimum(target, logit, groups, lowest, highest)
    if not _helps_other_groups(target, logit, groups, lowest, highest):
        return Temperature(1.0, "temperatures fitted on some validation groups do not help the others")
    if value in (lowest, highest):
        return Temperature(value, f"the optimum is beyond {value:g}, the bound")
    return Temperature(value)


def calibrated(logit: Values, temperature: float) -> np.ndarray:
    """Probabilities, float32 [N], of logits [N] divided by the temperature."""
    return expit(np.asarray(logit, np.float64) / temperature).astype(np.float32)


def group_weights(groups: np.ndarray) -> np.ndarray:
    """Weights, float64 [N], that sum to 1 and give each group the same."""
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / (sizes[inverse] * len(sizes))


def negative_log_likelihood(target: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> float:
    """The weighted mean of -log p(label), in nats."""
    return float(np.sum(weight * np.logaddexp(0, np.where(target == 1, -logit, logit))))


def calibration_table(predictions: pd.DataFrame, temperature: float) -> dict[str, float | int]:
    """ECE and negative log-likelihood (each group the same weight) of a part without and with the temperature."""
    target, logit, groups = _checked(predictions["target"], predictions["logit"], predictions["group"])
    weight = group_weights(groups)
    return {
        "n": len(target),
        "n_groups": len(np.unique(groups)),
        "ece_before": expected_calibration_error(target, calibrated(logit, 1.0)),
        "ece_after": expected_calibration_error(target, calibrated(logit, temperature)),
        "nll_before": negative_log_likelihood(target, logit, weight),
        "nll_after": negative_log_likelihood(target, logit / temperature, weight),
    }


def smoothed(target: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Targets, float64 [N], as if n groups of a label had shown it n + 1 times of n + 2 (Platt, 1999, with groups)."""
    flips, others = (len(np.unique(groups[target == value])) for value in (1, 0))
    return np.where(target == 1, (flips + 1) / (flips + 2), 1 / (others + 2))


def _optimum(target: np.ndarray, logit: np.ndarray, groups: np.ndarray, lowest: float, highest: float) -> float:
    """The best temperature within the bounds. The likelihood is concave in 1 / temperature: its slope has one root."""
    weight = group_weights(groups)

    def slope(sharpness: float, labels: np.ndarray) -> float:
        return float(np.sum(weight * (expit(sharpness * logit) - labels) * logit))

    labels = target.astype(np.float64)
    if slope(1 / lowest, labels) <= 0:
        labels = smoothed(target, groups)  # for these only: it makes temperatures too high where there are mistakes
    if slope(1 / lowest, labels) <= 0:
        return lowest
    if slope(1 / highest, labels) >= 0:
        return highest
    return 1 / float(brentq(slope, 1 / highest, 1 / lowest, args=(labels,), xtol=1e-9))


def _helps_other_groups(
    target: np.ndarray, logit: np.ndarray, groups: np.ndarray, lowest: float, highest: float
) -> bool:
    """Whether the likelihood of held-out groups gains by temperatures that were fitted on the others."""
    _, number = np.unique(groups, return_inverse=True)
    weight, scaled = group_weights(groups), np.empty_like(logit)
    for fold in range(FOLDS):
        held = number % FOLDS == fold
        scaled[held] = logit[held] / _optimum(target[~held], logit[~held], groups[~held], lowest, highest)
    return negative_log_likelihood(target, scaled, weight) < negative_log_likelihood(target, logit, weight)


@dataclass(frozen=True)
class ReviewBand:
    """Frames with low <= probability <= high are uncertain; both are None where no frame need be.

    `reached` says for each label whether the wanted error rate is kept beyond the band; where it is not, the band goes
    to that end and no frame of the label is certain.
    """

    low: float | None
    high: float | None
    reached: Mapping[str, bool]

    def holds(self, probability: Values) -> np.ndarray:
        """Whether each frame is uncertain, bool [N]."""
        probability = np.asarray(probability)
        if self.low is None or self.high is None:
            return np.zeros(probability.shape, bool)
        return (probability >= self.low) & (probability <= self.high)


def choose_review_band(target: Values, probability: Values, threshold: float, error_rate: float) -> ReviewBand:
    """The narrowest band about the threshold beyond which the error rate is kept, on each side; for validation only.

    Above it at most that share of the frames called flip are wrong, below it at most that share of the others. Its ends
    lie in the middle between the frames next to them.

    Args:
        target: int [N], 1 is flip; probability: float [N]; error_rate: in 0..1.
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


UNREACHED = float("inf")


def _edge(score: np.ndarray, wrong: np.ndarray, error_rate: float) -> float | None:
    """The score up to which frames are uncertain, the surer a frame the higher its score; None where none is.

    It is the lowest score beyond which the share of wrong frames is kept; UNREACHED where there is no such score.
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
    uncertain, sure = float(levels[kept[0] - 1]), float(levels[kept[0]])
    middle = float(np.float32((uncertain + sure) / 2))
    return middle if uncertain <= middle < sure else uncertain


def _below(threshold: float) -> float:
    """The largest float32 below the threshold."""
    value = np.float32(threshold)
    return float(value if float(value) < threshold else np.nextafter(value, np.float32(0)))


def review_table(predictions: pd.DataFrame, threshold: float, band: ReviewBand) -> dict[str, Any]:
    """What the band does on a part: frames and share that it holds, and counts and scores of the rest (None if empty).

    error_rate is the share of the rest that is called wrongly.
    """
    held = band.holds(predictions["probability"])
    rest = predictions[~held]
    table: dict[str, Any] = {"frames": int(held.sum()), "share": float(held.mean()), "rest": None}
    if len(rest):
        scores = binary_metrics(rest["target"], rest["probability"], threshold)
        table["rest"] = {name: scores[name] for name in REST} | {"error_rate": 1 - scores["accuracy"]}
    return table


def _checked(target: Values, logit: Values, groups: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    target, logit, groups = np.asarray(target), np.asarray(logit, np.float64), np.asarray(groups)
    if not len(target) or not target.shape == logit.shape == groups.shape or not np.isfinite(logit).all():
        raise DataError(
            f"{target.shape} targets, {logit.shape} logits and {groups.shape} groups cannot be calibrated",
            "give one target, one finite logit and one group for each frame.",
        )
    return target, logit, groups
