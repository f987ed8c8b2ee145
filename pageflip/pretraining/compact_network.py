"""Make the weights that `cnn` starts from: it learns from day-zero, on the frames that day-zero was trained on.

    python -m tasks.day_zero --network cnn          # wants day-zero in --out, and its frames in --work

What takes long is kept in the work folder: what the network has learnt by imitation, and the last epoch of the training
that follows.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pageflip.base.files import atomic_file, sha256_of, write_json
from pageflip.base.provenance import environment, git_revision
from pageflip.frames.assignment import ASSIGNMENT_FILE, part_rows
from pageflip.inference import cards
from pageflip.inference.predictor import Predictor
from pageflip.networks import build, initial_weights
from pageflip.networks.onnx_export import export_onnx
from pageflip.params.all import Params
from pageflip.params.day_zero import Compact, DayZero
from pageflip.training import checkpoints as training_checkpoints
from pageflip.training import devices, distillation, loop
from pageflip.training.checkpoints import training_key

NETWORK = initial_weights.COMPACT
COMMAND = f"python -m tasks.day_zero --network {NETWORK}"


def learn(
    params: Params, plan: DayZero, pack: np.ndarray, assignment: pd.DataFrame, *, frames: Path, work: Path, out: Path
) -> tuple[nn.Module, dict[str, Any]]:
    """Imitate day-zero, then train with its probabilities; return the network and what its card tells of that.

    Args:
        plan: day-zero's own, from its card.
        frames: the folder of the pack.
        out: where day-zero is.
    """
    compact, rows = params.day_zero.compact, part_rows(assignment, "train")
    teacher = build.build_network("efficientnet_lite0", plan.network.model_dump())
    weights = cards.checked_file(cards.WEIGHTS_FILE, out)
    teacher.load_weights(weights)
    device = devices.pick_accelerator(compact.fit.accelerator, compact.fit.require_gpu)
    split = work / "split"
    split.mkdir(parents=True, exist_ok=True)
    assignment.to_parquet(split / ASSIGNMENT_FILE, index=False)
    told = {"seed": params.day_zero.seed, "teacher": sha256_of(weights), "code": sha256_of(Path(distillation.__file__))}
    told |= {"network": compact.network.model_dump(), "imitation": compact.imitation.model_dump()}
    start = work / f"imitation-{training_key(told, frames, split)}.safetensors"
    if not start.exists():
        _imitate(compact, teacher, pack, rows[0], start, params.day_zero.seed, device)
    print(f"day-zero: {NETWORK}: imitation done: {start}", flush=True)
    logits = load_file(start)["teacher_logits"].numpy()
    soft = compact.teacher_share / (1 + np.exp(-logits)) + (1 - compact.teacher_share) * rows[1]
    told |= {"compact": compact.model_dump(), "augment": params.day_zero.augment.model_dump()}
    checkpoints = str((work / "checkpoints" / training_key(told, frames, split)).absolute())
    network, history = loop.train_network(
        pack,
        (rows[0], soft.astype(np.float32)),
        part_rows(assignment, "val"),
        name=NETWORK,
        settings=compact.network.model_dump() | {build.INITIAL: str(start)},
        fit=compact.fit,
        augment=params.day_zero.augment,
        seed=params.day_zero.seed,
        checkpoints=checkpoints,
        on_epoch=_report,
    )
    training_checkpoints.delete_checkpoints(checkpoints)
    used = {name: release for name, release in environment().items() if name != "platform"}
    facts = {"git_revision": git_revision(), "environment": used, "best_epoch": history["best_epoch"]}
    return network, facts | {"teacher": {"version": cards.version_of(cards.read_card(out)), "sha256": told["teacher"]}}


def _imitate(
    compact: Compact, teacher: nn.Module, pack: np.ndarray, rows: np.ndarray, out: Path, seed: int, device: str
) -> None:
    """Write what the network has learnt by imitation, and day-zero's logits of the frames, to one file."""
    print(f"day-zero: {NETWORK}: what day-zero sees in {len(rows)} frames and their mirror images ...", flush=True)
    lessons = distillation.listen(teacher, pack, rows, device)
    torch.manual_seed(seed)
    network = build.build_network(NETWORK, compact.network.model_dump())

    def report(record: dict) -> None:
        print("day-zero: {0}: imitation: epoch {epoch}: loss {loss:.4f}".format(NETWORK, **record), flush=True)

    distillation.imitate(network, pack, lessons, compact.imitation, seed=seed, on_epoch=report, device=device)
    state = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_file(out) as path:
        save_file(state | {"teacher_logits": torch.from_numpy(lessons.logits[0].copy())}, path)


def _report(record: dict) -> None:
    print("day-zero: epoch {epoch}: train loss {train_loss:.4f}, val loss {val_loss:.4f}, ".format(**record), end="")
    print("val F1 {val_f1:.4f}, {frames_per_second:.0f} frames/s".format(**record), flush=True)


def write(network: nn.Module, card: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write weights and card to the folder `out`, beside day-zero; return the card."""
    weights = out / cards.COMPACT_WEIGHTS_FILE
    with atomic_file(weights) as path:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
        path.chmod(0o644)  # safetensors makes it private
    card = card | {"weights_sha256": sha256_of(weights)}
    write_json(out / cards.COMPACT_CARD_FILE, card)
    return json.loads(json.dumps(card))


def load(folder: Path) -> Predictor:
    """The compact network as committed beside day-zero, ready to read frames; not calibrated.

    Raises:
        DataError: it is missing, or its weights are not those that its card names.
    """
    card = cards.read_compact_card(folder)
    network = build.build_network(NETWORK, card["params"]["network"])
    network.load_weights(cards.compact_weights(folder))
    sizes = {"width": card["width"], "height": card["height"]}
    version = f"{NETWORK}-{card['weights_sha256'][: cards.DIGITS]}"
    with TemporaryDirectory(prefix="pageflip-compact-") as place:
        model = Path(place) / "cnn.onnx"
        export_onnx(network.eval(), model, **sizes, facts={"threshold": card["threshold"]})
        return Predictor.load(model, name=cards.NAME, version=version)
