"""Export the best trained model to ONNX, fp32 and int8, prove it, and register it in MLflow as `candidate`.

python -m tasks.register --models models --reports reports --frames data/frames --split data/split --out models/package
python -m tasks.register --verify --out models/package
"""

import argparse
import json
from collections.abc import Mapping
from importlib.metadata import version as release
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pageflip.base.console import run_main
from pageflip.base.errors import DataError, UnavailableError
from pageflip.base.files import atomic_folder, sha256_of, write_json
from pageflip.base.provenance import data_version, git_revision
from pageflip.evaluation.exported import INPUT, band_of, check_parity, export_files
from pageflip.frames.assignment import ASSIGNMENT_FILE, read_assignment
from pageflip.frames.pack import open_pack
from pageflip.networks.onnx_export import export_onnx
from pageflip.networks.saved import load_network, read_config
from pageflip.params.all import load_params
from pageflip.params.registry import Register
from pageflip.registry import client, registration, versions
from pageflip.registry.journal import CANDIDATE

SERVED_REQUIREMENTS = ("numpy", "onnxruntime", "pandas", "pillow")
CARD_METRICS = ("f1", "f1_low", "f1_high", "precision", "recall", "roc_auc", "n")


def main() -> None:
    """Read the section `register` and register the model with the best validation F1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="folder of the trained models")
    parser.add_argument("--reports", type=Path, help="folder of their evaluations")
    parser.add_argument("--frames", type=Path, help="folder of the pack")
    parser.add_argument("--split", type=Path, help="folder of the assignment")
    parser.add_argument("--out", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--verify", action="store_true", help="only say whether MLflow holds what --out names")
    args = parser.parse_args()
    params = load_params(args.params)
    if args.verify:
        verify(args.out, params.register_.model_name)
        return
    if None in (args.models, args.reports, args.frames, args.split):
        parser.error("--models, --reports, --frames and --split are needed, except with --verify")
    model = best_model(args.models, args.reports, params.train.models)
    with atomic_folder(args.out) as folder:
        card, latency_ms = export(model, folder, params.register_, args)
        split = sha256_of(args.split / ASSIGNMENT_FILE)
        version = register(folder, card, params.register_.model_name, split, latency_ms)
    print(f"register: {model} is {params.register_.model_name} version {version}, alias {CANDIDATE}")


def best_model(models: Path, reports: Path, names: tuple[str, ...]) -> str:
    """The model with the best F1 on validation; of equals the first in `train.models`.

    Where a precision or recall is wanted, those whose threshold reaches it come first.
    """
    scores = {}
    for name in names:
        metrics = json.loads((reports / name / "metrics.json").read_text(encoding="utf-8"))
        if read_config(models / name)["weights_sha256"] != metrics["weights_sha256"]:
            raise DataError(f"{reports / name} is not the evaluation of {models / name}", "run `dvc repro evaluate`.")
        scores[name] = (metrics["threshold_choice"]["reached"], metrics["val"]["f1"])
    return max(names, key=lambda name: scores[name])


def export(
    model: str, folder: Path, params: Register, args: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, float]]:
    """Write model.onnx, card.json and, where it is good enough, model.int8.onnx below `folder`.

    Returns:
        The card, and the latency of each file in milliseconds, which is no part of it: the folder is the same wherever
        it is made, and times are not.
    """
    config = read_config(args.models / model)
    metrics = json.loads((args.reports / model / "metrics.json").read_text(encoding="utf-8"))
    network = load_network(args.models / model)
    path = folder / versions.MODEL_FILE
    temperature, review = metrics["calibration"]["temperature"], metrics["review"]
    facts = {"threshold": metrics["threshold"], "network": model, "weights_sha256": config["weights_sha256"]}
    facts |= {"temperature": temperature, "review_band": band_of(review)}
    size = {"width": config["width"], "height": config["height"]}
    export_onnx(network, path, **size, facts=facts, temperature=temperature)
    frames, _ = open_pack(args.frames)
    rows = np.unique(np.linspace(0, len(frames) - 1, min(params.parity_frames, len(frames)), dtype=int))
    difference = check_parity(network, path, frames, rows, params.max_parity_error, temperature)
    print(f"register: ONNX agrees with torch to {difference:.1e} in probability over {len(rows)} frames")
    files = export_files(network, path, frames, read_assignment(args.split), params, temperature)
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
    write_json(folder / versions.CARD_FILE, card)
    return card, latency_ms


def register(folder: Path, card: dict, name: str, split: str, latency_ms: Mapping[str, float]) -> str:
    """Register the package with tags that say where it comes from; return the version."""
    tags = {f"metric.{key}": f"{value}" for key, value in card["metrics"].items()}
    tags |= {"git_revision": git_revision(), "data_version": card["data_version"], "split": split}
    tags |= {f"latency_ms.{file}": f"{value:.2f}" for file, value in latency_ms.items()}
    tags |= {name: f"{card[name]}" for name in ("network", "protocol", "threshold", "temperature")}
    return registration.register_version(
        name,
        folder,
        weights_sha256=card["weights_sha256"],
        tags=tags,
        lock=upstream_lock(Path("dvc.lock")),
        pip_requirements=[f"{package}=={release(package)}" for package in SERVED_REQUIREMENTS],
    )


def upstream_lock(path: Path) -> str:
    """The entries of dvc.lock without those of this stage and what follows, which are of an earlier run."""
    if not path.exists():
        return ""
    lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    lock["stages"] = {name: entry for name, entry in lock["stages"].items() if name not in ("register", "promote")}
    return yaml.safe_dump(lock, sort_keys=True)


def verify(out: Path, name: str) -> None:
    """Check that the registry holds the exported model as its candidate (a restored stage did not run here).

    Raises:
        UnavailableError: it does not.
    """
    digest = sha256_of(out / versions.MODEL_FILE)
    candidate = versions.get_version(name, CANDIDATE)
    if candidate is None or candidate.tags.get(versions.ARTIFACT) != digest:
        raise UnavailableError(f"the candidate of {name} is not the ONNX file {digest}", "run register again.")
    int8 = sha256_of(out / versions.INT8_FILE) if (out / versions.INT8_FILE).exists() else None
    if candidate.tags.get(versions.INT8_ARTIFACT) != int8:
        raise UnavailableError(f"the candidate of {name} has not the int8 file {int8}", "run register again.")
    client.mark_run(candidate.run_id)


if __name__ == "__main__":
    run_main(main)
