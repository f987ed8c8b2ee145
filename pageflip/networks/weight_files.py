"""Files of weights that others made: safetensors, or a torch state dict that is read as data, never as code."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pageflip.base.errors import ConfigError, DataError


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Raises:
        ConfigError: there is no such file.
        DataError: it cannot be read, or holds something else.
    """
    if not path.is_file():
        raise ConfigError(f"there is no weight file {path}", "check the path, or train without ImageNet weights.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a broken file can fail in any way, and torch advises to read it as code
        raise DataError(f"{path} cannot be read as a file of weights", "fetch it again.") from None
    if not isinstance(state, dict):
        raise DataError(f"{path} holds a {type(state).__name__}, not a state dict", "save it with `state_dict()`.")
    return state
