"""What the networks of single frames have in common."""

import torch
from torch import Tensor

MIN_DEVIATION = 0.05  # of a colour over a frame, in 0..1: keeps the noise of an even frame from being blown up


def mean_and_maximum(features: Tensor) -> Tensor:
    """Both over the frame: float [N, C, height, width] -> [N, 2 C]."""
    return torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
