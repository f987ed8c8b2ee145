"""Evaluation of a network: which frames, and what is chosen where."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from pageflip.base.errors import DataError
from pageflip.evaluation.judging import (
    calibrate_and_evaluate,
    check_split_of_frames,
    choose_threshold_for,
    evaluate_predictions,
    predict_parts,
)
from pageflip.evaluation.thresholds import choose_threshold
from pageflip.params.all import load_params
from pageflip.params.evaluation import Threshold
from predictions_factory import predictions


def make_index(frames=8):
    rows = [(("notflip", "flip")[k % 2], f"{k // 4:04d}", k) for k in range(frames)]
    return pd.DataFrame(rows, columns=["label", "video", "frame"])


def make_assignment(index):
    clip = index["label"] + "/" + index["video"]
    parts = ["train", "train", "val", "val", "test", "test", "test", "unused"]
    return index.assign(row=range(len(index)), clip=clip, book=None, group=clip, part=parts)


class Brightness(torch.nn.Module):
    def forward(self, frames):
        return frames.mean(dim=(1, 2, 3)) * 8 - 4


def test_a_split_of_the_same_frames_is_accepted(tmp_path):
    index = make_index()
    check_split_of_frames(make_assignment(index), index, tmp_path)


def test_a_split_of_other_frames_is_refused(tmp_path):
    index = make_index()
    assignment = make_assignment(index)
    with pytest.raises(DataError, match="was not made from these frames"):
        check_split_of_frames(assignment, index.assign(frame=index["frame"] + 1), tmp_path)
    with pytest.raises(DataError, match="was not made from these frames"):
        check_split_of_frames(assignment, index.head(5), tmp_path)


def test_predictions_are_those_of_the_rows_of_validation_and_test():
    pack = np.stack([np.full((4, 3, 3), 30 * k, np.uint8) for k in range(8)])
    table = predict_parts(Brightness(), pack, make_assignment(make_index()))
    assert table["row"].tolist() == [2, 3, 4, 5, 6]
    assert table["part"].tolist() == ["val"] * 2 + ["test"] * 3
    assert table["target"].tolist() == [0, 1, 0, 1, 0]
    expected = 1 / (1 + np.exp(-(8 * 30 * table["row"] / 255 - 4)))
    assert table["probability"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)


def test_an_empty_part_is_refused_by_name():
    assignment = make_assignment(make_index())
    with pytest.raises(DataError, match="part test has no frames"):
        predict_parts(Brightness(), np.zeros((8, 4, 3, 3), np.uint8), assignment[assignment["part"] != "test"])


def make_predictions(sharpness=2.0):
    """40 clips of 5 frames a part, whose logits are too sure by the factor `sharpness`."""
    rng = np.random.default_rng(1)
    tables = []
    for part in ("val", "test"):
        clip = np.repeat([f"{part}{number:02d}" for number in range(40)], 5)
        logit = np.repeat(rng.normal(0, 2, 40), 5) + rng.normal(0, 0.3, 200)
        target = (rng.random(200) < 1 / (1 + np.exp(-logit))).astype(int)
        table = pd.DataFrame({"row": range(200), "target": target, "clip": clip, "group": clip, "part": part})
        table["label"] = np.where(target == 1, "flip", "notflip")
        tables.append(
            table.assign(video=clip, frame=range(200), book=None, logit=(sharpness * logit).astype(np.float32))
        )
    table = pd.concat(tables, ignore_index=True)
    return table.assign(probability=1 / (1 + np.exp(-table["logit"])))


def test_validation_alone_chooses_temperature_threshold_and_band(params_file):
    params = load_params(params_file).evaluate.model_copy(update={"bootstrap_samples": 20})
    plain = make_predictions()
    table, metrics = calibrate_and_evaluate(plain, params, protocol="grouped", unit="clip")
    again = plain.assign(target=np.where(plain["part"] == "test", 1 - plain["target"], plain["target"]))
    _, other = calibrate_and_evaluate(again, params, protocol="grouped", unit="clip")
    assert metrics["calibration"]["temperature"] == pytest.approx(2, rel=0.4)
    for key in ("temperature", "reason", "val"):
        assert metrics["calibration"][key] == other["calibration"][key]
    assert metrics["threshold_choice"] == other["threshold_choice"]
    assert [metrics["review"][key] for key in ("low", "high", "val")] == [
        other["review"][key] for key in ("low", "high", "val")
    ]
    assert metrics["calibration"]["test"]["ece_after"] == metrics["ece"] < metrics["calibration"]["test"]["ece_before"]
    assert table["probability"].to_numpy() == pytest.approx(
        1 / (1 + np.exp(-plain["logit"] / metrics["calibration"]["temperature"])), abs=1e-6
    )
    json.dumps(metrics, allow_nan=False)


def test_a_wanted_precision_is_used_where_it_is_reached_and_said_where_it_is_not():
    val = make_predictions().query("part == 'val'")
    reached = choose_threshold_for(Threshold(precision=0.8), val)
    assert (reached["wanted"], reached["reached"]) == ("precision 0.8", True)
    assert val.loc[val["probability"] >= reached["threshold"], "target"].mean() >= 0.8
    val = val.assign(probability=np.where(val["target"] == 1, val["probability"], 1.0))
    missed = choose_threshold_for(Threshold(precision=0.99), val)
    assert (missed["reached"], missed["threshold"]) == (
        False,
        choose_threshold_for(Threshold.model_validate("f1"), val)["threshold"],
    )


def test_evaluation_is_plain_json_and_the_same_every_time():
    val, test = predictions(1, "val"), predictions(2, "test")
    result = evaluate_predictions(val, test, bootstrap_samples=100, seed=3)
    text = json.dumps(result, allow_nan=False)
    assert text == json.dumps(evaluate_predictions(val, test, bootstrap_samples=100, seed=3))
    assert result["threshold"] == choose_threshold(val["target"], val["probability"])
    assert result["f1_low"] <= result["f1"] <= result["f1_high"]
    assert (result["protocol"], result["unit"], result["n_groups"]) == ("clip-disjoint", "clip", 24)
    assert len(result["books"]) == 3
    assert result["clips"]["n"] == len(result["clips"]["table"]) == 24


def test_evaluation_takes_nothing_from_the_test_part():
    val, test = predictions(1, "val"), predictions(2, "test")
    spoiled = test.assign(probability=0.5)
    ours = [evaluate_predictions(val, one, bootstrap_samples=5, seed=0) for one in (test, spoiled)]
    assert ours[0]["threshold"] == ours[1]["threshold"]
    assert ours[0]["val"] == ours[1]["val"]


def test_evaluation_refuses_a_group_in_both_parts_unless_the_supplied_split_is_asked_for():
    val, test = predictions(1, "val"), predictions(2, "val")
    with pytest.raises(DataError, match="24 groups are in both validation and test"):
        evaluate_predictions(val, test, bootstrap_samples=5, seed=0)
    result = evaluate_predictions(val, test, bootstrap_samples=5, seed=0, protocol="supplied")
    assert result["protocol"] == "supplied (leaky)"


def test_evaluation_of_a_test_part_with_one_class_does_not_crash():
    val, test = predictions(1, "val"), predictions(2, "test")
    result = evaluate_predictions(val, test[test["target"] == 1], bootstrap_samples=20, seed=0)
    assert result["roc_auc"] is None
    assert result["curves"] == {"roc": [], "pr": []}
    json.dumps(result, allow_nan=False)
