"""The numbers of an evaluation: against scikit-learn, against slow references, and at their edges."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from pageflip.base.errors import ConfigError, DataError
from pageflip.evaluation import judging, metrics, tables, thresholds


def random_case(seed, n=200, decimals=2):
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 2, n)
    probability = np.clip(generator.normal(0.35 + 0.3 * target, 0.25), 0, 1).round(decimals)
    groups = generator.integers(0, 12, n)
    return target, probability, groups


def simulate(generator, groups=24, frames=12, skill=1.0):
    """Clips of one label each whose frames share an offset, as frames of one clip do."""
    label = np.arange(groups) % 2
    score = (2 * label - 1) * skill + generator.normal(0, 1, groups)
    score = np.repeat(score, frames) + generator.normal(0, 0.5, groups * frames)
    return np.repeat(label, frames), 1 / (1 + np.exp(-score)), np.repeat(np.arange(groups), frames)


def table(target, probability, clips, books=None, part="test"):
    labels = ["flip" if one else "notflip" for one in target]
    names = [f"{label}/{clip}" for label, clip in zip(labels, clips, strict=True)]
    return pd.DataFrame(
        {
            "row": range(len(target)),
            "label": labels,
            "video": [str(clip) for clip in clips],
            "frame": range(len(target)),
            "clip": names,
            "book": books if books is not None else [None] * len(target),
            "group": [f"{part}:{name}" for name in names],
            "part": part,
            "target": target,
            "probability": probability,
        }
    )


def predictions(seed, part):
    target, probability, groups = simulate(np.random.default_rng(seed))
    return table(target, probability, [f"{group:04d}" for group in groups], [f"b{g % 3}" for g in groups], part)


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
    points = metrics.curves(target, probability)
    assert all(20 < len(curve) <= 200 for curve in points.values())
    assert (points["roc"][0]["fpr"], points["roc"][0]["tpr"]) == (0.0, 0.0)
    assert (points["roc"][-1]["fpr"], points["roc"][-1]["tpr"]) == (1.0, 1.0)
    assert points["pr"][0]["recall"] == 1.0
    assert points["pr"][-1] == {"recall": 0.0, "precision": 1.0, "threshold": None}
    json.dumps(points, allow_nan=False)
    assert metrics.curves([1, 1], [0.2, 0.3]) == {"roc": [], "pr": []}


def test_clip_table_calls_a_clip_by_at_least_half_of_its_frames():
    frame = table([1, 1, 1, 1, 0, 0, 0], [0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1], ["0001"] * 7)
    rows = tables.clip_table(frame, 0.5)
    assert [(row["clip"], row["flip_share"], row["verdict"], row["correct"], row["errors"]) for row in rows] == [
        ("flip/0001", 0.5, "flip", True, 2),
        ("notflip/0001", pytest.approx(1 / 3), "notflip", True, 1),
    ]
    assert rows[0]["mean_probability"] == pytest.approx(0.5)
    verdicts = tables.clip_verdicts(rows)
    assert (verdicts["n"], verdicts["accuracy"], verdicts["f1"]) == (2, 1.0, 1.0)


def test_book_table_gives_no_f1_where_a_book_has_one_label_and_skips_frames_without_a_book():
    frame = table([1, 0, 1, 1, 0], [0.9, 0.9, 0.9, 0.1, 0.2], ["a", "b", "c", "c", "d"], ["x", "x", "y", "y", None])
    rows = tables.book_table(frame, 0.5)
    assert [(row["book"], row["n"], row["clips"]) for row in rows] == [("x", 2, 2), ("y", 2, 1)]
    assert rows[0]["f1"] == pytest.approx(2 / 3)
    assert (rows[1]["f1"], rows[1]["precision"], rows[1]["recall"], rows[1]["accuracy"]) == (None, None, None, 0.5)
    assert tables.book_table(frame.assign(book=None), 0.5) == []


def test_worst_mistakes_come_worst_first_and_from_more_than_one_clip():
    frame = table([0] * 6 + [1, 0], [0.99, 0.98, 0.97, 0.96, 0.95, 0.1, 0.4, 0.6], ["a"] * 6 + ["b", "c"])
    worst = tables.worst_mistakes(frame, 0.5, 10)
    assert worst["probability"].tolist() == [0.99, 0.98, 0.97, 0.4, 0.6]
    assert len(tables.worst_mistakes(frame, 0.5, 2)) == 2
    assert tables.worst_mistakes(frame, 0.5, 0).empty


def test_evaluation_is_plain_json_and_the_same_every_time():
    val, test = predictions(1, "val"), predictions(2, "test")
    result = judging.evaluate_predictions(val, test, bootstrap_samples=100, seed=3)
    text = json.dumps(result, allow_nan=False)
    assert text == json.dumps(judging.evaluate_predictions(val, test, bootstrap_samples=100, seed=3))
    assert result["threshold"] == thresholds.choose_threshold(val["target"], val["probability"])
    assert result["f1_low"] <= result["f1"] <= result["f1_high"]
    assert (result["protocol"], result["unit"], result["n_groups"]) == ("clip-disjoint", "clip", 24)
    assert len(result["books"]) == 3
    assert result["clips"]["n"] == len(result["clips"]["table"]) == 24


def test_evaluation_takes_nothing_from_the_test_part():
    val, test = predictions(1, "val"), predictions(2, "test")
    spoiled = test.assign(probability=0.5)
    ours = [judging.evaluate_predictions(val, one, bootstrap_samples=5, seed=0) for one in (test, spoiled)]
    assert ours[0]["threshold"] == ours[1]["threshold"]
    assert ours[0]["val"] == ours[1]["val"]


def test_evaluation_refuses_a_group_in_both_parts_unless_the_supplied_split_is_asked_for():
    val, test = predictions(1, "val"), predictions(2, "val")
    with pytest.raises(DataError, match="24 groups stand in validation and in test"):
        judging.evaluate_predictions(val, test, bootstrap_samples=5, seed=0)
    result = judging.evaluate_predictions(val, test, bootstrap_samples=5, seed=0, protocol="supplied")
    assert result["protocol"] == "supplied (leaky)"


def test_evaluation_of_a_test_part_with_one_class_does_not_crash():
    val, test = predictions(1, "val"), predictions(2, "test")
    result = judging.evaluate_predictions(val, test[test["target"] == 1], bootstrap_samples=20, seed=0)
    assert result["roc_auc"] is None
    assert result["curves"] == {"roc": [], "pr": []}
    json.dumps(result, allow_nan=False)


def test_flat_numbers_have_dotted_names_and_leave_tables_and_gaps_out():
    nested = {"f1": 0.5, "roc_auc": None, "unit": "clip", "val": {"n": 3}, "books": [{"f1": 1}], "ok": True}
    assert metrics.flat_numbers(nested) == {"f1": 0.5, "val.n": 3.0}
