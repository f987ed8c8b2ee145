"""How good predictions are: counts, F1, its interval, calibration, and the same per clip and per book.

The positive class is `flip`; a frame is called flip when its probability is at or above the threshold. Every number
comes from all predictions at once, never from an average over batches. A table of predictions has the columns row,
label, video, frame, clip, book (nullable), group, part ("val" or "test"), target (1 is flip) and probability.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base.errors import DataError
from pageflip.evaluation.calibration import (
    calibrated,
    calibration_table,
    choose_review_band,
    fit_temperature,
    review_table,
)
from pageflip.evaluation.metrics import (
    SUPPLIED_NAME,
    binary_metrics,
    bootstrap_interval,
    curves,
    expected_calibration_error,
    reliability_bins,
)
from pageflip.evaluation.tables import book_table, clip_table, clip_verdicts
from pageflip.evaluation.thresholds import choose_threshold, threshold_that_reaches
from pageflip.frames.assignment import part_rows
from pageflip.networks.predict import predict_logits
from pageflip.params.evaluation import Evaluate, Threshold


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


FRAME_KEY = ["label", "video", "frame"]
PARTS = ("val", "test")


def judge(
    predictions: pd.DataFrame, params: Evaluate, *, protocol: str, unit: str, tolerance: float = 0.0
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Calibrate, choose threshold and review band on validation, and measure on test.

    Args:
        predictions: what `predict_parts` returned.
        tolerance: F1 on validation that may be given up for a wider plateau (see `choose_threshold`).

    Returns:
        The predictions, calibrated; and the keys of `evaluate_predictions` with calibration (temperature, reason, and
        `calibration_table` of val and test), reliability_before, threshold_choice (see `choose`) and review
        (error_rate, low, high, reached, and `review_table` of val and test).

    Raises:
        DataError: see `evaluate_predictions`.
    """
    val, test = (predictions[predictions["part"] == part] for part in PARTS)
    fit = fit_temperature(val["target"], val["logit"], val["group"], **params.temperature.model_dump())
    calibration = {"temperature": fit.value, "reason": fit.reason}
    calibration |= {part: calibration_table(table, fit.value) for part, table in zip(PARTS, (val, test), strict=True)}
    before = reliability_bins(test["target"], test["probability"])
    predictions = predictions.assign(probability=calibrated(predictions["logit"], fit.value))
    val, test = (predictions[predictions["part"] == part] for part in PARTS)
    choice = choose(val, params.threshold, tolerance)
    metrics = evaluate_predictions(
        val,
        test,
        bootstrap_samples=params.bootstrap_samples,
        seed=params.seed,
        threshold=choice["threshold"],
        protocol=protocol,
        unit=unit,
    )
    band = choose_review_band(val["target"], val["probability"], choice["threshold"], params.review_error_rate)
    review = {"error_rate": params.review_error_rate, "low": band.low, "high": band.high, "reached": band.reached}
    review |= {
        part: review_table(table, choice["threshold"], band) for part, table in zip(PARTS, (val, test), strict=True)
    }
    metrics |= {"calibration": calibration, "reliability_before": before, "threshold_choice": choice, "review": review}
    return predictions, metrics


def choose(val: pd.DataFrame, wanted: Threshold, tolerance: float = 0.0) -> dict[str, Any]:
    """The threshold, and what it was chosen for: {threshold, wanted, reached}.

    Where no threshold reaches the wanted precision on validation it is the one of the best F1, and `reached` is false.

    Raises:
        DataError: validation lacks a class.
    """
    best = choose_threshold(val["target"], val["probability"], tolerance)
    goals = wanted.model_dump(exclude_none=True)
    if not goals:
        return {"threshold": best, "wanted": "F1", "reached": True}
    threshold = threshold_that_reaches(val["target"], val["probability"], **goals)
    ((name, value),) = goals.items()
    reached = threshold is not None
    return {"threshold": threshold if reached else best, "wanted": f"{name} {value:g}", "reached": reached}


def check_split_of_frames(assignment: pd.DataFrame, index: pd.DataFrame, split: Path) -> None:
    """Refuse a split that was made of other frames: its rows would name the wrong pictures.

    Raises:
        DataError: a row of the split lies outside the pack, or names another frame than the pack's index.
    """
    rows = assignment["row"].to_numpy()
    inside = len(rows) == 0 or (rows.min() >= 0 and rows.max() < len(index))
    if not inside or not (index[FRAME_KEY].to_numpy()[rows] == assignment[FRAME_KEY].to_numpy()).all():
        raise DataError(f"the split in {split} was not made of these frames", "run `dvc repro split` first.")


def predict_parts(network: Any, pack: np.ndarray, assignment: pd.DataFrame) -> pd.DataFrame:
    """The table of predictions (see `pageflip.evaluation.metrics`) of the validation and the test part, and their
    logits.

    The probabilities are those of the network itself, not calibrated yet.

    Raises:
        DataError: a part holds no frames.
    """
    tables = []
    for part in PARTS:
        rows, targets = part_rows(assignment, part)
        if not len(rows):
            raise DataError(f"the split's part {part} holds no frames", "give it a larger share (split.shares).")
        table = assignment[assignment["part"] == part]
        logit = predict_logits(network, pack, rows)
        tables.append(table.assign(target=targets.astype(np.int64), logit=logit, probability=calibrated(logit, 1.0)))
    return pd.concat(tables, ignore_index=True)
