"""From the trained network to the ONNX file that is served and its int8 twin, and what each is worth.

Both take the same pixels and carry the same metadata. They keep to opset 18 and IR version 8, which ONNX Runtime 1.14
(2023) and later load, on phones too; a phone that wants fixed shapes sets the free dimension BATCH_DIMENSION to 1.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from pageflip.base.errors import DataError
from pageflip.base.files import sha256_of
from pageflip.evaluation.metrics import binary_metrics
from pageflip.frames.assignment import part_rows
from pageflip.inference.predictor import Predictor
from pageflip.networks.onnx_export import quantize_onnx
from pageflip.networks.predict import predict_rows
from pageflip.params.register import Register


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


INPUT = "frames: uint8 [N, height, width, 3], RGB, upright, scaled to fit, the rest black"


def band_of(review: dict) -> list[float] | None:
    """The review band as the file's metadata holds it: [lowest, highest], or None."""
    return None if review["low"] is None else [review["low"], review["high"]]


def export_files(
    network: nn.Module, path: Path, frames: np.ndarray, assignment: pd.DataFrame, params: Register, temperature: float
) -> dict:
    """Write the int8 twin beside `path`, measure both on validation, and take the twin away where it loses too much.

    Returns:
        fp32 and int8: {file, offered, reason (why not, or None), and the keys of `measure_file`}.
    """
    target_path = path.with_name(f"{path.stem}.int8.onnx")
    train = part_rows(assignment, "train")[0]
    chosen = np.unique(np.linspace(0, len(train) - 1, min(params.int8.calibration_frames, len(train)), dtype=int))
    quantize_onnx(path, target_path, frames[train[chosen]])
    rows, target = part_rows(assignment, "val")
    expected = predict_rows(network, frames, rows, temperature=temperature)
    files = {}
    for name, file in (("fp32", path), ("int8", target_path)):
        measured = measure_file(file, frames, rows, target, expected, latency_runs=params.latency_runs)
        files[name] = {"file": file.name, "offered": True, "reason": None, **measured}
    int8, limit = files["int8"], params.int8.max_f1_loss
    if int8["f1_loss"] > limit:
        int8 |= {"offered": False, "reason": f"it loses {int8['f1_loss']:.2f} points of F1, allowed are {limit:g}"}
        target_path.unlink()
    for name, row in files.items():
        print(f"export: {name}: {row['bytes'] / 1e6:.2f} MB, {row['latency_ms']:.2f} ms a frame on one core,", end=" ")
        print(f"F1 {row['f1']:.4f} on validation" + (f"; not offered: {row['reason']}" if row["reason"] else ""))
    return files
