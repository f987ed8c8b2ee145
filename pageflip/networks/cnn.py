"""A compact convolutional network for small frames."""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pageflip.networks.layers import MIN_STD, FrameNetwork, mean_max_pool
from pageflip.networks.weight_files import load_tensors, read_weights

PATCH, PATCH_STRIDE = 6, 4  # pixels


class Cnn(FrameNetwork):
    """A compact convolutional network, fast enough to train on a laptop's CPU.

    Each frame is standardised per colour first: exposure and white balance do not depend on the label, and a network
    trained on few clips overfits to them. The stem convolves overlapping patches at a quarter of the resolution,
    since full resolution costs most on a CPU. Each further entry of `channels` halves the resolution with a strided
    convolution and adds a residual one. The mean and the maximum over the frame feed one linear unit: the maximum
    responds to a small lifted corner, the mean to a sheet that fills the frame.
    """

    def __init__(self, channels: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        stem = nn.Conv2d(3, channels[0], PATCH, stride=PATCH_STRIDE, padding=(PATCH - PATCH_STRIDE) // 2, bias=False)
        stages: list[nn.Module] = [nn.Sequential(stem, nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True))]
        for width, out in pairwise(channels):
            stages += [_downsampling(width, out), _Residual(out)]
        self.features = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels[-1], 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits [N] of `flip` for frames float32 [N, 3, height, width] in 0..1."""
        # torch.std_mean takes as long as all layers together; in 0..1 the difference of squares is exact enough
        mean = frames.mean(dim=(2, 3), keepdim=True)
        variance = frames.square().mean(dim=(2, 3), keepdim=True) - mean.square()
        standardised = (frames - mean) / (variance.clamp(min=0).sqrt() + MIN_STD)
        # convolutions and norms are faster on a CPU with channels last, the statistics above with channels first
        features = self.features(standardised.contiguous(memory_format=torch.channels_last))
        return self.head(mean_max_pool(features)).squeeze(1)

    def load_weights(self, path: Path) -> None:
        """Load the weights of a network with the same channels.

        Raises:
            ConfigError: there is no such file.
            DataError: the file cannot be read, or holds another kind of network or other channels.
        """
        load_tensors(
            self,
            read_weights(path),
            {name: name for name in self.state_dict()},
            source=str(path),
            kind="this network cnn",
            remedy="set train.networks.cnn.channels to the channels of the file, or initial: none.",
        )


def _downsampling(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    """A convolution whose output is added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(features)).add_(features), inplace=True)
