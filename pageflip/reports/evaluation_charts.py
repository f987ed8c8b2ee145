"""Charts of the evaluation page: curves, calibration, probabilities, clips and training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pageflip.evaluation.formatting import format_score
from pageflip.frames.names import LABELS
from pageflip.reports.charts import Axis, Chart, axis_up_to

HISTOGRAM_BINS = 20
MIN_CLIP_BAR = 0.012  # so that a clip without a frame called flip is visible


def curve_charts(metrics: Mapping[str, Any], test: pd.DataFrame) -> list[Chart]:
    """Draw ROC and precision-recall curves (with both classes only), reliability and a histogram."""
    charts = [_reliability_chart(metrics), _histogram_chart(metrics, test)]
    if metrics["curves"]["roc"]:
        charts = [_roc_chart(metrics), _pr_chart(metrics), *charts]
    return charts


def _roc_chart(metrics: Mapping[str, Any]) -> Chart:
    points, counts = metrics["curves"]["roc"], metrics["confusion"]
    chart = Chart("ROC", Axis("false positive rate"), Axis("true positive rate (recall)"))
    chart.line([0, 1], [0, 1], "guide", "chance")
    chart.line(
        [p["fpr"] for p in points], [p["tpr"] for p in points], "one", f"area {format_score(metrics['roc_auc'])}"
    )
    fpr = counts["fp"] / (counts["fp"] + counts["tn"])
    note = f"at the threshold: false positive rate {fpr:.3f}, recall {metrics['recall']:.3f}"
    return chart.dot(fpr, metrics["recall"], "mark", note).name("mark dot", "at the threshold")


def _pr_chart(metrics: Mapping[str, Any]) -> Chart:
    points, base = metrics["curves"]["pr"], metrics["n_flip"] / metrics["n"]
    chart = Chart("Precision and recall", Axis("recall"), Axis("precision"))
    chart.line([0, 1], [base, base], "guide", "all called flip")
    name = f"average precision {format_score(metrics['average_precision'])}"
    chart.line([p["recall"] for p in points], [p["precision"] for p in points], "one", name)
    note = f"at the threshold: recall {metrics['recall']:.3f}, precision {metrics['precision']:.3f}"
    return chart.dot(metrics["recall"], metrics["precision"], "mark", note).name("mark dot", "at the threshold")


def _reliability_chart(metrics: Mapping[str, Any]) -> Chart:
    bins = [row for row in metrics["reliability"] if row["n"]]
    largest = max(row["n"] for row in bins)
    chart = Chart("Reliability", Axis("mean predicted probability"), Axis("share of flips"))
    chart.line([0, 1], [0, 1], "guide", "perfectly calibrated")
    before = [row for row in metrics.get("reliability_before", []) if row["n"]]
    if before and metrics["calibration"]["temperature"] != 1:
        points = [row["mean_probability"] for row in before], [row["flip_share"] for row in before]
        chart.line(*points, "two thin", "before calibration")
    chart.line([row["mean_probability"] for row in bins], [row["flip_share"] for row in bins], "one thin")
    for row in bins:
        note = f"{row['n']} frames at {row['low']:.1f} to {row['high']:.1f}: {row['flip_share']:.0%} are flips"
        radius = 2.5 + 5 * (row["n"] / largest) ** 0.5
        chart.dot(row["mean_probability"], row["flip_share"], "one", note, radius)
    return chart.name("one dot", "bins, sized by number of frames")


def _histogram_chart(metrics: Mapping[str, Any], test: pd.DataFrame) -> Chart:
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    counts = [np.histogram(test.loc[test["target"] == one, "probability"], edges)[0] for one in (0, 1)]
    axis = axis_up_to("frames", int(max(max(one) for one in counts)), whole=True)
    chart = Chart("Probabilities by label", Axis("predicted probability of flip"), axis)
    middle = 0.5 / HISTOGRAM_BINS
    for style, offset, label in (("two", 0.0, 0), ("one", middle, 1)):
        for low, count in zip(edges[:-1], counts[label], strict=True):
            if count:
                left = low + offset + 0.1 * middle
                chart.bar(left, left + 0.8 * middle, 0, count, style, f"{LABELS[label]}: {count} frames from {low:.2f}")
        chart.name(f"{style} dot", LABELS[label])
    threshold = metrics["threshold"]
    return chart.line([threshold] * 2, [0, axis.high], "cut", f"threshold {threshold:.3f}")


def clip_chart(clips: list[Mapping[str, Any]]) -> Chart:
    """Draw the share of frames called flip as a bar for each clip, notflip clips first."""
    clips = sorted(clips, key=lambda row: (row["target"], row["flip_share"], row["clip"]))
    count = len(clips)
    chart = Chart("Frames called flip, by clip", axis_up_to("clips, in order", count, whole=True), Axis("share"))
    for place, clip in enumerate(clips):
        style = ("two", "one")[clip["target"]] if clip["correct"] else "mark"
        top = max(clip["flip_share"], MIN_CLIP_BAR)
        note = f"{clip['clip']}: {clip['n'] - clip['errors']} of {clip['n']} frames right"
        chart.bar(place + 0.08, place + 0.92, 0, top, style, note)
    chart.line([0, chart.x.high], [0.5, 0.5], "guide", "called flip from here")
    for style, name in (("two dot", LABELS[0]), ("one dot", LABELS[1]), ("mark dot", "wrong verdict")):
        chart.name(style, name)
    return chart


def training_charts(history: Mapping[str, Any] | None) -> list[Chart]:
    """Draw loss, validation F1 and learning rate over the epochs; nothing without a history."""
    history = history or {}
    epochs = history.get("epochs", [])
    train_loss, val_loss, val_f1 = (_series(epochs, name) for name in ("train_loss", "val_loss", "val_f1"))
    if not val_f1 or not (train_loss or val_loss):
        return []
    steps = axis_up_to("epoch", max(row["epoch"] for row in epochs), whole=True)
    losses = [*train_loss.values(), *val_loss.values()]
    loss = Chart("Loss", steps, axis_up_to("loss", min(max(losses), 4 * float(np.median(losses)))))
    for series, style, name in ((train_loss, "two", "training"), (val_loss, "one", "validation")):
        if series:
            loss.line(list(series), list(series.values()), style, name)
    score = Chart("Validation F1 at the threshold 0.5", steps, Axis("F1"))
    score.line(list(val_f1), list(val_f1.values()), "one", "validation")
    best = history.get("best_epoch")
    if best in val_f1:
        score.dot(best, val_f1[best], "mark", f"best: epoch {best}, F1 {val_f1[best]:.3f}")
        score.name("mark dot", f"epoch {best}, kept")
    charts = [loss, score]
    rates = {epoch: rate for epoch, rate in _series(epochs, "learning_rate").items() if rate}
    if len(rates) > 1:
        chart = Chart("Learning rate at the end of each epoch", steps, axis_up_to("", max(rates.values())))
        charts.append(chart.line(list(rates), list(rates.values()), "one"))
    return charts


def _series(epochs: list[Mapping[str, Any]], name: str) -> dict[int, float]:
    return {row["epoch"]: row[name] for row in epochs if isinstance(row.get(name), int | float)}
