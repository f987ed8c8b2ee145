"""From the trained network to the ONNX file that is served and its int8 twin, and what each is worth.

Both take the same pixels and carry the same metadata. They keep to opset 18 and IR version 8, which ONNX Runtime 1.14
(2023) and later load, on phones too; a phone that wants fixed shapes sets the free dimension BATCH_DIMENSION to 1.
"""

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from pageflip.base.errors import DataError
from pageflip.base.files import sha256_of
from pageflip.evaluation.metrics import binary_metrics
from pageflip.inference.predictor import Predictor
from pageflip.networks.predict import predict_rows


def check_parity(
    network: nn.Module, path: Path, frames: np.ndarray, rows: np.ndarray, limit: float, temperature: float = 1.0
) -> float:
    """The largest difference in probability between the network and its ONNX file over the chosen rows of a pack.

    Raises:
        DataError: it is above `limit`.
    """
    expected = predict_rows(network, frames, rows, temperature=temperature)
    difference = float(np.abs(Predictor.load(path).predict(frames[rows]) - expected).max())
    if not difference <= limit:
        raise DataError(
            f"the ONNX file differs from the network by {difference:g} in probability, allowed is {limit:g}",
            "do not serve it; compare the releases of torch and onnxruntime with requirements/pipeline.txt.",
        )
    return difference


def measure_file(
    path: Path, frames: np.ndarray, rows: np.ndarray, target: np.ndarray, expected: np.ndarray, *, latency_runs: int
) -> dict[str, Any]:
    """What an exported file is worth beside its network, over the chosen rows of a pack.

    Args:
        target: int [len(rows)], 1 is flip; expected: float [len(rows)], the network's own probabilities.

    Returns:
        sha256, bytes, latency_ms (one frame, one core), f1, f1_loss (points lost to the network at the same
        threshold), and mean_difference and largest_difference in probability.
    """
    predictor = Predictor.load(path)
    probability = predictor.predict(frames[rows])
    f1, reference = (binary_metrics(target, values, predictor.threshold)["f1"] for values in (probability, expected))
    difference = np.abs(probability - expected)
    return {
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "latency_ms": Predictor.load(path, threads=1).latency_ms(np.repeat(frames[rows[:1]], latency_runs, axis=0)),
        "f1": f1,
        "f1_loss": 100 * (reference - f1),
        "mean_difference": float(difference.mean()),
        "largest_difference": float(difference.max()),
    }
