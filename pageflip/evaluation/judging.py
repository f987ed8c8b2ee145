"""Evaluation of a network: calibration, threshold and review band from validation, every other number from test.

The positive class is `flip`; a frame is called flip if its probability is at or above the threshold. Every number comes
from all predictions at once, never from an average over batches.

A table of predictions has one row per frame and the columns row (of the pack), label, video, frame, clip, book
(nullable), group, part ("val" or "test"), target (1 is flip), logit and probability.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from pageflip.base.errors import DataError
from pageflip.evaluation.calibration import apply_temperature, calibration_table, fit_temperature
from pageflip.evaluation.metrics import (
    SUPPLIED_NAME,
    binary_metrics,
    bootstrap_interval,
    compute_curves,
    expected_calibration_error,
    reliability_bins,
)
from pageflip.evaluation.review_band import choose_review_band, review_table
from pageflip.evaluation.shortcuts import run_shortcut_test
from pageflip.evaluation.tables import book_table, clip_table, clip_verdicts
from pageflip.evaluation.temporal_refinement import evaluate_in_sequence
from pageflip.evaluation.thresholds import choose_threshold, threshold_that_reaches
from pageflip.events.temporal import TemporalModel
from pageflip.frames.assignment import part_rows, read_assignment
from pageflip.frames.pack import open_pack
from pageflip.networks.predict import predict_logits
from pageflip.networks.saved import load_network, read_config
from pageflip.params.evaluation import Evaluate, Threshold
from pageflip.params.split import Split

FRAME_KEY = ["label", "video", "frame"]
EVALUATED_PARTS = ("val", "test")


def evaluate_network(
    models: Path, frames: Path, split: Path, params: Evaluate, split_params: Split, temporal: TemporalModel
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Evaluate a trained network on the validation and test parts of a split.

    Args:
        models: folder of the trained network.
        frames: folder of the pack.
        split: folder of the assignment.
        params: section `evaluate`.
        split_params: section `split`, which names the protocol.
        temporal: the temporal network, for the results in sequence.

    Returns:
        The table of predictions, calibrated; and the keys of `calibrate_and_evaluate` with shortcuts (see
        `run_shortcut_test`), in_sequence (see `evaluate_in_sequence`) and weights_sha256.

    Raises:
        DataError: the network is missing, the split was not made from these frames, or it cannot be evaluated (see
            `evaluate_predictions`).
    """
    pack, index = open_pack(frames)
    assignment = read_assignment(split)
    check_split_of_frames(assignment, index, split)
    network, weights = load_network(models), read_config(models)["weights_sha256"]
    predictions, metrics = calibrate_and_evaluate(
        predict_parts(network, pack, assignment), params, protocol=split_params.protocol, unit=split_params.unit
    )
    test, threshold = predictions[predictions["part"] == "test"], metrics["threshold"]
    metrics["shortcuts"] = run_shortcut_test(
        network,
        pack,
        test["row"].to_numpy(),
        test["target"].to_numpy(),
        params.shortcuts,
        temperature=metrics["calibration"]["temperature"],
        threshold=threshold,
    )
    metrics["in_sequence"] = evaluate_in_sequence(
        test, pack, threshold, temporal, samples=params.bootstrap_samples, seed=params.seed
    )
    return predictions, metrics | {"weights_sha256": weights}


def check_split_of_frames(assignment: pd.DataFrame, index: pd.DataFrame, split: Path) -> None:
    """Check that a split was made from the frames of a pack; otherwise its rows would name the wrong images.

    Raises:
        DataError: a row of the split lies outside the pack, or names another frame than the pack's index does.
    """
    rows = assignment["row"].to_numpy()
    inside = len(rows) == 0 or (rows.min() >= 0 and rows.max() < len(index))
    if not inside or not (index[FRAME_KEY].to_numpy()[rows] == assignment[FRAME_KEY].to_numpy()).all():
        raise DataError(f"the split in {split} was not made from these frames", "run `dvc repro split` first.")


def predict_parts(network: nn.Module, pack: np.ndarray, assignment: pd.DataFrame) -> pd.DataFrame:
    """Predict the validation and test parts; return their table of predictions, not calibrated yet.

    Raises:
        DataError: a part has no frames.
    """
    tables = []
    for part in EVALUATED_PARTS:
        rows, targets = part_rows(assignment, part)
        if not len(rows):
            raise DataError(f"the split's part {part} has no frames", "give it a larger share (split.shares).")
        table = assignment[assignment["part"] == part]
        logit = predict_logits(network, pack, rows)
        tables.append(
            table.assign(target=targets.astype(np.int64), logit=logit, probability=apply_temperature(logit, 1.0))
        )
    return pd.concat(tables, ignore_index=True)


