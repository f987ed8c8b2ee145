"""Temperature scaling: calibrate probabilities by dividing the logits by one number fitted on validation.

Dividing all logits by the temperature keeps their order, and so F1, ROC and every ranking (Guo et al., On calibration
of modern neural networks, 2017). Frames of one group resemble each other, so each group has the same weight, however
many frames it has.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from pageflip.base.errors import DataError
from pageflip.evaluation.metrics import Values, expected_calibration_error
from pageflip.params.evaluation import Temperature

FOLDS = 5  # of groups, to test whether a temperature helps groups that it was not fitted on


@dataclass(frozen=True)
class FittedTemperature:
    """Divisor of the logits. `reason` says why it is not the optimum of the likelihood; None if it is."""

    value: float = 1.0
    reason: str | None = None


def fit_temperature(target: Values, logit: Values, groups: Values, bounds: Temperature) -> FittedTemperature:
    """Fit the temperature that minimises the negative log-likelihood, with equal weight for each group.

    If validation has too few mistakes to bound the temperature from below, the labels are smoothed first (see
    `smooth_labels`). An optimum beyond the bounds gives the bound. The temperature stays 1 if fewer than `min_groups`
    groups have flips, or fewer have other frames, or if temperatures fitted on some groups do not help the others.

    Args:
        target: int [N], 1 is flip, of validation.
        logit: float [N].
        groups: [N], any values that can be sorted.
        bounds: lowest, highest and min_groups.

    Raises:
        DataError: the inputs are empty, of different lengths or not finite.
    """
    target, logit, groups = _checked(target, logit, groups)
    for label, name in ((1, "flips"), (0, "other frames")):
        count = len(np.unique(groups[target == label]))
        if count < bounds.min_groups:
            return FittedTemperature(1.0, f"only {count} validation groups have {name}; {bounds.min_groups} are needed")
    value = _minimise(target, logit, groups, bounds)
    if not _helps_other_groups(target, logit, groups, bounds):
        return FittedTemperature(1.0, "temperatures fitted on some validation groups do not help the others")
    if value in (bounds.lowest, bounds.highest):
        return FittedTemperature(value, f"the optimum is beyond the bound {value:g}")
    return FittedTemperature(value)


def apply_temperature(logit: Values, temperature: float) -> np.ndarray:
    """Return the probabilities, float32 [N], of logits [N] divided by the temperature."""
    return expit(np.asarray(logit, np.float64) / temperature).astype(np.float32)


def calibration_table(predictions: pd.DataFrame, temperature: float) -> dict[str, float | int]:
    """Return ECE and negative log-likelihood (equal weight for each group) before and after calibration."""
    target, logit, groups = _checked(predictions["target"], predictions["logit"], predictions["group"])
    weight = group_weights(groups)
    return {
        "n": len(target),
        "n_groups": len(np.unique(groups)),
        "ece_before": expected_calibration_error(target, apply_temperature(logit, 1.0)),
        "ece_after": expected_calibration_error(target, apply_temperature(logit, temperature)),
        "nll_before": negative_log_likelihood(target, logit, weight),
        "nll_after": negative_log_likelihood(target, logit / temperature, weight),
    }


def group_weights(groups: np.ndarray) -> np.ndarray:
    """Return weights, float64 [N], that sum to 1 and give each group the same total."""
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / (sizes[inverse] * len(sizes))


def negative_log_likelihood(target: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted mean of -log p(label), in nats."""
    return float(np.sum(weight * np.logaddexp(0, np.where(target == 1, -logit, logit))))


def smooth_labels(target: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return Platt's smoothed targets (1999), float64 [N], counting groups instead of frames.

    A label with n groups gets the value (n + 1) / (n + 2), so that probabilities are no more certain than the number of
    groups allows.
    """
    flips, others = (len(np.unique(groups[target == value])) for value in (1, 0))
    return np.where(target == 1, (flips + 1) / (flips + 2), 1 / (others + 2))


# scikit-learn's CalibratedClassifierCV(method="temperature") does not fit: it wants a classifier with a decision
# function, takes hard labels only and has no bounds. The likelihood is concave in 1 / temperature, so its slope has one
# root.
def _minimise(target: np.ndarray, logit: np.ndarray, groups: np.ndarray, bounds: Temperature) -> float:
    weight = group_weights(groups)

    def slope(inverse: float, labels: np.ndarray) -> float:
        return float(np.sum(weight * (expit(inverse * logit) - labels) * logit))

    labels = target.astype(np.float64)
    if slope(1 / bounds.lowest, labels) <= 0:
        labels = smooth_labels(target, groups)  # only here: with enough mistakes it makes the temperature too high
    if slope(1 / bounds.lowest, labels) <= 0:
        return bounds.lowest
    if slope(1 / bounds.highest, labels) >= 0:
        return bounds.highest
    return 1 / float(brentq(slope, 1 / bounds.highest, 1 / bounds.lowest, args=(labels,), xtol=1e-9))


def _helps_other_groups(target: np.ndarray, logit: np.ndarray, groups: np.ndarray, bounds: Temperature) -> bool:
    """Test by cross-validation over groups whether temperatures improve the likelihood of held-out groups."""
    _, number = np.unique(groups, return_inverse=True)
    weight, scaled = group_weights(groups), np.empty_like(logit)
    for fold in range(FOLDS):
        held_out = number % FOLDS == fold
        scaled[held_out] = logit[held_out] / _minimise(target[~held_out], logit[~held_out], groups[~held_out], bounds)
    return negative_log_likelihood(target, scaled, weight) < negative_log_likelihood(target, logit, weight)


def _checked(target: Values, logit: Values, groups: Values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    target, logit, groups = np.asarray(target), np.asarray(logit, np.float64), np.asarray(groups)
    if not len(target) or not target.shape == logit.shape == groups.shape or not np.isfinite(logit).all():
        raise DataError(
            f"{target.shape} targets, {logit.shape} logits and {groups.shape} groups cannot be calibrated",
            "give one target, one finite logit and one group for each frame.",
        )
    return target, logit, groups
