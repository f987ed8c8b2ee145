"""MobileNetV2 and ResNet18 of torchvision with a head for one logit.

The architectures are those of Sandler et al., "MobileNetV2" (2018), and He et al., "Deep Residual Learning" (2015).
Each frame is standardised per colour, which is also the scale that ImageNet's weights expect.
"""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models

from pageflip.base.errors import ConfigError
from pageflip.networks.layers import MIN_STD, FrameNetwork, mean_max_pool
from pageflip.networks.weight_files import fits, load_tensors, read_weights


class TorchvisionNetwork(FrameNetwork):
    """The body of a torchvision classifier, mean and maximum over the frame, and one linear unit.

    Args:
        frozen: number of leading parts of the body that are frozen, of `BODY_PARTS`.
        dropout: rate before the linear unit.

    Raises:
        ConfigError: `frozen` is out of range.
    """

    ARCHITECTURE = ""
    BODY_PARTS = 0

    def __init__(self, frozen: int, dropout: float) -> None:
        super().__init__()
        if not 0 <= frozen <= self.BODY_PARTS:
            raise ConfigError(f"frozen is {frozen}", f"set it to 0..{self.BODY_PARTS}.")
        self.body, width = self._build_body()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, 1))
        self.freeze(list(self.body)[:frozen])

    @abstractmethod
    def _build_body(self) -> tuple[nn.Sequential, int]:
        """Return the layers before the classifier, and their number of output channels."""

    @abstractmethod
    def _torchvision_name(self, name: str) -> str:
        """Return the name of a tensor of the body in torchvision's state dict."""

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits [N] of `flip` for frames float32 [N, 3, height, width] in 0..1."""
        deviation, mean = torch.std_mean(frames, dim=(2, 3), keepdim=True)
        features = (frames - mean) / (deviation + MIN_STD)
        # depthwise convolutions on the CPU are several times faster with channels last
        features = self.body(features.contiguous(memory_format=torch.channels_last))
        return self.head(mean_max_pool(features)).squeeze(1)

    def load_weights(self, path: Path) -> None:
        """Load a weight file: with torchvision's names the body, with those of this network the head too.

        Raises:
            ConfigError: there is no such file.
            DataError: the file cannot be read, or weights of the body are missing or of another shape.
        """
        self._load(read_weights(path), str(path))

    def load_imagenet(self) -> None:
        """Load torchvision's ImageNet weights into the body, from its cache or by download, with their hash checked.

        Raises:
            ConfigError: the weights are not in the cache and cannot be downloaded.
        """
        weights = models.get_model_weights(self.ARCHITECTURE).DEFAULT
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:  # no network, or a proxy's page instead of the file
            file = weights.url.rsplit("/", 1)[-1]
            raise ConfigError(
                f"the ImageNet weights of {self.ARCHITECTURE} cannot be downloaded: {error}",
                f"fetch {file} on a machine with network access and set `initial` to its path or s3:// address, or put "
                f"it below {torch.hub.get_dir()}/checkpoints, or set `initial: none`.",
            ) from None
        self._load(state, weights.url)

    def _load(self, state: Mapping[str, Tensor], source: str) -> None:
        own = list(self.state_dict())
        saved_here = any(name.startswith("body.") for name in state)
        names = {name: name if saved_here else self._torchvision_name(name) for name in own if name.startswith("body.")}
        head = [name for name in own if name.startswith("head.")]
        if saved_here and fits(state, self, head):
            names |= {name: name for name in head}
        load_tensors(
            self,
            state,
            names,
            source=source,
            kind=self.ARCHITECTURE,
            remedy=f"name torchvision's weights of {self.ARCHITECTURE}, or weights of this network.",
        )


class MobileNetV2(TorchvisionNetwork):
    """MobileNetV2: 19 parts (stem, 17 inverted residuals, last convolution), 2.2 million weights."""

    ARCHITECTURE = "mobilenet_v2"
    BODY_PARTS = 19

    def _build_body(self) -> tuple[nn.Sequential, int]:
        network = models.mobilenet_v2(weights=None)
        return network.features, network.last_channel

    def _torchvision_name(self, name: str) -> str:
        return f"features.{name.removeprefix('body.')}"


class ResNet18(TorchvisionNetwork):
    """ResNet18: 8 parts (convolution, norm, ReLU, pooling, four layers), 11.2 million weights."""

    ARCHITECTURE = "resnet18"
    BODY_PARTS = 8
    NAMES = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")

    def _build_body(self) -> tuple[nn.Sequential, int]:
        network = models.resnet18(weights=None)
        return nn.Sequential(*(getattr(network, name) for name in self.NAMES)), network.fc.in_features

    def _torchvision_name(self, name: str) -> str:
        number, _, rest = name.removeprefix("body.").partition(".")
        return f"{self.NAMES[int(number)]}.{rest}"
