"""The decoder of flips: against a plain search over all sequences of states, and on sequences one can check by eye."""

import math
from itertools import pairwise, product

import numpy as np
import pytest

from pageflip.base.errors import DataError
from pageflip.events.decoder import FlipStream, best_segments, decode_flips, frame_edges
from pageflip.events.decoder_model import (
    FLIP,
    REST,
    DecoderModel,
    EmissionWeights,
    load_decoder_model,
    to_json,
)
from pageflip.events.durations import Durations
from pageflip.events.log_odds import to_log_odds

FPS = 30


def model_of(
    *,
    rest=1.0,
    flip=0.8,
    again=0.02,
    tail_s=4.0,
    offsets=(0.0,),
    weights=(1.0,),
    level=0.0,
    per_s=15.0,
    broad=0.1,
    sd=0.4,
):
    """Log-normal durations around the given seconds, and evidence from the frame itself."""
    durations = [Durations(math.log(seconds), sd, broad, 1.2, tail_s) for seconds in (rest, flip)]
    return DecoderModel(*durations, EmissionWeights(offsets, weights, 5.0, 0.25, level, 0.0, per_s), again, {})


def score_of(boundaries, states, ratios, edges, model):
    """The log-probability of a sequence of states, by the model's definition."""
    count, score = len(ratios), 0.0
    means = model.rest.mean_s + model.flip.mean_s
    for k, (first, last, state) in enumerate(zip(boundaries, boundaries[1:], states, strict=False)):
        durations, lasted = model.states[state], np.array([edges[last] - edges[first]])
        step = math.log(edges[last] - edges[last - 1])
        score += state * ratios[first:last].sum()
        if k == 0 and last == count:
            score += math.log(durations.mean_s / means) + durations.log_survival(lasted)[0]
        elif k == 0:
            score += durations.log_survival(lasted)[0] - math.log(means) + step
        elif last == count:
            score += durations.log_survival(lasted)[0]
        else:
            score += durations.log_density(lasted)[0] + step
        if last < count and state == FLIP:
            again = states[k + 1] == FLIP
            score += math.log(model.flip_after_flip if again else 1 - model.flip_after_flip)
    return score


def best_by_search(ratios, edges, model):
    """The best sequence among all: every frame is rest, flip, or the first frame of another flip."""
    best, winner = -math.inf, None
    for letters in product("rfF", repeat=len(ratios)):
        if any(b == "F" and a == "r" for a, b in pairwise(letters)) or letters[0] == "F":
            continue
        cuts = [0] + [i for i in range(1, len(letters)) if letters[i] == "F" or _kind(letters, i)] + [len(letters)]
        states = [REST if letters[cut] == "r" else FLIP for cut in cuts[:-1]]
        score = score_of(cuts, states, ratios, edges, model)
        if score > best:
            best, winner = score, [(s, a, b - 1) for s, a, b in zip(states, cuts, cuts[1:], strict=False)]
    return best, winner


def _kind(letters, i):
    return (letters[i] == "r") != (letters[i - 1] == "r")


@pytest.mark.parametrize("tail_s", [4.0, 0.3])
def test_the_best_sequence_of_states_is_that_of_a_search_over_all(tail_s):
    rng = np.random.default_rng(1)
    model = model_of(rest=0.3, flip=0.2, again=0.2, tail_s=tail_s)
    for _ in range(12):
        count = int(rng.integers(1, 8))
        ratios = rng.normal(0, 3, count)
        edges = np.concatenate([[0.0], np.cumsum(rng.uniform(0.05, 0.2, count))])
        best, winner = best_by_search(ratios, edges, model)
        found = best_segments(ratios, edges, model)
        states = [segment.state for segment in found]
        cuts = [segment.first for segment in found] + [count]
        assert score_of(cuts, states, ratios, edges, model) == pytest.approx(best)
        assert [(segment.state, segment.first, segment.last) for segment in found] == winner


def flips_in(text, model=None, fps=FPS, **values):
    """Decode a sequence written as text: # is a flip, . is none, - is in doubt, ? could not be read."""
    known = {"#": 0.95, ".": 0.05, "-": 0.35, "?": np.nan} | values
    probabilities = np.array([known[letter] for letter in text])
    found = decode_flips(probabilities, np.arange(len(text)) / fps, 0.5, model or model_of())
    return [(flip.start_index, flip.end_index) for flip in found]


def test_each_long_stretch_is_one_flip():
    text = "." * 30 + "#" * 25 + "." * 30 + "#" * 20 + "." * 15
    assert flips_in(text) == [(30, 54), (85, 104)]
    assert flips_in("." * 40) == []
    assert flips_in("") == []
    assert flips_in("?" * 10) == []


def test_a_blip_is_no_flip_and_a_short_dip_parts_none():
    assert flips_in("." * 30 + "##" + "." * 30) == []
    assert flips_in("." * 30 + "#" * 12 + ".." + "#" * 12 + "." * 30) == [(30, 55)]


def test_a_recording_may_begin_and_end_in_a_flip():
    assert flips_in("#" * 8 + "." * 30 + "#" * 6) == [(0, 7), (38, 43)]


def test_two_flips_that_follow_each_other_are_told_apart_where_the_evidence_is_there():
    sure = model_of(flip=0.6, per_s=30)
    assert flips_in("." * 30 + "#" * 18 + "...." + "#" * 18 + "." * 30, sure) == [(30, 47), (52, 69)]
    assert flips_in("." * 30 + "#" * 18 + "-" + "#" * 18 + "." * 30, sure) == [(30, 66)]


