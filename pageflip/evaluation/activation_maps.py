"""Where in a frame a network found what spoke for a flip, and what against it.

Gradient times activation at the last features, summed over channels (HiResCAM: Draelos and Carin, "Use HiResCAM instead
of Grad-CAM", 2020). The networks here put one linear unit on the mean and the maximum of those features, and for such a
head the map is a class activation map in the strict sense: its values add up to the logit less the unit's bias.
"""

import numpy as np
import torch
from torch import Tensor, nn

from pageflip.networks.layers import last_features, scale_pixels

BATCH = 16


def activation_maps(network: nn.Module, frames: np.ndarray) -> np.ndarray | None:
    """Evidence maps of frames, float32 [N, rows, columns]: above 0 for a flip, below 0 against, in units of the logit.

    Args:
        network: in evaluation mode, on the CPU.
        frames: uint8 [N, height, width, 3].

    Returns:
        None for a network whose last features are not known by one of LAST_FEATURES.
    """
    layer = last_features(network)
    if layer is None or not len(frames):
        return None
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        # a leaf of its own: gradients are wanted from here on, whether or not the layers before take any
        kept.append(output.detach().requires_grad_(True))
        return kept[-1]

    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            return np.concatenate(
                [_maps(network, frames[start : start + BATCH], kept) for start in range(0, len(frames), BATCH)]
            )
    finally:
        handle.remove()


def _maps(network: nn.Module, frames: np.ndarray, kept: list[Tensor]) -> np.ndarray:
    kept.clear()
    logits = network(scale_pixels(torch.from_numpy(np.ascontiguousarray(frames))))
    (gradient,) = torch.autograd.grad(logits.sum(), kept)
    return (gradient * kept[0]).sum(dim=1).detach().numpy()
