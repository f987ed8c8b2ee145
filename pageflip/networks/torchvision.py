"""MobileNetV2 and ResNet18 of torchvision with a head for one logit, and the loading of ImageNet weights.

The architectures are those of Sandler et al., "MobileNetV2" (2018), and He et al., "Deep Residual Learning" (2015).
Each frame is standardised per colour, as in `networks.Cnn`: that is also the scale ImageNet's weights expect.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models

from pageflip.base.errors import ConfigError, DataError
from pageflip.networks.layers import MIN_DEVIATION, mean_and_maximum
from pageflip.networks.weight_files import read_weights


class TorchvisionNetwork(nn.Module, ABC):
    """A torchvision classifier without its own, mean and maximum over the frame, and one linear unit.

    The first `frozen` of its parts (`BODY_PARTS` of them) take no gradients and keep their running statistics.
    """

    ARCHITECTURE = ""
    BODY_PARTS = 0

    def __init__(self, frozen: int, dropout: float) -> None:
        super().__init__()
        if not 0 <= frozen <= self.BODY_PARTS:
            raise ConfigError(f"frozen is {frozen}", f"set it to 0..{self.BODY_PARTS}.")
        self.frozen = frozen
        self.body, width = self._make_body()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, 1))
        for part in self._frozen_parts():
            part.requires_grad_(False)

    @abstractmethod
    def _make_body(self) -> tuple[nn.Sequential, int]:
        """The layers before the classifier, and the number of channels they give."""

    @abstractmethod
    def body_name(self, name: str) -> str:
        """What torchvision's state dict calls a tensor of the body."""

    def _frozen_parts(self) -> Iterator[nn.Module]:
        yield from list(self.body)[: self.frozen]

    def train(self, mode: bool = True) -> "TorchvisionNetwork":
        """Switch the mode of all but the frozen parts, which stay as in evaluation."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Logits [N] of `flip` for frames float32 [N, 3, height, width] in 0..1."""
        deviation, mean = torch.std_mean(frames, dim=(2, 3), keepdim=True)
        features = (frames - mean) / (deviation + MIN_DEVIATION)
        # depthwise convolutions on the CPU are several times faster with the channels last
        features = self.body(features.contiguous(memory_format=torch.channels_last))
        return self.head(mean_and_maximum(features)).squeeze(1)


class MobileNetV2(TorchvisionNetwork):
    """MobileNetV2: 19 parts (stem, 17 inverted residuals, last convolution), 2.2 million weights."""

    ARCHITECTURE = "mobilenet_v2"
    BODY_PARTS = 19

    def _make_body(self) -> tuple[nn.Sequential, int]:
        network = models.mobilenet_v2(weights=None)
        return network.features, network.last_channel

    def body_name(self, name: str) -> str:
        return f"features.{name.removeprefix('body.')}"


class ResNet18(TorchvisionNetwork):
    """ResNet18: 8 parts (convolution, norm, ReLU, pooling, four layers), 11.2 million weights."""

    ARCHITECTURE = "resnet18"
    BODY_PARTS = 8
    NAMES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")

    def _make_body(self) -> tuple[nn.Sequential, int]:
        network = models.resnet18(weights=None)
        return nn.Sequential(*(getattr(network, name) for name in self.NAMES)), network.fc.in_features

    def body_name(self, name: str) -> str:
        number, _, rest = name.removeprefix("body.").partition(".")
        return f"{self.NAMES[int(number)]}.{rest}"


def load_imagenet(network: TorchvisionNetwork) -> None:
    """Load torchvision's published ImageNet weights into the body, from its cache or by download, hash checked.

    Raises:
        ConfigError: they are not in the cache and cannot be downloaded.
    """
    weights = models.get_model_weights(network.ARCHITECTURE).DEFAULT
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:  # no network; a proxy's page in place of the file
        file = weights.url.rsplit("/", 1)[-1]
        raise ConfigError(
            f"the ImageNet weights of {network.ARCHITECTURE} cannot be downloaded: {error}",
            f"fetch {file} where there is a network and set `initial` to its path or s3:// address, or put it below "
            f"{torch.hub.get_dir()}/checkpoints, or set `initial: none`.",
        ) from None
    _load(network, state, file_name=weights.url)


def load_weights(network: TorchvisionNetwork, path: Path) -> None:
    """Load a file of weights: with torchvision's names the body, with those of this network the head too.

    Raises:
        ConfigError: there is no such file.
        DataError: it cannot be read, or lacks weights of the body or holds them in another shape.
    """
    _load(network, read_weights(path), file_name=str(path))


def _load(network: TorchvisionNetwork, state: dict[str, Tensor], *, file_name: str) -> None:
    own = network.state_dict()
    ours = any(name.startswith("body.") for name in state)
    names = {name: name if ours else network.body_name(name) for name in own if name.startswith("body.")}
    wrong = [there for name, there in names.items() if getattr(state.get(there), "shape", None) != own[name].shape]
    if wrong:
        raise DataError(
            f"{file_name} does not fit {network.ARCHITECTURE}: {len(wrong)} weights are missing or of another shape, "
            f"the first is {wrong[0]}",
            f"name torchvision's weights of {network.ARCHITECTURE}, or weights of this network.",
        )
    head = [name for name in own if name.startswith("head.")]
    if ours and all(getattr(state.get(name), "shape", None) == own[name].shape for name in head):
        names |= {name: name for name in head}
    network.load_state_dict({name: state[there] for name, there in names.items()}, strict=False)