def test_what_lasts_too_long_for_one_flip_is_two_without_a_rest():
    brisk = model_of(flip=0.6, again=0.2, broad=0.0, sd=0.2)
    (one, two) = flips_in("." * 30 + "#" * 40 + "." * 30, brisk)
    assert (one[0], two[1]) == (30, 69)
    assert two[0] == one[1] + 1
    assert flips_in("." * 30 + "#" * 20 + "." * 30, brisk) == [(30, 49)]


def test_the_frame_rate_makes_no_difference_to_when_flips_are():
    for fps in (15, 30, 60):
        text = "." * fps + "#" * round(0.8 * fps) + "." * fps
        assert flips_in(text, fps=fps) == [(fps, fps + round(0.8 * fps) - 1)]


def test_no_flip_reaches_across_a_long_stretch_of_unreadable_frames():
    assert flips_in("#" * 20 + "?" * 80 + "#" * 20) == [(0, 19), (100, 119)]
    assert flips_in("." * 30 + "#" * 12 + "??" + "#" * 12 + "." * 30) == [(30, 55)]


def test_a_flip_tells_its_times_and_its_surest_frame():
    probabilities = np.array([0.05] * 30 + [0.9] * 10 + [0.99] + [0.9] * 10 + [0.05] * 30)
    (flip,) = decode_flips(probabilities, 2 + np.arange(81) / FPS, 0.5, model_of())
    assert (flip.start_s, flip.end_s) == (pytest.approx(2 + 30 / FPS), pytest.approx(2 + 50 / FPS))
    assert flip.peak_probability == pytest.approx(0.99)


def noisy(rng, flips):
    """Probabilities and times of a made-up recording."""
    parts = []
    for _ in range(flips):
        parts += [rng.normal(-2, 1.5, rng.integers(15, 50)), rng.normal(2, 1.5, rng.integers(14, 40))]
    odds = np.concatenate([*parts, rng.normal(-2, 1.5, 20)])
    probabilities = 1 / (1 + np.exp(-odds))
    probabilities[rng.random(len(odds)) < 0.05] = np.nan
    return probabilities, np.cumsum(rng.uniform(0.02, 0.05, len(odds)))


def streamed(probabilities, times, lag_s, model):
    """Flips of a stream, and by how many frames each was late."""
    stream, flips, late = FlipStream(0.5, lag_s, model), [], []
    for index, (probability, time_s) in enumerate(zip(probabilities.tolist(), times.tolist(), strict=True)):
        told = stream.push(probability, time_s)
        flips += told
        late += [time_s - flip.end_s for flip in told]
        assert len(stream._window) + len(stream._before) < 400 or lag_s == math.inf, index
    return flips + stream.finish(), late


CONTEXT = {"offsets": (-0.1, 0.0, 0.1), "weights": (0.3, 0.5, 0.3), "level": -0.2}


def test_a_stream_whose_lag_covers_the_sequence_finds_what_decoding_at_once_finds():
    rng, model = np.random.default_rng(5), model_of(**CONTEXT)
    for _ in range(3):
        probabilities, times = noisy(rng, 4)
        flips, _ = streamed(probabilities, times, times[-1] - times[0] + 0.1, model)
        assert flips == decode_flips(probabilities, times, 0.5, model)


def test_a_stream_tells_each_flip_within_its_lag_and_mostly_the_same_ones():
    rng, model = np.random.default_rng(6), model_of(**CONTEXT)
    probabilities, times = noisy(rng, 8)
    flips, late = streamed(probabilities, times, 0.6, model)
    whole = decode_flips(probabilities, times, 0.5, model)
    assert max(late) <= 0.6 + 3 * 0.05 + 1e-9
    near = [any(abs(a.start_s - b.start_s) + abs(a.end_s - b.end_s) < 0.3 for b in flips) for a in whole]
    assert np.mean(near) >= 0.8
    ends = [index for flip in flips for index in (flip.start_index, flip.end_index)]
    assert ends == sorted(ends)


def test_a_stream_can_be_used_again_after_its_end():
    stream = FlipStream(0.5, 0.5, model_of())
    for turn in range(2):
        told = [flip for i in range(60) for flip in stream.push(0.95 if 20 <= i < 40 else 0.05, turn * 10 + i / FPS)]
        assert [flip.end_index - flip.start_index + 1 for flip in told + stream.finish()] == [20]


def test_log_odds_are_measured_from_the_models_threshold():
    odds = to_log_odds(np.array([0.3, 0.5, 1.0, 0.0]), 0.3)
    assert odds[0] == pytest.approx(0)
    assert odds[1] > 0
    assert (odds[2], odds[3]) == (6.0, -6.0)


def test_learnt_numbers_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "events.json"
    path.write_text(to_json(model_of(**CONTEXT)), encoding="utf-8")
    assert load_decoder_model(path) == model_of(**CONTEXT)


@pytest.mark.parametrize("text", ["[]", "{", '{"format": 2}', '{"format": 1, "rest": {}}'])
def test_a_file_that_holds_no_learnt_numbers_is_refused(tmp_path, text):
    path = tmp_path / "events.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="holds no decoder parameters"):
        load_decoder_model(path)


def test_edges_stand_where_frames_begin_and_the_last_one_ends():
    assert frame_edges(np.array([0.0, 0.1, 0.2])) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert frame_edges(np.array([1.0])) == pytest.approx([1, 1 + 1 / 30])
