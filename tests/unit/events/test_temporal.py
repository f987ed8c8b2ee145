"""The temporal network: its two parts at work, in batches and as a stream, and how it is trained."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from pageflip.base.errors import DataError
from pageflip.events import temporal_training
from pageflip.events.log_odds import to_log_odds
from pageflip.events.reader import SequenceReader
from pageflip.events.stream import SequenceStream
from pageflip.events.temporal import (
    ENCODER_FILE,
    HEIGHT,
    LUMA_PLANES,
    PLANE_SHAPE,
    PLANES,
    STEP_S,
    WIDTH,
    FrameEncoder,
    load_temporal,
    refine,
    to_planes,
)
from pageflip.events.temporal_network import TemporalNetwork, TemporalShape
from pageflip.events.temporal_training import TrainingSequence, export_temporal, train_temporal
from pageflip.params.all import load_params
from pageflip.synthetic.video import VideoPlan, write_video

PLAN = load_params(Path(__file__).parents[3] / "params.yaml").events.temporal
COUNT = 50


def pictures(count=COUNT, seed=5):
    return np.random.default_rng(seed).integers(0, 255, (count, HEIGHT, WIDTH, 3), np.uint8)


def chances(count=COUNT, seed=6):
    return np.random.default_rng(seed).random(count)


def in_sequence(frames, probabilities, times, model):
    return refine(FrameEncoder(model).push(frames, times), probabilities, times, 0.5, model)


def test_the_files_say_what_the_network_says(tmp_path):
    torch.manual_seed(1)
    network = TemporalNetwork(TemporalShape(channels=(4, 8), width=8)).eval()
    export_temporal(network, tmp_path, {})
    frames, probabilities = pictures(), chances()
    floats = torch.from_numpy(to_planes(np.concatenate([frames[:1], frames]))).float() / 255
    odds = torch.from_numpy(to_log_odds(probabilities, 0.5)).float()
    with torch.inference_mode():
        expected = torch.sigmoid(network(floats[None], odds[None]))[0].numpy()
    found = in_sequence(frames, probabilities, np.arange(COUNT) * STEP_S, load_temporal(tmp_path))
    assert found == pytest.approx(expected, abs=1e-4)


def test_it_does_not_matter_how_frames_are_cut_into_batches(sequence_model):
    frames, times = pictures(), np.arange(COUNT) * STEP_S
    encoder = FrameEncoder(sequence_model.temporal)
    whole = FrameEncoder(sequence_model.temporal).push(frames, times)
    parts = [encoder.push(frames[part], times[part]) for part in np.split(np.arange(COUNT), [1, 7, 30])]
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-4)


def test_a_recording_of_twice_as_many_frames_a_second_is_read_at_the_usual_rate(sequence_model):
    frames, probabilities, times = pictures(), chances(), np.arange(COUNT) * STEP_S
    usual = in_sequence(frames, probabilities, times, sequence_model.temporal)
    dense_times = np.arange(2 * COUNT - 1) * STEP_S / 2
    twice = np.arange(2 * COUNT - 1) // 2
    dense = in_sequence(frames[twice], probabilities[twice], dense_times, sequence_model.temporal)
    assert dense[::2] == pytest.approx(usual, abs=1e-4)


def test_to_planes_frames_of_any_size_are_alike():
    for height, width in ((192, 108), (192, 54), (720, 1280)):
        assert to_planes(np.zeros((3, height, width, 3), np.uint8)).shape == (3, PLANES, *PLANE_SHAPE)
    assert to_planes(np.zeros((0, 192, 108, 3), np.uint8)).shape == (0, PLANES, *PLANE_SHAPE)


def test_planes_keep_every_pixels_luma_and_the_colours_of_each_four():
    """By the formulas of ITU-R BT.601."""
    frames = pictures(2)
    planes = to_planes(frames)
    red, green, blue = (frames[..., channel].astype(float) for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    for number in range(LUMA_PLANES):
        assert planes[:, number] == pytest.approx(luma[:, number // 2 :: 2, number % 2 :: 2], abs=1)
    for plane, difference in ((4, 0.713 * (red - luma)), (5, 0.564 * (blue - luma))):
        of_four = difference.reshape(2, HEIGHT // 2, 2, WIDTH // 2, 2).mean(axis=(2, 4)) + 128
        assert planes[:, plane] == pytest.approx(of_four, abs=2)


def test_features_of_planes_are_those_of_their_frames(sequence_model):
    frames, times = pictures(), np.arange(COUNT) * STEP_S
    one, two = (FrameEncoder(sequence_model.temporal) for _ in range(2))
    assert one.push_planes(to_planes(frames), times) == pytest.approx(two.push(frames, times))


def test_a_recording_without_readable_frames_has_no_flips(sequence_model):
    reader = SequenceReader(Oracle(), sequence_model)
    assert np.isnan(reader.push([None, None], [0.0, 0.1])).all()
    refined = reader.in_sequence()
    assert np.isnan(refined).all()
    assert reader.flips(refined) == []


def test_files_that_are_missing_or_broken_are_named(tmp_path):
    with pytest.raises(DataError, match=f"there is no .*{ENCODER_FILE}"):
        load_temporal(tmp_path / "none")
    (tmp_path / ENCODER_FILE).write_bytes(b"no model")
    with pytest.raises(DataError, match=f"{ENCODER_FILE} is not an ONNX model"):
        load_temporal(tmp_path)


# --- a drawn video


class Oracle:
    """A model that is told the truth by the brightness of a frame's first pixel, but errs now and then."""

    width, height, threshold = 108, 192, 0.5

    def predict(self, frames):
        return np.where(frames[:, 0, 0, 0] > 127, 0.9, 0.1).astype(np.float32)


