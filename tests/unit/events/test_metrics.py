"""Events and stills against their truth, on cases small enough to check by hand and against a plain search."""

from itertools import permutations

import numpy as np
import pytest

from pageflip.base.errors import DataError
from pageflip.events.metrics import event_metrics, match_events, read_truth, still_metrics


def most_pairs(true, found, tolerance_s):
    """The size of the largest matching, by trying all orders of the found events."""
    best = 0
    slots = list(range(len(found))) + [None] * len(true)
    for order in set(permutations(slots, len(true))):
        pairs = [(true[i], found[j]) for i, j in enumerate(order) if j is not None]
        good = [max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= tolerance_s + 1e-9 for a, b in pairs]
        best = max(best, sum(good))
    return best


def test_an_event_matches_when_onset_and_offset_are_both_within_the_tolerance():
    assert match_events([(1.0, 2.0)], [(1.15, 1.85)], 150) == [(0, 0)]
    assert match_events([(1.0, 2.0)], [(1.0, 2.16)], 150) == []
    assert match_events([(1.0, 2.0)], [(0.84, 2.0)], 150) == []


def test_each_event_matches_once():
    assert len(match_events([(1.0, 2.0)], [(1.0, 2.0), (1.05, 2.05)], 150)) == 1
    assert match_events([], [(1.0, 2.0)], 150) == []


def test_the_matching_has_the_most_pairs_and_then_the_least_error():
    """The middle event is nearest to both; taking the nearest first would leave one without a partner."""
    true, found = [(1.0, 2.0), (1.2, 2.2)], [(1.1, 2.1), (0.9, 1.9)]
    assert match_events(true, found, 150) == [(0, 1), (1, 0)]
    assert match_events([(1.0, 2.0)], [(1.1, 2.1), (1.01, 2.0)], 150) == [(0, 1)]


def test_the_matching_is_as_large_as_any_in_random_cases():
    rng = np.random.default_rng(3)
    for _ in range(60):
        true, found = ([tuple(e) for e in rng.uniform(0, 0.5, (rng.integers(0, 5), 2))] for _ in range(2))
        assert len(match_events(true, found, 150)) == most_pairs(true, found, 0.15)


def test_figures_come_from_all_videos_at_once():
    scores = event_metrics(
        [[(1.0, 2.0), (4.0, 5.0), (7.0, 8.0)], [(1.0, 2.0)]],
        [[(1.1, 2.0), (4.0, 5.3)], [(1.0, 2.0), (3.0, 3.5)]],
        [[False, False, True], [False]],
    )
    assert (scores["n_true"], scores["n_found"], scores["n_matched"]) == (4, 4, 2)
    assert scores["precision"] == scores["recall"] == scores["f1"] == 0.5
    assert scores["onset_ms"]["p90"] == pytest.approx(80)
    assert scores["offset_ms"]["bias"] == pytest.approx(100)
    assert (scores["count_error"], scores["counted_right"]) == (1.0, 0.0)
    assert (scores["recall_turned"], scores["recall_aborted"]) == (pytest.approx(2 / 3), 0.0)


def test_without_events_nothing_is_undefined_but_the_errors():
    scores = event_metrics([[]], [[]])
    assert (scores["f1"], scores["onset_ms"], scores["counted_right"]) == (0.0, None, 1.0)


PAGES = [(0, 10, (2, 3)), (20, 30, (2, 3)), (40, 50, (4, 5)), (60, 70, (2, 3))]


@pytest.mark.parametrize(
    ("stills", "recall", "duplicates"),
    [
        ([5, 45], 1.0, 0.0),
        ([5, 25, 45], 1.0, 1 / 3),  # again, after an aborted lift
        ([5, 45, 65], 1.0, 1 / 3),  # again, after turning back
        ([5], 0.5, 0.0),
        ([5, 15, 45], 1.0, 1 / 3),  # a sheet in the air
        ([], 0.0, 0.0),
    ],
)
def test_a_still_counts_once_for_what_lies_open(stills, recall, duplicates):
    scores = still_metrics([PAGES], [stills])
    assert (scores["page_recall"], scores["page_duplicates"]) == (recall, pytest.approx(duplicates))


def test_the_truth_of_a_drawn_video_is_read_in_seconds():
    event = {"start_frame": 15, "end_frame": 30, "direction": "forward", "aborted": True, "leaves": 1}
    page = {"start_frame": 0, "end_frame": 14, "left": 6, "right": 7}
    truth = read_truth({"fps": 30, "frames": 60, "events": [event], "pages": [page]})
    assert (truth.events, truth.aborted, truth.pages) == (((0.5, 1.0),), (True,), ((0, 14, (6, 7)),))
    with pytest.raises(DataError, match=r"no labels of a video: KeyError\('fps'\)"):
        read_truth({})
