"""Export the best trained model to ONNX, prove the export, and register it in MLflow under the alias `candidate`.

python -m tasks.register --models models --reports reports --frames data/frames --split data/split --out models/package
python -m tasks.register --verify --out models/package
"""

import argparse
import json
from importlib.metadata import version as release
from pathlib import Path

import numpy as np
import yaml

from pageflip import registry
from pageflip.console import run_main
from pageflip.errors import DataError, UnavailableError
from pageflip.export import check_parity, export_onnx
from pageflip.files import folder_in_one_piece, sha256_of
from pageflip.networks import load_network, read_config
from pageflip.pack import open_pack
from pageflip.params import Register, load_params
from pageflip.splitting import ASSIGNMENT_FILE
from pageflip.versions import data_version, git_revision

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
    with folder_in_one_piece(args.out) as folder:
        card = export(model, folder, params.register_, args)
        version = register(folder, card, params.register_.model_name, sha256_of(args.split / ASSIGNMENT_FILE))
    print(f"register: {model} is {params.register_.model_name} version {version}, alias {registry.CANDIDATE}")


def best_model(models: Path, reports: Path, names: tuple[str, ...]) -> str:
    """The model with the best F1 on validation; of equals the first in `train.models`."""
    scores = {}
    for name in names:
        metrics = json.loads((reports / name / "metrics.json").read_text(encoding="utf-8"))
        if read_config(models / name)["weights_sha256"] != metrics["weights_sha256"]:
            raise DataError(f"{reports / name} is not the evaluation of {models / name}", "run `dvc repro evaluate`.")
        scores[name] = metrics["val"]["f1"]
    return max(names, key=lambda name: scores[name])


def export(model: str, folder: Path, params: Register, args: argparse.Namespace) -> dict:
    """Write model.onnx and card.json below `folder`; return the card."""
    config = read_config(args.models / model)
    metrics = json.loads((args.reports / model / "metrics.json").read_text(encoding="utf-8"))
    network = load_network(args.models / model)
    path = folder / registry.MODEL_FILE
    facts = {"threshold": metrics["threshold"], "network": model, "weights_sha256": config["weights_sha256"]}
    export_onnx(network, path, width=config["width"], height=config["height"], facts=facts)
    frames, _ = open_pack(args.frames)
    rows = np.unique(np.linspace(0, len(frames) - 1, min(params.parity_frames, len(frames)), dtype=int))
    difference = check_parity(network, path, frames, rows, params.max_parity_error)
    print(f"register: ONNX agrees with torch to {difference:.1e} in probability over {len(rows)} frames")
    card = facts | {
        "artifact_sha256": sha256_of(path),
        "data_version": data_version(),
        "width": config["width"],
        "height": config["height"],
        "protocol": metrics["protocol"],
        "metrics": {key: metrics[key] for key in CARD_METRICS},
    }
    (folder / registry.CARD_FILE).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return card


def register(folder: Path, card: dict, name: str, split: str) -> str:
    """Register the package with tags that say where it comes from; return the version."""
    tags = {f"metric.{key}": f"{value}" for key, value in card["metrics"].items()}
    tags |= {"git_revision": git_revision(), "data_version": card["data_version"], "split": split}
    tags |= {"network": card["network"], "protocol": card["protocol"], "threshold": f"{card['threshold']}"}
    return registry.register_version(
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
    digest = sha256_of(out / registry.MODEL_FILE)
    candidate = registry.get_version(name, registry.CANDIDATE)
    if candidate is None or candidate.tags.get(registry.ARTIFACT) != digest:
        raise UnavailableError(f"the candidate of {name} is not the ONNX file {digest}", "run register again.")
    registry.mark_run(candidate.run_id)


if __name__ == "__main__":
    run_main(main)
