"""A model judged on videos with their truth: which videos, how, and the page that shows it."""

import json
import re

import av
import pytest

from pageflip.base.errors import ConfigError, DataError
from pageflip.evaluation.videos import evaluate_videos, list_videos
from pageflip.inference.predictor import Predictor
from pageflip.params.scoring import Stills
from pageflip.reports.videos_page import VIDEOS_FILE, write_videos_report
from report_factory import HOSTILE, Page
from uploads_factory import frame

FLIPS = [(30, 59), (105, 131)]
FRAMES = 180


@pytest.fixture(scope="module")
def predictor(write_model, tmp_path_factory):
    return Predictor.load(write_model(tmp_path_factory.mktemp("model") / "m.onnx"))


def film(path, flips=FLIPS, seen=FLIPS, frames=FRAMES):
    """A video that is bright where a flip is `seen`, with the truth of `flips`; pages lie open in between."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 54, 96, "yuv420p"
        for index in range(frames):
            grey = 220 if any(first <= index <= last for first, last in seen) else 40
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame(grey, index), "rgb24")))
        container.mux(stream.encode())
    events = [{"start_frame": first, "end_frame": last} for first, last in flips]
    edges = [-1, *(edge for flip in flips for edge in flip), frames]
    runs = [(edges[k] + 1, edges[k + 1] - 1) for k in range(0, len(edges), 2)]
    pages = [{"start_frame": a, "end_frame": b, "left": 2 * k, "right": 2 * k + 1} for k, (a, b) in enumerate(runs)]
    truth = {"fps": 30, "frames": frames, "events": events, "pages": pages}
    path.with_suffix(".events.json").write_text(json.dumps(truth))
    return path


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """One video whose flips can be seen, one of which one is missed and one is none, and one without a truth."""
    folder = tmp_path_factory.mktemp("videos")
    film(folder / "good.mp4")
    film(folder / "hard.mp4", seen=[FLIPS[0], (150, 175)])
    film(folder / "unknown.mp4").with_suffix(".events.json").unlink()
    return folder


def test_videos_with_a_truth_beside_them_are_taken_and_others_left_alone(filmed):
    assert [(video.name, truth.name) for video, truth in list_videos(filmed)] == [
        ("good.mp4", "good.events.json"),
        ("hard.mp4", "hard.events.json"),
    ]


def test_a_folder_without_labelled_videos_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="none of the 0 videos"):
        list_videos(tmp_path)
    film(tmp_path / "a.mp4", frames=3).with_suffix(".events.json").unlink()
    with pytest.raises(ConfigError, match="none of the 1 videos"):
        list_videos(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        list_videos(tmp_path / "nowhere")


def test_found_flips_are_held_against_the_truth_of_all_videos(filmed, predictor, sequence_model):
    result, timelines = evaluate_videos(filmed, predictor, sequence_model)
    scores = result["finders"]["decoder"]
    assert (scores["n_true"], scores["n_found"], scores["n_matched"]) == (4, 4, 3)
    assert scores["f1"] == 0.75
    assert [(row["video"], row["frames"], row["f1"]) for row in result["videos"]] == [
        ("good.mp4", FRAMES, 1.0),
        ("hard.mp4", FRAMES, 0.5),
    ]
    assert result["stills"] is None
    assert [(len(line.true), len(line.found)) for line in timelines] == [(2, 2), (2, 2)]
    assert timelines[0].true[0] == pytest.approx((1.0, 59 / 30), abs=1e-3)


def test_page_stills_are_judged_on_request_and_not_kept(filmed, predictor, sequence_model):
    before = sorted(filmed.iterdir())
    result, _ = evaluate_videos(filmed, predictor, sequence_model, plan=Stills())
    assert result["stills"]["n_openings"] == 6
    assert result["stills"]["n_stills"] > 0
    assert sorted(filmed.iterdir()) == before


def test_a_truth_that_cannot_be_of_the_video_is_refused(tmp_path, predictor, sequence_model):
    path = film(tmp_path / "short.mp4", frames=40)
    with pytest.raises(DataError, match=r"names frame 131, but .*short.mp4 has 40 frames"):
        evaluate_videos(tmp_path, predictor, sequence_model)
    for content in ("[1]", "no json", '{"events": []}', '{"fps": 30, "events": [{"start_frame": 9, "end_frame": 3}]}'):
        path.with_suffix(".events.json").write_text(content)
        with pytest.raises(DataError, match=r"short\.events\.json"):
            evaluate_videos(tmp_path, predictor, sequence_model)


def test_the_page_shows_a_band_for_each_event_and_asks_for_nothing(filmed, predictor, sequence_model, tmp_path):
    result, timelines = evaluate_videos(filmed, predictor, sequence_model, plan=Stills())
    write_videos_report(tmp_path / "out", result, timelines)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    bands = [tag["class"] for name, tag in Page(text).elements if name == "rect" and "event" in tag["class"]]
    assert (bands.count("event two"), bands.count("event one"), bands.count("event hollow")) == (3, 3, 2)
    assert not re.search(r"https?://|<script|src=|@import", text)
    assert json.loads((tmp_path / "out" / VIDEOS_FILE).read_text()) == result


def test_the_page_escapes_hostile_names(filmed, predictor, sequence_model, tmp_path):
    result, timelines = evaluate_videos(filmed, predictor, sequence_model)
    result["videos"][0]["video"] = HOSTILE
    write_videos_report(tmp_path, result, [type(timelines[0])(HOSTILE, *list(vars(timelines[0]).values())[1:])])
    assert "<script" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_results_do_not_go_into_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match="is not a folder"):
        write_videos_report(tmp_path / "out", {}, [])
