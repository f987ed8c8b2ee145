"""Evaluation pages for tests: predictions of a mediocre model, protocols, and the page."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd

from pageflip.evaluation import judging, tables
from pageflip.reports.evaluation_page import EvaluationReport, write_report

HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x.png>'

FOLD = {"name": "fold 1", "seed": 7, "n": 60, "n_flip": 30, "f1": 0.8, "threshold": 0.4, "val_f1": 0.9}
FOLD |= {"train": 100, "val": 20, "best_epoch": 3, "epochs": 5, "seconds": 2.0}
MEASURED = {"f1": 0.81, "f1_low": 0.7, "f1_high": 0.91, "f1_mean": 0.8, "f1_least": 0.8, "f1_most": 0.8, "n": 60}
MEASURED |= {"n_flip": 30, "n_groups": 12, "unit": "clip", "precision": 0.8, "recall": 0.82, "folds": [FOLD]}
MEASURED |= {"seen": {"clip": 0.0, "book": None, "near_duplicate": 0.0}, "meaning": "New clips."}
PROTOCOLS = {
    "data": {"frames": 60, "clips": 12, "books": 3, "digest": "d", "version": None},
    "revision": "0123456789abcdef" * 3 + "-dirty",
    "protocols": [
        MEASURED | {"name": "clip-disjoint", "leaky": False},
        MEASURED
        | {
            "name": "supplied (leaky)",
            "leaky": True,
            "f1": 0.987,
            "folds": [FOLD | {"f1": None, "name": "a_book_of_a_long_name_" * 4}],
        },
    ],
    "refused": [{"name": "leave-one-book-out", "reason": "the book of 3 clips is unknown", "remedy": "write it."}],
}
HISTORY = {
    "epochs": [
        {"epoch": 0, "train_loss": 0.7, "val_loss": 0.69, "val_f1": 0.5},
        {"epoch": 1, "train_loss": 0.4, "val_loss": 0.5, "val_f1": 0.8},
    ],
    "best_epoch": 1,
}


class Page(HTMLParser):
    """Collects the elements, and fails on one that is closed out of turn."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:  # SVG closes its empty elements itself
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def predictions(part, seed, clips=12, book="first"):
    generator = np.random.default_rng(seed)
    rows = []
    for clip in range(clips):
        for frame in range(6):
            target = clip % 2
            name = f"{('notflip', 'flip')[target]}/{part}{clip}"
            probability = float(np.clip(generator.normal(0.4 + 0.2 * target, 0.2), 0, 1))
            rows.append(
                (len(rows), name.split("/")[0], f"{part}{clip}", frame, name, book, name, part, target, probability)
            )
    columns = ["row", "label", "video", "frame", "clip", "book", "group", "part", "target", "probability"]
    return pd.DataFrame(rows, columns=columns)


def write(
    folder,
    *,
    change=lambda test: test,
    protocol="grouped",
    history=HISTORY,
    facts=None,
    name="report.html",
    **more,
):
    val, test = predictions("val", 1), change(predictions("test", 2))
    result = judging.evaluate_predictions(val, test, bootstrap_samples=50, seed=0, protocol=protocol)
    worst = tables.worst_mistakes(test, result["threshold"], 5)["row"]
    images = {int(row): np.full((16, 9, 3), int(row) % 256, np.uint8) for row in worst}
    report = EvaluationReport(
        model="cnn",
        metrics=result,
        predictions=pd.concat([val, test]),
        history=history,
        images=images,
        facts=facts or {"Data": {"data version": "abc123", "frames": 72}},
        data_digest="d",
        **more,
    )
    write_report(folder / name, report)
    return (folder / name).read_text(encoding="utf-8"), result
