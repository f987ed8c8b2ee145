"""What happens to frames before the network sees them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from pageflip.networks.layers import scale_pixels
from pageflip.params.training import Augment
from pageflip.training.augmentation import augment_frames

OFF = dict.fromkeys(("brightness", "contrast", "colour", "gamma", "noise", "shift", "zoom", "rotate"), 0.0)
ALL = OFF | {"brightness": 0.2, "contrast": 0.2, "colour": 0.1, "gamma": 0.2, "noise": 0.05}
ALL |= {"shift": 0.05, "zoom": 0.1, "rotate": 5.0, "mirror": True}
STRONG = {
    "saturation": 0.5,
    "hue": 40.0,
    "grey": 0.5,
    "channel_swap": 0.9,
    "chroma_noise": 0.2,
    "light": 0.5,
    "light_gradient": 0.3,
}
STRONG |= {
    "blur": 0.05,
    "sharpen": 0.9,
    "resolution": 4.0,
    "stretch": 0.2,
    "shear": 0.2,
    "perspective": 0.3,
    "zoom_in": 0.4,
}
STRONG |= {"occlusion": 0.3}


def augment(frames, seed=0, **strengths):
    settings = Augment(**OFF | {"mirror": False} | strengths)
    return augment_frames(frames, settings, torch.Generator().manual_seed(seed))


def smooth(count=4, height=48, width=28):
    small = np.random.default_rng(0).integers(20, 235, (count, 6, 4, 3)).astype(np.uint8)
    pictures = [Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC) for one in small]
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))


def test_evaluation_only_scales_and_reorders():
    frames = smooth()
    before = frames.clone()
    batch = scale_pixels(frames)
    assert (batch.shape, batch.dtype) == ((4, 3, 48, 28), torch.float32)
    assert batch.is_contiguous()
    torch.testing.assert_close(batch[1, 2], frames[1, :, :, 2] / 255)
    assert (frames == before).all()


def test_training_with_everything_off_is_evaluation():
    torch.testing.assert_close(augment(smooth()), scale_pixels(smooth()), atol=1e-3, rtol=0)


def test_training_keeps_shape_and_range_and_leaves_the_frames_alone():
    frames = smooth()
    before = frames.clone()
    batch = augment(frames, **ALL)
    assert (batch.shape, batch.dtype) == ((4, 3, 48, 28), torch.float32)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert torch.isfinite(batch).all()
    assert (frames == before).all()


def test_the_generator_fixes_what_is_drawn():
    assert (augment(smooth(), seed=3, **ALL) == augment(smooth(), seed=3, **ALL)).all()
    assert (augment(smooth(), seed=3, **ALL) != augment(smooth(), seed=4, **ALL)).any()


@pytest.mark.parametrize("name", [name for name in ALL if name != "mirror"])
def test_each_strength_changes_each_frame_in_its_own_way(name):
    strength = {"rotate": 10.0}.get(name, 0.3)
    frames = smooth(1).expand(4, -1, -1, -1)
    batch = augment(frames, **{name: strength})
    assert (batch - scale_pixels(frames)).abs().mean() > 1e-3
    for one, two in pairwise(batch):
        assert (one - two).abs().max() > 1e-3


def test_the_strong_strengths_are_all_that_there_are_beside_the_plain_ones():
    assert set(STRONG) | set(ALL) == set(Augment.model_fields)
    assert all(Augment.model_fields[name].default == 0 for name in STRONG)


@pytest.mark.parametrize("name", STRONG)
def test_each_strong_strength_changes_some_frames_and_keeps_the_range(name):
    frames = smooth(1).expand(16, -1, -1, -1)
    batch, straight = augment(frames, **{name: STRONG[name]}), augment(frames)
    assert (batch.shape, batch.dtype) == (straight.shape, torch.float32)
    assert 0 <= batch.min() <= batch.max() <= 1
    changed = (batch - straight).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.sum() >= 2
    one_way = name in ("grey", "resolution")  # the latter one factor for a batch
    assert ((batch[changed] - batch[changed][0]).abs().max() < 1e-6) == one_way


@pytest.mark.parametrize("name", STRONG)
def test_the_generator_fixes_each_strong_strength(name):
    one, same, other = (augment(smooth(16), seed=seed, **{name: STRONG[name]}) for seed in (3, 3, 4))
    assert (one == same).all()
    assert (one != other).any()


def test_a_strength_of_zero_draws_nothing():
    """So that results of the plain strengths stay what they were before there were others."""
    plain = augment(smooth(), seed=5, **ALL)
    assert (augment(smooth(), seed=5, **ALL, **dict.fromkeys(STRONG, 0)) == plain).all()


def test_everything_at_once_works_on_a_single_frame_and_on_few_pixels():
    batch = augment(smooth(1, height=8, width=4), **ALL, **STRONG)
    assert (batch.shape, bool(torch.isfinite(batch).all())) == ((1, 3, 8, 4), True)


def test_grey_frames_have_no_colour_and_hue_leaves_grey_alone():
    batch = augment(smooth(8), grey=1.0)
    assert (batch.amax(dim=1) - batch.amin(dim=1)).max() < 1e-5
    grey = torch.full((8, 16, 16, 3), 120, dtype=torch.uint8)
    assert (augment(grey, hue=90.0, saturation=0.9) - 120 / 255).abs().max() < 1e-5


def test_a_tilted_frame_keeps_straight_lines_straight():
    rows, columns = np.mgrid[:96, :54]
    half = np.where(columns - 27 > (rows - 48) * 0.3, 255, 0).astype(np.uint8)
    frames = torch.from_numpy(np.repeat(half[None, :, :, None], 3, axis=3)).expand(8, -1, -1, -1)
    edges = (augment(frames, perspective=0.12)[:, 0, 24:72] < 0.5).sum(dim=2).float()  # its column, row by row
    bend = edges[:, 0] + edges[:, -1] - 2 * edges[:, 24]
    assert bend.abs().max() <= 2  # of rounding to pixels
    assert edges.std(dim=0).max() > 0.3


def test_mirroring_turns_about_half_of_the_frames():
    frames = smooth(1).expand(64, -1, -1, -1)
    batch, straight = augment(frames, mirror=True), scale_pixels(frames)
    turned = (batch - straight.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-3
    same = (batch - straight).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert (turned ^ same).all()
    assert 16 < turned.sum() < 48


def test_a_shift_is_a_share_of_the_frame_at_most():
    frames = torch.zeros((64, 50, 40, 3), dtype=torch.uint8)
    frames[:, 24:26, 19:21] = 255
    batch = augment(frames, shift=0.2).mean(dim=1)
    rows = (batch.sum(2) * torch.arange(50)).sum(1) / batch.sum((1, 2))
    columns = (batch.sum(1) * torch.arange(40)).sum(1) / batch.sum((1, 2))
    assert 6 < (rows - 24.5).abs().max() <= 10.2
    assert 5 < (columns - 19.5).abs().max() <= 8.2


def test_a_rotation_keeps_shapes_on_frames_that_are_not_square():
    """A disk stays a disk: the rotation is one of pixels, not of the stretched grid."""
    rows, columns = np.mgrid[:96, :54]
    disk = (((rows - 47.5) ** 2 + (columns - 26.5) ** 2) < 18**2) * np.uint8(255)
    frames = torch.from_numpy(np.repeat(disk[None, :, :, None], 3, axis=3)).expand(8, -1, -1, -1)
    difference = (augment(frames, rotate=45.0) - scale_pixels(frames)).abs().mean(dim=(1, 2, 3))
    assert difference.max() < 0.02


def test_colour_changes_channels_apart_and_brightness_together():
    grey = torch.full((8, 16, 16, 3), 120, dtype=torch.uint8)
    bright = augment(grey, brightness=0.4)
    assert (bright.amax(dim=1) - bright.amin(dim=1)).max() < 1e-6
    colour = augment(grey, colour=0.4)
    assert (colour.amax(dim=1) - colour.amin(dim=1)).mean() > 0.02
