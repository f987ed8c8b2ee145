"""Measure a trained network: calibration, threshold and review band on validation, the rest on the test part; a report.

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

from pageflip.base.console import run_main
from pageflip.base.errors import DataError
from pageflip.base.files import folder_in_one_piece, write_json
from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.evaluation.activation_maps import activation_maps
from pageflip.evaluation.calibration import (
    calibrated,
    calibration_table,
    choose_review_band,
    fit_temperature,
    review_table,
)
from pageflip.evaluation.judging import evaluate_predictions
from pageflip.evaluation.metrics import flat_numbers, reliability_bins
from pageflip.evaluation.shortcuts import run_shortcut_test
from pageflip.evaluation.stitching import DECODER, judge_stitched
from pageflip.evaluation.tables import worst_mistakes
from pageflip.evaluation.temporal_refinement import judge_in_sequence
from pageflip.evaluation.thresholds import choose_threshold, threshold_that_reaches
from pageflip.frames.pack import data_digest, open_pack
from pageflip.frames.splitting import part_rows, read_assignment
from pageflip.inference import cards
from pageflip.networks.build import INITIAL
from pageflip.networks.predict import predict_logits
from pageflip.networks.saved import load_network, read_config
from pageflip.params.all import load_params
from pageflip.params.evaluation import Evaluate, Threshold
from pageflip.params.events import Events
from pageflip.registry import tracking
from pageflip.reports.evaluation_page import write_plots, write_report

FRAME_KEY = ["label", "video", "frame"]
PARTS = ("val", "test")
PROTOCOLS = Path("reports/protocols")


def main() -> None:
    """Read the sections `evaluate`, `split` and `events`, evaluate, and leave the results in one piece."""
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
    settings = {"protocol": params.split.protocol, "unit": params.split.unit, "events": params.events}
    evaluate(args.model, params.evaluate, **settings, **paths)


def evaluate(
    model: str,
    params: Evaluate,
    *,
    events: Events,
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
    metrics["stitched"], timelines = judge_stitched(
        predictions, metrics["threshold"], params.seed, plan=events, pack=pack
    )
    metrics |= {"model": model, "weights_sha256": config["weights_sha256"]}
    worst = worst_mistakes(test, metrics["threshold"], params.worst_mistakes)["row"].to_numpy()
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
            timelines=timelines,
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


def judge(
    predictions: pd.DataFrame, params: Evaluate, *, protocol: str, unit: str, tolerance: float = 0.0
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Calibrate, choose threshold and review band on validation, and measure on test.

    Args:
        predictions: what `predict_parts` returned.
        tolerance: F1 on validation that may be given up for a wider plateau (see `choose_threshold`).

    Returns:
        The predictions, calibrated; and the keys of `evaluate_predictions` with calibration (temperature, reason, and
        `calibration_table` of val and test), reliability_before, threshold_choice (see `choose`) and review
        (error_rate, low, high, reached, and `review_table` of val and test).

    Raises:
        DataError: see `evaluate_predictions`.
    """
    val, test = (predictions[predictions["part"] == part] for part in PARTS)
    fit = fit_temperature(val["target"], val["logit"], val["group"], **params.temperature.model_dump())
    calibration = {"temperature": fit.value, "reason": fit.reason}
    calibration |= {part: calibration_table(table, fit.value) for part, table in zip(PARTS, (val, test), strict=True)}
    before = reliability_bins(test["target"], test["probability"])
    predictions = predictions.assign(probability=calibrated(predictions["logit"], fit.value))
    val, test = (predictions[predictions["part"] == part] for part in PARTS)
    choice = choose(val, params.threshold, tolerance)
    metrics = evaluate_predictions(
        val,
        test,
        bootstrap_samples=params.bootstrap_samples,
        seed=params.seed,
        threshold=choice["threshold"],
        protocol=protocol,
        unit=unit,
    )
    band = choose_review_band(val["target"], val["probability"], choice["threshold"], params.review_error_rate)
    review = {"error_rate": params.review_error_rate, "low": band.low, "high": band.high, "reached": band.reached}
    review |= {
        part: review_table(table, choice["threshold"], band) for part, table in zip(PARTS, (val, test), strict=True)
    }
    metrics |= {"calibration": calibration, "reliability_before": before, "threshold_choice": choice, "review": review}
    return predictions, metrics


def choose(val: pd.DataFrame, wanted: Threshold, tolerance: float = 0.0) -> dict[str, Any]:
    """The threshold, and what it was chosen for: {threshold, wanted, reached}.

    Where no threshold reaches the wanted precision on validation it is the one of the best F1, and `reached` is false.

    Raises:
        DataError: validation lacks a class.
    """
    best = choose_threshold(val["target"], val["probability"], tolerance)
    goals = wanted.model_dump(exclude_none=True)
    if not goals:
        return {"threshold": best, "wanted": "F1", "reached": True}
    threshold = threshold_that_reaches(val["target"], val["probability"], **goals)
    ((name, value),) = goals.items()
    reached = threshold is not None
    return {"threshold": threshold if reached else best, "wanted": f"{name} {value:g}", "reached": reached}


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
    """The table of predictions (see `pageflip.evaluation.metrics`) of the validation and the test part, and their
    logits.

    The probabilities are those of the network itself, not calibrated yet.

    Raises:
        DataError: a part holds no frames.
    """
    tables = []
    for part in PARTS:
        rows, targets = part_rows(assignment, part)
        if not len(rows):
            raise DataError(f"the split's part {part} holds no frames", "give it a larger share (split.shares).")
        table = assignment[assignment["part"] == part]
        logit = predict_logits(network, pack, rows)
        tables.append(table.assign(target=targets.astype(np.int64), logit=logit, probability=calibrated(logit, 1.0)))
    return pd.concat(tables, ignore_index=True)


def map_evidence(network: Any, pictures: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """What the network found in each picture (see `pageflip.evaluation.activation_maps`); empty where that is not
    known."""
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
    if initial == cards.NAME:
        return terms | {
            f"initial weights ({initial}), {of}": text for of, text in cards.read_card()["licences"].items()
        }
    return terms | {"initial weights": f"{initial}: see where they come from"}


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
    if metrics["stitched"]["reason"] is None:
        table.add_row("flips in stitched clips, F1", f"{metrics['stitched']['finders'][DECODER]['f1']:.3f}")
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
