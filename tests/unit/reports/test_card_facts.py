"""The card of the evaluation page."""

import json

import pandas as pd
import torch

from pageflip.reports.card_facts import count_parts, gather_facts, licences


def make_index(frames=8):
    rows = [(("notflip", "flip")[k % 2], f"{k // 4:04d}", k) for k in range(frames)]
    return pd.DataFrame(rows, columns=["label", "video", "frame"])


def make_assignment(index):
    clip = index["label"] + "/" + index["video"]
    parts = ["train", "train", "val", "val", "test", "test", "test", "unused"]
    return index.assign(row=range(len(index)), clip=clip, book=None, group=clip, part=parts)


def test_facts_tell_of_data_split_and_model(tmp_path):
    (tmp_path / "pack.json").write_text(json.dumps({"frames": 8}))
    (tmp_path / "leaks.json").write_text(json.dumps({"seed": 7, "distances": {"1": 5}}))
    config = {"fit": {"epochs": 3}, "network": "cnn", "weights_sha256": "ab" * 32}
    facts = gather_facts(config, tmp_path, tmp_path)
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
