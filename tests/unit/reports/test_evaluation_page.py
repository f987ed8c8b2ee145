"""The evaluation report: self-contained, safe against hostile names, and the same bytes for the same input."""

import base64
import re
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pageflip.evaluation import judging, metrics, tables
from pageflip.evaluation.formatting import format_score
from pageflip.reports import evaluation_page, evidence
from pageflip.reports.charts import Axis, Chart, axis_up_to
from pageflip.reports.evaluation_page import EvaluationReport, write_report
from report_factory import HOSTILE, PROTOCOLS, Page, predictions, write


def test_report_asks_for_nothing_from_outside(tmp_path):
    text, _ = write(tmp_path)
    assert not re.search(r"https?://|//\w+\.|url\(|@import", text)
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.elements:
        assert not {"srcset", "xlink:href", "action", "background"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
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
    worst = tables.worst_mistakes(predictions("test", 2), result["threshold"], 5)
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
    assert "#training" not in text


def test_report_of_a_perfect_model_shows_no_mistake(tmp_path):
    text, _ = write(tmp_path, change=lambda test: test.assign(probability=test["target"].astype(float)))
    assert "No mistake is shown" in text
    assert "1.000" in text


def test_report_shows_the_protocols_where_they_were_measured(tmp_path):
    text, _ = write(tmp_path, protocols=PROTOCOLS)
    Page(text)
    assert 'id="protocols"' in text
    assert "0.810" in text
    assert "0.700 to 0.910" in text
    assert text.count("supplied") == text.count("supplied (leaky)")
    assert 'class="isleaky"' in text
    assert "leave-one-book-out was not measured: the book of 3 clips is unknown" in text
    assert "measured on other frames" not in text
    assert "protocols" not in re.sub(r"<style>.*</style>", "", write(tmp_path)[0], flags=re.DOTALL)


def test_report_says_so_when_the_protocols_were_measured_on_other_frames(tmp_path):
    text, _ = write(tmp_path, protocols=PROTOCOLS | {"data": PROTOCOLS["data"] | {"digest": "another"}})
    assert "measured on other frames" in text


def test_every_anchor_leads_to_a_part_of_the_page(tmp_path):
    elements = Page(write(tmp_path, protocols=PROTOCOLS)[0]).elements
    targets = [attributes["href"] for _, attributes in elements if "href" in attributes]
    names = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert {f"#{name}" for name in names} >= set(targets)
    assert len(targets) == 7
    assert len(set(names)) == len(names)


def test_mistakes_are_shown_with_what_the_network_found_in_them(tmp_path):
    evidence = {row: np.linspace(-1, 1, 12).reshape(4, 3) for row in range(72)}
    images = [attributes for tag, attributes in Page(write(tmp_path, maps=evidence)[0]).elements if tag == "img"]
    assert len(images) == 10
    assert images[1]["alt"].startswith("evidence in frame")
    with Image.open(BytesIO(base64.b64decode(images[1]["src"].split(",", 1)[1]))) as picture:
        assert picture.size == (9, 16)
        red, _, blue = picture.getpixel((8, 15))
        assert red > blue


def test_pictures_that_would_make_the_page_too_large_are_left_out_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "IMAGE_BYTES", 2000)
    text, _ = write(tmp_path)
    shown = text.count("<img")
    assert 0 < shown < 5
    assert f"{5 - shown} more pictures would make this page too large" in text


def test_large_frames_are_shown_smaller():
    assert evidence.shrink(np.zeros((1920, 1080, 3), np.uint8)).shape == (384, 216, 3)
    assert evidence.shrink(np.zeros((192, 108, 3), np.uint8)).shape == (192, 108, 3)


def test_the_worst_book_stands_first(tmp_path):
    def by_frame(test):
        return test.assign(book=np.where(test["frame"] < 3, "good book", "a bad book")).assign(
            probability=np.where(test["frame"] < 3, test["target"], 1 - test["target"]).astype(float)
        )

    text, _ = write(tmp_path, change=by_frame)
    assert text.index("a bad book") < text.index("good book")


def test_a_part_is_shown_when_its_numbers_are_there(tmp_path):
    val, test = predictions("val", 1), predictions("test", 2)
    result = judging.evaluate_predictions(val, test, bootstrap_samples=50, seed=0)
    rest = {"n": 40, "error_rate": 0.05, "f1": 0.9, "precision": 0.9, "recall": 0.9}
    ece = {"ece_before": 0.1, "ece_after": 0.05, "nll_before": 0.5, "nll_after": 0.4, "n": 72, "n_groups": 12}
    row = {"f1": 0.6, "loss": 5.5, "turned": 7, "flagged": True}
    result |= {"calibration": {"temperature": 1.7, "reason": "", "val": ece, "test": ece}}
    result |= {"reliability_before": result["reliability"]}
    result |= {"shortcuts": {"f1": 0.7, "max_loss": 2.0, "flagged": ["grey"], "changes": {"grey": row}}}
    result |= {"review": {"low": 0.3, "high": 0.6, "error_rate": 0.02, "reached": {"flip": True}}}
    result["review"] |= {
        "val": {"frames": 9, "share": 0.1, "rest": rest},
        "test": {"frames": 72, "share": 1, "rest": None},
    }
    write_report(tmp_path / "report.html", EvaluationReport(model="cnn", metrics=result, predictions=test))
    text = (tmp_path / "report.html").read_text()
    names = [attributes["id"] for _, attributes in Page(text).elements if "id" in attributes]
    assert names == ["curves", "calibration", "review", "shortcuts", "books", "clips", "mistakes"]
    assert "1.700" in text
    assert "-5.5" in text
    assert "0.300 to 0.600" in text


def test_report_warns_of_few_groups(tmp_path):
    assert "only 12 independent groups" in write(tmp_path)[0]


def test_a_long_clip_table_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_page, "MAX_CLIP_ROWS", 5)
    text, _ = write(tmp_path)
    assert "7 more clips" in text


PART = {"n": 9, "n_groups": 3, "ece_before": 0.2345, "ece_after": 0.0456, "nll_before": 0.7, "nll_after": 0.4}
REST = {"n": 8, "n_flip": 4, "f1": 0.9, "precision": 0.9, "recall": 0.9, "error_rate": 0.125}
CHOSEN = {
    "calibration": {"temperature": 1.75, "reason": "the optimum is beyond the bound 4", "val": PART, "test": PART},
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
    result = judging.evaluate_predictions(val, test, bootstrap_samples=50, seed=0)
    result |= CHOSEN | {"reliability_before": metrics.reliability_bins(test["target"], test["probability"])}
    report = EvaluationReport(model="cnn", metrics=result, predictions=pd.concat([val, test]))
    write_report(tmp_path / "r.html", report)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    Page(text)
    for words in (
        "Calibration</h2>",
        "temperature 1.750",
        "beyond the bound 4",
        "0.234",
        "0.046",
        "before calibration",
    ):
        assert words in text
    for words in (
        "Frames to review</h2>",
        "0.250 to 1.000",
        "12.5%",
        "frames called flip are wrong more often than the 1.0%",
    ):
        assert words in text
    for words in ("Shortcut test</h2>", "costs 10.0 points", "-10.0", "+1.0", "grey &lt;b&gt;"):
        assert words in text
    assert "No threshold reaches the wanted precision 0.95" in text
    assert "grey <b>" not in text


@pytest.mark.parametrize(("value", "shown"), [(0.99999, "0.999"), (1.0, "1.000"), (0.12345, "0.123"), (None, "\u2013")])
def test_a_score_is_never_rounded_up_to_perfect(value, shown):
    assert format_score(value) == shown


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
