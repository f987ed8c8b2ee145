"""The files of an evaluation: metrics.json, details.json, predictions.parquet and plots/.

metrics.json holds the few numbers that people compare between runs and models, so that `dvc metrics show` fits a
screen. details.json holds all of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pageflip.base.files import read_json, write_json, write_text
from pageflip.frames.names import LABELS

METRICS_FILE, DETAILS_FILE, PREDICTIONS_FILE = "metrics.json", "details.json", "predictions.parquet"
PLOTS_FOLDER = "plots"
COMPARED = ("f1", "f1_low", "f1_high", "precision", "recall", "roc_auc", "ece", "n")
COMPARED_IN_SEQUENCE = ("f1",)
CURVES = ("roc", "pr")
CONFUSION = {"tp": (1, 1), "fp": (0, 1), "fn": (1, 0), "tn": (0, 0)}  # count -> (actual, predicted), indices of LABELS


def write_results(folder: Path, metrics: Mapping[str, Any], predictions: pd.DataFrame) -> None:
    """Write all files of an evaluation.

    Args:
        folder: where they go.
        metrics: see `pageflip.evaluation.judging.evaluate_network`.
        predictions: its table of predictions, calibrated.
    """
    compared = {name: metrics[name] for name in COMPARED}
    compared["in_sequence"] = {name: metrics["in_sequence"][name] for name in COMPARED_IN_SEQUENCE}
    write_json(folder / METRICS_FILE, compared)
    write_json(folder / DETAILS_FILE, {name: value for name, value in metrics.items() if name != "curves"})
    predictions.to_parquet(folder / PREDICTIONS_FILE, index=False)
    write_plots(folder / PLOTS_FOLDER, metrics)


def write_plots(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write the plots of `dvc plots`: lists of points (roc, pr, calibration), and one line per frame (confusion)."""
    for name in CURVES:
        write_json(folder / f"{name}.json", metrics["curves"][name])
    write_json(folder / "calibration.json", [row for row in metrics["reliability"] if row["n"]])
    lines = ["actual,predicted\n"]
    for name, (actual, predicted) in CONFUSION.items():
        lines += [f"{LABELS[actual]},{LABELS[predicted]}\n"] * metrics["confusion"][name]
    write_text(folder / "confusion.csv", "".join(lines))


def read_details(folder: Path) -> dict[str, Any]:
    """Read details.json."""
    return read_json(folder / DETAILS_FILE)


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read everything that was measured: details.json and the points of the curves."""
    return read_details(folder) | {
        "curves": {name: read_json(folder / PLOTS_FOLDER / f"{name}.json") for name in CURVES}
    }
