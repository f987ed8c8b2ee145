"""The evaluation report: self-contained, safe against hostile names, and the same bytes for the same input."""

import base64
import csv
import json
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pageflip import metrics, report
from pageflip.charts import Axis, Chart, axis_up_to

HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x.png>'
HISTORY = {
    "epochs": [
        {"epoch": 0, "train_loss": 0.7, "val_loss": 0.69, "val_f1": 0.5},
        {"epoch": 1, "train_loss": 0.4, "val_loss": 0.5, "val_f1": 0.8},
    ],
    "best_epoch": 1,
}


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


def write(folder, *, change=lambda test: test, protocol="grouped", history=HISTORY, facts=None, name="report.html"):
    val, test = predictions("val", 1), change(predictions("test", 2))
    result = metrics.evaluate_predictions(val, test, bootstrap_samples=50, seed=0, protocol=protocol)
    worst = metrics.worst_mistakes(test, result["threshold"], 5)["row"]
    report.write_report(
        folder / name,
        metrics=result,
        predictions=pd.concat([val, test]),
        history=history,
        thumbnails={int(row): np.full((16, 9, 3), int(row) % 256, np.uint8) for row in worst},
        context={"model": "cnn", "facts": facts or {"Data": {"data version": "abc123", "frames": 72}}},
    )
    return (folder / name).read_text(encoding="utf-8"), result


class Page(HTMLParser):
    """Collects the elements, and fails on one that is closed out of turn."""

    VOID = frozenset({"meta", "img", "br"})

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


def test_report_asks_for_nothing_from_outside(tmp_path):
    text, _ = write(tmp_path)
    assert not re.search(r"https?://|//\w+\.|url\(|@import", text)
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.elements:
        assert not {"href", "srcset", "xlink:href", "action", "background"} & set(attributes)
        assert attributes.get("src", "data:").startswith("data:")


def test_report_says_the_headline_numbers(tmp_path):
    text, result = write(tmp_path)
    for name in ("f1", "f1_low", "f1_high", "precision", "recall", "roc_auc", "threshold"):
        assert f"{result[name]:.3f}" in text
    for count in result["confusion"].values():
        assert f"<b>{count}</b>" in text
    assert "clip-disjoint" in text
    assert "leaky" not in re.sub(r"<style>.*</style>", "", text, flags=re.DOTALL)
    assert "abc123" in text


def test_report_warns_loudly_about_the_supplied_split(tmp_path):
    text, _ = write(tmp_path, protocol="supplied")
    assert "supplied (leaky)" in text
    assert 'role="alert"' in text
    assert "measure memory, not skill" in text


def test_report_escapes_hostile_names(tmp_path):
    def rename(test):
        return test.assign(clip=test["clip"] + HOSTILE, book=HOSTILE)

    text, _ = write(tmp_path, change=rename, facts={HOSTILE: {HOSTILE: HOSTILE}})
    assert "<script" not in text
    assert "<img src=http" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert all(tag != "script" for tag, _ in Page(text).elements)


def test_same_input_gives_the_same_bytes_and_leaves_no_other_file(tmp_path):
    first, _ = write(tmp_path, name="one.html")
    second, _ = write(tmp_path, name="two.html")
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.html", "two.html"]


def test_mistakes_are_shown_as_pictures_with_what_went_wrong(tmp_path):
    text, result = write(tmp_path)
    images = [attributes for tag, attributes in Page(text).elements if tag == "img"]
    worst = metrics.worst_mistakes(predictions("test", 2), result["threshold"], 5)
    assert len(images) == 5
    assert images[0]["alt"] == f"frame {worst['frame'].iloc[0]} of {worst['clip'].iloc[0]}"
    content = base64.b64decode(images[0]["src"].split(",", 1)[1])
    with Image.open(BytesIO(content)) as picture:
        assert picture.size == (9, 16)
        assert abs(picture.getpixel((4, 8))[0] - worst["row"].iloc[0]) <= 2


def test_report_of_one_class_without_books_or_history_still_stands(tmp_path):
    text, _ = write(tmp_path, change=lambda test: test[test["target"] == 1].assign(book=None), history=None)
    Page(text)
    assert "All test frames are flip" in text
    assert "Per book" not in text
    assert "Training</h2>" not in text


def test_report_of_a_perfect_model_shows_no_mistake(tmp_path):
    text, _ = write(tmp_path, change=lambda test: test.assign(probability=test["target"].astype(float)))
    assert "No mistake is shown" in text
    assert "1.000" in text


def test_report_warns_of_few_groups(tmp_path):
    assert "only 12 independent groups" in write(tmp_path)[0]


