"""Trained networks on disk: weights as safetensors beside a JSON config."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from pageflip.base.errors import DataError
from pageflip.base.files import read_json, sha256_of, write_json
from pageflip.networks.build import build_network
from pageflip.networks.layers import FrameNetwork

WEIGHTS_FILE, CONFIG_FILE = "weights.safetensors", "config.json"


def write_weights(path: Path, network: nn.Module) -> str:
    """Write the tensors of a network to a safetensors file, and return the file's SHA-256."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, path)
    path.chmod(0o644)  # safetensors writes mode 0600
    return sha256_of(path)


def save_network(folder: Path, network: nn.Module, config: dict[str, Any]) -> str:
    """Write weights and config into `folder`, and return the SHA-256 of the weights.

    `config` holds at least `network` (registry name), `settings`, `width` and `height` (pixels).
    """
    digest = write_weights(folder / WEIGHTS_FILE, network)
    write_json(folder / CONFIG_FILE, config | {"weights_sha256": digest})
    return digest


def read_config(folder: Path) -> dict[str, Any]:
    """Read the config of a model folder.

    Raises:
        DataError: there is none, or it is not JSON.
    """
    try:
        return read_json(folder / CONFIG_FILE)
    except FileNotFoundError:
        raise DataError(f"there is no trained model in {folder}", "run `dvc repro train` first.") from None


def load_network(folder: Path) -> FrameNetwork:
    """Load a trained network in evaluation mode.

    Raises:
        DataError: the model is missing, or its weights do not have the SHA-256 in its config.
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
