"""What happens to a batch of frames before the network sees it: evaluation's way, and training's beside it.

Both work on whole batches on the device the batch is on. Augmentation draws its numbers per frame from a generator, so
a seed fixes it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pageflip.params import Augment


def for_evaluation(frames: Tensor) -> Tensor:
    """uint8 [N, height, width, 3] -> float32 [N, 3, height, width] in 0..1."""
    return frames.permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()


def for_training(frames: Tensor, strengths: Augment, generator: torch.Generator) -> Tensor:
    """uint8 [N, height, width, 3] -> augmented float32 [N, 3, height, width] in 0..1.

    Exposure, contrast, gamma and white balance are varied hard, since brightness and colour say nothing about a flip
    but correlate with it in any small set of clips; mirroring stands for books read from right to left.
    """
    batch = for_evaluation(frames)
    batch = _move(batch, strengths, generator)
    return _light(batch, strengths, generator)


def _uniform(count: int, strength: float, generator: torch.Generator, channels: int = 1) -> Tensor:
    """[count, channels, 1, 1] in -strength..strength."""
    values = torch.rand((count, channels, 1, 1), generator=generator, device=generator.device)
    return (values * 2 - 1) * strength


def _light(batch: Tensor, strengths: Augment, generator: torch.Generator) -> Tensor:
    count = len(batch)
    gain = torch.exp(_uniform(count, strengths.brightness, generator))
    balance = torch.exp(_uniform(count, strengths.colour, generator, channels=3))
    contrast = torch.exp(_uniform(count, strengths.contrast, generator))
    gamma = torch.exp(_uniform(count, strengths.gamma, generator))
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    batch = ((batch - mean) * contrast + mean) * gain * balance
    batch = batch.clamp_(1e-4, 1).pow(gamma)
    if strengths.noise:
        level = torch.rand((count, 1, 1, 1), generator=generator, device=batch.device) * strengths.noise
        batch = batch + level * torch.randn(batch.shape, generator=generator, device=batch.device)
    return batch.clamp_(0, 1)


def _move(batch: Tensor, strengths: Augment, generator: torch.Generator) -> Tensor:
    """Shift, zoom, rotate and mirror each frame of its own, in one resampling."""
    count, _, height, width = batch.shape
    angle = _uniform(count, math.radians(strengths.rotate), generator).flatten()
    zoom = torch.exp(_uniform(count, strengths.zoom, generator)).flatten()
    shift = _uniform(count, 2 * strengths.shift, generator, channels=2).view(count, 2)  # grid coordinates span 2
    flip = torch.ones(count, device=batch.device)
    if strengths.mirror:
        flip -= 2 * (torch.rand(count, generator=generator, device=batch.device) < 0.5).float()
    cos, sin, ratio = torch.cos(angle) * zoom, torch.sin(angle) * zoom, height / width
    rows = [flip * cos, -sin * ratio, shift[:, 0], flip * sin / ratio, cos, shift[:, 1]]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(count, 2, 3), list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
