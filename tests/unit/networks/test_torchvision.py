"""torchvision's networks: their weights from files of either naming, and what happens without a network."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from pageflip.base.errors import ConfigError, DataError
from pageflip.networks.build import build_network
from pageflip.networks.initial_weights import load_initial

BUILDERS = {"mobilenet_v2": models.mobilenet_v2, "resnet18": models.resnet18}


def make(name, seed=0, frozen=0):
    torch.manual_seed(seed)
    return build_network(name, {"frozen": frozen, "dropout": 0.0, "initial": "none"}).eval()


@pytest.mark.parametrize("name", BUILDERS)
def test_a_file_with_torchvisions_names_gives_torchvisions_features(name, tmp_path):
    torch.manual_seed(5)
    theirs = BUILDERS[name](weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "published.pth")
    network = make(name)
    load_initial(network, str(tmp_path / "published.pth"))
    frames = torch.rand((2, 3, 96, 64))
    with torch.inference_mode():
        if name == "resnet18":
            theirs.fc, theirs.avgpool = torch.nn.Identity(), torch.nn.Identity()
            expected = theirs(frames)
        else:
            expected = theirs.features(frames).flatten(1)
        assert torch.allclose(network.body(frames).flatten(1), expected, atol=1e-5)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_file_of_our_own_network_brings_the_head_too(name, tmp_path):
    source, network = make(name, seed=1), make(name, seed=2)
    save_file(source.state_dict(), tmp_path / "ours.safetensors")
    load_initial(network, (tmp_path / "ours.safetensors").as_uri())
    assert torch.equal(network.head[1].weight, source.head[1].weight)


def test_weights_of_another_network_are_refused_and_the_first_missing_is_named(tmp_path):
    save_file(make("resnet18").state_dict(), tmp_path / "resnet.safetensors")
    with pytest.raises(DataError, match=r"resnet\.safetensors does not fit mobilenet_v2: \d+ weights are missing"):
        load_initial(make("mobilenet_v2"), str(tmp_path / "resnet.safetensors"))


def test_there_are_no_day_zero_weights_for_torchvisions_networks():
    with pytest.raises(ConfigError, match="there are no day-zero weights for resnet18"):
        load_initial(make("resnet18"), "day-zero")


@pytest.mark.parametrize("name", BUILDERS)
def test_imagenet_without_a_network_says_which_file_to_fetch(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # an empty cache
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ConfigError, match=rf"cannot be downloaded: (.*\n.*)fetch {name}-\w+\.pth") as caught:
        load_initial(make(name), "imagenet")
    assert str(tmp_path) in caught.value.remedy


@pytest.mark.parametrize("name", BUILDERS)
def test_imagenet_is_taken_from_torchvisions_cache_when_its_hash_is_right(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    file = models.get_model_weights(name).DEFAULT.url.rsplit("/", 1)[-1]
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.manual_seed(5)
    theirs = BUILDERS[name](weights=None)
    torch.save(theirs.state_dict(), cache / file)
    network = make(name)
    load_initial(network, "imagenet")
    first = next(tensor for key, tensor in theirs.state_dict().items())
    assert torch.equal(next(iter(network.body.state_dict().values())), first)


def test_parts_that_are_frozen_take_no_gradient_and_too_many_are_refused():
    network = make("resnet18", frozen=5).train()
    assert not any(parameter.requires_grad for parameter in network.body[4].parameters())
    assert all(parameter.requires_grad for parameter in network.body[5].parameters())
    assert not network.body[1].training
    with pytest.raises(ConfigError, match="frozen is 9"):
        make("resnet18", frozen=9)
