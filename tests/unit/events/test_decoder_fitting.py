"""Learning what events are: from made-up recordings whose numbers are known."""

from pathlib import Path

import numpy as np
import pytest

from pageflip.base.errors import DataError
from pageflip.events.decoder import decode_flips
from pageflip.events.decoder_fitting import LabelledSequence, fit_decoder, frame_states
from pageflip.events.decoder_model import FRAME_DECODER_FILE, load_decoder_model
from pageflip.events.metrics import Truth
from pageflip.inference.cards import PRETRAINED
from pageflip.params.all import load_params

PLAN = load_params(Path(__file__).parents[3] / "params.yaml").events.model_copy(
    update={"folds": 2, "evidence_per_s": (12.0,)}
)


def recording(seed, *, late=2, level=-3.0, flips=5):
    """Flips of 20 to 30 frames whose probabilities rise `late` frames after the onset."""
    rng = np.random.default_rng(seed)
    odds, events = [], []
    for _ in range(flips):
        rest, flip = rng.integers(25, 50), rng.integers(20, 30)
        odds += [rng.normal(level, 0.5, rest + late), rng.normal(3, 0.5, flip - late)]
        events.append(((sum(map(len, odds)) - flip) / 30, (sum(map(len, odds)) - 1) / 30))
    odds.append(rng.normal(level, 0.5, 30))
    probabilities = 1 / (1 + np.exp(-np.concatenate(odds)))
    truth = Truth(tuple(events), (False,) * flips, ())
    return LabelledSequence(probabilities, np.arange(len(probabilities)) / 30, truth)


def test_durations_and_the_delay_of_onsets_are_learnt():
    model, scores = fit_decoder([recording(seed) for seed in range(6)], 0.5, PLAN, {"source": "made up"})
    assert np.exp(model.flip.log_mean) == pytest.approx(25 / 30, abs=0.05)
    assert np.exp(model.rest.log_mean) == pytest.approx(37 / 30, abs=0.15)
    assert 0 < model.flip_after_flip < 0.05
    assert scores["f1"] >= 0.95
    unseen = recording(99)
    flips = decode_flips(unseen.probabilities, unseen.times_s, 0.5, model)
    assert len(flips) == 5
    errors = [flip.start_s - onset for flip, (onset, _) in zip(flips, unseen.truth.events, strict=True)]
    assert abs(np.mean(errors)) < 1.5 / 30  # although probabilities rise two frames late


def test_a_recording_that_rests_at_a_high_level_is_measured_by_its_own_level():
    several = [recording(seed, level=level) for seed, level in enumerate([-3.0, -0.2, -3.0, 0.4, -3.0, -0.2])]
    model, _ = fit_decoder(several, 0.5, PLAN, {})
    unseen = recording(77, level=0.2)
    assert len(decode_flips(unseen.probabilities, unseen.times_s, 0.5, model)) == 5


def test_states_are_those_of_the_events_both_ends_included():
    one = recording(1, flips=1)
    states = frame_states(one.times_s, one.truth)
    (onset, offset) = one.truth.events[0]
    assert states.sum() == round((offset - onset) * 30) + 1


def test_too_few_videos_are_refused():
    with pytest.raises(DataError, match="cannot be fitted to 1 videos in 2 folds"):
        fit_decoder([recording(1)], 0.5, PLAN, {})


def test_the_numbers_that_come_with_the_program_say_what_they_were_learnt_from():
    source = load_decoder_model(PRETRAINED / FRAME_DECODER_FILE).learnt_from
    assert source["command"] == "python -m tasks.learn_events"
    assert source["held_out"]["f1"] > 0.8
