"""Measure a trained network: calibration, threshold and review band on validation, the rest on the test part; a report.

    python -m tasks.evaluate --model cnn --frames data/frames --split data/split \\
        --models models/trained/cnn --out reports/evaluation/cnn
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pageflip.base.console import run_main
from pageflip.base.files import atomic_folder, write_json
from pageflip.evaluation.activation_maps import activation_maps
from pageflip.evaluation.judging import check_split_of_frames, judge, predict_parts
from pageflip.evaluation.metrics import flat_numbers
from pageflip.evaluation.shortcuts import run_shortcut_test
from pageflip.evaluation.tables import worst_mistakes
from pageflip.evaluation.temporal_refinement import judge_in_sequence
from pageflip.frames.assignment import read_assignment
from pageflip.frames.pack import data_digest, open_pack
from pageflip.networks.saved import load_network, read_config
from pageflip.params.all import load_params
from pageflip.params.evaluation import Evaluate
from pageflip.registry import tracking
from pageflip.reports.card_facts import count_parts, gather_facts, read_json
from pageflip.reports.evaluation_page import write_plots, write_report

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
    paths = {name: getattr(args, name) for name in ("frames", "split", "models", "out", "protocols")}
    settings = {"protocol": params.split.protocol, "unit": params.split.unit}
    evaluate(args.model, params.evaluate, **settings, **paths)


def evaluate(
    model: str,
    params: Evaluate,
    *,
    frames: Path,
    split: Path,
    models: Path,
    out: Path,
    protocols: Path = PROTOCOLS,
    protocol: str,
    unit: str,
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
    predictions, metrics = judge(predict_parts(network, pack, assignment), params, protocol=protocol, unit=unit)
    test = predictions[predictions["part"] == "test"]
    metrics["shortcuts"] = run_shortcut_test(
        network,
        pack,
        test["row"].to_numpy(),
        test["target"].to_numpy(),
        temperature=metrics["calibration"]["temperature"],
        threshold=metrics["threshold"],
        changes=params.shortcuts.changes,
        max_loss=params.shortcuts.max_loss,
    )
    metrics["in_sequence"] = judge_in_sequence(
        test, pack, metrics["threshold"], samples=params.bootstrap_samples, seed=params.seed
    )
    metrics |= {"model": model, "weights_sha256": config["weights_sha256"]}
    worst = worst_mistakes(test, metrics["threshold"], params.worst_mistakes)["row"].to_numpy()
    thumbnails = {int(row): pack[row] for row in worst}
    with atomic_folder(out) as folder:
        write_json(folder / "metrics.json", {name: value for name, value in metrics.items() if name != "curves"})
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        write_plots(folder / "plots", metrics)
        write_report(
            folder / "report.html",
            metrics=metrics,
            predictions=predictions,
            history=read_json(models / "history.json"),
            thumbnails=thumbnails,
            maps=map_evidence(network, thumbnails),
            protocols=read_json(protocols / model / "protocols.json"),
            context={
                "model": model,
                "facts": gather_facts(assignment, config, frames, split),
                "parts": count_parts(assignment),
                "data_digest": data_digest(index),
            },
        )
        numbers = flat_numbers({name: value for name, value in metrics.items() if name != "val"})
        tracking.log_evaluation(weights_sha256=config["weights_sha256"], metrics=numbers, folder=folder)
    print_summary(metrics, out)


def map_evidence(network: Any, pictures: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """What the network found in each picture (see `pageflip.evaluation.activation_maps`); empty where that is not
    known."""
    maps = activation_maps(network, np.stack(list(pictures.values()))) if pictures else None
    return {} if maps is None else dict(zip(pictures, maps, strict=True))


def print_summary(metrics: Mapping[str, Any], out: Path) -> None:
    """Print the headline numbers as a small table."""
    counts = metrics["confusion"]
    auc = "undefined" if metrics["roc_auc"] is None else f"{metrics['roc_auc']:.3f}"
    table = Table(title=f"{metrics['model']} on the test part, {metrics['protocol']}", show_header=False)
    table.add_row("F1", f"{metrics['f1']:.3f} (95% {metrics['f1_low']:.3f} to {metrics['f1_high']:.3f})")
    told = metrics["in_sequence"]
    table.add_row("F1 with neighbours", f"{told['f1']:.3f} (95% {told['f1_low']:.3f} to {told['f1_high']:.3f})")
    table.add_row("precision, recall", f"{metrics['precision']:.3f}, {metrics['recall']:.3f}")
    table.add_row("ROC AUC", auc)
    choice, review = metrics["threshold_choice"], metrics["review"]
    wanted = f", for {choice['wanted']}" if choice["reached"] else f"; {choice['wanted']} cannot be reached there"
    table.add_row("threshold (validation F1)", f"{metrics['threshold']:.3f} ({metrics['val']['f1']:.3f}){wanted}")
    calibration = metrics["calibration"]
    table.add_row(
        "temperature",
        f"{calibration['temperature']:.3f}" + (f" ({reason})" if (reason := calibration["reason"]) else ""),
    )
    table.add_row("calibration error, before", "{ece_after:.3f}, {ece_before:.3f}".format(**calibration["test"]))
    table.add_row("to be looked at again", f"{review['test']['share']:.0%} of the frames")
    table.add_row("shortcuts flagged", ", ".join(metrics["shortcuts"]["flagged"]) or "none")
    table.add_row("tp, fp, fn, tn", ", ".join(str(counts[name]) for name in ("tp", "fp", "fn", "tn")))
    table.add_row("frames, groups", f"{metrics['n']}, {metrics['n_groups']}")
    table.add_row("clips judged right", f"{metrics['clips']['accuracy']:.0%} of {metrics['clips']['n']}")
    console = Console()
    console.print(table)
    console.print(f"report: {out / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    run_main(main)
