"""The networks, in one registry by name, and how their weights are kept: safetensors beside a JSON config.

Every network takes float32 [N, 3, height, width] in 0..1 (RGB) and gives logits [N] of the class `flip`.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pageflip.base.errors import DataError
from pageflip.base.files import sha256_of
from pageflip.networks.efficientnet_lite import EfficientNetLite0
from pageflip.networks.layers import MIN_DEVIATION, mean_and_maximum
from pageflip.networks.torchvision import MobileNetV2, ResNet18
from pageflip.networks.weight_files import read_weights
from pageflip.training.transforms import for_evaluation

WEIGHTS_FILE, CONFIG_FILE = "weights.safetensors", "config.json"
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


def save_network(folder: Path, network: nn.Module, config: dict[str, Any]) -> str:
    """Write weights and config below `folder`; return the SHA-256 of the weights.

    `config` holds at least `network` (registry name), `settings`, `width` and `height` (pixels).
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors makes it private
    digest = sha256_of(folder / WEIGHTS_FILE)
    content = config | {"weights_sha256": digest}
    (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return digest


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model folder's config.

    Raises:
        DataError: there is none.
    """
    try:
        return json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no trained model in {folder}", "run `dvc repro train` first.") from None


def load_network(folder: Path) -> nn.Module:
    """Load a trained network in evaluation mode.

    Raises:
        DataError: the model is missing, or its weights are not those that the config names.
    """
    config = read_config(folder)
    if not (folder / WEIGHTS_FILE).is_file():
        raise DataError(f"there is no trained model in {folder}: {WEIGHTS_FILE} is missing", "run `dvc checkout`.")
    digest = sha256_of(folder / WEIGHTS_FILE)
    if digest != config["weights_sha256"]:
        raise DataError(
            f"{folder / WEIGHTS_FILE} has the SHA-256 {digest}, its config names {config['weights_sha256']}",
            "restore the folder with `dvc checkout`, or train again.",
        )
    network = build_network(config["network"], config["settings"])
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return network.eval()


def predict_rows(
    network: nn.Module,
    frames: np.ndarray,
    rows: np.ndarray,
    batch_size: int = 256,
    device: str = "cpu",
    temperature: float = 1.0,
) -> np.ndarray:
    """Probabilities of `flip`, float32 [len(rows)], for the chosen rows of a pack, at a temperature."""
    logits = predict_logits(network, frames, rows, batch_size, device)
    return torch.sigmoid(torch.from_numpy(logits) / temperature).numpy()


def predict_logits(
    network: nn.Module,
    frames: np.ndarray,
    rows: np.ndarray,
    batch_size: int = 256,
    device: str = "cpu",
    change: Callable[[Tensor], Tensor] | None = None,
) -> np.ndarray:
    """Logits of `flip`, float32 [len(rows)], for the chosen rows of a pack.

    `change` is done to each batch, float32 [N, 3, height, width] in 0..1 on the device, before the network sees it.
    """
    network = network.to(device).eval()
    parts = [np.empty(0, np.float32)]
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            pixels = torch.from_numpy(np.ascontiguousarray(frames[rows[start : start + batch_size]])).to(device)
            batch = for_evaluation(pixels)
            parts.append(network(change(batch) if change else batch).float().cpu().numpy())
    return np.concatenate(parts)
