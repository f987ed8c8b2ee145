"""Measure a trained network: threshold on validation, everything else on the test part; numbers, curves and a report.

    python -m tasks.evaluate --model cnn --frames data/frames --split data/split \\
        --models models/trained/cnn --out reports/evaluation/cnn
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from pageflip import day_zero, registry
from pageflip.activation_maps import activation_maps
from pageflip.console import run_main
from pageflip.errors import DataError
from pageflip.files import folder_in_one_piece, write_json
from pageflip.metrics import evaluate_predictions, flat_numbers, worst_mistakes
from pageflip.networks import INITIAL, load_network, predict_rows, read_config
from pageflip.pack import data_digest, open_pack
from pageflip.params import load_params
from pageflip.report import write_plots, write_report
from pageflip.splitting import part_rows, read_assignment
from pageflip.versions import data_version, environment, git_revision

FRAME_KEY = ["label", "video", "frame"]
PARTS = ("val", "test")
PROTOCOLS = Path("reports/protocols")


def main() -> None:
    """Read the sections `evaluate` and `split`, evaluate, and leave the results in one piece."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name of the network, for the report")
    parser.add_argument("--frames", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--split", type=Path, required=True, help="folder of the assignment")
    parser.add_argument("--models", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the metrics, plots and report")
    parser.add_argument("--protocols", type=Path, default=PROTOCOLS, help="what `pageflip benchmark-protocols` wrote")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args()
    params = load_params(args.params)
    evaluate(
        args.model,
        frames=args.frames,
        split=args.split,
        models=args.models,
        out=args.out,
        protocols=args.protocols,
        protocol=params.split.protocol,
        unit=params.split.unit,
        bootstrap_samples=params.evaluate.bootstrap_samples,
        seed=params.evaluate.seed,
        mistakes=params.evaluate.worst_mistakes,
    )


def evaluate(
    model: str,
    *,
    frames: Path,
    split: Path,
    models: Path,
    out: Path,
    protocols: Path = PROTOCOLS,
    protocol: str,
    unit: str,
    bootstrap_samples: int,
    seed: int,
    mistakes: int,
) -> None:
    """Write metrics.json, predictions.parquet, plots/ and report.html to `out`, and log them to the training's run.

    Raises:
        DataError: the model is missing, or the split is not one of these frames (see also `evaluate_predictions`).
    """
    pack, index = open_pack(frames)
    assignment = read_assignment(split)
    check_split_of_frames(assignment, index, split)
    config = read_config(models)
    network = load_network(models)
    predictions = predict_parts(network, pack, assignment)
    val, test = (predictions[predictions["part"] == part] for part in PARTS)
    metrics = evaluate_predictions(
        val, test, bootstrap_samples=bootstrap_samples, seed=seed, protocol=protocol, unit=unit
    )
    metrics |= {"model": model, "weights_sha256": config["weights_sha256"]}
    worst = worst_mistakes(test, metrics["threshold"], mistakes)["row"].to_numpy()
    thumbnails = {int(row): pack[row] for row in worst}
    with folder_in_one_piece(out) as folder:
        write_json(folder / "metrics.json", {name: value for name, value in metrics.items() if name != "curves"})
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        write_plots(folder / "plots", metrics)
        write_report(
            folder / "report.html",
            metrics=metrics,
            predictions=predictions,
            history=_read_json(models / "history.json"),
            thumbnails=thumbnails,
            maps=map_evidence(network, thumbnails),
            protocols=_read_json(protocols / model / "protocols.json"),
            context={
                "model": model,
                "facts": gather_facts(assignment, config, frames, split),
                "parts": count_parts(assignment),
                "data_digest": data_digest(index),
            },
        )
        numbers = flat_numbers({name: value for name, value in metrics.items() if name != "val"})
        registry.log_evaluation(weights_sha256=config["weights_sha256"], metrics=numbers, folder=folder)
    print_summary(metrics, out)


def check_split_of_frames(assignment: pd.DataFrame, index: pd.DataFrame, split: Path) -> None:
    """Refuse a split that was made of other frames: its rows would name the wrong pictures.

    Raises:
        DataError: a row of the split lies outside the pack, or names another frame than the pack's index.
    """
    rows = assignment["row"].to_numpy()
    inside = len(rows) == 0 or (rows.min() >= 0 and rows.max() < len(index))
    if not inside or not (index[FRAME_KEY].to_numpy()[rows] == assignment[FRAME_KEY].to_numpy()).all():
        raise DataError(f"the split in {split} was not made of these frames", "run `dvc repro split` first.")


def predict_parts(network: Any, pack: np.ndarray, assignment: pd.DataFrame) -> pd.DataFrame:
    """The table of predictions (see `pageflip.metrics`) of the validation and the test part.

    Raises:
        DataError: a part holds no frames.
    """
    tables = []
    for part in PARTS:
        rows, targets = part_rows(assignment, part)
        if not len(rows):
            raise DataError(f"the split's part {part} holds no frames", "give it a larger share (split.shares).")
        table = assignment[assignment["part"] == part]
        tables.append(table.assign(target=targets.astype(np.int64), probability=predict_rows(network, pack, rows)))
    return pd.concat(tables, ignore_index=True)


def map_evidence(network: Any, pictures: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """What the network found in each picture (see `pageflip.activation_maps`); empty where that is not known."""
    maps = activation_maps(network, np.stack(list(pictures.values()))) if pictures else None
    return {} if maps is None else dict(zip(pictures, maps, strict=True))


def count_parts(assignment: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each part of the split its frames, flips, clips, groups and (known) books."""
    order = ("train", "val", "test", "unused")
    return [
        {
            "part": part,
            "frames": len(table),
            "flips": int((table["label"] == "flip").sum()),
            **{f"{name}s": int(table[name].nunique()) for name in ("clip", "group", "book")},
        }
        for part, table in sorted(assignment.groupby("part"), key=lambda entry: order.index(entry[0]))
    ]


def gather_facts(
    assignment: pd.DataFrame, config: Mapping[str, Any], frames: Path, split: Path
) -> dict[str, dict[str, Any]]:
    """What the report tells of data, split, model, training, environment and licences: {section: {name: value}}."""
    leaks = {name: value for name, value in _read_json(split / "leaks.json").items() if not isinstance(value, Mapping)}
    first = {"git revision": git_revision(), **{name: config.get(name) for name in ("network", "weights_sha256")}}
    rest = _plain({name: value for name, value in config.items() if name not in first})
    training = {name: value for name, value in rest.items() if name.startswith(("fit.", "augment."))}
    return {
        "Data": {"data version": data_version(), **_plain(_read_json(frames / "pack.json"))},
        "Split": _plain(leaks),
        "Model": first | {name: value for name, value in rest.items() if name not in training},
        "Training": training,
        "Environment": environment(),
        "Licences": licences(config.get("settings", {}).get(INITIAL, "none")),
    }


def licences(initial: str) -> dict[str, str]:
    """Whose terms hold for the frames, the code, and the weights that the training began from."""
    terms = {"frames": "those of their owner; this page shows some", "code": "Apache-2.0"}
    if initial == "none":
        return terms | {"initial weights": "none, trained from scratch"}
    if initial == day_zero.NAME:
        return terms | {
            f"initial weights ({initial}), {of}": text for of, text in day_zero.read_card()["licences"].items()
        }
    return terms | {"initial weights": f"{initial}: see where they come from"}


def print_summary(metrics: Mapping[str, Any], out: Path) -> None:
    """Print the headline numbers as a small table."""
    counts = metrics["confusion"]
    auc = "undefined" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.3f}"
    table = Table(title=f"{metrics['model']} on the test part, {metrics['protocol']}", show_header=False)
    table.add_row("F1", f"{metrics['f1']:.3f} (95% {metrics['f1_low']:.3f} to {metrics['f1_high']:.3f})")
    table.add_row("precision, recall", f"{metrics['precision']:.3f}, {metrics['recall']:.3f}")
    table.add_row("ROC AUC", auc)
    table.add_row("threshold (validation F1)", f"{metrics['threshold']:.3f} ({metrics['val']['f1']:.3f})")
    table.add_row("tp, fp, fn, tn", ", ".join(str(counts[name]) for name in ("tp", "fp", "fn", "tn")))
    table.add_row("frames, groups", f"{metrics['n']}, {metrics['n_groups']}")
    table.add_row("clips judged right", f"{metrics['clips']['accuracy']:.0%} of {metrics['clips']['n']}")
    console = Console()
    console.print(table)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _plain(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names; long lists as their length."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _plain(value, f"{prefix}{name}.")
        elif isinstance(value, list) and (len(value) > 12 or any(isinstance(one, list | dict) for one in value)):
            flat[prefix + name] = f"{len(value)} entries"
        else:
            flat[prefix + name] = "none" if value in (None, []) else value
    return flat


if __name__ == "__main__":
    run_main(main)
