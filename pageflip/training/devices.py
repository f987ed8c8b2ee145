"""Training on the pack: batches from pageflip.training.batches, augmented on the device, the loop by Lightning.

A run is fixed by its seed, however often it is killed: everything random in an epoch is drawn from (seed, epoch), and
the checkpoint of each epoch's end holds the rest.
"""

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from pageflip.base import settings
from pageflip.base.errors import ConfigError
from pageflip.params.training import Fit


def pick_accelerator(accelerator: str, require_gpu: bool) -> str:
    """Resolve `auto | cpu | cuda` to `cpu` or `cuda`.

    Raises:
        ConfigError: a GPU is asked for, and there is none.
    """
    if torch.cuda.is_available():
        return "cpu" if accelerator == "cpu" and not require_gpu else "cuda"
    if require_gpu or accelerator == "cuda":
        raise ConfigError(
            f"a GPU is asked for (accelerator: {accelerator}, require_gpu: {require_gpu}), and CUDA finds none",
            "run on a host with an NVIDIA driver (`pageflip doctor` tells), or set train.fit.accelerator: auto and "
            "train.fit.require_gpu: false.",
        )
    return "cpu"


def is_first_process() -> bool:
    """Whether this is the one process of a training that keeps its results, on one device or on many."""
    return not rank_zero_only.rank and settings.node_rank() == 0


def device_count(fit: Fit, accelerator: str) -> int:
    """How many devices of this node train; of CPU "devices" as many processes as are asked for.

    Raises:
        ConfigError: there are fewer.
    """
    there = torch.cuda.device_count() if accelerator == "cuda" else None
    if fit.devices == "auto":
        return there or 1
    if there is not None and fit.devices > there:
        raise ConfigError(f"train.fit.devices is {fit.devices}, and CUDA finds {there}", "ask for fewer, or `auto`.")
    return fit.devices
