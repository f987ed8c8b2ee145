"""The networks, in one registry by name, and how their weights are kept: safetensors beside a JSON config.

Every network takes float32 [N, 3, height, width] in 0..1 (RGB) and gives logits [N] of the class `flip`.
"""

from typing import Any

from torch import nn

from pageflip.networks.cnn import Cnn
from pageflip.networks.efficientnet_lite import EfficientNetLite0
from pageflip.networks.torchvision import MobileNetV2, ResNet18

REGISTRY: dict[str, type[nn.Module]] = {
    "cnn": Cnn,
    "efficientnet_lite0": EfficientNetLite0,
    "mobilenet_v2": MobileNetV2,
    "resnet18": ResNet18,
}
INITIAL = "initial"  # the setting that names weights to start a training from; no part of the network itself


def build_network(name: str, settings: dict[str, Any]) -> nn.Module:
    """Make the untrained network `name` with its section of `train.networks`; `initial` is left to training."""
    return REGISTRY[name](**{key: value for key, value in settings.items() if key != INITIAL})