def test_a_long_clip_table_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MAX_CLIP_ROWS", 5)
    text, _ = write(tmp_path)
    assert "7 more clips" in text


PART = {"n": 9, "n_groups": 3, "ece_before": 0.2345, "ece_after": 0.0456, "nll_before": 0.7, "nll_after": 0.4}
REST = {"n": 8, "n_flip": 4, "f1": 0.9, "precision": 0.9, "recall": 0.9, "error_rate": 0.125}
CHOSEN = {
    "calibration": {"temperature": 1.75, "reason": "the optimum is beyond 4, the bound", "val": PART, "test": PART},
    "threshold_choice": {"threshold": 0.5, "wanted": "precision 0.95", "reached": False},
    "review": {
        **{"error_rate": 0.01, "low": 0.25, "high": 1.0, "reached": {"flip": False, "notflip": True}},
        **{"val": {"frames": 1, "share": 0.1, "rest": REST}, "test": {"frames": 9, "share": 1.0, "rest": None}},
    },
    "shortcuts": {
        **{"max_loss": 2, "f1": 0.9, "flagged": ["grey <b>"]},
        "changes": {
            "mirror": {"f1": 0.91, "loss": -1.0, "turned": 2, "flagged": False},
            "grey <b>": {"f1": 0.8, "loss": 10.0, "turned": 7, "flagged": True},
        },
    },
}


def test_what_was_chosen_on_validation_and_the_shortcuts_are_told_and_flagged(tmp_path):
    val, test = predictions("val", 1), predictions("test", 2)
    result = metrics.evaluate_predictions(val, test, bootstrap_samples=50, seed=0)
    result |= CHOSEN | {"reliability_before": metrics.reliability_bins(test["target"], test["probability"])}
    report.write_report(
        tmp_path / "r.html",
        metrics=result,
        predictions=pd.concat([val, test]),
        history=None,
        thumbnails={},
        context={"model": "cnn"},
    )
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    Page(text)
    for words in ("Calibration</h2>", "temperature 1.750", "beyond 4, the bound", "0.234", "0.046", "without the temp"):
        assert words in text
    for words in ("Frames to review</h2>", "0.250 to 1.000", "12.5%", "no frames called flip are right often enough"):
        assert words in text
    for words in ("Shortcut test</h2>", "cost 10.0 points", "-10.0", "+1.0", "grey &lt;b&gt;"):
        assert words in text
    assert "No threshold reaches the wanted precision 0.95" in text
    assert "grey <b>" not in text


@pytest.mark.parametrize(("value", "shown"), [(0.99999, "0.999"), (1.0, "1.000"), (0.12345, "0.123"), (None, "\u2013")])
def test_a_score_is_never_rounded_up_to_perfect(value, shown):
    assert report._score(value) == shown


def test_plots_hold_points_and_one_confusion_line_per_frame(tmp_path):
    _, result = write(tmp_path)
    report.write_plots(tmp_path / "plots", result)
    assert json.loads((tmp_path / "plots" / "roc.json").read_text()) == result["curves"]["roc"]
    assert set(json.loads((tmp_path / "plots" / "pr.json").read_text())[0]) == {"recall", "precision", "threshold"}
    bins = json.loads((tmp_path / "plots" / "calibration.json").read_text())
    assert sum(row["n"] for row in bins) == result["n"]
    with (tmp_path / "plots" / "confusion.csv").open(newline="") as file:
        pairs = [(row["actual"], row["predicted"]) for row in csv.DictReader(file)]
    assert len(pairs) == result["n"]
    assert pairs.count(("flip", "notflip")) == result["confusion"]["fn"]
    assert pairs.count(("notflip", "flip")) == result["confusion"]["fp"]


@pytest.mark.parametrize("highest", [0.003, 0.69, 1.0, 7.3, 100, 123456])
def test_an_axis_reaches_its_highest_value_with_few_ticks(highest):
    axis = axis_up_to("x", highest)
    assert axis.high >= highest * (1 - 1e-9)
    assert axis.high <= 2 * highest
    assert 2 <= len(axis.ticks) <= 6


def test_an_axis_of_counts_has_whole_ticks():
    assert axis_up_to("frames", 3, whole=True).ticks == (0, 1, 2, 3)
    assert axis_up_to("frames", 0, whole=True).high == 1


def test_a_chart_puts_its_corners_where_the_frame_is():
    chart = Chart("t", Axis("x"), Axis("y")).line([0, 1], [0, 1], "one")
    assert chart.shapes[0]["points"] == f"{chart.left:.1f},{chart.bottom:.1f} {chart.right:.1f},{chart.top:.1f}"
