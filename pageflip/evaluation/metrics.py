"""How good predictions are: counts, F1, its interval, calibration, and the same per clip and per book.

The positive class is `flip`; a frame is called flip when its probability is at or above the threshold. Every number
comes from all predictions at once, never from an average over batches. A table of predictions has the columns row,
label, video, frame, clip, book (nullable), group, part ("val" or "test"), target (1 is flip) and probability.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sklearn_metrics

from pageflip.base.errors import DataError
from pageflip.evaluation.bootstrap import f1_of_counts, group_counts, resampled_f1, tails

SUPPLIED_NAME = "supplied (leaky)"
CURVE_POINTS = 200
Values = npt.ArrayLike


def binary_metrics(target: Values, probability: Values, threshold: float) -> dict[str, Any]:
    """F1, precision, recall, accuracy, roc_auc, average_precision, brier, n, n_flip and the confusion counts.

    The values are scikit-learn's with `zero_division=0`. Where only one class is present roc_auc is None, and without
    any flip average_precision is None: they are undefined there.

    Raises:
        DataError: the inputs are empty, of unequal length, not finite, or targets other than 0 and 1.
    """
    target, probability = checked(target, probability)
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
    """The percentile interval of F1 when whole groups, not frames, are drawn with replacement.

    Frames of one group resemble each other; drawing frames would make the interval far too narrow. Draws without a
    single flip frame have no F1 and are left out. With one group, or no flip at all, the interval is the point itself.
    Source: Field and Welsh, Bootstrapping clustered data (2007), the cluster bootstrap.

    Args:
        target: int [N]; probability: float [N]; groups: [N], any values that sort.
        samples: number of draws; level: coverage aimed at, in 0..1.

    Raises:
        DataError: the inputs are unusable.
    """
    target, probability = checked(target, probability)
    counts = group_counts(target, probability >= threshold, groups)
    scores = resampled_f1([counts], samples=samples, seed=seed)[0]
    if not len(scores):
        return 0.0, 0.0
    low, high = np.quantile(scores, tails(level))
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
    """Compare the F1 of two models on the same frames by drawing the same groups for both.

    Args:
        target: int [N]; challenger, champion: float [N], their probabilities; groups: [N].
        margin: F1 that the challenger may lose and still count as not worse.

    Returns:
        difference (challenger minus champion, on all frames), low and high (its percentile interval),
        probability_better: the share of draws in which the challenger's F1 is higher, a tie counting half, and
        probability_not_worse: the share in which it is at most `margin` lower (a one-sided non-inferiority test).

    Raises:
        DataError: the inputs are unusable.
    """
    target, challenger = checked(target, challenger)
    target, champion = checked(target, champion)
    counts = [
        group_counts(target, challenger >= challenger_threshold, groups),
        group_counts(target, champion >= champion_threshold, groups),
    ]
    one, two = (f1_of_counts(table.sum(axis=0)) for table in counts)
    scores = resampled_f1(counts, samples=samples, seed=seed)
    drawn = scores[0] - scores[1] if scores.size else np.zeros(1)
    low, high = np.quantile(drawn, tails(level))
    return {
        "difference": float(one - two),
        "low": float(low),
        "high": float(high),
        "probability_better": float(np.mean(drawn > 0) + np.mean(drawn == 0) / 2),
        "probability_not_worse": float(np.mean(drawn >= -margin)),
    }


def reliability_bins(target: Values, probability: Values, bins: int = 10) -> list[dict[str, Any]]:
    """Predicted against observed share of flips in equal bins of probability.

    Returns one dict per bin: low, high, n, and mean_probability and flip_share (None in an empty bin).
    """
    target, probability = checked(target, probability)
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
    """Mean distance of predicted from observed share of flips over equal bins, weighted by frames (Naeini, 2015)."""
    table = [row for row in reliability_bins(target, probability, bins) if row["n"]]
    total = sum(row["n"] for row in table)
    return sum(row["n"] * abs(row["mean_probability"] - row["flip_share"]) for row in table) / total


def curves(target: Values, probability: Values, points: int = CURVE_POINTS) -> dict[str, list[dict[str, Any]]]:
    """ROC and precision-recall curves, each thinned to at most `points` points; empty where a class is missing.

    Returns:
        roc: dicts of fpr, tpr, threshold, from (0, 0); pr: dicts of recall, precision, threshold, by falling recall.
        threshold is None at the end of a curve where nothing is called flip.
    """
    target, probability = checked(target, probability)
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


def flat_numbers(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested metrics under dotted names (`val.f1`), for trackers; tables and None are left out."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flat_numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{name}"] = float(value)
    return flat


def as_floats(values: Values) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def checked(target: Values, probability: Values) -> tuple[np.ndarray, np.ndarray]:
    """Both as int64 [N] and float64 [N]. Raises DataError when they cannot be measured."""
    target, probability = np.asarray(target), as_floats(probability)
    remedy = "predictions are one target (0 or 1) and one finite probability in 0..1 for each frame."
    if target.ndim != 1 or target.shape != probability.shape:
        raise DataError(
            f"targets have shape {target.shape} and probabilities {probability.shape}",
            remedy,
        )
    if not len(target):
        raise DataError(
            "there are no predictions to measure",
            "check that this part of the split holds frames.",
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
