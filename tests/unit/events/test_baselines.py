"""From probabilities to flips, on sequences small enough to check by hand."""

import numpy as np
import pytest

from pageflip.events.baselines import difference_flips, median_flips, threshold_flips
from pageflip.events.flip import Flip

FPS = 30


def flips_of(text, fps=FPS, threshold=0.5, **values):
    """Find flips in a sequence written as text: # is a flip, . is none, ? could not be read."""
    known = {"#": 0.9, ".": 0.1, "?": np.nan} | values
    probabilities = np.array([known[letter] for letter in text], np.float32)
    found = median_flips(probabilities, np.arange(len(text)) / fps, threshold)
    return [(flip.start_index, flip.end_index) for flip in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("..........", []),
        ("?????", []),
        ("##########", [(0, 9)]),
        ("....######....", [(4, 9)]),
        ("######........", [(0, 5)]),
        ("........######", [(8, 13)]),
        ("...######........########...", [(3, 8), (17, 24)]),
    ],
)
def test_each_long_stretch_is_one_flip(text, expected):
    assert flips_of(text) == expected


@pytest.mark.parametrize("text", ["......#.......", "......##......", "..#....#....#.."])
def test_a_short_blip_is_no_flip(text):
    assert flips_of(text) == []


@pytest.mark.parametrize("text", ["...#####.#####...", "...#####..####..."])
def test_a_short_dip_does_not_part_a_flip(text):
    assert flips_of(text) == [(3, 13)]


def test_stretches_less_than_the_shortest_gap_apart_are_one_flip():
    """At 60 frames a second the median spans 7 frames: a dip of 4 outlives it, and lasts less than a tenth second."""
    assert flips_of("." * 12 + "#" * 12 + "." * 4 + "#" * 12 + "." * 12, fps=60) == [(12, 39)]
    assert flips_of("." * 12 + "#" * 12 + "." * 8 + "#" * 12 + "." * 12, fps=60) == [(12, 23), (32, 43)]


def test_frames_that_could_not_be_read_are_left_out_and_indices_stay_theirs():
    assert flips_of("...?##?####?...") == [(4, 10)]
    assert flips_of("??....######....??") == [(6, 11)]


def test_slow_sequences_are_not_smoothed():
    assert flips_of("..#..##..", fps=2) == [(2, 2), (5, 6)]


def test_a_probability_at_the_threshold_counts():
    assert flips_of("....hhhhhh....", h=0.5) == [(4, 9)]
    assert flips_of("....hhhhhh....", h=0.499) == []


def test_a_single_frame_lasts_too_short_to_be_a_flip():
    assert flips_of("#") == []
    assert flips_of(".") == []


def test_a_flip_tells_its_times_and_its_surest_frame():
    probabilities = np.array([0.1] * 5 + [0.7, 0.8, 0.95, 0.8, 0.7, 0.6] + [0.1] * 5)
    (flip,) = median_flips(probabilities, 2 + np.arange(16) / FPS, 0.5)
    assert flip == Flip(5, 10, pytest.approx(2 + 5 / FPS), pytest.approx(2 + 10 / FPS), pytest.approx(0.95))
    assert all(type(value) in (int, float) for value in vars(flip).values())


def test_flips_follow_each_other_without_overlap_in_any_sequence():
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 80))
        smooth = np.convolve(rng.random(count + 8), np.ones(9) / 9, "valid")
        probabilities = np.where(rng.random(count) < 0.1, np.nan, smooth)
        times = np.cumsum(rng.uniform(0.01, 0.06, count))
        flips = median_flips(probabilities, times, 0.5)
        ends = [index for flip in flips for index in (flip.start_index, flip.end_index)]
        assert ends == sorted(ends)
        assert len({flip.start_index for flip in flips}) == len(flips)
        for flip in flips:
            assert (flip.start_s, flip.end_s) == (times[flip.start_index], times[flip.end_index])
            assert flip.peak_probability == np.nanmax(probabilities[flip.start_index : flip.end_index + 1])
            assert np.isfinite(probabilities[[flip.start_index, flip.end_index]]).all()


def test_a_flip_does_not_reach_across_a_long_stretch_of_unreadable_frames():
    probabilities = np.full(120, 0.9)
    probabilities[20:100] = np.nan
    flips = median_flips(probabilities, np.arange(120) / 30, 0.5)
    assert [(flip.start_index, flip.end_index) for flip in flips] == [(0, 19), (100, 119)]


def test_a_slow_frame_rate_is_no_hole():
    (flip,) = median_flips(np.array([0.0, 0.9, 0.9, 0.9, 0.0]), np.arange(5) * 2.0, 0.5)
    assert (flip.start_index, flip.end_index) == (1, 3)


def test_the_plainest_baseline_takes_every_stretch_above_the_threshold():
    flips = threshold_flips(np.array([0.1, 0.9, 0.1, np.nan, 0.8, 0.9]), np.arange(6) / FPS, 0.5)
    assert [(flip.start_index, flip.end_index) for flip in flips] == [(1, 1), (4, 5)]


def test_motion_alone_finds_stretches_of_change():
    changes = np.concatenate([np.full(30, 0.5), np.full(20, 8.0), np.full(30, 0.5)])
    (flip,) = difference_flips(changes, np.arange(80) / FPS)
    assert (flip.start_index, flip.end_index) == (30, 49)
