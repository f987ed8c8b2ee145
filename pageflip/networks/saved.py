"""The networks, in one registry by name, and how their weights are kept: safetensors beside a JSON config.

Every network takes float32 [N, 3, height, width] in 0..1 (RGB) and gives logits [N] of the class `flip`.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from pageflip.base.errors import DataError
from pageflip.base.files import sha256_of
from pageflip.networks.build import build_network

WEIGHTS_FILE, CONFIG_FILE = "weights.safetensors", "config.json"


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
