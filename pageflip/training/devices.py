"""Selection of the devices to train on."""

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from pageflip.base import settings
from pageflip.base.errors import ConfigError
from pageflip.params.training import Fit


def pick_accelerator(accelerator: str, require_gpu: bool) -> str:
    """Resolve `auto | cpu | cuda` to `cpu` or `cuda`.

    Raises:
        ConfigError: a GPU is required, and CUDA finds none.
    """
    if torch.cuda.is_available():
        return "cpu" if accelerator == "cpu" and not require_gpu else "cuda"
    if require_gpu or accelerator == "cuda":
        raise ConfigError(
            f"a GPU is asked for (accelerator: {accelerator}, require_gpu: {require_gpu}), and CUDA finds none",
            "run on a host with an NVIDIA driver (`pageflip doctor` shows it), or set train.fit.accelerator: auto and "
            "train.fit.require_gpu: false.",
        )
    return "cpu"


def is_first_process() -> bool:
    """Return whether this is the process that saves and logs results, of all processes on all nodes."""
    return not rank_zero_only.rank and settings.node_rank() == 0


def device_count(fit: Fit, accelerator: str) -> int:
    """Return the number of devices of this node to train on; on a CPU, the number of processes.

    Raises:
        ConfigError: CUDA finds fewer.
    """
    available = torch.cuda.device_count() if accelerator == "cuda" else None
    if fit.devices == "auto":
        return available or 1
    if available is not None and fit.devices > available:
        raise ConfigError(
            f"train.fit.devices is {fit.devices}, and CUDA finds {available}", "set it lower, or to `auto`."
        )
    return fit.devices
