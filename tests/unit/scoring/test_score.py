"""Scoring uploads: what is published of a video, a folder and a picture, and the page over all."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pageflip.base.errors import ConfigError
from pageflip.events.sequence_model import SequenceModel
from pageflip.footage.frame_scores import Frame, score_frames
from pageflip.inference.predictor import BATCH, Predictor
from pageflip.reports.timelines import curve_points
from pageflip.scoring import pages
from pageflip.scoring import results as scoring_results
from uploads_factory import BRIGHT, DARK, picture, score, snapshot, video

SHIFT = 4  # frames by which what is learnt of onsets may move them: 150 ms is what counts


def _published(results: Path, outcome: scoring_results.Outcome) -> Path:
    return results / "pageflip" / "v3" / outcome.sha256


def test_a_video_gets_a_frame_table_its_flips_and_a_page(drop: Path, results: Path, predictor: Predictor) -> None:
    video(drop / "book.mp4", [DARK] * 30 + [BRIGHT] * 15 + [DARK] * 30 + [BRIGHT] * 12 + [DARK] * 10)
    outcome = score(drop, results, predictor)["book.mp4"]
    assert (outcome.status, outcome.frames, outcome.flips) == ("scored", 97, 2)
    folder = _published(results, outcome)
    assert sorted(path.name for path in folder.iterdir()) == [
        "events.json",
        "frames.parquet",
        "index.html",
        "result.json",
        "stills",
    ]
    frames = pd.read_parquet(folder / "frames.parquet")
    assert list(frames["index"]) == list(range(97))
    assert frames["time_s"].to_numpy() == pytest.approx(np.arange(97) / 30, abs=1e-3)
    assert (frames["label"] == "flip").sum() == 27
    events = json.loads((folder / "events.json").read_text())
    found = [(event["start_index"], event["end_index"]) for event in events["events"]]
    assert np.abs(np.array(found) - [(30, 44), (75, 86)]).max() <= SHIFT
    assert events["events"][0]["start_s"] == pytest.approx(found[0][0] / 30, abs=1e-3)
    assert events["events"][0]["peak_probability"] > 0.9
    facts = (events["upload"], events["sha256"], events["model_version"], events["threshold"])
    assert facts == ("book.mp4", outcome.sha256, "3", 0.5)


def test_the_page_is_self_contained_and_shades_every_flip(drop: Path, results: Path, predictor: Predictor) -> None:
    video(drop / "<b>&.mp4", [DARK] * 30 + [BRIGHT] * 15 + [DARK] * 30)
    (outcome,) = score(drop, results, predictor).values()
    page = (_published(results, outcome) / "index.html").read_text()
    assert page.count('<rect class="flip"') == 1
    assert "&lt;b&gt;&amp;.mp4" in page
    assert "<b>&.mp4" not in page
    for word in ("http://", "https://", "<script"):
        assert word not in page
    assert page.count("src=") == page.count('src="data:image/jpeg;base64,')
    for word in ("viewport", "prefers-color-scheme: dark", "version 3"):
        assert word in page
    assert re.search(r"\b0:0[01]\.\d\b", page)  # when the flip begins


def test_a_folder_is_scored_as_a_sequence_and_a_broken_frame_is_noted(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    for number in range(1, 31):
        picture(drop / "pages" / f"f{number}.jpg", BRIGHT if 11 <= number <= 20 else DARK)
    whole = (drop / "pages" / "f15.jpg").read_bytes()
    (drop / "pages" / "f15.jpg").write_bytes(whole[: len(whole) // 2])
    (drop / "pages" / "notes.txt").write_text("by hand")
    outcome = score(drop, results, predictor)["pages"]
    assert (outcome.status, outcome.frames, outcome.flips) == ("scored", 30, 1)
    folder = _published(results, outcome)
    frames = pd.read_parquet(folder / "frames.parquet").set_index("name")
    assert "f15.jpg" in frames.loc["f15.jpg", "error"]
    assert str(drop) not in frames.loc["f15.jpg", "error"]
    assert pd.isna(frames.loc["f15.jpg", "probability"])
    (event,) = json.loads((folder / "events.json").read_text())["events"]
    assert max(abs(event["start_index"] - 10), abs(event["end_index"] - 19)) <= SHIFT
    assert event["start_s"] is None
    result = json.loads((folder / "result.json").read_text())
    assert (result["broken_frames"], result["ignored_files"]) == (1, ["notes.txt"])
    assert "1 of 30 frames cannot be read" in (folder / "index.html").read_text()


def test_frames_that_the_model_is_not_sure_of_are_marked_and_counted(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    for number, grey in enumerate((DARK, 128, BRIGHT, 128), start=1):
        picture(drop / "pages" / f"f{number}.png", grey)
    (drop / "pages" / "f4.png").write_text("no picture")
    outcome = score(drop, results, replace(predictor, band=(0.4, 0.6)))["pages"]
    folder = _published(results, outcome)
    assert pd.read_parquet(folder / "frames.parquet")["review"].tolist() == [False, True, False, None]
    assert json.loads((folder / "result.json").read_text())["review_frames"] == 1


def test_a_picture_gets_a_label_and_no_event(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "one.png", BRIGHT)
    outcome = score(drop, results, predictor)["one.png"]
    assert (outcome.status, outcome.frames, outcome.flips) == ("scored", 1, 0)
    assert list(pd.read_parquet(_published(results, outcome) / "frames.parquet")["label"]) == ["flip"]


def test_frames_are_held_one_batch_at_a_time(predictor: Predictor, sequence_model: SequenceModel) -> None:
    most = 0

    class Watching:
        width, height, threshold = predictor.width, predictor.height, 0.5

        def predict(self, frames: np.ndarray) -> np.ndarray:
            nonlocal most
            most = max(most, len(frames))
            return predictor.predict(frames)

    pixels = np.zeros((predictor.height, predictor.width, 3), np.uint8)
    frames = (Frame(None, i / 30, pixels) for i in range(1000))
    scores = score_frames(frames, Watching(), sequence_model)
    assert (len(scores.probabilities), most) == (1000, BATCH)


def test_a_timeline_of_any_length_keeps_its_peak() -> None:
    probabilities = np.zeros(100_000, np.float32)
    probabilities[77_777] = 1.0
    places = 1000 * np.arange(100_000) / 99_999
    points = curve_points(places, probabilities, pages.TIMELINE_STEPS).split()
    assert len(points) <= 2 * pages.TIMELINE_STEPS
    assert [point for point in points if point.endswith(",0.0")] == ["777.8,0.0"]
    assert curve_points(places[:3], np.full(3, np.nan, np.float32)) == ""


def test_a_model_without_a_version_is_refused(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "one.jpg", BRIGHT)
    with pytest.raises(ConfigError, match="has no version"):
        score(drop, results, replace(predictor, version=None))


def test_everything_but_the_marker_is_the_same_when_it_is_scored_again(
    drop: Path, results: Path, tmp_path: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    video(drop / "book.mp4", [DARK] * 20 + [BRIGHT] * 20)
    for place, now in ((results, "2026-01-01T00:00"), (tmp_path / "again", "2026-01-02T00:01")):
        monkeypatch.setattr("pageflip.scoring.score.utc_now", lambda now=now: now)
        score(drop, place, predictor, run=now)
    published = [snapshot(place / "pageflip") for place in (results, tmp_path / "again")]
    one, two = ({name: content for name, (content, _) in files.items()} for files in published)
    assert [name for name in one if one[name] != two[name]] == [name for name in one if name.endswith("result.json")]


def test_the_index_lists_earlier_results_and_the_problems_of_the_run(
    drop: Path, results: Path, predictor: Predictor
) -> None:
    picture(drop / "first.jpg", BRIGHT)
    first = score(drop, results, predictor)["first.jpg"]
    picture(drop / "second.jpg", DARK)
    score(drop, results, predictor, run="run-2")
    problem = {"name": "bad.mp4", "status": "quarantined", "reason": "bad.mp4 is <empty>"}
    address = pages.publish_index(str(results), "pageflip", "3", [problem])
    page = Path(address).read_text()
    assert address == str(results / "pageflip" / "v3" / "index.html")
    assert page.index("second.jpg") < page.index("first.jpg")
    assert f'href="{first.sha256}/index.html"' in page
    assert "bad.mp4 is &lt;empty&gt;" in page


def test_the_index_stays_when_there_is_nothing_to_add(drop: Path, results: Path, predictor: Predictor) -> None:
    picture(drop / "first.jpg", BRIGHT)
    score(drop, results, predictor)
    page = Path(pages.publish_index(str(results), "pageflip", "3", []))
    before = page.stat().st_ino
    pages.publish_index(str(results), "pageflip", "3", [])
    assert page.stat().st_ino == before
    picture(drop / "second.jpg", DARK)
    score(drop, results, predictor)  # by a run that ended before its summary
    pages.publish_index(str(results), "pageflip", "3", [])
    assert "second.jpg" in page.read_text()
