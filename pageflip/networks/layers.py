"""What the networks of single frames have in common."""

import torch
from torch import Tensor, nn

MIN_DEVIATION = 0.05  # of a colour over a frame, in 0..1: keeps the noise of an even frame from being blown up


def mean_and_maximum(features: Tensor) -> Tensor:
    """Both over the frame: float [N, C, height, width] -> [N, 2 C]."""
    return torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)


def for_evaluation(frames: Tensor) -> Tensor:
    """uint8 [N, height, width, 3] -> float32 [N, 3, height, width] in 0..1."""
    pixels = frames.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return pixels.div_(255)


LAST_FEATURES = ("last", "features", "body")  # what the networks of the registry call the layer before the pooling


def last_features(network: nn.Module) -> nn.Module | None:
    """The layer before the pooling, whose output is [N, channels, rows, columns]; None where it is not known."""
    layer = next((getattr(network, name) for name in LAST_FEATURES if hasattr(network, name)), None)
    return layer if isinstance(layer, nn.Module) else None
