"""How good predictions are: counts, F1, its interval, calibration, and the same per clip and per book.

The positive class is `flip`; a frame is called flip when its probability is at or above the threshold. Every number
comes from all predictions at once, never from an average over batches. A table of predictions has the columns row,
label, video, frame, clip, book (nullable), group, part ("val" or "test"), target (1 is flip) and probability.
"""

from typing import Any

import pandas as pd

from pageflip.base.errors import DataError
from pageflip.evaluation.metrics import (
    SUPPLIED_NAME,
    binary_metrics,
    bootstrap_interval,
    curves,
    expected_calibration_error,
    reliability_bins,
)
from pageflip.evaluation.tables import book_table, clip_table, clip_verdicts
from pageflip.evaluation.thresholds import choose_threshold


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


def _check_disjoint(val: pd.DataFrame, test: pd.DataFrame) -> None:
    shared = sorted(set(val["group"]) & set(test["group"]))
    if shared:
        raise DataError(
            f"{len(shared)} groups stand in validation and in test, the first: {shared[0]}",
            "run the stage `split` again; results on this split would be too good.",
        )
