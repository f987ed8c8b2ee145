"""The evaluation as one self-contained HTML page, and its curves in the form that `dvc plots` reads.

The page asks for nothing from outside: style and charts are inline, pictures are data URIs. It weighs at most 4 MB:
pictures share PICTURE_BYTES, and tables are cut. The same input gives the same bytes: no date is written. Every value
is escaped by the templates. Each part of the page is a template of its own, `evaluation_NAME.html.j2`.
"""

import base64
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pageflip.base.files import write_json, write_text
from pageflip.evaluation.metrics import SUPPLIED_NAME
from pageflip.frames.names import LABELS
from pageflip.reports.charts import Axis, Chart, axis_up_to
from pageflip.reports.evidence import overlay
from pageflip.reports.page import STYLE_COLOURS, format_score, format_share, page_environment

MAX_CLIP_ROWS = MAX_BOOK_ROWS = 200
FEW_GROUPS = 20
HISTOGRAM_BINS = 20
JPEG_QUALITY = 85
PICTURE_BYTES = 3_000_000  # of all pictures together, as text
LONGEST_SIDE = 384  # pixels of a picture
LEAST_CLIP_BAR = 0.012  # a clip of which no frame is called flip is seen all the same


_MEANING = {
    "clip-disjoint": "No clip of the test set was seen in training, but other clips of the same books may have been: "
    "on a book that the model has never seen, expect less.",
    "book-disjoint": "No book of the test set was seen in training: this is what to expect on a new book filmed in a "
    "similar way.",
    SUPPLIED_NAME: "These are the archive's own folders, in which nearly every test frame has a neighbour of its own "
    "clip in training. The numbers measure memory, not skill: never report them as the model's quality.",
}


_OUTCOMES = {
    "tp": ("flip", "flip"),
    "fp": ("notflip", "flip"),
    "fn": ("flip", "notflip"),
    "tn": ("notflip", "notflip"),
}


def write_report(
    path: Path,
    *,
    metrics: Mapping[str, Any],
    predictions: pd.DataFrame,
    history: Mapping[str, Any] | None,
    thumbnails: Mapping[int, np.ndarray],
    context: Mapping[str, Any],
    maps: Mapping[int, np.ndarray] | None = None,
    protocols: Mapping[str, Any] | None = None,
) -> None:
    """Write the report to `path`, through a temporary file beside it.

    Args:
        metrics: what `pageflip.evaluation.judging.evaluate_predictions` returned.
        predictions: the table of predictions; the rows of part `test` are shown.
        history: the training's {"epochs": [...], "best_epoch": n}, or None.
        thumbnails: row -> uint8 [H, W, 3], the mistakes to show, in this order.
        context: "model", the network's name; "facts", {section: {name: value}}; optionally "parts", a list of
            {part, frames, flips, clips, groups, books}; "data_digest", of the frames, to be held against `protocols`.
        maps: row -> float [h, w], the evidence in the pictures (see `pageflip.evaluation.activation_maps`).
        protocols: the content of protocols.json (see `pageflip.evaluation.protocol_benchmark`).
    """
    test = predictions[predictions["part"] == "test"]
    clips = sorted(metrics["clips"]["table"], key=lambda row: (row["correct"], -row["errors"] / row["n"], row["clip"]))
    books = sorted(metrics["books"], key=lambda row: (row["f1"] is None, row["f1"], row["book"]))
    mistakes = list(_mistakes(test, thumbnails, maps or {}))
    values = {
        "m": metrics,
        "model": context.get("model", ""),
        "facts": _facts(context.get("facts", {})),
        "parts_table": context.get("parts", []),
        "leaky": metrics["protocol"] == SUPPLIED_NAME,
        "meaning": _MEANING.get(metrics["protocol"], ""),
        "sentence": _sentence(metrics),
        "cautions": _cautions(metrics),
        "charts": _charts(metrics, test),
        "training": _training_charts(history),
        "protocols": protocols,
        "protocols_differ": bool(protocols) and protocols["data"]["digest"] != context.get("data_digest"),
        "clips": clips[:MAX_CLIP_ROWS],
        "hidden_clips": max(0, len(clips) - MAX_CLIP_ROWS),
        "clip_chart": _clip_chart(clips[:MAX_CLIP_ROWS]),
        "few": FEW_GROUPS,
        "books": books[:MAX_BOOK_ROWS],
        "hidden_books": max(0, len(books) - MAX_BOOK_ROWS),
        "mistakes": mistakes,
        "hidden_mistakes": len(thumbnails) - len(mistakes),
        "mapped": any(one["map_uri"] for one in mistakes),
        **STYLE_COLOURS,
    }
    write_text(path, page_environment().get_template("evaluation.html.j2").render(values, parts=_parts(values)))


