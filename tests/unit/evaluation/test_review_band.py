"""The review band: chosen on validation, compared with slow searches."""

import numpy as np
import pandas as pd
import pytest

from pageflip.evaluation import review_band, thresholds
from predictions_factory import noisy


@pytest.mark.parametrize("error_rate", [0, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_beyond_the_band_the_error_rate_is_kept_and_no_narrower_band_keeps_it(seed, error_rate):
    target, probability = noisy(seed, count=120)
    threshold = thresholds.choose_threshold(target, probability)
    band = review_band.choose_review_band(target, probability, threshold, error_rate)
    sure = ~band.contains(probability)
    for label, side in ((1, probability >= threshold), (0, probability < threshold)):
        wrong = target[side & sure] != label
        assert len(wrong) == 0 or wrong.mean() <= error_rate
        assert band.reached[("notflip", "flip")[label]] == (len(wrong) > 0)
        distance = np.abs(probability[side] - threshold)
        for cut in np.unique(distance[distance < distance[sure[side]].min(initial=np.inf)]):
            assert (target[side][distance >= cut] != label).mean() > error_rate


def test_a_faultless_validation_needs_no_band():
    band = review_band.choose_review_band([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.5, 0.01)
    assert (band.low, band.high, band.reached) == (None, None, {"flip": True, "notflip": True})
    assert not band.contains([0.5]).any()


def test_a_side_without_mistakes_stays_certain_up_to_the_threshold():
    band = review_band.choose_review_band([0, 1, 0, 1, 1], [0.1, 0.3, 0.45, 0.5, 0.9], 0.5, 0)
    assert band.low == pytest.approx(0.2)
    assert band.high < 0.5
    assert band.contains(np.float32([0.1, 0.3, 0.45, 0.5, 0.9])).tolist() == [False, True, True, False, False]


def test_a_label_that_is_never_sure_is_to_be_reviewed_altogether():
    band = review_band.choose_review_band([0, 0, 1, 0], [0.1, 0.2, 0.8, 0.9], 0.5, 0.1)
    assert band.reached == {"flip": False, "notflip": True}
    assert band.contains([0.1, 0.2, 0.8, 0.9, 1.0]).tolist() == [False, False, True, True, True]


def test_the_rest_is_measured_without_the_frames_of_the_band():
    table = pd.DataFrame({"target": [0, 1, 0, 1], "probability": [0.1, 0.4, 0.6, 0.9]})
    band = review_band.ReviewBand(0.3, 0.7, {})
    result = review_band.review_table(table, 0.5, band)
    assert (result["frames"], result["share"]) == (2, 0.5)
    assert result["rest"] == {"n": 2, "n_flip": 1, "f1": 1, "precision": 1, "recall": 1, "error_rate": 0}
    assert review_band.review_table(table, 0.5, review_band.ReviewBand(0, 1, {}))["rest"] is None
