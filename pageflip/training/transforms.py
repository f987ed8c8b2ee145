"""What happens to a batch of frames before the network sees it: evaluation's way, and training's beside it.

Both work on whole batches on the device the batch is on. Augmentation draws its numbers per frame from a generator, so
a seed fixes it.
"""

import torch
from torch import Tensor

from pageflip.params.load import Augment
from pageflip.training.augmentation import augment


def for_evaluation(frames: Tensor) -> Tensor:
    """uint8 [N, height, width, 3] -> float32 [N, 3, height, width] in 0..1."""
    pixels = frames.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return pixels.div_(255)


def for_training(frames: Tensor, strengths: Augment, generator: torch.Generator) -> Tensor:
    """uint8 [N, height, width, 3] -> augmented float32 [N, 3, height, width] in 0..1.

    Exposure, contrast, gamma and white balance are varied hard, since brightness and colour say nothing about a flip
    but correlate with it in any small set of clips; mirroring stands for books read from right to left.
    """
    return augment(for_evaluation(frames), strengths, generator)
