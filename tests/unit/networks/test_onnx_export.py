"""Exported ONNX files: the same probabilities as the network, and metadata for prediction."""

import json

import numpy as np
import onnx
import pytest
import torch

from pageflip.base.errors import DataError
from pageflip.evaluation.exported import check_parity, measure_file
from pageflip.inference.predictor import Predictor
from pageflip.networks.build import build_network
from pageflip.networks.onnx_export import IR_VERSION, OPSET, export_onnx, quantize_onnx
from pageflip.networks.predict import predict_rows

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


def test_the_parity_check_measures_a_correct_export(network, exported, frames):
    assert check_parity(network, exported, frames, np.array([0, 5, 69]), 1e-4) < 1e-4


def test_the_parity_check_refuses_the_export_of_another_network(exported, frames):
    with pytest.raises(DataError, match=r"differs from the network by .*; 0\.0001 is allowed"):
        check_parity(make_network(seed=1), exported, frames, np.arange(8), 1e-4)


def test_the_temperature_is_inside_the_graph(network, frames, tmp_path):
    path = tmp_path / "soft.onnx"
    export_onnx(network, path, width=WIDTH, height=HEIGHT, facts=FACTS, temperature=2.5)
    assert check_parity(network, path, frames, np.arange(8), 1e-5, temperature=2.5) < 1e-5
    with pytest.raises(DataError, match="differs from the network"):
        check_parity(network, path, frames, np.arange(8), 1e-5)


@pytest.fixture(scope="module")
def int8(exported, frames):
    path = exported.with_name("model.int8.onnx")
    quantize_onnx(exported, path, frames[:40])
    return path


def test_the_int8_twin_takes_the_same_pixels_and_says_nearly_the_same(network, int8, exported, frames):
    expected = predict_rows(network, frames, np.arange(70))
    probability = Predictor.load(int8).predict(frames)
    assert probability == pytest.approx(expected, abs=0.05)
    assert (probability != Predictor.load(exported).predict(frames)).any()
    assert {entry.key: entry.value for entry in onnx.load(int8).metadata_props} == {
        entry.key: entry.value for entry in onnx.load(exported).metadata_props
    }


def test_the_int8_twin_holds_int8_weights_for_each_channel_and_no_path_of_the_machine(int8):
    model = onnx.load(int8)
    weights = [value for value in model.graph.initializer if value.data_type == onnx.TensorProto.INT8 and value.dims]
    assert [len(value.dims) for value in weights].count(4) == 3
    scales = {value.name: value.dims for value in model.graph.initializer if value.name.endswith("_scale")}
    assert sorted(dims[0] for dims in scales.values() if dims) == [4, 8, 8]
    for trace in (b"site-packages", b"/pageflip/", b"/tmp/"):
        assert trace not in int8.read_bytes()


def test_the_same_file_and_frames_give_the_same_int8_bytes(int8, exported, frames, tmp_path):
    quantize_onnx(exported, tmp_path / "again.onnx", frames[:40])
    assert (tmp_path / "again.onnx").read_bytes() == int8.read_bytes()


def test_both_files_keep_to_what_older_runtimes_on_phones_load(int8, exported):
    for path in (int8, exported):
        model = onnx.load(path)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
        assert model.ir_version == IR_VERSION
        (size,) = {value.type.tensor_type.elem_type for value in model.graph.input}
        assert size == onnx.TensorProto.UINT8


def test_a_file_is_measured_against_the_networks_own_probabilities(network, exported, frames):
    rows = np.arange(20)
    expected = predict_rows(network, frames, rows)
    target = (expected >= np.median(expected)).astype(int)
    facts = measure_file(exported, frames, rows, target, expected, latency_runs=3)
    assert facts["f1_loss"] == pytest.approx(0)
    assert facts["largest_difference"] < 1e-5
    assert facts["bytes"] == exported.stat().st_size
    assert facts["latency_ms"] > 0
    never = measure_file(exported, frames, rows, target, np.zeros(20, np.float32), latency_runs=3)
    assert never["f1_loss"] == -100 * never["f1"] < 0
