"""How good predictions are: counts, F1, its interval, calibration, and the same per clip and per book.

The positive class is `flip`; a frame is called flip when its probability is at or above the threshold. Every number
comes from all predictions at once, never from an average over batches. A table of predictions has the columns row,
label, video, frame, clip, book (nullable), group, part ("val" or "test"), target (1 is flip) and probability.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import metrics as sklearn_metrics

from pageflip.base.errors import DataError
from pageflip.evaluation.bootstrap import f1_of_counts, group_counts, resampled_f1, tails
from pageflip.frames.names import LABELS

SUPPLIED_NAME = "supplied (leaky)"
CLIP_SHARE = 0.5  # a clip is called flip when at least this share of its frames is
CURVE_POINTS = 200
MISTAKES_PER_CLIP = 3

Values = npt.ArrayLike


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
    target, probability = _checked(target, probability)
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


def binary_metrics(target: Values, probability: Values, threshold: float) -> dict[str, Any]:
    """F1, precision, recall, accuracy, roc_auc, average_precision, brier, n, n_flip and the confusion counts.

    The values are scikit-learn's with `zero_division=0`. Where only one class is present roc_auc is None, and without
    any flip average_precision is None: they are undefined there.

    Raises:
        DataError: the inputs are empty, of unequal length, not finite, or targets other than 0 and 1.
    """
    target, probability = _checked(target, probability)
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
    target, probability = _checked(target, probability)
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
    target, challenger = _checked(target, challenger)
    target, champion = _checked(target, champion)
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
    target, probability = _checked(target, probability)
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
    target, probability = _checked(target, probability)
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


def clip_table(predictions: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """One dict per clip, sorted by name, with its frames, flip_share, verdict, correct and (wrong frames) errors.

    flip_share is the share of the clip's frames that are called flip; the verdict is `flip` from one half on.
    """
    rows = []
    for clip, part in predictions.groupby("clip", sort=True):
        target = int(part["target"].iloc[0])
        called = _floats(part["probability"]) >= threshold
        verdict = int(called.mean() >= CLIP_SHARE)
        rows.append(
            {
                "clip": str(clip),
                "label": LABELS[target],
                "target": target,
                "n": len(part),
                "mean_probability": float(_floats(part["probability"]).mean()),
                "flip_share": float(called.mean()),
                "verdict": LABELS[verdict],
                "correct": verdict == target,
                "errors": int((called != (part["target"].to_numpy() == 1)).sum()),
            }
        )
    return rows


def clip_verdicts(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """f1, precision, recall, accuracy, n and confusion over clips, from the rows of `clip_table`."""
    verdict = [float(row["verdict"] == "flip") for row in clips]
    scores = binary_metrics([row["target"] for row in clips], verdict, CLIP_SHARE)
    return {name: scores[name] for name in ("f1", "precision", "recall", "accuracy", "n", "confusion")}


def book_table(predictions: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """One dict per book, sorted by name: book, n, n_flip, clips, accuracy, f1, precision, recall, confusion.

    f1, precision and recall are None for a book with frames of one label only: there they mean nothing. Frames
    without a book are left out.
    """
    rows = []
    for book, part in predictions[predictions["book"].notna()].groupby("book", sort=True):
        scores = binary_metrics(part["target"], part["probability"], threshold)
        mixed = 0 < scores["n_flip"] < scores["n"]
        rows.append(
            {
                "book": str(book),
                "n": scores["n"],
                "n_flip": scores["n_flip"],
                "clips": int(part["clip"].nunique()),
                "accuracy": scores["accuracy"],
                **{name: scores[name] if mixed else None for name in ("f1", "precision", "recall")},
                "confusion": scores["confusion"],
            }
        )
    return rows


def worst_mistakes(predictions: pd.DataFrame, threshold: float, count: int) -> pd.DataFrame:
    """The at most `count` wrong frames whose probability is furthest from their target, worst first.

    At most MISTAKES_PER_CLIP come from one clip: its frames look alike, and one bad clip would hide all others.
    """
    called = _floats(predictions["probability"]) >= threshold
    wrong = predictions[called != (predictions["target"].to_numpy() == 1)]
    distance = (wrong["probability"] - wrong["target"]).abs()
    ranked = wrong.assign(_distance=distance).sort_values(
        ["_distance", "clip", "frame"], ascending=[False, True, True], kind="stable"
    )
    ranked = ranked[ranked.groupby("clip").cumcount() < MISTAKES_PER_CLIP]
    return ranked.drop(columns="_distance").head(count)


def protocol_name(protocol: str, unit: str) -> str:
    """How results of this split are to be named: clip-disjoint, book-disjoint or supplied (leaky)."""
    return SUPPLIED_NAME if protocol == "supplied" else f"{unit}-disjoint"


def evaluate_predictions(
    val: pd.DataFrame,
    test: pd.DataFrame,
    *,
    bootstrap_samples: int,
    seed: int,
    threshold: float | None = None,
    protocol: str = "grouped",
    unit: str = "clip",
) -> dict[str, Any]:
    """All numbers of one evaluation, ready for JSON; the same input always gives the same output.

    Args:
        val, test: tables of predictions; test is only measured, never used to choose anything.
        threshold: None chooses it on val.
        protocol, unit: the split's parameters, which say what the numbers mean.

    Returns:
        The keys of `binary_metrics` on test, and f1_low, f1_high, threshold, n_groups, ece, protocol, unit,
        val (`binary_metrics` on val), clips (`clip_verdicts` and its table), books, reliability and curves.

    Raises:
        DataError: a part is empty, val lacks a class, or a group stands in both parts under the protocol `grouped`.
    """
    if protocol == "grouped":
        _check_disjoint(val, test)
    if threshold is None:
        threshold = choose_threshold(val["target"], val["probability"])
    target, probability = test["target"], test["probability"]
    scores = binary_metrics(target, probability, threshold)
    low, high = bootstrap_interval(
        target,
        probability,
        test["group"],
        threshold,
        samples=bootstrap_samples,
        seed=seed,
    )
    clips = clip_table(test, threshold)
    return {
        "protocol": protocol_name(protocol, unit),
        "unit": unit,
        "f1": scores.pop("f1"),
        "f1_low": low,
        "f1_high": high,
        "threshold": threshold,
        **scores,
        "n_groups": int(test["group"].nunique()),
        "ece": expected_calibration_error(target, probability),
        "val": binary_metrics(val["target"], val["probability"], threshold),
        "clips": {**clip_verdicts(clips), "table": clips},
        "books": book_table(test, threshold),
        "reliability": reliability_bins(target, probability),
        "curves": curves(target, probability),
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


def _floats(values: Values) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)


def _checked(target: Values, probability: Values) -> tuple[np.ndarray, np.ndarray]:
    """Both as int64 [N] and float64 [N]. Raises DataError when they cannot be measured."""
    target, probability = np.asarray(target), _floats(probability)
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


def _check_disjoint(val: pd.DataFrame, test: pd.DataFrame) -> None:
    shared = sorted(set(val["group"]) & set(test["group"]))
    if shared:
        raise DataError(
            f"{len(shared)} groups stand in validation and in test, the first: {shared[0]}",
            "run the stage `split` again; results on this split would be too good.",
        )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _counts_from_above(inverse: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each distinct probability, the sum of the weights of the frames at or above it."""
    return np.bincount(inverse, weights=weights)[::-1].cumsum()[::-1]


def _thinned(columns: dict[str, np.ndarray], points: int) -> list[dict[str, float | None]]:
    length = len(next(iter(columns.values())))
    keep = np.unique(np.linspace(0, length - 1, min(points, length)).round().astype(int))
    rows = zip(*(column[keep] for column in columns.values()), strict=True)
    return [
        {name: float(value) if np.isfinite(value) else None for name, value in zip(columns, row, strict=True)}
        for row in rows
    ]
