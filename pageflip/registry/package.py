"""The package that becomes a model version: model.onnx, card.json and, where it is good enough, model.int8.onnx."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base.errors import DataError
from pageflip.base.files import sha256_of, write_json
from pageflip.base.provenance import data_version
from pageflip.evaluation.exported import INPUT, band_of, check_parity, export_files
from pageflip.evaluation.results import read_details
from pageflip.networks.onnx_export import export_onnx
from pageflip.networks.saved import load_network, read_config
from pageflip.params.register import Register
from pageflip.registry.versions import CARD_FILE, MODEL_FILE

CARD_METRICS = ("f1", "f1_low", "f1_high", "precision", "recall", "roc_auc", "n")


@dataclass(frozen=True)
class ModelPackage:
    """A package on disk.

    Attributes:
        folder: where its files are.
        card: the content of card.json.
        latency_ms: latency of each ONNX file in milliseconds; kept out of the card, so that equal inputs give an equal
            package on any machine.
        parity_error: largest difference in probability between ONNX and torch, over `parity_frames` frames.
    """

    folder: Path
    card: dict[str, Any]
    latency_ms: dict[str, float]
    parity_error: float
    parity_frames: int


def best_model(models: Path, reports: Path, names: tuple[str, ...]) -> str:
    """Return the name of the model with the best F1 on validation; of equals, the first in `names`.

    Where a precision or recall is required, the models whose threshold reaches it come first.

    Raises:
        DataError: an evaluation in `reports` is not that of the model in `models`.
    """
    scores = {}
    for name in names:
        metrics = read_details(reports / name)
        if read_config(models / name)["weights_sha256"] != metrics["weights_sha256"]:
            raise DataError(f"{reports / name} is not the evaluation of {models / name}", "run `dvc repro evaluate`.")
        scores[name] = (metrics["threshold_choice"]["reached"], metrics["val"]["f1"])
    return max(names, key=lambda name: scores[name])


def build_package(
    folder: Path, trained: Path, report: Path, *, frames: np.ndarray, assignment: pd.DataFrame, params: Register
) -> ModelPackage:
    """Export a trained model to the existing, empty folder `folder`.

    Args:
        folder: where the package is written.
        trained: folder of the trained model, named as its network.
        report: folder of its evaluation.
        frames: the pack, uint8 [N, height, width, 3].
        assignment: the split of its frames.
        params: the section `register`.

    Raises:
        DataError: ONNX and torch differ by more than `params.max_parity_error`.
    """
    config, metrics = read_config(trained), read_details(report)
    network, path = load_network(trained), folder / MODEL_FILE
    temperature, review = metrics["calibration"]["temperature"], metrics["review"]
    facts = {"threshold": metrics["threshold"], "network": trained.name, "weights_sha256": config["weights_sha256"]}
    facts |= {"temperature": temperature, "review_band": band_of(review)}
    size = {"width": config["width"], "height": config["height"]}
    export_onnx(network, path, **size, facts=facts, temperature=temperature)
    rows = np.unique(np.linspace(0, len(frames) - 1, min(params.parity_frames, len(frames)), dtype=int))
    difference = check_parity(network, path, frames, rows, params.max_parity_error, temperature)
    files = export_files(network, path, frames, assignment, params, temperature)
    latency_ms = {name: row.pop("latency_ms") for name, row in files.items()}
    card = facts | {
        "artifact_sha256": sha256_of(path),
        "data_version": data_version(),
        **size,
        "input": INPUT,
        "protocol": metrics["protocol"],
        "metrics": {key: metrics[key] for key in CARD_METRICS},
        "calibration": metrics["calibration"],
        "threshold_choice": metrics["threshold_choice"],
        "review": review,
        "files": files,
    }
    write_json(folder / CARD_FILE, card)
    return ModelPackage(folder, card, latency_ms, difference, len(rows))