def calibrate_and_evaluate(
    predictions: pd.DataFrame, params: Evaluate, *, protocol: str, unit: str, tolerance: float = 0.0
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Calibrate, choose threshold and review band on validation, and evaluate on test.

    Args:
        predictions: the table that `predict_parts` returned.
        params: section `evaluate`.
        protocol: `split.protocol`.
        unit: `split.unit`.
        tolerance: F1 on validation that may be given up for a wider plateau (see `choose_threshold`).

    Returns:
        The predictions, calibrated; and the keys of `evaluate_predictions` with calibration (temperature, reason, and
        `calibration_table` of val and test), reliability_before, threshold_choice (see `choose_threshold_for`) and
        review (error_rate, low, high, reached, and `review_table` of val and test).

    Raises:
        DataError: see `evaluate_predictions`.
    """
    val, test = _parts_of(predictions)
    fit = fit_temperature(val["target"], val["logit"], val["group"], params.temperature)
    calibration: dict[str, Any] = {"temperature": fit.value, "reason": fit.reason}
    calibration |= {"val": calibration_table(val, fit.value), "test": calibration_table(test, fit.value)}
    before = reliability_bins(test["target"], test["probability"])
    predictions = predictions.assign(probability=apply_temperature(predictions["logit"], fit.value))
    val, test = _parts_of(predictions)
    choice = choose_threshold_for(params.threshold, val, tolerance)
    threshold = choice["threshold"]
    metrics = evaluate_predictions(
        val,
        test,
        bootstrap_samples=params.bootstrap_samples,
        seed=params.seed,
        threshold=threshold,
        protocol=protocol,
        unit=unit,
    )
    band = choose_review_band(val["target"], val["probability"], threshold, params.review_error_rate)
    review = {"error_rate": params.review_error_rate, "low": band.low, "high": band.high, "reached": band.reached}
    review |= {"val": review_table(val, threshold, band), "test": review_table(test, threshold, band)}
    metrics |= {"calibration": calibration, "reliability_before": before, "threshold_choice": choice, "review": review}
    return predictions, metrics


def choose_threshold_for(goal: Threshold, val: pd.DataFrame, tolerance: float = 0.0) -> dict[str, Any]:
    """Choose the threshold that `evaluate.threshold` asks for, on validation.

    Returns:
        threshold; wanted, the goal in words; and reached. Where no threshold reaches the wanted precision or recall,
        the one with the best F1 is used and reached is false.

    Raises:
        DataError: validation lacks a class.
    """
    best = choose_threshold(val["target"], val["probability"], tolerance)
    goals = goal.model_dump(exclude_none=True)
    if not goals:
        return {"threshold": best, "wanted": "F1", "reached": True}
    threshold = threshold_that_reaches(val["target"], val["probability"], **goals)
    ((name, value),) = goals.items()
    reached = threshold is not None
    return {"threshold": threshold if reached else best, "wanted": f"{name} {value:g}", "reached": reached}


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
    """Compute all numbers from predictions, ready for JSON; the same input always gives the same output.

    Args:
        val: table of predictions of the validation part.
        test: the same of the test part; it is only measured, nothing is chosen on it.
        bootstrap_samples: draws of the interval of F1.
        seed: of these draws.
        threshold: None chooses the one with the best F1 on val.
        protocol: `split.protocol`.
        unit: `split.unit`.

    Returns:
        The keys of `binary_metrics` on test, and f1_low, f1_high, threshold, n_groups, ece, protocol (its name in
        results), unit, val (`binary_metrics` on val), clips (`clip_verdicts` and its table), books, reliability and
        curves.

    Raises:
        DataError: a part is empty, val lacks a class, or a group is in both parts under the protocol `grouped`.
    """
    if protocol == "grouped":
        _check_disjoint(val, test)
    if threshold is None:
        threshold = choose_threshold(val["target"], val["probability"])
    target, probability = test["target"], test["probability"]
    scores = binary_metrics(target, probability, threshold)
    low, high = bootstrap_interval(target, probability, test["group"], threshold, samples=bootstrap_samples, seed=seed)
    clips = clip_table(test, threshold)
    return {
        "protocol": SUPPLIED_NAME if protocol == "supplied" else f"{unit}-disjoint",
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
        "curves": compute_curves(target, probability),
    }


def _check_disjoint(val: pd.DataFrame, test: pd.DataFrame) -> None:
    shared = sorted(set(val["group"]) & set(test["group"]))
    if shared:
        raise DataError(
            f"{len(shared)} groups are in both validation and test, the first: {shared[0]}",
            "run the stage `split` again; on this split, results would be too good.",
        )


def _parts_of(predictions: pd.DataFrame) -> list[pd.DataFrame]:
    return [predictions[predictions["part"] == part] for part in EVALUATED_PARTS]
