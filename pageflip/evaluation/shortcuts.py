"""The shortcut test: does F1 survive changes of the image that leave its label as it is?

A network that has learnt brightness, colour or a side of the frame, instead of the sheet in the air, loses F1 under
these changes. They are made in floating point and are not random.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from pageflip.evaluation.calibration import apply_temperature
from pageflip.evaluation.metrics import binary_metrics
from pageflip.networks.predict import predict_logits
from pageflip.params.evaluation import Change, Shortcuts


def apply_change(batch: Tensor, change: Change) -> Tensor:
    """Apply a change to all frames of a batch: colours, then blur, then mirroring.

    Args:
        batch: float32 [N, 3, height, width] in 0..1.
        change: its strengths.

    Returns:
        A batch of the same shape and range.
    """
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
    params: Shortcuts,
    *,
    temperature: float,
    threshold: float,
) -> dict[str, Any]:
    """Measure the F1 of chosen rows of a pack under each change, at the same temperature and threshold.

    Args:
        network: what is tested.
        frames: the pack, uint8 [frames, height, width, 3].
        rows: of the pack, int [N].
        target: int [N], 1 is flip.
        params: the changes, and max_loss: points of F1; a change that costs more is flagged.
        temperature: divisor of the logits.
        threshold: of the calibrated probabilities.

    Returns:
        max_loss; f1 of the unchanged frames; changes, {name: {f1, loss in points, turned: number of frames whose
        prediction changed, flagged}}; flagged, the names of the changes that cost too much.
    """

    def predict(change: Change | None) -> np.ndarray:
        step = None if change is None else partial(apply_change, change=change)
        return apply_temperature(predict_logits(network, frames, rows, change=step), temperature) >= threshold

    plain = predict(None)
    base = _f1(target, plain)
    changes = {}
    for name, change in params.changes.items():
        called = predict(change)
        f1 = _f1(target, called)
        loss = 100 * (base - f1)
        turned = int((called != plain).sum())
        changes[name] = {"f1": f1, "loss": loss, "turned": turned, "flagged": loss > params.max_loss}
    flagged = [name for name, row in changes.items() if row["flagged"]]
    return {"max_loss": params.max_loss, "f1": base, "changes": changes, "flagged": flagged}


def _f1(target: np.ndarray, called: np.ndarray) -> float:
    return binary_metrics(target, called.astype(float), 0.5)["f1"]
