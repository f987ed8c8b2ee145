"""Production of the weights that `cnn` starts from: distilled from day-zero on the frames of its training.

The distilled weights and the last epoch of the training that follows stay in the work folder for a resume.
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pageflip.base.errors import ConfigError
from pageflip.base.files import atomic_file, read_json, sha256_of, write_json
from pageflip.inference import cards
from pageflip.inference.predictor import Predictor
from pageflip.networks.build import INITIAL, build_network
from pageflip.networks.initial_weights import COMPACT as NETWORK
from pageflip.networks.layers import FrameNetwork
from pageflip.networks.onnx_export import export_onnx
from pageflip.networks.saved import write_weights
from pageflip.params.all import Params
from pageflip.params.day_zero import Compact, DayZero
from pageflip.params.load import parse
from pageflip.pretraining import day_zero
from pageflip.pretraining.card import card_scores, evaluate_on_drawn, provenance
from pageflip.pretraining.drawn import DrawnFrames, find_frames
from pageflip.training import distillation
from pageflip.training.batches import TrainingData
from pageflip.training.checkpoints import delete_checkpoints
from pageflip.training.devices import pick_accelerator
from pageflip.training.loop import log_epoch, train_network
from pageflip.training.recipe import TrainingRecipe

COMMAND = f"python -m tasks.day_zero --network {NETWORK}"
TEACHER_LOGITS = "teacher_logits"  # a tensor beside the distilled weights

log = logging.getLogger(__name__)


def make_compact(params: Params, *, work: Path, out: Path) -> dict[str, Any]:
    """Distil `cnn` from day-zero and train it; write weights and card beside day-zero, and return the card.

    Args:
        params: all sections; `day_zero.compact`, `day_zero.augment`, `day_zero.seed` and `evaluate` are used.
        work: the work folder of day-zero's training.
        out: folder of day-zero's files.

    Raises:
        ConfigError: `params` has no section `day_zero.compact`.
        DataError: day-zero or the frames of its training are missing.
    """
    compact = params.day_zero.compact
    if compact is None:
        raise ConfigError("there is no section day_zero.compact", "restore it in params.yaml.")
    source, teacher_card = provenance(), cards.read_card(out)
    plan = parse(DayZero, teacher_card["params"], out / cards.CARD_FILE, day_zero.CARD_REMEDY)
    frames = DrawnFrames.open(find_frames(work, teacher_card["data"]["frames_sha256"]), plan)
    teacher_weights = cards.checked_file(cards.WEIGHTS_FILE, out)
    network, history = _train(params.day_zero, compact, plan, frames, teacher_weights, work)
    metrics = evaluate_on_drawn(network, params, frames, plan.threshold_tolerance)
    weights = out / cards.COMPACT_WEIGHTS_FILE
    with atomic_file(weights) as temporary:
        write_weights(temporary, network)
    card = {
        "model": cards.NAME,
        "network": NETWORK,
        "command": COMMAND,
        "seed": params.day_zero.seed,
        "params": compact.model_dump() | {"augment": params.day_zero.augment.model_dump()},
        "width": plan.prepare.width,
        "height": plan.prepare.height,
        "data": teacher_card["data"],
        "threshold": metrics["threshold"],
        **card_scores(metrics),
        "licences": teacher_card["licences"],
        **source,
        "best_epoch": history["best_epoch"],
        "teacher": {"version": cards.version_of(teacher_card), "sha256": sha256_of(teacher_weights)},
        "weights_sha256": sha256_of(weights),
    }
    write_json(out / cards.COMPACT_CARD_FILE, card)
    test = card["test"]
    f1 = f"F1 {test['f1']:.4f} (95% {test['f1_low']:.4f} to {test['f1_high']:.4f}), ROC AUC {test['roc_auc']:.4f}"
    log.info("day-zero: %s: %s on %d drawn test frames, in %s", NETWORK, f1, test["n"], out)
    return read_json(out / cards.COMPACT_CARD_FILE)


def _train(
    section: DayZero, compact: Compact, plan: DayZero, frames: DrawnFrames, teacher_weights: Path, work: Path
) -> tuple[FrameNetwork, dict[str, Any]]:
    """Distil the network, then train it on labels mixed with the teacher's probabilities.

    Args:
        section: the present section `day_zero`, for seed and augmentation.
        compact: its section `compact`.
        plan: the section that the teacher was trained with.
        frames: what it was trained on.
        teacher_weights: file of its weights.
        work: folder of the distilled weights and checkpoints.
    """
    facts = {"seed": section.seed, "teacher": sha256_of(teacher_weights), "network": compact.network.model_dump()}
    facts |= {"imitation": compact.imitation.model_dump(), "code": sha256_of(Path(distillation.__file__))}
    distilled = work / f"imitation-{frames.training_key(facts, work)}.safetensors"
    if not distilled.exists():
        teacher = build_network(day_zero.NETWORK, plan.network.model_dump())
        teacher.load_weights(teacher_weights)
        _distil(teacher, compact, frames, distilled, section.seed)
    log.info("day-zero: %s: distilled weights: %s", NETWORK, distilled)
    settings = compact.network.model_dump() | {INITIAL: str(distilled)}
    recipe = TrainingRecipe(NETWORK, settings, compact.fit, section.augment, section.seed)
    facts |= {"compact": compact.model_dump(), "augment": section.augment.model_dump()}
    checkpoints = str((work / "checkpoints" / frames.training_key(facts, work)).absolute())
    rows, targets = frames.training_data.train
    probabilities = 1 / (1 + np.exp(-load_file(distilled)[TEACHER_LOGITS].numpy()))
    soft = compact.teacher_share * probabilities + (1 - compact.teacher_share) * targets
    data = TrainingData(frames.pack, (rows, soft.astype(np.float32)), frames.training_data.val)
    trained = train_network(
        data, recipe, checkpoints=checkpoints, on_epoch=lambda record: log_epoch(record, "day-zero")
    )
    delete_checkpoints(checkpoints)
    return trained


def _distil(teacher: FrameNetwork, compact: Compact, frames: DrawnFrames, out: Path, seed: int) -> None:
    """Write the distilled weights, and the teacher's logits of the training frames, to one file."""
    device = pick_accelerator(compact.fit.accelerator, compact.fit.require_gpu)
    rows, _ = frames.training_data.train
    log.info("day-zero: %s: the teacher predicts %d frames and their mirror images", NETWORK, len(rows))
    outputs = distillation.run_teacher(teacher, frames.pack, rows, device)
    torch.manual_seed(seed)
    network = build_network(NETWORK, compact.network.model_dump())

    def on_epoch(record: dict[str, float]) -> None:
        log.info("day-zero: %s: distillation: epoch %d: loss %.4f", NETWORK, record["epoch"], record["loss"])

    distillation.distil(network, frames.pack, outputs, compact.imitation, seed=seed, on_epoch=on_epoch, device=device)
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_file(out) as temporary:
        save_file(state | {TEACHER_LOGITS: torch.from_numpy(outputs.logits[0].copy())}, temporary)


def load(folder: Path) -> Predictor:
    """Load the compact network beside day-zero for prediction, without calibration.

    Raises:
        DataError: it is missing, or its weights do not have the SHA-256 in its card.
    """
    card = cards.read_compact_card(folder)
    network = build_network(NETWORK, card["params"]["network"])
    network.load_weights(cards.compact_weights(folder))
    sizes = {"width": card["width"], "height": card["height"]}
    version = f"{NETWORK}-{card['weights_sha256'][: cards.DIGITS]}"
    with TemporaryDirectory(prefix="pageflip-compact-") as place:
        model = Path(place) / "cnn.onnx"
        export_onnx(network.eval(), model, **sizes, facts={"threshold": card["threshold"]})
        return Predictor.load(model, name=cards.NAME, version=version)
