"""Activation maps: which places of a frame spoke for a flip, and which against it.

Gradient times activation at the last features, summed over channels (HiResCAM: Draelos and Carin, Use HiResCAM instead
of Grad-CAM, 2020). The networks here apply one linear unit to the mean and the maximum of those features. For such a
head, the map is a class activation map in the strict sense: its values add up to the logit minus the unit's bias.
"""

import numpy as np
import torch
from torch import Tensor, nn

from pageflip.networks.layers import last_features, scale_pixels

FRAMES_AT_ONCE = 16


def activation_maps(network: nn.Module, frames: np.ndarray) -> np.ndarray | None:
    """Compute the activation maps of frames.

    Args:
        network: in evaluation mode, on the CPU.
        frames: uint8 [N, height, width, 3].

    Returns:
        float32 [N, rows, columns], above 0 for a flip, below 0 against it, in units of the logit. None if the network's
        last features are not known (see `pageflip.networks.layers.last_features`), or there are no frames.
    """
    layer = last_features(network)
    if layer is None or not len(frames):
        return None
    features: list[Tensor] = []

    def keep_features(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        # as a new leaf: gradients are needed from here on, whether or not the layers before take any
        features.append(output.detach().requires_grad_(True))
        return features[-1]

    handle = layer.register_forward_hook(keep_features)
    try:
        with torch.enable_grad():
            return np.concatenate(
                [
                    _maps(network, frames[start : start + FRAMES_AT_ONCE], features)
                    for start in range(0, len(frames), FRAMES_AT_ONCE)
                ]
            )
    finally:
        handle.remove()


def _maps(network: nn.Module, frames: np.ndarray, features: list[Tensor]) -> np.ndarray:
    features.clear()
    logits = network(scale_pixels(torch.from_numpy(np.ascontiguousarray(frames))))
    (gradient,) = torch.autograd.grad(logits.sum(), features)
    return (gradient * features[0]).sum(dim=1).detach().numpy()
