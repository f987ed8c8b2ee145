"""Where in a frame a network found what spoke for a flip, and what against it.

Gradient times activation at the last features, summed over channels (HiResCAM: Draelos and Carin, "Use HiResCAM instead
of Grad-CAM", 2020). The networks here put one linear unit on the mean and the maximum of those features, and for such a
head the map is a class activation map in the strict sense: its values add up to the logit less the unit's bias.
"""

import numpy as np
from PIL import Image

FOR, AGAINST = (255, 122, 0), (0, 112, 255)  # told apart with any colour blindness
STRONGEST = 0.85  # opacity of the strongest place
GREY_LOW, GREY_SPAN = 40, 0.72  # the picture below the colours: greyish, so that only evidence has a colour


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
