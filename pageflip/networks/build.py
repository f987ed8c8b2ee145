"""The registry of networks by name."""

from typing import Any

from pageflip.networks.cnn import Cnn
from pageflip.networks.efficientnet_lite import EfficientNetLite0
from pageflip.networks.layers import FrameNetwork
from pageflip.networks.torchvision import MobileNetV2, ResNet18

REGISTRY: dict[str, type[FrameNetwork]] = {
    "cnn": Cnn,
    "efficientnet_lite0": EfficientNetLite0,
    "mobilenet_v2": MobileNetV2,
    "resnet18": ResNet18,
}
INITIAL = "initial"  # the setting that names the weights to start training from; not an argument of the network


def build_network(name: str, settings: dict[str, Any]) -> FrameNetwork:
    """Return the untrained network `name` with the settings of its section of `train.networks`.

    The setting `initial` is ignored: `pageflip.networks.initial_weights` loads those weights when training begins.
    """
    return REGISTRY[name](**{key: value for key, value in settings.items() if key != INITIAL})
