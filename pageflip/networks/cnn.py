"""The networks, in one registry by name, and how their weights are kept: safetensors beside a JSON config.

Every network takes float32 [N, 3, height, width] in 0..1 (RGB) and gives logits [N] of the class `flip`.
"""

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pageflip.base.errors import DataError
from pageflip.networks.layers import MIN_DEVIATION, mean_and_maximum
from pageflip.networks.weight_files import read_weights

PATCH, PATCH_STRIDE = 6, 4  # pixels


class Cnn(nn.Module):
    """A compact convolutional network for small frames, fast enough to train on a laptop's CPU.

    Each frame is standardised per colour first: exposure and white balance say nothing about a flip, and in a small set
    of clips they are what a network learns otherwise. The first entry of `channels` is a convolution over patches that
    overlap, which quarters the frame at once: nothing is computed at full resolution, where a CPU's time goes. Each
    further entry halves it by a strided convolution and refines it by a second one, to which its input is added. The
    mean and the maximum over the frame feed one linear unit: the maximum finds the small lifted corner, the mean the
    sheet that fills the picture.
    """

    def __init__(self, channels: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        stem = nn.Conv2d(3, channels[0], PATCH, stride=PATCH_STRIDE, padding=(PATCH - PATCH_STRIDE) // 2, bias=False)
        stages: list[nn.Module] = [nn.Sequential(stem, nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True))]
        for width, out in pairwise(channels):
            stages += [_convolution(width, out), _Refined(out)]
        self.features = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * channels[-1], 1))

    def forward(self, frames: Tensor) -> Tensor:
        """Logits [N] of `flip` for frames float32 [N, 3, height, width] in 0..1."""
        # not std_mean, which takes as long as all other layers: in 0..1 the difference of squares is exact enough
        mean = frames.mean(dim=(2, 3), keepdim=True)
        variance = frames.square().mean(dim=(2, 3), keepdim=True) - mean.square()
        standardised = (frames - mean) / (variance.clamp(min=0).sqrt() + MIN_DEVIATION)
        # the CPU's convolutions and norms are faster with the channels last, the statistics above with them first
        features = self.features(standardised.contiguous(memory_format=torch.channels_last))
        return self.head(mean_and_maximum(features)).squeeze(1)


def load_cnn_weights(network: Cnn, path: Path) -> None:
    """Load the weights of a network of the same channels.

    Raises:
        ConfigError: there is no such file.
        DataError: it cannot be read, or holds a network of other channels, or of another kind.
    """
    state, own = read_weights(path), network.state_dict()
    wrong = [name for name, tensor in own.items() if getattr(state.get(name), "shape", None) != tensor.shape]
    if wrong:
        raise DataError(
            f"{path} does not fit this network cnn: {len(wrong)} weights are missing or of another shape, the first is "
            f"{wrong[0]}",
            "set train.networks.cnn.channels to what the file was made with, or initial: none.",
        )
    network.load_state_dict({name: state[name] for name in own})


def _convolution(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


class _Refined(nn.Module):
    """A convolution whose result is added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.norm(self.convolution(features)).add_(features), inplace=True)
