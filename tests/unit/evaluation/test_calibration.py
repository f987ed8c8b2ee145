"""The temperature: fitted on validation, compared with a brute-force search."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from pageflip.base.errors import DataError
from pageflip.evaluation import calibration, metrics
from pageflip.params.evaluation import Temperature

BOUNDS = Temperature(lowest=0.25, highest=4, min_groups=5)


def draw(seed=0, groups=60, frames=8, sharpness=2.5):
    """Targets that follow the logits' own probabilities; the logits are then made `sharpness` times too sure."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), frames)
    logit = rng.normal(0, 1.5, groups)[group] + rng.normal(0, 0.5, len(group))
    target = (rng.random(len(group)) < expit(logit)).astype(int)
    return target, sharpness * logit, group


def test_the_temperature_takes_back_what_made_the_logits_too_sure():
    target, logit, group = draw()
    fit = calibration.fit_temperature(target, logit, group, BOUNDS)
    assert fit.reason is None
    assert fit.value == pytest.approx(2.5, rel=0.2)
    before, after = (
        metrics.expected_calibration_error(target, calibration.apply_temperature(logit, value))
        for value in (1, fit.value)
    )
    assert after < before / 2


def test_the_temperature_is_the_best_of_a_brute_force_search():
    target, logit, group = draw(seed=3, groups=30)
    weight = calibration.group_weights(group)
    grid = np.geomspace(0.25, 4, 201)
    losses = [log_loss(target, expit(logit / value), sample_weight=weight) for value in grid]
    fit = calibration.fit_temperature(target, logit, group, BOUNDS)
    assert fit.value == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)
    ours = calibration.negative_log_likelihood(target, logit / fit.value, weight)
    assert ours == pytest.approx(log_loss(target, expit(logit / fit.value), sample_weight=weight), abs=1e-9)
    assert ours <= min(losses)


def test_a_group_weighs_the_same_however_many_frames_it_has():
    target, logit, group = draw(seed=1)
    many = np.concatenate([np.flatnonzero(group == 4)] * 30)
    fits = [
        calibration.fit_temperature(target[rows], logit[rows], group[rows], BOUNDS).value
        for rows in (np.arange(len(group)), np.concatenate([np.arange(len(group)), many]))
    ]
    assert fits[1] == pytest.approx(fits[0], rel=1e-6)


def reason_of(target, logit, group):
    fit = calibration.fit_temperature(target, logit, group, BOUNDS)
    return fit.value, fit.reason


def test_it_stays_one_where_validation_says_too_little():
    target, logit, group = draw(groups=3)
    assert reason_of(target, logit, group)[0] == 1
    assert "only 3 validation groups have" in reason_of(target, logit, group)[1]
    assert "only 0 validation groups have flips" in reason_of(np.zeros(9, int), np.ones(9), np.arange(9))[1]


def test_a_validation_without_mistakes_makes_no_surer_than_its_number_of_groups_allows():
    target = np.repeat([0, 1], 10)
    logit, group = np.where(target == 1, 1.0, -1.0), np.arange(20)
    value, reason = reason_of(target, logit, group)
    assert reason is None
    assert calibration.apply_temperature(logit, value)[-1] == pytest.approx(11 / 12)


def test_it_stays_one_where_other_groups_gain_nothing():
    fits = [reason_of(*draw(seed=seed, groups=12, frames=2, sharpness=1)) for seed in range(30)]
    assert {value for value, reason in fits if reason and "do not help the others" in reason} == {1.0}


def test_an_optimum_beyond_a_bound_gives_the_bound():
    value, reason = reason_of(*draw(sharpness=9))
    assert (value, reason) == (4, "the optimum is beyond the bound 4")


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(DataError, match="cannot be calibrated"):
        reason_of(np.array([0, 1]), np.array([0.0, np.nan]), np.array([1, 2]))