@cache
def drawn_video():
    """The frames of a drawn video of three flips at 108x192, their times, and whether a sheet is in the air."""
    import tempfile

    from pageflip.frames.video import iter_video

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        truth = write_video(path, VideoPlan(seed=7, book=3, flips=3, width=216, height=384))
        frames = [(rgb.copy(), time_s) for _, time_s, rgb in iter_video(path, 108, 192)]
    states = np.zeros(len(frames), int)
    for event in truth["events"]:
        states[event["start_frame"] : event["end_frame"] + 1] = 1
    rng = np.random.default_rng(1)
    for (rgb, _), state in zip(frames, states, strict=True):
        rgb[0, 0] = 255 * (state ^ (rng.random() < 0.25))  # the model errs in a quarter of the frames
    return frames, states


def test_single_wrong_frames_are_mended_by_their_neighbours(sequence_model):
    frames, states = drawn_video()
    reader = SequenceReader(Oracle(), sequence_model)
    alone = np.array(reader.push(*zip(*frames, strict=True))) >= 0.5
    refined = reader.in_sequence()
    together = refined >= 0.5
    assert (alone != states).mean() > 0.15
    assert (together != states).mean() < 0.08
    assert len(reader.flips(refined)) == 3


def test_a_stream_with_endless_lag_finds_what_the_whole_recording_gives(sequence_model):
    frames, _ = drawn_video()
    reader, stream = SequenceReader(Oracle(), sequence_model), SequenceStream(Oracle(), sequence_model, math.inf)
    reader.push(*zip(*frames, strict=True))
    found = [flip for rgb, time_s in frames for flip in stream.push(rgb, time_s)] + stream.finish()
    rounded = [replace(flip, peak_probability=round(flip.peak_probability, 3)) for flip in found]
    assert rounded == [
        replace(flip, peak_probability=round(flip.peak_probability, 3)) for flip in reader.flips(reader.in_sequence())
    ]


def test_a_stream_tells_a_flip_within_its_lag(sequence_model):
    frames, _ = drawn_video()
    stream = SequenceStream(Oracle(), sequence_model, 0.6)
    reach_s = sequence_model.temporal.reach * STEP_S
    told = [(flip, time_s) for rgb, time_s in frames for flip in stream.push(rgb, time_s)]
    assert told
    assert all(now - flip.end_s <= reach_s + 0.6 + 3 * STEP_S for flip, now in told)


# --- training


