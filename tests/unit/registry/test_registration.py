"""The stage `register`: which files are offered, and what the card says of them."""

import numpy as np
import pandas as pd
import pytest
import torch

from pageflip.base.files import sha256_of
from pageflip.evaluation.exported import band_of, export_files
from pageflip.networks.build import build_network
from pageflip.networks.onnx_export import export_onnx
from pageflip.params.all import load_params
from pageflip.params.register import Int8
from pageflip.registry import versions

WIDTH, HEIGHT = 27, 48


@pytest.fixture(scope="module")
def parts():
    """A network, a pack and a split of it."""
    torch.manual_seed(0)
    network = build_network("cnn", {"channels": (4, 8), "dropout": 0.2}).eval()
    frames = np.random.default_rng(0).integers(0, 256, (24, HEIGHT, WIDTH, 3)).astype(np.uint8)
    part = ["train"] * 12 + ["val"] * 8 + ["test"] * 4
    return network, frames, pd.DataFrame({"row": range(24), "label": ["flip", "notflip"] * 12, "part": part})


def export(parts, folder, params_file, max_f1_loss):
    network, frames, assignment = parts
    path = folder / versions.MODEL_FILE
    export_onnx(network, path, width=WIDTH, height=HEIGHT, facts={"threshold": 0.5})
    int8 = Int8.model_construct(calibration_frames=8, max_f1_loss=max_f1_loss)
    params = load_params(params_file).register_.model_copy(update={"int8": int8, "latency_runs": 3})
    return export_files(network, path, frames, assignment, params, 1.0)


def test_an_int8_file_that_keeps_its_f1_is_offered_and_measured(parts, tmp_path, params_file):
    files = export(parts, tmp_path, params_file, 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == [versions.INT8_FILE, versions.MODEL_FILE]
    for row in files.values():
        assert row["sha256"] == sha256_of(tmp_path / row["file"])
        assert row["bytes"] == (tmp_path / row["file"]).stat().st_size
        assert (row["offered"], row["reason"]) == (True, None)
    assert files["fp32"]["largest_difference"] < 1e-5 < files["int8"]["largest_difference"]


def test_an_int8_file_that_loses_more_than_allowed_is_taken_away_and_the_card_says_why(parts, tmp_path, params_file):
    files = export(parts, tmp_path, params_file, -100.5)  # no file keeps such a limit
    assert [path.name for path in tmp_path.iterdir()] == [versions.MODEL_FILE]
    assert files["fp32"]["offered"] is True
    assert files["int8"]["offered"] is False
    assert files["int8"]["reason"].endswith("points of F1; -100.5 are allowed")


def test_the_file_carries_the_band_that_was_chosen_or_none():
    assert band_of({"low": 0.25, "high": 0.75}) == [0.25, 0.75]
    assert band_of({"low": None, "high": None}) is None
