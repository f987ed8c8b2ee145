"""The HTML page of an evaluation: one self-contained file of at most 4 MB.

The same input gives the same bytes: no date is written. Long tables are cut off, and images share a budget (see
`pageflip.reports.evidence`). Each section of the page is a template of its own, `evaluation_NAME.html.j2`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base.files import write_text
from pageflip.evaluation.formatting import format_score, format_share
from pageflip.evaluation.metrics import SUPPLIED_NAME
from pageflip.frames.names import LABELS
from pageflip.reports.evaluation_charts import clip_chart, curve_charts, training_charts
from pageflip.reports.evidence import mistake_images
from pageflip.reports.page import page_environment

PAGE_FILE = "report.html"
MAX_CLIP_ROWS = MAX_BOOK_ROWS = 200
FEW_GROUPS = 20

_MEANINGS = {
    "clip-disjoint": "No clip of the test set was seen in training, but other clips of the same books may have been. "
    "On a book that the model has never seen, expect less.",
    "book-disjoint": "No book of the test set was seen in training: this is what to expect on a new book that is "
    "filmed in a similar way.",
    SUPPLIED_NAME: "These are the archive's own folders, in which nearly every test frame has a neighbour of its own "
    "clip in training. The numbers measure memory, not skill: never report them as the model's quality.",
}


@dataclass(frozen=True)
class EvaluationReport:
    """Contents of the page.

    Attributes:
        model: name of the network.
        metrics: see `pageflip.evaluation.judging.evaluate_network`. Sections whose key is missing are left out.
        predictions: table of predictions; the part test is shown.
        history: of the training, with epochs and best_epoch.
        images: row -> uint8 [height, width, 3], the mistakes to show, in this order.
        maps: row -> float [rows, columns], the activation maps of these images, where there are any.
        protocols: content of protocols.json (see `pageflip.evaluation.protocol_benchmark`), or None.
        facts: about data, model and training, {section: {name: value}}.
        parts: frames, flips, clips, groups and books of each part of the split.
        data_digest: of the frames, compared with that in `protocols`.
    """

    model: str
    metrics: Mapping[str, Any]
    predictions: pd.DataFrame
    history: Mapping[str, Any] | None = None
    images: Mapping[int, np.ndarray] = field(default_factory=dict)
    maps: Mapping[int, np.ndarray] = field(default_factory=dict)
    protocols: Mapping[str, Any] | None = None
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    data_digest: str = ""


def write_report(path: Path, report: EvaluationReport) -> None:
    """Write the page to `path`, atomically."""
    metrics, protocols = report.metrics, report.protocols
    test = report.predictions[report.predictions["part"] == "test"]
    clips = sorted(metrics["clips"]["table"], key=lambda row: (row["correct"], -row["errors"] / row["n"], row["clip"]))
    books = sorted(metrics["books"], key=lambda row: (row["f1"] is None, row["f1"], row["book"]))
    mistakes = list(mistake_images(test, report.images, report.maps))
    values = {
        "m": metrics,
        "model": report.model,
        "facts": _facts(report.facts),
        "parts": report.parts,
        "leaky": metrics["protocol"] == SUPPLIED_NAME,
        "meaning": _MEANINGS[metrics["protocol"]],
        "sentence": _sentence(metrics),
        "cautions": _cautions(metrics),
        "charts": curve_charts(metrics, test),
        "training": training_charts(report.history),
        "protocols": protocols,
        "protocols_differ": protocols is not None and protocols["data"]["digest"] != report.data_digest,
        "clips": clips[:MAX_CLIP_ROWS],
        "hidden_clips": max(0, len(clips) - MAX_CLIP_ROWS),
        "clip_chart": clip_chart(clips[:MAX_CLIP_ROWS]),
        "few": FEW_GROUPS,
        "books": books[:MAX_BOOK_ROWS],
        "hidden_books": max(0, len(books) - MAX_BOOK_ROWS),
        "mistakes": mistakes,
        "hidden_mistakes": len(report.images) - len(mistakes),
        "mapped": any(one["map_uri"] for one in mistakes),
    }
    page = page_environment().get_template("evaluation.html.j2").render(values, sections=_sections(values))
    write_text(path, page)


def _sections(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return name (of template and anchor) and title of the sections that have something to show, in order."""
    metrics = values["m"]
    sections = [
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
    return [{"name": name, "title": title} for name, title, shown in sections if shown]


def _sentence(metrics: Mapping[str, Any]) -> str:
    counts = metrics["confusion"]
    called, flips = counts["tp"] + counts["fp"], counts["tp"] + counts["fn"]
    right = f"Of {called} frames that it calls flip, {counts['tp']} are" if called else "It calls no frame flip"
    found = f"of {flips} frames with a page in the air, it finds {counts['tp']}" if flips else "there are no flips"
    return f"{right}; {found}."


def _cautions(metrics: Mapping[str, Any]) -> list[str]:
    cautions = []
    if metrics["n_groups"] < FEW_GROUPS:
        cautions.append(
            f"The test set has only {metrics['n_groups']} independent groups. An interval from so few is itself "
            "uncertain, and usually too narrow."
        )
    if metrics["roc_auc"] is None:
        present = LABELS[int(metrics["n_flip"] > 0)]
        cautions.append(f"All test frames are {present}: there is no ROC curve, and F1 says little.")
    if metrics["val"]["f1"] - metrics["f1"] > 0.1:
        cautions.append(
            f"F1 on validation is {format_score(metrics['val']['f1'])}, well above that on test: the threshold, or the "
            "choice of the best epoch, fits the validation clips better than others."
        )
    return cautions + _cautions_about_choices(metrics)


def _cautions_about_choices(metrics: Mapping[str, Any]) -> list[str]:
    cautions = []
    choice = metrics.get("threshold_choice", {"reached": True})
    if not choice["reached"]:
        cautions.append(
            f"No threshold reaches the wanted {choice['wanted']} on validation; the one with the best F1 is used."
        )
    review = metrics.get("review", {"reached": {}})
    cautions += [
        f"On validation, frames called {label} are wrong more often than the {format_share(review['error_rate'])} that "
        "is allowed, however certain they are: all of them are to be reviewed."
        for label, reached in review["reached"].items()
        if not reached
    ]
    shortcuts = metrics.get("shortcuts", {"flagged": []})
    cautions += [
        f"Shortcut: the change “{name}” costs {shortcuts['changes'][name]['loss']:.1f} points of F1, more than the "
        f"{shortcuts['max_loss']:g} that are allowed, although it changes no label."
        for name in shortcuts["flagged"]
    ]
    return cautions


def _facts(sections: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    spaces = str.maketrans("._", "  ")  # settings are named as in params.yaml; spaces let long names wrap
    return [
        (title, [(name.translate(spaces), _text(value)) for name, value in facts.items()])
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
