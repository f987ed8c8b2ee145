"""The base class of the frame networks, and the tensor operations they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

MIN_STD = 0.05  # of a colour over a frame, in 0..1: limits how far the noise of an even frame is amplified
FEATURE_LAYERS = ("last", "features", "body")  # attribute names of the layer before the pooling


class FrameNetwork(nn.Module, ABC):
    """A network that classifies single frames: float32 [N, 3, height, width] in 0..1 to logits [N] of `flip`."""

    def __init__(self) -> None:
        super().__init__()
        self._frozen: tuple[nn.Module, ...] = ()

    def freeze(self, parts: Iterable[nn.Module]) -> None:
        """Exclude parts from training: they take no gradients and keep their running statistics."""
        self._frozen = tuple(parts)
        for part in self._frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of all parts but the frozen ones, which stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    @abstractmethod
    def load_weights(self, path: Path) -> None:
        """Load a weight file, published or saved from this network, in place.

        Raises:
            ConfigError: there is no such file.
            DataError: the file cannot be read, or does not fit this network.
        """


def mean_max_pool(features: Tensor) -> Tensor:
    """Concatenate the mean and the maximum over the frame: float [N, C, height, width] to [N, 2 C]."""
    return torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)


def scale_pixels(frames: Tensor) -> Tensor:
    """Convert uint8 [N, height, width, 3] to float32 [N, 3, height, width] in 0..1."""
    pixels = frames.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return pixels.div_(255)


def last_features(network: nn.Module) -> nn.Module | None:
    """Return the layer before the pooling, with output [N, channels, rows, columns]; None in unknown networks."""
    layer = next((getattr(network, name) for name in FEATURE_LAYERS if hasattr(network, name)), None)
    return layer if isinstance(layer, nn.Module) else None
