"""Videos of leafed books: they decode, their truth names every frame with a sheet in the air."""

import json

import av
import pytest

from pageflip.base.errors import ConfigError, DataError
from pageflip.synthetic.ranges import Ranges
from pageflip.synthetic.stage.motion import state_at
from pageflip.synthetic.stage.scripts import video_script
from pageflip.synthetic.video import VideoPlan, write_video

SMALL = {"width": 108, "height": 192}


def test_video_decodes_and_its_flips_lie_apart_within_its_frames(tmp_path):
    path, truth_path = tmp_path / "book.mp4", tmp_path / "book.events.json"
    truth = write_video(path, VideoPlan(seed=4, book=0, flips=2, fps=10, **SMALL), events_path=truth_path)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(frames) == truth["frames"]
    assert frames[0].shape == (192, 108, 3)
    bounds = [number for event in truth["events"] for number in (event["start_frame"], event["end_frame"])]
    assert len(truth["events"]) == 2
    assert 0 < bounds[0] <= bounds[1] < bounds[2] - 1 < bounds[3] < truth["frames"] - 1
    assert json.loads(truth_path.read_text()) == truth
    assert sorted(file.name for file in tmp_path.iterdir()) == ["book.events.json", "book.mp4"]


def test_video_truth_names_every_frame_with_a_sheet_in_the_air_and_the_pages_between(tmp_path):
    ranges = Ranges.model_validate({"flips": {"aborted": 0.4, "backward": 0.3, "two_sheets": 0.3}})
    plan = VideoPlan(seed=2, book=3, flips=8, fps=10, width=64, height=112, ranges=ranges)
    truth = write_video(tmp_path / "a.mp4", plan)
    script, frames = video_script(2, 3, 8, 112 / 64, 10, ranges)
    states = [state_at(script, t) for t in range(frames)]
    air = [i for i, state in enumerate(states) if state.flip]
    assert air == [i for event in truth["events"] for i in range(event["start_frame"], event["end_frame"] + 1)]
    shown = {
        i: (run["left"], run["right"])
        for run in truth["pages"]
        for i in range(run["start_frame"], run["end_frame"] + 1)
    }
    assert shown == {i: state.pages for i, state in enumerate(states) if state.pages}
    assert len(truth["events"]) == 8
    for event in truth["events"]:
        step = {"forward": 2, "backward": -2}[event["direction"]] * event["leaves"] * (not event["aborted"])
        assert shown[event["end_frame"] + 1][0] - shown[event["start_frame"] - 1][0] == step


def test_video_is_the_same_for_the_same_seed_and_without_flips_has_no_events(tmp_path):
    for name in ("one.mp4", "two.mp4"):
        truth = write_video(tmp_path / name, VideoPlan(seed=4, book=1, flips=0, fps=10, **SMALL))
        assert truth["events"] == []
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "wrong", "error", "message"),
    [
        ("book.avi", {}, DataError, "not the name of an MP4 file"),
        ("book.mp4", {"flips": -1}, ConfigError, "flips is -1"),
        ("book.mp4", {"fps": 0}, ConfigError, "fps is 0"),
    ],
)
def test_video_refuses_what_cannot_be_written(tmp_path, name, wrong, error, message):
    with pytest.raises(error, match=message):
        write_video(tmp_path / name, VideoPlan(**{"seed": 1, "book": 0, "flips": 1, **wrong}))
