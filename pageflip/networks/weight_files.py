"""Weight files: safetensors, or torch state dicts that are loaded as data and never as code."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pageflip.base.errors import ConfigError, DataError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weight file by name.

    Raises:
        ConfigError: there is no such file.
        DataError: the file cannot be read, or holds something else.
    """
    if not path.is_file():
        raise ConfigError(f"there is no weight file {path}", "check the path, or train without ImageNet weights.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a broken file raises any type; torch's message advises to load it as code
        raise DataError(f"{path} cannot be read as a file of weights", "download it again.") from None
    if not isinstance(state, dict):
        raise DataError(f"{path} holds a {type(state).__name__}, not a state dict", "save it with `state_dict()`.")
    return state


def fits(state: Mapping[str, Tensor], network: nn.Module, names: Iterable[str]) -> bool:
    """Return whether a state dict holds the named tensors of a network, each in the network's shape."""
    own = network.state_dict()
    return all(_same_shape(state.get(name), own[name]) for name in names)


def load_tensors(
    network: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str], *, source: str, kind: str, remedy: str
) -> None:
    """Load tensors of a state dict into a network in place; its other tensors stay.

    Args:
        network: the network to change.
        state: tensors of a weight file, by the file's names.
        names: for each tensor to load, its name in the network and its name in `state`.
        source: file or address, for the error message.
        kind: what the network is called in the error message.
        remedy: what to do about the error.

    Raises:
        DataError: tensors are missing in `state` or have another shape.
    """
    own = network.state_dict()
    misfits = [there for here, there in names.items() if not _same_shape(state.get(there), own[here])]
    if misfits:
        raise DataError(
            f"{source} does not fit {kind}: {len(misfits)} weights are missing or of another shape, the first is "
            f"{misfits[0]}",
            remedy,
        )
    network.load_state_dict({here: state[there] for here, there in names.items()}, strict=False)


def _same_shape(candidate: Tensor | None, own: Tensor) -> bool:
    return isinstance(candidate, Tensor) and candidate.shape == own.shape
