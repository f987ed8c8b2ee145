"""The choice of the threshold, compared with brute force."""

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.metrics import precision_score, recall_score

from pageflip.base.errors import DataError
from pageflip.evaluation import thresholds
from predictions_factory import noisy, random_case


def slow_f1(target, called):
    hits = sum(bool(t and c) for t, c in zip(target, called, strict=True))
    return 2 * hits / (sum(target) + sum(called))


@pytest.mark.parametrize("decimals", [1, 2, 6])
@pytest.mark.parametrize("seed", range(6))
def test_threshold_reaches_the_best_f1_of_a_brute_force_search(seed, decimals):
    target, probability, _ = random_case(seed, n=60, decimals=decimals)
    threshold = thresholds.choose_threshold(target, probability)
    best = max(slow_f1(target, probability >= cut) for cut in [*np.linspace(0, 1, 301), *probability])
    assert reference.f1_score(target, probability >= threshold) == pytest.approx(best, abs=1e-12)


def test_threshold_is_the_middle_of_a_gap_between_the_classes():
    assert thresholds.choose_threshold([0, 0, 1, 1], [0.1, 0.25, 0.75, 0.9]) == 0.5


def test_threshold_takes_the_widest_of_equally_good_plateaus():
    # F1 is 4/6 with two calls, 6/9 with five and 8/12 with all eight: on (0.85, 0.9], on (0.3, 0.7] and on [0, 0.1]
    probability = [0.95, 0.9, 0.85, 0.8, 0.7, 0.3, 0.2, 0.1]
    assert thresholds.choose_threshold([1, 1, 0, 0, 1, 0, 0, 1], probability) == 0.5


def test_threshold_joins_neighbouring_steps_of_equal_f1():
    # F1 is 4/6, 6/9 and 8/12 with the first two, five and eight frames called: one plateau from 0 to 0.9
    target = [1, 1, 1, 0, 0, 1, 0, 0]
    probability = [0.9, 0.9, 0.6, 0.6, 0.6, 0.3, 0.3, 0.3]
    assert thresholds.choose_threshold(target, probability) == pytest.approx(0.45)


def test_threshold_moves_away_from_both_classes_where_a_little_f1_may_be_given_up():
    target, probability = [0] * 10 + [1] * 10, [0.1] * 9 + [0.4] + [0.45] + [0.9] * 9
    exact = thresholds.choose_threshold(target, probability)
    assert 0.4 < exact < 0.45
    assert thresholds.choose_threshold(target, probability, tolerance=0.06) == 0.5


def test_threshold_separates_neighbouring_float32_values_in_either_precision():
    low = np.float32(0.6)
    probability = np.array([low, np.nextafter(low, np.float32(1))], np.float32)
    threshold = thresholds.choose_threshold([0, 1], probability)
    for kind in (np.float32, np.float64):
        assert (probability.astype(kind) >= kind(threshold)).tolist() == [False, True]


@pytest.mark.parametrize("label", [0, 1])
def test_threshold_is_refused_when_a_class_is_missing(label):
    with pytest.raises(DataError, match=f"all 3 validation frames are {'flip' if label else 'notflip'}"):
        thresholds.choose_threshold([label] * 3, [0.1, 0.2, 0.3])


@pytest.mark.parametrize("seed", range(5))
def test_a_wanted_precision_or_recall_is_reached_as_well_as_by_brute_force(seed):
    target, probability = noisy(seed)
    cuts = np.unique(probability)
    score = {
        cut: (precision_score(target, probability >= cut), recall_score(target, probability >= cut)) for cut in cuts
    }
    for precision in (0.7, 0.85):
        best = max((recall for value, recall in score.values() if value >= precision), default=None)
        threshold = thresholds.threshold_that_reaches(target, probability, precision=precision)
        assert (threshold is None) == (best is None)
        if threshold is not None:
            assert precision_score(target, probability >= threshold) >= precision
            assert recall_score(target, probability >= threshold) == best
    for recall in (0.8, 1.0):
        threshold = thresholds.threshold_that_reaches(target, probability, recall=recall)
        assert recall_score(target, probability >= threshold) >= recall
        best = max(value for value, reached in score.values() if reached >= recall)
        assert precision_score(target, probability >= threshold) == best


def test_a_precision_that_no_threshold_has_is_not_reached():
    assert thresholds.threshold_that_reaches([0, 1, 1, 0], [0.9, 0.8, 0.7, 0.1], precision=0.95) is None
