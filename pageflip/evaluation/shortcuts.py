"""The shortcut test: does the F1 survive changes of the picture that leave its label as it is?

A network that has learnt brightness, colour or a side of the frame instead of the page in the air loses F1 when these
change. The changes are made in floating point on the device and draw nothing at random.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from pageflip.evaluation.calibration import calibrated
from pageflip.evaluation.metrics import binary_metrics
from pageflip.networks.predict import predict_logits
from pageflip.params.evaluation import Change


def changed(batch: Tensor, change: Change) -> Tensor:
    """float32 [N, 3, height, width] in 0..1 -> the same, every frame changed alike: colours, then lens, then mirror."""
    if change.brightness:
        batch = functional.adjust_brightness(batch, 1 + change.brightness)
    if change.warmth:
        gains = torch.tensor([1 + change.warmth, 1, 1 - change.warmth], device=batch.device)
        batch = (batch * gains.view(1, 3, 1, 1)).clamp(0, 1)
    if change.saturation:
        batch = functional.adjust_saturation(batch, 1 + change.saturation)
    if change.blur:
        deviation = change.blur * batch.shape[3]  # pixels
        side = 2 * max(1, math.ceil(3 * deviation)) + 1
        batch = functional.gaussian_blur(batch, [side, side], [deviation, deviation])
    return functional.horizontal_flip(batch) if change.mirror else batch


def run_shortcut_test(
    network: nn.Module,
    frames: np.ndarray,
    rows: np.ndarray,
    target: np.ndarray,
    *,
    temperature: float,
    threshold: float,
    changes: Mapping[str, Change],
    max_loss: float,
    device: str = "cpu",
) -> dict[str, Any]:
    """F1 of the chosen rows of a pack under each change, at the same temperature and threshold.

    Args:
        target: int [len(rows)], 1 is flip.
        max_loss: points of F1; a change that costs more is flagged.

    Returns:
        max_loss; f1 of the frames as they are; changes: {name: {f1, loss in points, turned: frames whose label
        changed, flagged}}; flagged: the names of those that cost too much.
    """

    def called(change: Change | None) -> np.ndarray:
        step = None if change is None else partial(changed, change=change)
        logits = predict_logits(network, frames, rows, device=device, change=step)
        return calibrated(logits, temperature) >= threshold

    plain = called(None)
    base = binary_metrics(target, plain.astype(float), 0.5)["f1"]
    table = {}
    for name, change in changes.items():
        verdict = called(change)
        f1 = binary_metrics(target, verdict.astype(float), 0.5)["f1"]
        loss = 100 * (base - f1)
        turned = int((verdict != plain).sum())
        table[name] = {"f1": f1, "loss": loss, "turned": turned, "flagged": loss > max_loss}
    flagged = [name for name, row in table.items() if row["flagged"]]
    return {"max_loss": max_loss, "f1": base, "changes": table, "flagged": flagged}
