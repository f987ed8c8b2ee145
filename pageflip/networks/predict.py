"""The networks, in one registry by name, and how their weights are kept: safetensors beside a JSON config.

Every network takes float32 [N, 3, height, width] in 0..1 (RGB) and gives logits [N] of the class `flip`.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from pageflip.networks.layers import for_evaluation


def predict_rows(
    network: nn.Module,
    frames: np.ndarray,
    rows: np.ndarray,
    batch_size: int = 256,
    device: str = "cpu",
    temperature: float = 1.0,
) -> np.ndarray:
    """Probabilities of `flip`, float32 [len(rows)], for the chosen rows of a pack, at a temperature."""
    logits = predict_logits(network, frames, rows, batch_size, device)
    return torch.sigmoid(torch.from_numpy(logits) / temperature).numpy()


def predict_logits(
    network: nn.Module,
    frames: np.ndarray,
    rows: np.ndarray,
    batch_size: int = 256,
    device: str = "cpu",
    change: Callable[[Tensor], Tensor] | None = None,
) -> np.ndarray:
    """Logits of `flip`, float32 [len(rows)], for the chosen rows of a pack.

    `change` is done to each batch, float32 [N, 3, height, width] in 0..1 on the device, before the network sees it.
    """
    network = network.to(device).eval()
    parts = [np.empty(0, np.float32)]
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            pixels = torch.from_numpy(np.ascontiguousarray(frames[rows[start : start + batch_size]])).to(device)
            batch = for_evaluation(pixels)
            parts.append(network(change(batch) if change else batch).float().cpu().numpy())
    return np.concatenate(parts)
