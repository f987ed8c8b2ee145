"""Metrics of frame predictions: F1 and its bootstrap interval, ranking, calibration, and curves.

The positive class is `flip`; a frame is called flip if its probability is at or above the threshold.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sklearn_metrics

from pageflip.base.errors import DataError
from pageflip.evaluation.bootstrap import f1_of_counts, group_counts, resampled_f1, tail_quantiles

SUPPLIED_NAME = "supplied (leaky)"
CURVE_POINTS = 200
Values = npt.ArrayLike


def binary_metrics(target: Values, probability: Values, threshold: float) -> dict[str, Any]:
    """Compute f1, precision, recall, accuracy, roc_auc, average_precision, brier, n, n_flip and the confusion counts.

    The values equal scikit-learn's with `zero_division=0`. Undefined values are None: roc_auc if only one class is
    present, average_precision if there is no flip.

    Args:
        target: int [N], 1 is flip.
        probability: float [N].
        threshold: of the probabilities.

    Raises:
        DataError: the inputs are empty, of different lengths or not finite, or a target is neither 0 nor 1.
    """
    target, probability = check_predictions(target, probability)
    called = probability >= threshold
    flip = target == 1
    counts = {
        "tp": int((called & flip).sum()),
        "fp": int((called & ~flip).sum()),
        "fn": int((~called & flip).sum()),
        "tn": int((~called & ~flip).sum()),
    }
    flips = counts["tp"] + counts["fn"]
    mixed = 0 < flips < len(target)
    return {
        "f1": _ratio(2 * counts["tp"], 2 * counts["tp"] + counts["fp"] + counts["fn"]),
        "precision": _ratio(counts["tp"], counts["tp"] + counts["fp"]),
        "recall": _ratio(counts["tp"], flips),
        "accuracy": (counts["tp"] + counts["tn"]) / len(target),
        "roc_auc": float(sklearn_metrics.roc_auc_score(target, probability)) if mixed else None,
        "average_precision": float(sklearn_metrics.average_precision_score(target, probability)) if flips else None,
        "brier": float(np.mean((probability - target) ** 2)),
        "n": len(target),
        "n_flip": flips,
        "confusion": counts,
    }


def bootstrap_interval(
    target: Values,
    probability: Values,
    groups: Values,
    threshold: float,
    *,
    samples: int,
    seed: int,
    level: float = 0.95,
) -> tuple[float, float]:
    """Compute the percentile interval of F1 by the cluster bootstrap: whole groups are drawn with replacement.

    Frames of one group resemble each other, so drawing frames would make the interval far too narrow. Draws without a
    flip have no F1 and are left out. With one group, or no flip at all, the interval is the point itself.
    Source: Field and Welsh, Bootstrapping clustered data (2007).

    Args:
        target: int [N], 1 is flip.
        probability: float [N].
        groups: [N], any values that can be sorted.
        threshold: of the probabilities.
        samples: number of draws.
        seed: of the draws.
        level: nominal coverage, 0..1.

    Raises:
        DataError: the inputs are unusable.
    """
    target, probability = check_predictions(target, probability)
    counts = group_counts(target, probability >= threshold, groups)
    scores = resampled_f1([counts], samples=samples, seed=seed)[0]
    if not len(scores):
        return 0.0, 0.0
    low, high = np.quantile(scores, tail_quantiles(level))
    return float(low), float(high)


def paired_bootstrap(
    target: Values,
    challenger: Values,
    champion: Values,
    groups: Values,
    *,
    challenger_threshold: float,
    champion_threshold: float,
    samples: int,
    seed: int,
    level: float = 0.95,
    margin: float = 0.0,
) -> dict[str, float]:
    """Compare the F1 of two models on the same frames by the paired cluster bootstrap: both get the same draws.

    Args:
        target: int [N], 1 is flip.
        challenger: float [N], its probabilities.
        champion: float [N], its probabilities.
        groups: [N], any values that can be sorted.
        challenger_threshold: of the challenger's probabilities.
        champion_threshold: of the champion's probabilities.
        samples: number of draws.
        seed: of the draws.
        level: nominal coverage of the interval, 0..1.
        margin: F1 that the challenger may lose and still count as not worse.

    Returns:
        difference (challenger minus champion, on all frames); low and high, its percentile interval;
        probability_better, the share of draws in which the challenger's F1 is higher, a tie counting half;
        probability_not_worse, the share in which it is at most `margin` lower (a one-sided non-inferiority test).

    Raises:
        DataError: the inputs are unusable.
    """
    target, challenger = check_predictions(target, challenger)
    target, champion = check_predictions(target, champion)
    counts = [
        group_counts(target, challenger >= challenger_threshold, groups),
        group_counts(target, champion >= champion_threshold, groups),
    ]
    one, two = (f1_of_counts(table.sum(axis=0)) for table in counts)
    scores = resampled_f1(counts, samples=samples, seed=seed)
    drawn = scores[0] - scores[1] if scores.size else np.zeros(1)
    low, high = np.quantile(drawn, tail_quantiles(level))
    return {
        "difference": float(one - two),
        "low": float(low),
        "high": float(high),
        "probability_better": float(np.mean(drawn > 0) + np.mean(drawn == 0) / 2),
        "probability_not_worse": float(np.mean(drawn >= -margin)),
    }


def reliability_bins(target: Values, probability: Values, bins: int = 10) -> list[dict[str, Any]]:
    """Compare predicted and observed shares of flips in equal bins of probability.

    Returns:
        One dict per bin: low, high, n, mean_probability and flip_share (both None in an empty bin).
    """
    target, probability = check_predictions(target, probability)
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    size = np.bincount(place, minlength=bins)
    predicted = np.bincount(place, weights=probability, minlength=bins)
    observed = np.bincount(place, weights=target, minlength=bins)
    return [
        {
            "low": k / bins,
            "high": (k + 1) / bins,
            "n": int(size[k]),
            "mean_probability": float(predicted[k] / size[k]) if size[k] else None,
            "flip_share": float(observed[k] / size[k]) if size[k] else None,
        }
        for k in range(bins)
    ]


def expected_calibration_error(target: Values, probability: Values, bins: int = 10) -> float:
    """Compute the mean distance of predicted and observed shares over equal bins, by frames (Naeini et al., 2015)."""
    table = [row for row in reliability_bins(target, probability, bins) if row["n"]]
    total = sum(row["n"] for row in table)
    return sum(row["n"] * abs(row["mean_probability"] - row["flip_share"]) for row in table) / total


def compute_curves(target: Values, probability: Values, points: int = CURVE_POINTS) -> dict[str, list[dict[str, Any]]]:
    """Compute the ROC and precision-recall curves, each thinned to at most `points` points.

    Returns:
        roc, dicts of fpr, tpr and threshold, from (0, 0); pr, dicts of recall, precision and threshold, by decreasing
        recall. Both are empty if a class is missing. threshold is None at the end where nothing is called flip.
    """
    target, probability = check_predictions(target, probability)
    if not 0 < target.sum() < len(target):
        return {"roc": [], "pr": []}
    fpr, tpr, cuts = sklearn_metrics.roc_curve(target, probability)
    precision, recall, pr_cuts = sklearn_metrics.precision_recall_curve(target, probability)
    return {
        "roc": _thinned({"fpr": fpr, "tpr": tpr, "threshold": cuts}, points),
        "pr": _thinned(
            {
                "recall": recall,
                "precision": precision,
                "threshold": np.append(pr_cuts, np.inf),
            },
            points,
        ),
    }


def as_floats(values: Values) -> np.ndarray:
    """Return the values as float64."""
    return np.asarray(values, dtype=np.float64)


def check_predictions(target: Values, probability: Values) -> tuple[np.ndarray, np.ndarray]:
    """Return targets as int64 [N] and probabilities as float64 [N].

    Raises:
        DataError: they cannot be measured (see `binary_metrics`).
    """
    target, probability = np.asarray(target), as_floats(probability)
    remedy = "give one target (0 or 1) and one finite probability in 0..1 for each frame."
    if target.ndim != 1 or target.shape != probability.shape:
        raise DataError(
            f"targets have shape {target.shape} and probabilities {probability.shape}",
            remedy,
        )
    if not len(target):
        raise DataError(
            "there are no predictions to measure",
            "check that this part of the split has frames.",
        )
    if not np.isin(target, (0, 1)).all():
        raise DataError(
            f"the target {target[~np.isin(target, (0, 1))][0]} is neither 0 nor 1",
            remedy,
        )
    usable = np.isfinite(probability) & (probability >= 0) & (probability <= 1)
    if not usable.all():
        raise DataError(
            f"the probability {probability[~usable][0]} of frame {np.argmin(usable)} is unusable",
            remedy,
        )
    return target.astype(np.int64), probability


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _thinned(columns: dict[str, np.ndarray], points: int) -> list[dict[str, float | None]]:
    length = len(next(iter(columns.values())))
    keep = np.unique(np.linspace(0, length - 1, min(points, length)).round().astype(int))
    rows = zip(*(column[keep] for column in columns.values()), strict=True)
    return [
        {name: float(value) if np.isfinite(value) else None for name, value in zip(columns, row, strict=True)}
        for row in rows
    ]
