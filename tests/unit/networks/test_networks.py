"""Networks and their weights on disk."""

import json

import numpy as np
import pytest
import torch

from pageflip.base.errors import DataError
from pageflip.networks import predict
from pageflip.networks.build import REGISTRY, build_network
from pageflip.networks.predict import predict_rows
from pageflip.networks.saved import load_network, read_config, save_network

SETTINGS = {
    "cnn": {"channels": (4, 8), "dropout": 0.2},
    "efficientnet_lite0": {"stages": 2, "last": 8, "frozen": 1, "dropout": 0.2, "initial": "nowhere.safetensors"},
    "mobilenet_v2": {"frozen": 2, "dropout": 0.2, "initial": "imagenet"},
    "resnet18": {"frozen": 4, "dropout": 0.2, "initial": "imagenet"},
}
HEIGHT, WIDTH = 48, 27


def make(name="cnn", seed=0):
    torch.manual_seed(seed)
    return build_network(name, SETTINGS[name]).eval()


def save(folder, network, name="cnn"):
    folder.mkdir(parents=True, exist_ok=True)
    return save_network(folder, network, {"network": name, "settings": SETTINGS[name], "width": 27, "height": 48})


def noise(count=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, HEIGHT, WIDTH, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_network_gives_one_logit_a_frame_at_any_size(name):
    network = make(name)
    for shape in ((3, 3, HEIGHT, WIDTH), (1, 3, 33, 65)):
        logits = network(torch.rand(shape))
        assert (logits.shape, logits.dtype) == ((shape[0],), torch.float32)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_saved_weights_load_to_the_same_network(name, tmp_path):
    network = make(name)
    digest = save(tmp_path, network, name)
    loaded = load_network(tmp_path)
    assert not loaded.training
    assert read_config(tmp_path)["weights_sha256"] == digest
    assert (predict_rows(loaded, noise(), np.arange(5)) == predict_rows(network, noise(), np.arange(5))).all()


def test_a_trained_network_loads_without_the_weights_that_its_training_began_with(tmp_path):
    save(tmp_path, make("efficientnet_lite0"), "efficientnet_lite0")
    assert read_config(tmp_path)["settings"]["initial"] == "nowhere.safetensors"
    load_network(tmp_path)


def test_equal_weights_give_equal_bytes_and_others_do_not(tmp_path):
    first, again, other = (save(tmp_path / str(n), make(seed=seed)) for n, seed in enumerate((0, 0, 1)))
    assert first == again != other


def test_weights_that_the_config_does_not_name_are_refused(tmp_path):
    save(tmp_path, make())
    weights = tmp_path / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"weights\.safetensors has the SHA-256 .*, its config names"):
        load_network(tmp_path)


def test_missing_models_and_weights_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no trained model in"):
        load_network(tmp_path)
    save(tmp_path, make())
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(DataError, match="there is no trained model in"):
        load_network(tmp_path)


def test_a_model_folder_is_readable_by_others_and_holds_no_pickle(tmp_path):
    save(tmp_path, make())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "weights.safetensors"]
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in tmp_path.iterdir())
    json.loads((tmp_path / "config.json").read_text())


def test_probabilities_are_those_of_the_chosen_rows_whatever_the_batch(monkeypatch):
    network, frames = make(), noise(9)
    whole = predict_rows(network, frames, np.arange(9))
    assert (whole.shape, whole.dtype) == ((9,), np.float32)
    assert ((whole > 0) & (whole < 1)).all()
    monkeypatch.setattr(predict, "BATCH", 2)
    assert predict_rows(network, frames, np.array([7, 2, 2])) == pytest.approx(whole[[7, 2, 2]], abs=1e-6)
    assert predict_rows(network, frames, np.arange(0)).shape == (0,)


def test_exposure_and_contrast_hardly_move_the_compact_network():
    network = make()
    frames = torch.rand((4, 3, HEIGHT, WIDTH)) * 0.6 + 0.1
    with torch.inference_mode():
        difference = (network(frames) - network(frames * 1.2 + 0.05)).abs().max()
        opposite = (network(frames) - network(1 - frames)).abs().max()
    assert difference < opposite / 4
    assert torch.isfinite(network(torch.zeros((1, 3, HEIGHT, WIDTH)))).all()
