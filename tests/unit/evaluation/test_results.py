"""The files of an evaluation."""

import csv
import json

import pandas as pd

from pageflip.evaluation import judging, results
from predictions_factory import predictions


def make_results():
    val, test = predictions(1, "val"), predictions(2, "test")
    metrics = judging.evaluate_predictions(val, test, bootstrap_samples=20, seed=0)
    metrics["in_sequence"] = {"f1": 0.9, "f1_low": 0.8, "f1_high": 1.0, "precision": 0.9}
    return metrics, pd.concat([val, test], ignore_index=True)


def test_metrics_hold_the_few_numbers_that_are_compared_and_details_hold_all(tmp_path):
    metrics, table = make_results()
    results.write_results(tmp_path, metrics, table)
    compared = json.loads((tmp_path / "metrics.json").read_text())
    assert compared.pop("in_sequence") == {"f1": 0.9}
    assert set(compared) == {"f1", "f1_low", "f1_high", "precision", "recall", "roc_auc", "ece", "n"}
    details = json.loads((tmp_path / "details.json").read_text())
    assert compared.items() <= details.items()
    assert results.read_metrics(tmp_path) == json.loads(json.dumps(metrics))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predictions.parquet"), table)


def test_plots_hold_points_and_one_confusion_line_per_frame(tmp_path):
    metrics, _ = make_results()
    results.write_plots(tmp_path / "plots", metrics)
    assert json.loads((tmp_path / "plots" / "roc.json").read_text()) == metrics["curves"]["roc"]
    assert set(json.loads((tmp_path / "plots" / "pr.json").read_text())[0]) == {"recall", "precision", "threshold"}
    bins = json.loads((tmp_path / "plots" / "calibration.json").read_text())
    assert sum(row["n"] for row in bins) == metrics["n"]
    with (tmp_path / "plots" / "confusion.csv").open(newline="") as file:
        pairs = [(row["actual"], row["predicted"]) for row in csv.DictReader(file)]
    assert len(pairs) == metrics["n"]
    assert pairs.count(("flip", "notflip")) == metrics["confusion"]["fn"]
    assert pairs.count(("notflip", "flip")) == metrics["confusion"]["fp"]
