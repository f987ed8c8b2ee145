"""The shortcut test: a network that has learnt brightness or a side is caught, one that has not passes."""

import numpy as np
import pytest
import torch

from pageflip.evaluation.shortcuts import apply_change, run_shortcut_test
from pageflip.params.all import load_params
from pageflip.params.evaluation import Change


class Brightness(torch.nn.Module):
    def forward(self, frames):
        return 40 * (frames.mean(dim=(1, 2, 3)) - 0.5)


class LeftAgainstRight(torch.nn.Module):
    def forward(self, frames):
        half = frames.shape[3] // 2
        return 40 * (frames[..., :half].mean(dim=(1, 2, 3)) - frames[..., half:].mean(dim=(1, 2, 3)))


def frames_and_targets():
    """Flips are a bit brighter than the middle, and brighter on the left; the others the reverse."""
    target = np.arange(20) % 2
    pack = np.full((20, 12, 8, 3), 118, np.uint8)
    pack[target == 1] = 137
    pack[target == 1, :, :4] += 10
    pack[target == 0, :, :4] -= 10
    return pack, np.arange(20), target


def run(network, params_file):
    plan = load_params(params_file).evaluate.shortcuts
    pack, rows, target = frames_and_targets()
    return run_shortcut_test(network, pack, rows, target, plan, temperature=1, threshold=0.5)


def test_a_network_that_goes_by_brightness_is_flagged_for_brightness_alone(params_file):
    result = run(Brightness(), params_file)
    assert result["f1"] == 1
    assert set(result["changes"]) == {"brighter", "darker", "warm", "cold", "grey", "mirror", "blur"}
    assert result["flagged"] == ["brighter", "darker"]
    assert result["changes"]["brighter"] == {"f1": 2 / 3, "loss": pytest.approx(100 / 3), "turned": 10, "flagged": True}
    assert result["changes"]["darker"]["loss"] == 100


def test_a_network_that_goes_by_a_side_is_flagged_for_the_mirror(params_file):
    result = run(LeftAgainstRight(), params_file)
    assert result["flagged"] == ["mirror"]
    assert result["changes"]["mirror"] == {"f1": 0, "loss": 100, "turned": 20, "flagged": True}


def test_the_same_test_gives_the_same_numbers(params_file):
    assert run(LeftAgainstRight(), params_file) == run(LeftAgainstRight(), params_file)


def test_each_change_does_what_its_name_says_and_stays_in_range():
    batch = torch.rand((2, 3, 12, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(apply_change(batch, Change()), batch)
    assert torch.allclose(apply_change(batch, Change(brightness=0.15)), (batch * 1.15).clamp(0, 1))
    assert torch.equal(apply_change(batch, Change(mirror=True)), batch.flip(3))
    warm = apply_change(batch, Change(warmth=0.1))
    assert (warm[:, 0] >= batch[:, 0]).all()
    assert torch.equal(warm[:, 1], batch[:, 1])
    assert (warm[:, 2] <= batch[:, 2]).all()
    grey = apply_change(batch, Change(saturation=-1))
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)
    blurred = apply_change(batch, Change(blur=0.1))
    assert blurred.std() < batch.std()
    everything = Change(brightness=0.5, warmth=0.5, saturation=0.5, blur=0.1, mirror=True)
    result = apply_change(batch, everything)
    assert result.shape == batch.shape
    assert (result >= 0).all()
    assert (result <= 1).all()