def test_training_finds_what_moves(tmp_path):
    """A bright square that moves is the flip, one that rests is none; the log-odds say nothing."""
    rng = np.random.default_rng(0)
    lessons = [moving_square(rng) for _ in range(4)]
    network = train_temporal(lessons, shortened(steps=50, window=24, short_share=0, rotate=0), 3, lambda *_: None)
    export_temporal(network, tmp_path, {})
    unseen = moving_square(rng)
    count = len(unseen.states)
    model, times = load_temporal(tmp_path), np.arange(count) * STEP_S
    found = refine(FrameEncoder(model).push_planes(unseen.planes, times), np.full(count, 0.5), times, 0.5, model)
    assert ((found >= 0.5) == unseen.states).mean() > 0.9


def test_clips_of_a_few_frames_teach_too(tmp_path):
    """Nothing moves, and each clip shows one state: only the log-odds tell."""
    rng = np.random.default_rng(1)
    frames = rng.integers(40, 50, (3, HEIGHT, WIDTH, 3), np.uint8)
    lessons = [TrainingSequence(to_planes(frames), np.full(3, 6.0 * state - 3), np.full(3, state)) for state in (0, 1)]
    network = train_temporal(lessons, shortened(steps=25, window=8, short_share=1), 3, lambda *_: None)
    export_temporal(network, tmp_path, {})
    for count in (1, 3):
        for chance in (0.05, 0.95):
            given = frames[:count], np.full(count, chance), np.arange(count) * STEP_S
            found = in_sequence(*given, load_temporal(tmp_path))
            assert ((found >= 0.5) == (chance >= 0.5)).all()


def test_what_a_weaker_model_says_is_learnt_from_in_its_share(tmp_path):
    """Only the weaker model's log-odds tell: those of the other one say the contrary."""
    rng = np.random.default_rng(2)
    frames = rng.integers(40, 50, (3, HEIGHT, WIDTH, 3), np.uint8)
    odds = [np.full(3, 6.0 * state - 3) for state in (0, 1)]
    lessons = [TrainingSequence(to_planes(frames), odds[1 - state], np.full(3, state), odds[state]) for state in (0, 1)]
    for share, right in ((1.0, True), (0.0, False)):
        plan = shortened(steps=25, window=8, short_share=1, compact_network_share=share)
        folder = tmp_path / str(share)
        folder.mkdir()
        export_temporal(train_temporal(lessons, plan, 3, lambda *_: None), folder, {})
        found = in_sequence(frames, np.full(3, 0.95), np.arange(3) * STEP_S, load_temporal(folder))
        assert ((found >= 0.5) == right).all()


def shortened(**changes):
    """A training of seconds, that finds one thing only."""
    return PLAN.model_copy(update={"width": 32, "windows": 2, "odds_shift": 0.0, "dropout": 0.0} | changes)


def moving_square(rng):
    states = np.repeat(np.arange(8) % 2, 20)
    places = np.cumsum(states) % 40
    frames = rng.integers(40, 50, (len(states), HEIGHT, WIDTH, 3), np.uint8)
    for frame, place in zip(frames, places, strict=True):
        frame[60:120, 2 * place : 2 * place + 28] = 220
    return TrainingSequence(to_planes(frames), np.zeros(len(states)), states)


@pytest.mark.parametrize("moved", [0.0, 1.0])
def test_a_window_is_mirrored_as_its_frames_are(monkeypatch, moved):
    """With all other changes at nothing, moving by nothing too."""
    for name, value in (("MAX_LOG_GAMMA", 0.0), ("MAX_NOISE", 0.0), ("MOVED_SHARE", moved)):
        monkeypatch.setattr(temporal_training, name, value)
    plan = PLAN.model_copy(update={"light": 0.0, "shift": 0.0, "zoom": 0.0, "rotate": 0.0})
    frames, rng, seen = pictures(2), np.random.default_rng(1), set()
    wanted = [to_planes(frames) / 255, to_planes(frames[:, :, ::-1]) / 255]
    for _ in range(8):
        found = temporal_training._augment(to_planes(frames), plan, rng).numpy()
        differences = [np.abs(found - planes).max() for planes in wanted]
        assert min(differences) < 0.02
        seen.add(int(np.argmin(differences)))
    assert seen == {0, 1}


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(DataError, match="no videos to train on"):
        train_temporal([], PLAN, 1, lambda *_: None)
