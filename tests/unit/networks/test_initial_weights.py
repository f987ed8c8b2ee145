"""The weights that a training starts from."""

import pytest
import torch
from safetensors.torch import save_file

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import sha256_of
from pageflip.inference import cards, day_zero
from pageflip.networks import initial_weights
from pageflip.networks.build import build_network
from pageflip.networks.efficientnet_lite import published_names
from pageflip.networks.initial_weights import fingerprint, load_initial


def make(seed=0, stages=2, last=8):
    torch.manual_seed(seed)
    settings = {"stages": stages, "last": last, "frozen": 0, "dropout": 0.2}
    return build_network("efficientnet_lite0", settings)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Pretend that a package of weights is installed, or is not."""

    def run(network=None):
        files = []
        if network is not None:
            state = {there: network.state_dict()[here] for here, there in published_names(network).items()}
            torch.save(state, tmp_path / "published.pth")
            files = [type("Entry", (), {"locate": staticmethod(lambda: tmp_path / "published.pth")})]
        monkeypatch.setattr(initial_weights.metadata, "files", lambda name: files)

    return run


def test_none_leaves_the_network_as_it_is():
    network, same = make(), make()
    load_initial(network, "none")
    assert all(torch.equal(tensor, same.state_dict()[name]) for name, tensor in network.state_dict().items())
    assert fingerprint("none", "cnn") == ""


def test_imagenet_is_taken_from_the_installed_package(install):
    source, network = make(seed=1), make(seed=2)
    install(source)
    load_initial(network, "imagenet")
    assert torch.equal(network.stages[1][0].project.convolution.weight, source.stages[1][0].project.convolution.weight)


def test_without_the_package_the_error_says_how_to_install_it(install):
    install()
    with pytest.raises(ConfigError, match=r"not installed(.*\n.*)requirements/day-zero\.txt`, or set"):
        load_initial(make(), "imagenet")


def test_the_package_that_is_named_is_the_one_of_the_requirements(params_file):
    pinned = (params_file.parent / "requirements" / "day-zero.txt").read_text()
    assert pinned.startswith(f"{initial_weights.PACKAGE}==")


def test_day_zero_is_the_committed_model():
    card = cards.read_card(cards.PRETRAINED)
    network = make(stages=card["params"]["network"]["stages"], last=card["params"]["network"]["last"])
    load_initial(network, "day-zero")
    committed = day_zero.load_day_zero(cards.PRETRAINED)
    frames = torch.randint(0, 256, (2, committed.height, committed.width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = torch.sigmoid(network.eval()(frames.permute(0, 3, 1, 2) / 255) / card["temperature"])
    assert committed.predict(frames.numpy()) == pytest.approx(expected.numpy(), abs=1e-3)
    assert fingerprint("day-zero", "efficientnet_lite0") == sha256_of(cards.PRETRAINED / cards.WEIGHTS_FILE)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_is_named_by_its_path_or_address(tmp_path, scheme):
    source, network = make(seed=1), make(seed=2)
    path = tmp_path / "weights.safetensors"
    save_file(source.state_dict(), path)
    load_initial(network, f"{scheme}{path}")
    assert torch.equal(network.head[1].weight, source.head[1].weight)
    assert fingerprint(f"{scheme}{path}", "efficientnet_lite0") == sha256_of(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    for function in (lambda initial: fingerprint(initial, "cnn"), lambda initial: load_initial(make(), initial)):
        with pytest.raises(ConfigError, match=r"there are no initial weights .*nowhere"):
            function(str(tmp_path / "nowhere.safetensors"))


def compact(channels=None, seed=0):
    torch.manual_seed(seed)
    channels = channels or cards.read_compact_card(cards.PRETRAINED)["params"]["network"]["channels"]
    return build_network("cnn", {"channels": tuple(channels), "dropout": 0.0})


def test_day_zero_of_the_compact_network_is_its_own():
    one, two = compact(seed=1), compact(seed=2)
    for network in (one, two):
        load_initial(network, "day-zero")
    assert all(torch.equal(tensor, two.state_dict()[name]) for name, tensor in one.state_dict().items())
    assert fingerprint("day-zero", "cnn") == sha256_of(cards.PRETRAINED / cards.COMPACT_WEIGHTS_FILE)


def test_the_compact_network_takes_a_file_of_its_own_channels_only(tmp_path):
    source, network = compact(seed=1), compact(seed=2)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    load_initial(network, str(tmp_path / "weights.safetensors"))
    assert torch.equal(network.head[1].weight, source.head[1].weight)
    with pytest.raises(
        DataError, match=r"does not fit this network cnn: \d+ weights(.*\n.*)train\.networks\.cnn\.channels"
    ):
        load_initial(compact((4, 8)), "day-zero")


def test_there_are_no_imagenet_weights_for_the_compact_network():
    with pytest.raises(ConfigError, match=r"no ImageNet weights for cnn"):
        load_initial(compact(), "imagenet")
