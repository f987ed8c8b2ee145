"""Evidence maps: they add up to the logit, and stand where the evidence is."""

import numpy as np
import pytest
import torch

from pageflip.evaluation.activation_maps import activation_maps
from pageflip.networks.build import build_network
from pageflip.networks.layers import scale_pixels
from pageflip.reports.evidence import overlay
from pageflip.reports.page import AGAINST_FLIP, FOR_FLIP

LITE = {"stages": 2, "frozen": 1, "dropout": 0.2}
NETWORKS = [
    ("cnn", {"channels": (4, 8), "dropout": 0.2}),
    ("efficientnet_lite0", LITE | {"last": 4}),
    ("efficientnet_lite0", LITE | {"last": 0}),
]


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 255, (20, 48, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize(("name", "settings"), NETWORKS)
def test_a_map_adds_up_to_the_logit_less_the_bias(name, settings, frames):
    torch.manual_seed(0)
    network = build_network(name, settings).eval()
    with torch.no_grad():
        logits = network(scale_pixels(torch.from_numpy(frames))).numpy()
    maps = activation_maps(network, frames)
    assert maps.ndim == 3
    assert maps.sum(axis=(1, 2)) == pytest.approx(logits - network.head[1].bias.item(), abs=1e-4)


def test_the_network_is_left_as_it_was(frames):
    network = build_network(*NETWORKS[0]).eval()
    activation_maps(network, frames)
    assert not network.features._forward_hooks
    assert all(parameter.grad is None for parameter in network.parameters())


class Bright(torch.nn.Module):
    """A flip is where it is bright."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.AvgPool2d(8)

    def forward(self, frames):
        return self.features(frames).mean(dim=(1, 2, 3))


def test_a_map_stands_where_the_evidence_is():
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    frames[0, 8:16, 16:24] = 255
    maps = activation_maps(Bright(), frames)
    assert np.unravel_index(maps[0].argmax(), maps[0].shape) == (1, 2)
    assert np.count_nonzero(maps) == 1


def test_a_network_of_unknown_build_has_no_map(frames):
    assert activation_maps(torch.nn.Flatten(), frames) is None
    assert activation_maps(Bright(), frames[:0]) is None


def test_the_overlay_is_warm_for_and_cold_against_a_flip_and_grey_elsewhere():
    evidence = np.zeros((3, 3))
    evidence[0, 0], evidence[2, 2] = 1, -1
    picture = overlay(np.full((90, 60, 3), 100, np.uint8), evidence).astype(int)
    assert np.abs(picture[0, 0] - FOR_FLIP).max() < 50
    assert np.abs(picture[-1, -1] - AGAINST_FLIP).max() < 50
    assert np.ptp(picture[2, -2]) < 12
    assert overlay(np.zeros((9, 6, 3), np.uint8), np.zeros((3, 3))).shape == (9, 6, 3)
