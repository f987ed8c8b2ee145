"""Exported ONNX files compared with the network they came from: parity, size, latency and loss of F1."""

from collections.abc import Mapping
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

INPUT = "frames: uint8 [N, height, width, 3], RGB, upright, scaled to fit, the rest black"


def check_parity(
    network: nn.Module, path: Path, frames: np.ndarray, rows: np.ndarray, limit: float, temperature: float = 1.0
) -> float:
    """Return the largest difference in probability between a network and its ONNX file.

    Args:
        network: what was exported.
        path: the ONNX file.
        frames: the pack, uint8 [frames, height, width, 3].
        rows: of the pack, to compare on.
        limit: of the difference.
        temperature: that the file divides its logits by.

    Raises:
        DataError: the difference is above `limit`.
    """
    expected = predict_rows(network, frames, rows, temperature=temperature)
    difference = float(np.abs(Predictor.load(path).predict(frames[rows]) - expected).max())
    if not difference <= limit:
        raise DataError(
            f"the ONNX file differs from the network by {difference:g} in probability; {limit:g} is allowed",
            "do not use the file; compare the versions of torch and onnxruntime with requirements/pipeline.txt.",
        )
    return difference


def measure_file(
    path: Path, frames: np.ndarray, rows: np.ndarray, target: np.ndarray, expected: np.ndarray, *, latency_runs: int
) -> dict[str, Any]:
    """Compare an exported file with its network.

    Args:
        path: the ONNX file.
        frames: the pack, uint8 [frames, height, width, 3].
        rows: of the pack, to compare on.
        target: int [len(rows)], 1 is flip.
        expected: float [len(rows)], the network's probabilities.
        latency_runs: number of frames, one at a time, that the latency is measured on.

    Returns:
        sha256, bytes, latency_ms (one frame, one core), f1, f1_loss (points below the network's F1 at the same
        threshold), mean_difference and largest_difference in probability.
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


def band_of(review: dict) -> list[float] | None:
    """Return the review band as in the file's metadata: [lowest, highest], or None."""
    return None if review["low"] is None else [review["low"], review["high"]]


def export_files(
    network: nn.Module, path: Path, frames: np.ndarray, assignment: pd.DataFrame, params: Register, temperature: float
) -> dict:
    """Quantise an ONNX file to int8, measure both on validation, and delete the int8 file if it loses too much F1.

    Args:
        network: what was exported.
        path: the fp32 file; the int8 file is written beside it.
        frames: the pack, uint8 [frames, height, width, 3].
        assignment: of its frames to the parts.
        params: section `register`.
        temperature: that the file divides its logits by.

    Returns:
        fp32 and int8: file, offered, reason (why not offered, or None) and the keys of `measure_file`.
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
        int8 |= {"offered": False, "reason": f"it loses {int8['f1_loss']:.2f} points of F1; {limit:g} are allowed"}
        target_path.unlink()
    return files


def describe_files(files: Mapping[str, dict[str, Any]], latency_ms: Mapping[str, float]) -> list[str]:
    """Return size, latency and F1 of each file that `export_files` returned, as a line of text."""
    return [
        f"{name}: {row['bytes'] / 1e6:.2f} MB, {latency_ms[name]:.2f} ms a frame on one core, F1 {row['f1']:.4f} on "
        "validation" + (f"; not offered: {row['reason']}" if row["reason"] else "")
        for name, row in files.items()
    ]
