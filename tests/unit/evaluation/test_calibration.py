"""Temperature, threshold by precision or recall, and review band: chosen on validation, held against slow searches."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss, precision_score, recall_score

from pageflip.base.errors import DataError
from pageflip.evaluation import calibration, metrics, thresholds

BOUNDS = {"lowest": 0.25, "highest": 4, "min_groups": 5}


def draw(seed=0, groups=60, frames=8, sharpness=2.5):
    """Targets that follow the logits' own probabilities; the logits are then made `sharpness` times too sure."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), frames)
    logit = rng.normal(0, 1.5, groups)[group] + rng.normal(0, 0.5, len(group))
    target = (rng.random(len(group)) < expit(logit)).astype(int)
    return target, sharpness * logit, group


def test_the_temperature_takes_back_what_made_the_logits_too_sure():
    target, logit, group = draw()
    fit = calibration.fit_temperature(target, logit, group, **BOUNDS)
    assert fit.reason is None
    assert fit.value == pytest.approx(2.5, rel=0.2)
    before, after = (
        metrics.expected_calibration_error(target, calibration.calibrated(logit, value)) for value in (1, fit.value)
    )
    assert after < before / 2


def test_the_temperature_is_the_best_of_a_brute_force_search():
    target, logit, group = draw(seed=3, groups=30)
    weight = calibration.group_weights(group)
    grid = np.geomspace(0.25, 4, 201)
    losses = [log_loss(target, expit(logit / value), sample_weight=weight) for value in grid]
    fit = calibration.fit_temperature(target, logit, group, **BOUNDS)
    assert fit.value == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)
    ours = calibration.negative_log_likelihood(target, logit / fit.value, weight)
    assert ours == pytest.approx(log_loss(target, expit(logit / fit.value), sample_weight=weight), abs=1e-9)
    assert ours <= min(losses)


def test_a_group_weighs_the_same_however_many_frames_it_has():
    target, logit, group = draw(seed=1)
    many = np.concatenate([np.flatnonzero(group == 4)] * 30)
    fits = [
        calibration.fit_temperature(target[rows], logit[rows], group[rows], **BOUNDS).value
        for rows in (np.arange(len(group)), np.concatenate([np.arange(len(group)), many]))
    ]
    assert fits[1] == pytest.approx(fits[0], rel=1e-6)


def reason_of(target, logit, group, **bounds):
    fit = calibration.fit_temperature(target, logit, group, **BOUNDS | bounds)
    return fit.value, fit.reason


def test_it_stays_one_where_validation_says_too_little():
    target, logit, group = draw(groups=3)
    assert reason_of(target, logit, group)[0] == 1
    assert "only 3 validation groups hold" in reason_of(target, logit, group)[1]
    assert "only 0 validation groups hold flips" in reason_of(np.zeros(9, int), np.ones(9), np.arange(9))[1]


def test_a_validation_without_mistakes_makes_no_surer_than_its_number_of_groups_allows():
    target = np.repeat([0, 1], 10)
    logit, group = np.where(target == 1, 1.0, -1.0), np.arange(20)
    value, reason = reason_of(target, logit, group)
    assert reason is None
    assert calibration.calibrated(logit, value)[-1] == pytest.approx(11 / 12)


def test_it_stays_one_where_other_groups_gain_nothing():
    fits = [reason_of(*draw(seed=seed, groups=12, frames=2, sharpness=1)) for seed in range(30)]
    assert {value for value, reason in fits if reason and "do not help the others" in reason} == {1.0}


def test_an_optimum_beyond_a_bound_gives_the_bound():
    value, reason = reason_of(*draw(sharpness=9))
    assert (value, reason) == (4, "the optimum is beyond 4, the bound")


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(DataError, match="cannot be calibrated"):
        reason_of(np.array([0, 1]), np.array([0.0, np.nan]), np.array([1, 2]))


def noisy(seed, count=80, decimals=2):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, count)
    return target, np.clip(rng.normal(0.35 + 0.3 * target, 0.2), 0, 1).round(decimals)


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


@pytest.mark.parametrize("error_rate", [0, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_beyond_the_band_the_error_rate_is_kept_and_no_narrower_band_keeps_it(seed, error_rate):
    target, probability = noisy(seed, count=120)
    threshold = thresholds.choose_threshold(target, probability)
    band = calibration.choose_review_band(target, probability, threshold, error_rate)
    sure = ~band.holds(probability)
    for label, side in ((1, probability >= threshold), (0, probability < threshold)):
        wrong = target[side & sure] != label
        assert len(wrong) == 0 or wrong.mean() <= error_rate
        assert band.reached[("notflip", "flip")[label]] == (len(wrong) > 0)
        distance = np.abs(probability[side] - threshold)
        for cut in np.unique(distance[distance < distance[sure[side]].min(initial=np.inf)]):
            assert (target[side][distance >= cut] != label).mean() > error_rate


def test_a_faultless_validation_needs_no_band():
    band = calibration.choose_review_band([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.5, 0.01)
    assert (band.low, band.high, band.reached) == (None, None, {"flip": True, "notflip": True})
    assert not band.holds([0.5]).any()


def test_a_side_without_mistakes_stays_certain_up_to_the_threshold():
    band = calibration.choose_review_band([0, 1, 0, 1, 1], [0.1, 0.3, 0.45, 0.5, 0.9], 0.5, 0)
    assert band.low == pytest.approx(0.2)
    assert band.high < 0.5
    assert band.holds(np.float32([0.1, 0.3, 0.45, 0.5, 0.9])).tolist() == [False, True, True, False, False]


def test_a_label_that_is_never_sure_is_to_be_reviewed_altogether():
    band = calibration.choose_review_band([0, 0, 1, 0], [0.1, 0.2, 0.8, 0.9], 0.5, 0.1)
    assert band.reached == {"flip": False, "notflip": True}
    assert band.holds([0.1, 0.2, 0.8, 0.9, 1.0]).tolist() == [False, False, True, True, True]


def test_the_rest_is_measured_without_the_frames_of_the_band():
    table = pd.DataFrame({"target": [0, 1, 0, 1], "probability": [0.1, 0.4, 0.6, 0.9]})
    band = calibration.ReviewBand(0.3, 0.7, {})
    result = calibration.review_table(table, 0.5, band)
    assert (result["frames"], result["share"]) == (2, 0.5)
    assert result["rest"] == {"n": 2, "n_flip": 1, "f1": 1, "precision": 1, "recall": 1, "error_rate": 0}
    assert calibration.review_table(table, 0.5, calibration.ReviewBand(0, 1, {}))["rest"] is None