def _parts(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """The parts of the page that have something to show, in order: name (of the template and the anchor) and title."""
    metrics = values["m"]
    shown = [
        ("protocols", "Protocols", bool(values["protocols"] and values["protocols"]["protocols"])),
        ("curves", "Curves", True),
        ("calibration", "Calibration", "calibration" in metrics),
        ("review", "Frames to review", "review" in metrics),
        ("shortcuts", "Shortcut test", "shortcuts" in metrics),
        ("books", "Per book", bool(values["books"])),
        ("clips", "Per clip", bool(metrics["clips"]["table"])),
        ("mistakes", "Worst mistakes", True),
        ("training", "Training", bool(values["training"])),
        ("card", "Data and model card", bool(values["facts"])),
    ]
    return [{"name": name, "title": title} for name, title, there in shown if there]


def write_plots(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write roc.json, pr.json and calibration.json (lists of points) and confusion.csv (one line per frame)."""
    write_json(folder / "roc.json", metrics["curves"]["roc"])
    write_json(folder / "pr.json", metrics["curves"]["pr"])
    write_json(folder / "calibration.json", [row for row in metrics["reliability"] if row["n"]])
    lines = ["actual,predicted\n"]
    for name, (actual, predicted) in _OUTCOMES.items():
        lines += [f"{actual},{predicted}\n"] * metrics["confusion"][name]
    write_text(folder / "confusion.csv", "".join(lines))


def _sentence(metrics: Mapping[str, Any]) -> str:
    counts = metrics["confusion"]
    called, flips = counts["tp"] + counts["fp"], counts["tp"] + counts["fn"]
    right = f"Of {called} frames that it calls flip, {counts['tp']} are" if called else "It calls no frame flip"
    found = (
        f"of {flips} frames in which a page is in the air, it finds {counts['tp']}" if flips else "there are no flips"
    )
    return f"{right}; {found}."


def _cautions(metrics: Mapping[str, Any]) -> list[str]:
    cautions = []
    if metrics["n_groups"] < FEW_GROUPS:
        cautions.append(
            f"The test set has only {metrics['n_groups']} independent groups. An interval from so few is itself "
            f"uncertain, and usually too narrow."
        )
    if metrics["roc_auc"] is None:
        present = LABELS[int(metrics["n_flip"] > 0)]
        cautions.append(f"All test frames are {present}: there is no ROC curve, and F1 says little.")
    if metrics["val"]["f1"] - metrics["f1"] > 0.1:
        cautions.append(
            f"F1 on validation is {format_score(metrics['val']['f1'])}, well above that on test: the threshold, or the "
            f"choice of the best epoch, fits the validation clips better than others."
        )
    return cautions + _cautions_of_choices(metrics)


def _cautions_of_choices(metrics: Mapping[str, Any]) -> list[str]:
    cautions = []
    choice = metrics.get("threshold_choice", {"reached": True})
    if not choice["reached"]:
        cautions.append(
            f"No threshold reaches the wanted {choice['wanted']} on validation; the one of the best F1 is used instead."
        )
    review = metrics.get("review", {"reached": {}})
    for label, reached in review["reached"].items():
        if not reached:
            cautions.append(
                f"On validation no frames called {label} are right often enough"
                f" ({format_share(review['error_rate'])} may be "
                f"wrong): all of them are to be reviewed."
            )
    for name in metrics.get("shortcuts", {"flagged": []})["flagged"]:
        row = metrics["shortcuts"]["changes"][name]
        cautions.append(
            f"Shortcut: frames made “{name}” cost {row['loss']:.1f} points of F1, more than the "
            f"{metrics['shortcuts']['max_loss']:g} that are allowed, though their labels stay as they are."
        )
    return cautions


def _facts(sections: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    words = str.maketrans("._", "  ")  # settings are named as in the params file; spaces let long names wrap
    return [
        (title, [(name.translate(words), _text(value)) for name, value in facts.items()])
        for title, facts in sections.items()
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value)
    return str(value)


def _charts(metrics: Mapping[str, Any], test: pd.DataFrame) -> list[Chart]:
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
    chart = Chart("Reliability", Axis("mean predicted probability"), Axis("share that are flips"))
    chart.line([0, 1], [0, 1], "guide", "perfectly calibrated")
    before = [row for row in metrics.get("reliability_before", []) if row["n"]]
    if before and metrics["calibration"]["temperature"] != 1:
        points = [row["mean_probability"] for row in before], [row["flip_share"] for row in before]
        chart.line(*points, "two thin", "without the temperature")
    chart.line([row["mean_probability"] for row in bins], [row["flip_share"] for row in bins], "one thin")
    for row in bins:
        note = f"{row['n']} frames at {row['low']:.1f} to {row['high']:.1f}: {row['flip_share']:.0%} are flips"
        radius = 2.5 + 5 * (row["n"] / largest) ** 0.5
        chart.dot(row["mean_probability"], row["flip_share"], "one", note, radius)
    return chart.name("one dot", "frames of one bin, by number")


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


def _clip_chart(clips: list[Mapping[str, Any]]) -> Chart:
    """A bar for each clip, the share of its frames that are called flip: notflip clips first, then flips."""
    clips = sorted(clips, key=lambda row: (row["target"], row["flip_share"], row["clip"]))
    count = len(clips)
    chart = Chart("Frames called flip, clip by clip", axis_up_to("clips, in order", count, whole=True), Axis("share"))
    for place, clip in enumerate(clips):
        style = ("two", "one")[clip["target"]] if clip["correct"] else "mark"
        top = max(clip["flip_share"], LEAST_CLIP_BAR)
        note = f"{clip['clip']}: {clip['n'] - clip['errors']} of {clip['n']} frames right"
        chart.bar(place + 0.08, place + 0.92, 0, top, style, note)
    chart.line([0, chart.x.high], [0.5, 0.5], "guide", "called flip from here on")
    for style, name in (("two dot", LABELS[0]), ("one dot", LABELS[1]), ("mark dot", "judged wrong")):
        chart.name(style, name)
    return chart


def _training_charts(history: Mapping[str, Any] | None) -> list[Chart]:
    history = history or {}
    epochs = history.get("epochs", [])
    series = {
        name: [(row["epoch"], row[name]) for row in epochs if isinstance(row.get(name), int | float)]
        for name in ("train_loss", "val_loss", "val_f1")
    }
    if not series["val_f1"] or not (series["train_loss"] or series["val_loss"]):
        return []
    steps = axis_up_to("epoch", max(row["epoch"] for row in epochs), whole=True)
    losses = [value for name in ("train_loss", "val_loss") for _, value in series[name]]
    loss = Chart("Loss", steps, axis_up_to("loss", min(max(losses), 4 * float(np.median(losses)))))
    for name, style, shown in (("train_loss", "two", "training"), ("val_loss", "one", "validation")):
        if series[name]:
            loss.line(*zip(*series[name], strict=True), style, shown)
    score = Chart("Validation F1 at the threshold 0.5", steps, Axis("F1"))
    score.line(*zip(*series["val_f1"], strict=True), "one", "validation")
    for epoch, value in [point for point in series["val_f1"] if point[0] == history.get("best_epoch")]:
        score.dot(epoch, value, "mark", f"best: epoch {epoch}, F1 {value:.3f}").name("mark dot", f"epoch {epoch}, kept")
    return [loss, score, *_rate_chart(epochs, steps)]


def _rate_chart(epochs: list[Mapping[str, Any]], steps: Axis) -> list[Chart]:
    rates = [(row["epoch"], row["learning_rate"]) for row in epochs if row.get("learning_rate")]
    if len(rates) < 2:
        return []
    chart = Chart("Learning rate at each epoch's end", steps, axis_up_to("", max(rate for _, rate in rates)))
    return [chart.line(*zip(*rates, strict=True), "one")]


def _mistakes(
    test: pd.DataFrame, thumbnails: Mapping[int, np.ndarray], maps: Mapping[int, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """What to show of each mistake, as long as the pictures fit on the page."""
    rows = test.drop_duplicates("row").set_index("row")
    left = PICTURE_BYTES
    for row, pixels in thumbnails.items():
        picture = _shrunk(pixels)
        uris = [_data_uri(picture)] + ([_data_uri(overlay(picture, maps[row]))] if row in maps else [])
        left -= sum(map(len, uris))
        if left < 0:
            return
        yield {
            "uri": uris[0],
            "map_uri": uris[1] if len(uris) > 1 else "",
            "height": picture.shape[0],
            "width": picture.shape[1],
            **{name: rows.at[row, name] for name in ("label", "clip", "frame")},
            "probability": float(rows.at[row, "probability"]),
        }


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))  # leaves smaller ones alone
    return np.asarray(picture)


def _data_uri(pixels: np.ndarray) -> str:
    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
