"""The stage `evaluate`: it measures the frames that the split names, and no others."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from pageflip.base.errors import DataError
from pageflip.evaluation.judging import check_split_of_frames, choose, judge, predict_parts
from pageflip.params.all import load_params
from pageflip.params.evaluation import Threshold
from pageflip.reports.card_facts import count_parts, gather_facts, licences


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
    with pytest.raises(DataError, match="was not made of these frames"):
        check_split_of_frames(assignment, index.assign(frame=index["frame"] + 1), tmp_path)
    with pytest.raises(DataError, match="was not made of these frames"):
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
    with pytest.raises(DataError, match="part test holds no frames"):
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
    table, metrics = judge(plain, params, protocol="grouped", unit="clip")
    again = plain.assign(target=np.where(plain["part"] == "test", 1 - plain["target"], plain["target"]))
    _, other = judge(again, params, protocol="grouped", unit="clip")
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
    reached = choose(val, Threshold(precision=0.8))
    assert (reached["wanted"], reached["reached"]) == ("precision 0.8", True)
    assert val.loc[val["probability"] >= reached["threshold"], "target"].mean() >= 0.8
    val = val.assign(probability=np.where(val["target"] == 1, val["probability"], 1.0))
    missed = choose(val, Threshold(precision=0.99))
    assert (missed["reached"], missed["threshold"]) == (False, choose(val, Threshold.model_validate("f1"))["threshold"])


def test_facts_tell_of_data_split_and_model(tmp_path):
    (tmp_path / "pack.json").write_text(json.dumps({"frames": 8}))
    (tmp_path / "leaks.json").write_text(json.dumps({"seed": 7, "distances": {"1": 5}}))
    config = {"fit": {"epochs": 3}, "network": "cnn", "weights_sha256": "ab" * 32}
    facts = gather_facts(make_assignment(make_index()), config, tmp_path, tmp_path)
    assert facts["Data"]["frames"] == 8
    assert facts["Split"]["seed"] == 7
    assert "distances" not in facts["Split"]
    assert facts["Model"]["weights_sha256"] == "ab" * 32
    assert facts["Training"] == {"fit.epochs": 3}
    assert facts["Environment"]["torch"] == torch.__version__.split("+")[0]
    assert facts["Licences"]["initial weights"] == "none, trained from scratch"


def test_the_licences_of_the_weights_that_a_training_began_from_are_told():
    assert "Apache-2.0" in licences("day-zero")["initial weights (day-zero), imagenet"]
    assert licences("s3://bucket/start.safetensors")["initial weights"].startswith("s3://bucket/start.safetensors")


def test_parts_are_counted_in_their_order():
    counted = count_parts(make_assignment(make_index()))
    assert [row["part"] for row in counted] == ["train", "val", "test", "unused"]
    assert counted[2] == {"part": "test", "frames": 3, "flips": 1, "clips": 2, "groups": 2, "books": 0}
