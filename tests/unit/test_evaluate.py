"""The stage `evaluate`: it measures the frames that the split names, and no others."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from pageflip.errors import DataError
from tasks.evaluate import check_split_of_frames, count_parts, gather_facts, licences, predict_parts


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
