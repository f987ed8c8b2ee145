"""Production of temporal network and decoders: files that load, and nothing drawn or predicted twice."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml

from pageflip.base.errors import ConfigError, DataError
from pageflip.events.decoder_model import SEQUENCE_DECODER_FILE, load_decoder_model
from pageflip.events.temporal import load_temporal
from pageflip.frames.raw_folder import list_frames
from pageflip.inference.cards import PRETRAINED
from pageflip.params.all import load_params
from pageflip.pretraining import compact_network, events, recordings
from pageflip.synthetic.ranges import Ranges


@pytest.fixture(scope="module")
def plan(params_file, tmp_path_factory):
    """The project's section `events`, cut down to seconds."""
    content = yaml.safe_load(params_file.read_text())
    content["events"] |= {"videos": 8, "flips": 2, "brisk": 0, "width": 72, "height": 128, "evidence_per_s": [12]}
    content["events"]["clips"] = {"books": 4, "clips_per_book": 2, "frames_per_clip": 3}
    content["events"]["temporal"] |= {"steps": 4, "windows": 2, "window": 12}
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_params(path).events


@pytest.fixture(scope="module")
def learnt(plan, tmp_path_factory):
    """The folders of videos, of clips and of what is learnt, and its metrics."""
    place = tmp_path_factory.mktemp("events")
    videos, clips = (draw(plan, Ranges(), place, 1) for draw in (recordings.draw_videos, recordings.draw_clips))
    return videos, clips, place / "out", events.learn_events(plan, videos, place / "out", clips)


def test_what_is_learnt_can_be_used(learnt):
    _, _, out, scores = learnt
    assert load_temporal(out).reach > 0
    source = load_decoder_model(out / SEQUENCE_DECODER_FILE).learnt_from
    assert source["held_out"] == json.loads(json.dumps(scores))
    assert source["held_out_clips"]["n"] == 2 * 3
    assert (source["videos"], source["source"]) == (8, "drawn by pageflip.synthetic")


def test_all_clips_of_a_book_are_trained_on_or_held_out(learnt):
    _, clips, _, _ = learnt
    training, held_out = recordings.predict_clips(clips, recordings.FrameModels.load())
    assert (len(training), len(held_out)) == (6, 2)
    assert {int(clip.states[0]) for clip in held_out} == {0, 1}
    assert all(len(set(clip.states)) == 1 for clip in training + held_out)


def test_a_compact_network_of_another_size_than_day_zero_is_refused(monkeypatch):
    other = replace(compact_network.load(PRETRAINED), width=54)
    monkeypatch.setattr(compact_network, "load", lambda folder: other)
    with pytest.raises(DataError, match=r"frames of 108x192, its compact network of 54x192(.*\n.*)--network cnn"):
        recordings.FrameModels.load()


def test_nothing_is_drawn_or_predicted_twice(plan, learnt, monkeypatch):
    videos, clips, _, _ = learnt
    monkeypatch.setattr(recordings, "write_archive", None)
    monkeypatch.setattr(recordings, "write_video", None)
    monkeypatch.setattr(recordings, "decode_image", None)
    assert recordings.draw_clips(plan, Ranges(), clips.parent, 1) == clips
    assert recordings.draw_videos(plan, Ranges(), videos.parent, 1) == videos
    assert recordings.predict_clips(clips, recordings.FrameModels.load())


def test_videos_of_ones_own_teach_without_drawn_clips(plan, learnt, tmp_path):
    videos, _, _, _ = learnt
    events.learn_events(plan, videos, tmp_path / "out")
    source = load_decoder_model(tmp_path / "out" / SEQUENCE_DECODER_FILE).learnt_from
    assert source["source"] == "videos of the user"
    assert "held_out_clips" not in source


def test_short_recordings_longer_than_a_window_are_refused(plan):
    with pytest.raises(ValueError, match="shortest is 13, and must be at most window, 12"):
        type(plan.temporal).model_validate(plan.temporal.model_dump() | {"shortest": 13})


def test_too_few_labelled_videos_are_refused(plan, learnt, tmp_path):
    shutil.copytree(learnt[0], tmp_path / "videos")
    (tmp_path / "videos" / "000.events.json").unlink()
    with pytest.raises(ConfigError, match="holds 7 labelled videos, and at least 8 are needed"):
        events.learn_events(plan, tmp_path / "videos", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_clip_that_cannot_be_read_is_named(learnt, tmp_path):
    shutil.copytree(learnt[1], tmp_path / "clips")
    broken = tmp_path / "clips" / list_frames(tmp_path / "clips")[0].path
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=broken.name):
        recordings.predict_clips(tmp_path / "clips", recordings.FrameModels.load())
    assert [place.name for place in tmp_path.iterdir()] == ["clips"]
