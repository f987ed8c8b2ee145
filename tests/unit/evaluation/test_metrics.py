"""The numbers of an evaluation: against scikit-learn, against slow references, and at their edges."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from pageflip.base.errors import ConfigError, DataError
from pageflip.evaluation import metrics
from predictions_factory import random_case, simulate


@pytest.mark.parametrize("seed", range(8))
def test_binary_metrics_equal_scikit_learn(seed):
    target, probability, _ = random_case(seed, n=50 + 37 * seed)
    threshold = seed / 8
    called = probability >= threshold
    ours = metrics.binary_metrics(target, probability, threshold)
    tn, fp, fn, tp = reference.confusion_matrix(target, called).ravel().tolist()
    assert ours["confusion"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    assert (ours["n"], ours["n_flip"]) == (len(target), int(target.sum()))
    expected = {
        "f1": reference.f1_score(target, called, zero_division=0),
        "precision": reference.precision_score(target, called, zero_division=0),
        "recall": reference.recall_score(target, called, zero_division=0),
        "accuracy": reference.accuracy_score(target, called),
        "roc_auc": reference.roc_auc_score(target, probability),
        "average_precision": reference.average_precision_score(target, probability),
        "brier": reference.brier_score_loss(target, probability),
    }
    assert {name: ours[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_a_set_of_flips_only_has_no_roc_auc():
    ours = metrics.binary_metrics([1, 1, 1], [0.9, 0.8, 0.1], 0.5)
    assert ours["roc_auc"] is None
    assert (ours["precision"], ours["recall"]) == (1.0, 2 / 3)


def test_a_set_without_flips_has_zeros_and_no_ranking_metrics():
    ours = metrics.binary_metrics([0, 0], [0.1, 0.2], 0.5)
    assert (ours["f1"], ours["precision"], ours["recall"], ours["accuracy"]) == (0.0, 0.0, 0.0, 1.0)
    assert ours["roc_auc"] is None
    assert ours["average_precision"] is None


@pytest.mark.parametrize(
    ("target", "probability", "message"),
    [
        ([], [], "no predictions"),
        ([0, 1], [0.5], "shape"),
        ([0, 2], [0.5, 0.5], "target 2"),
        ([0, 1], [0.5, np.nan], "probability nan of frame 1"),
        ([0, 1], [1.5, 0.5], "probability 1.5 of frame 0"),
    ],
)
def test_unusable_predictions_are_refused_with_the_value(target, probability, message):
    with pytest.raises(DataError, match=message):
        metrics.binary_metrics(target, probability, 0.5)


def slow_bootstrap(target, called, groups, samples, seed):
    """The same draws, frame by frame and with scikit-learn."""
    generator = np.random.default_rng(seed)
    names = np.unique(groups)
    scores = []
    for _ in range(samples):
        times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)))
        rows = np.concatenate(
            [np.tile(np.flatnonzero(groups == name), t) for name, t in zip(names, times, strict=True)]
        )
        scores.append(reference.f1_score(target[rows], called[rows], zero_division=0))
    return np.quantile(scores, [0.025, 0.975])


def test_interval_equals_a_slow_bootstrap_over_frames_of_drawn_groups():
    target, probability, groups = random_case(3)
    groups = groups + 10  # two digits: numbers and their names sort alike
    fast = metrics.bootstrap_interval(target, probability, groups, 0.5, samples=60, seed=1)
    assert fast == pytest.approx(slow_bootstrap(target, probability >= 0.5, groups, 60, 1), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_interval_contains_the_point_estimate(seed):
    target, probability, groups = random_case(seed)
    low, high = metrics.bootstrap_interval(target, probability, groups, 0.5, samples=400, seed=seed)
    assert low < metrics.binary_metrics(target, probability, 0.5)["f1"] < high


def test_interval_is_wider_for_fewer_groups():
    target, probability, groups = simulate(np.random.default_rng(5), groups=120, frames=4)
    widths = []
    for merged in (groups, groups // 10):
        low, high = metrics.bootstrap_interval(target, probability, merged, 0.5, samples=500, seed=0)
        widths.append(high - low)
    few = target[:48], probability[:48], groups[:48]
    low, high = metrics.bootstrap_interval(*few, 0.5, samples=500, seed=0)
    assert high - low > 1.5 * widths[0]
    assert widths[1] > 0


def test_interval_is_the_same_for_a_seed_and_does_not_depend_on_the_memory_bound(monkeypatch):
    target, probability, groups = random_case(1)
    once = metrics.bootstrap_interval(target, probability, groups, 0.5, samples=300, seed=9)
    assert metrics.bootstrap_interval(target, probability, groups, 0.5, samples=300, seed=9) == once
    assert metrics.bootstrap_interval(target, probability, groups, 0.5, samples=300, seed=8) != once
    monkeypatch.setattr("pageflip.evaluation.bootstrap._DRAWS_AT_ONCE", 50)
    assert metrics.bootstrap_interval(target, probability, groups, 0.5, samples=300, seed=9) == once


def test_interval_covers_the_true_f1_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    target, probability, _ = simulate(generator, groups=20_000)
    truth = metrics.binary_metrics(target, probability, 0.5)["f1"]
    covered = 0
    for _ in range(200):
        sample = simulate(generator, groups=40)
        low, high = metrics.bootstrap_interval(*sample, 0.5, samples=300, seed=0)
        covered += low <= truth <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_interval_over_frames_would_be_far_too_narrow():
    target, probability, groups = simulate(np.random.default_rng(2), groups=40)
    low, high = metrics.bootstrap_interval(target, probability, groups, 0.5, samples=400, seed=0)
    frames = np.arange(len(target))
    frame_low, frame_high = metrics.bootstrap_interval(target, probability, frames, 0.5, samples=400, seed=0)
    assert high - low > 1.5 * (frame_high - frame_low)


def test_interval_of_a_single_class_or_a_single_group_is_a_point():
    assert metrics.bootstrap_interval([0, 0], [0.1, 0.9], ["a", "b"], 0.5, samples=50, seed=0) == (0.0, 0.0)
    low, high = metrics.bootstrap_interval([0, 1, 1], [0.9, 0.9, 0.9], ["a"] * 3, 0.5, samples=50, seed=0)
    assert low == high == pytest.approx(0.8)


def test_interval_refuses_an_impossible_level_and_missing_groups():
    with pytest.raises(ConfigError, match=r"level 95"):
        metrics.bootstrap_interval([0, 1], [0.1, 0.9], ["a", "b"], 0.5, samples=5, seed=0, level=95)
    with pytest.raises(DataError, match="1 groups for 2 frames"):
        metrics.bootstrap_interval([0, 1], [0.1, 0.9], ["a"], 0.5, samples=5, seed=0)


EVEN = {"difference": 0.0, "low": 0.0, "high": 0.0, "probability_better": 0.5, "probability_not_worse": 1.0}


def test_paired_bootstrap_knows_a_better_model_from_the_same_one():
    generator = np.random.default_rng(4)
    target, strong, groups = simulate(generator, groups=60, skill=2.0)
    weak = np.clip(strong + generator.normal(0, 0.4, len(strong)), 0, 1)
    common = {"challenger_threshold": 0.5, "champion_threshold": 0.5, "samples": 400, "seed": 1}
    better = metrics.paired_bootstrap(target, strong, weak, groups, **common)
    worse = metrics.paired_bootstrap(target, weak, strong, groups, **common)
    same = metrics.paired_bootstrap(target, weak, weak, groups, **common)
    f1 = [metrics.binary_metrics(target, one, 0.5)["f1"] for one in (strong, weak)]
    assert better["difference"] == pytest.approx(f1[0] - f1[1])
    assert 0 < better["low"] < better["difference"] < better["high"]
    assert better["probability_better"] > 0.99
    not_worse = worse.pop("probability_not_worse")
    assert not_worse == pytest.approx(worse["probability_better"], abs=0.01)  # but for ties
    assert worse == pytest.approx(
        {
            "difference": -better["difference"],
            "low": -better["high"],
            "high": -better["low"],
            "probability_better": 1 - better["probability_better"],
        }
    )
    assert same == EVEN


def test_a_margin_makes_not_worse_of_a_little_worse():
    generator = np.random.default_rng(4)
    target, strong, groups = simulate(generator, groups=60, skill=2.0)
    weak = np.clip(strong + generator.normal(0, 0.4, len(strong)), 0, 1)
    common = {"challenger_threshold": 0.5, "champion_threshold": 0.5, "samples": 400, "seed": 1}
    drawn = [metrics.paired_bootstrap(target, weak, strong, groups, margin=m, **common) for m in (0.0, 0.05, 0.1, 1.0)]
    found = [one["probability_not_worse"] for one in drawn]
    assert found == sorted(found)
    assert found[0] < 0.01
    assert found[-1] == 1.0
    loss = -drawn[0]["difference"]
    half = metrics.paired_bootstrap(target, weak, strong, groups, margin=loss, **common)["probability_not_worse"]
    assert half == pytest.approx(0.5, abs=0.1)


def test_paired_bootstrap_without_a_flip_says_nothing_either_way():
    result = metrics.paired_bootstrap(
        [0, 0], [0.1, 0.1], [0.9, 0.9], ["a", "b"], challenger_threshold=0.5, champion_threshold=0.5, samples=9, seed=0
    )
    assert result == EVEN


def test_calibration_bins_hold_every_frame_and_match_a_slow_reference():
    target, probability, _ = random_case(2, decimals=1)
    bins = metrics.reliability_bins(target, probability, bins=10)
    assert sum(row["n"] for row in bins) == len(target)
    slow = 0.0
    for k, row in enumerate(bins):
        inside = [i for i, p in enumerate(probability) if min(int(p * 10), 9) == k]
        if inside:
            assert row["flip_share"] == pytest.approx(target[inside].mean())
            slow += len(inside) / len(target) * abs(probability[inside].mean() - target[inside].mean())
    assert metrics.expected_calibration_error(target, probability) == pytest.approx(slow)


def test_a_perfectly_calibrated_set_has_no_calibration_error():
    assert metrics.expected_calibration_error([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) == 0.0
    assert metrics.reliability_bins([1], [1.0])[9]["n"] == 1


def test_curves_are_thinned_keep_their_ends_and_are_plain_json():
    target, probability, _ = random_case(0, n=5000, decimals=9)
    points = metrics.compute_curves(target, probability)
    assert all(20 < len(curve) <= 200 for curve in points.values())
    assert (points["roc"][0]["fpr"], points["roc"][0]["tpr"]) == (0.0, 0.0)
    assert (points["roc"][-1]["fpr"], points["roc"][-1]["tpr"]) == (1.0, 1.0)
    assert points["pr"][0]["recall"] == 1.0
    assert points["pr"][-1] == {"recall": 0.0, "precision": 1.0, "threshold": None}
    json.dumps(points, allow_nan=False)
    assert metrics.compute_curves([1, 1], [0.2, 0.3]) == {"roc": [], "pr": []}
