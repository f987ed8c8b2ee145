"""Where in a frame a network found what spoke for a flip, and what against it.

Gradient times activation at the last features, summed over channels (HiResCAM: Draelos and Carin, "Use HiResCAM instead
of Grad-CAM", 2020). The networks here put one linear unit on the mean and the maximum of those features, and for such a
head the map is a class activation map in the strict sense: its values add up to the logit less the unit's bias.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pageflip.networks.layers import for_evaluation

LAST_FEATURES = ("last", "features", "body")  # what the networks of the registry call the layer before the pooling
FOR, AGAINST = (255, 122, 0), (0, 112, 255)  # told apart with any colour blindness
STRONGEST = 0.85  # opacity of the strongest place
GREY_LOW, GREY_SPAN = 40, 0.72  # the picture below the colours: greyish, so that only evidence has a colour
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


def last_features(network: nn.Module) -> nn.Module | None:
    """The layer before the pooling, whose output is [N, channels, rows, columns]; None where it is not known."""
    layer = next((getattr(network, name) for name in LAST_FEATURES if hasattr(network, name)), None)
    return layer if isinstance(layer, nn.Module) else None


def _maps(network: nn.Module, frames: np.ndarray, kept: list[Tensor]) -> np.ndarray:
    kept.clear()
    logits = network(for_evaluation(torch.from_numpy(np.ascontiguousarray(frames))))
    (gradient,) = torch.autograd.grad(logits.sum(), kept)
    return (gradient * kept[0]).sum(dim=1).detach().numpy()


def overlay(pixels: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """The frame in grey with its evidence over it, FOR and AGAINST in colour: uint8 [height, width, 3].

    The strongest place of the frame, whichever its sign, is the most opaque: maps of two frames do not compare.

    Args:
        pixels: uint8 [height, width, 3]; evidence: float [rows, columns], a map of `activation_maps`.
    """
    height, width, _ = pixels.shape
    small = Image.fromarray(evidence.astype(np.float32))
    fine = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    share = np.clip(fine / max(float(np.abs(fine).max()), 1e-12), -1, 1)[..., None]
    grey = GREY_LOW + GREY_SPAN * pixels.mean(axis=2, keepdims=True)
    colour = np.where(share > 0, np.float32(FOR), np.float32(AGAINST))
    opacity = STRONGEST * np.abs(share)
    return np.clip(grey * (1 - opacity) + colour * opacity, 0, 255).astype(np.uint8)
