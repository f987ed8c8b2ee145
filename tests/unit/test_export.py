"""The one file that is served: it computes what the network computes, and carries what serving must know."""

import json

import numpy as np
import onnx
import pytest
import torch

from pageflip.errors import DataError
from pageflip.export import check_parity, export_onnx
from pageflip.inference import Predictor
from pageflip.networks import build_network, predict_rows

WIDTH, HEIGHT = 27, 48
FACTS = {"threshold": 0.375, "network": "cnn"}


def make_network(seed=0):
    torch.manual_seed(seed)
    return build_network("cnn", {"channels": (4, 8), "dropout": 0.2}).eval()


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export_onnx(network, path, width=WIDTH, height=HEIGHT, facts=FACTS)
    return path


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (70, HEIGHT, WIDTH, 3)).astype(np.uint8)


@pytest.mark.parametrize("count", [1, 3, 70])
def test_the_file_computes_what_the_network_computes_for_any_batch(network, exported, frames, count):
    expected = predict_rows(network, frames, np.arange(count))
    assert Predictor.load(exported).predict(frames[:count]) == pytest.approx(expected, abs=1e-5)


def test_the_file_carries_size_and_threshold(exported):
    predictor = Predictor.load(exported)
    assert (predictor.width, predictor.height, predictor.threshold) == (WIDTH, HEIGHT, 0.375)
    entries = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert json.loads(entries["pageflip"]) == {**FACTS, "width": WIDTH, "height": HEIGHT}


def test_the_same_network_gives_the_same_bytes(network, exported, tmp_path):
    export_onnx(network, tmp_path / "again.onnx", width=WIDTH, height=HEIGHT, facts=FACTS)
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


def test_the_file_holds_no_path_of_the_machine_that_made_it(exported):
    content = exported.read_bytes()
    for trace in (b"site-packages", b"/pageflip/", b"networks.py", b"Traceback"):
        assert trace not in content


def test_the_proof_passes_a_true_export_and_measures_it(network, exported, frames):
    assert check_parity(network, exported, frames, np.array([0, 5, 69]), 1e-4) < 1e-4


def test_the_proof_refuses_the_export_of_another_network(exported, frames):
    with pytest.raises(DataError, match=r"differs from the network by .*, allowed is 0\.0001"):
        check_parity(make_network(seed=1), exported, frames, np.arange(8), 1e-4)
