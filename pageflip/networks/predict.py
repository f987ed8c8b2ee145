"""Prediction of rows of a pack with a network in memory."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pageflip.networks.layers import scale_pixels

BATCH = 256  # frames per forward pass


def predict_rows(
    network: nn.Module, frames: np.ndarray, rows: np.ndarray, device: str = "cpu", temperature: float = 1.0
) -> np.ndarray:
    """Return probabilities of `flip`, float32 [len(rows)], scaled by a temperature; see `predict_logits`."""
    logits = predict_logits(network, frames, rows, device)
    return torch.sigmoid(torch.from_numpy(logits) / temperature).numpy()


def predict_logits(
    network: nn.Module,
    frames: np.ndarray,
    rows: np.ndarray,
    device: str = "cpu",
    change: Callable[[Tensor], Tensor] | None = None,
) -> np.ndarray:
    """Return logits of `flip`, float32 [len(rows)].

    Args:
        network: is moved to `device` and set to evaluation mode.
        frames: the pack, uint8 [N, height, width, 3].
        rows: rows of the pack to predict, int.
        device: torch's name of the device.
        change: transforms each batch, float32 [B, 3, height, width] in 0..1 on the device, before the forward pass.
    """
    network = network.to(device).eval()
    parts = [np.empty(0, np.float32)]
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            pixels = torch.from_numpy(np.ascontiguousarray(frames[rows[start : start + BATCH]])).to(device)
            batch = scale_pixels(pixels)
            parts.append(network(change(batch) if change else batch).float().cpu().numpy())
    return np.concatenate(parts)
