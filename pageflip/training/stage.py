"""The stage `train`: one network from pack and assignment to a folder with weights, config and history."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pageflip.base.files import atomic_folder, sha256_of, write_json
from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.frames.assignment import ASSIGNMENT_FILE, part_rows, read_assignment
from pageflip.frames.pack import open_pack
from pageflip.networks.saved import save_network
from pageflip.params.training import Train
from pageflip.training.batches import TrainingData
from pageflip.training.checkpoints import checkpoint_address, delete_checkpoints, training_key
from pageflip.training.devices import is_first_process, pick_accelerator
from pageflip.training.loop import log_epoch, train_network
from pageflip.training.recipe import TrainingRecipe

HISTORY_FILE = "history.json"

log = logging.getLogger(__name__)


class TrackedRun(Protocol):
    """A run of an experiment tracker; `pageflip.registry.tracking.TrainingRun` is one."""

    def log_epoch(self, record: dict[str, float]) -> None:
        """Log the figures of an epoch."""

    def finish(self, *, weights_sha256: str, folder: Path) -> None:
        """Log the files of the trained model, and end the run."""

    def fail(self) -> None:
        """End the run as failed; it must not raise."""


def train_model(
    network: str, params: Train, *, frames: Path, split: Path, out: Path, start_run: Callable[..., TrackedRun]
) -> None:
    """Train a network and write it to a folder; resume from the checkpoint of a killed attempt.

    Args:
        network: registry name.
        params: the section `train`.
        frames: folder of the pack.
        split: folder of the assignment.
        out: folder of the trained model, written atomically.
        start_run: starts or resumes a run; takes key, name, params and tags.

    Raises:
        ConfigError: see `train_network`.
        DataError: pack or assignment is missing.
    """
    pack, _ = open_pack(frames)
    assignment = read_assignment(split)
    recipe = TrainingRecipe.from_params(params, network)
    facts = recipe.facts()
    key = training_key(facts, frames, split)
    pick_accelerator(recipe.fit.accelerator, recipe.fit.require_gpu)  # fails before a run is started
    run = None
    if is_first_process():
        run = start_run(key=key, name=f"train {network}", params=facts, tags=_provenance(split))

    def on_epoch(record: dict[str, float]) -> None:
        if run:
            run.log_epoch(record)
        log_epoch(record, "train")

    data = TrainingData(pack, part_rows(assignment, "train"), part_rows(assignment, "val"))
    checkpoints = checkpoint_address(key)
    try:
        trained, history = train_network(data, recipe, checkpoints=checkpoints, on_epoch=on_epoch)
    except (Exception, KeyboardInterrupt):
        if run:
            run.fail()
        raise
    with atomic_folder(out) as folder:
        digest = save_network(folder, trained, facts | {"height": pack.shape[1], "width": pack.shape[2]})
        write_json(folder / HISTORY_FILE, history)
        if run:
            run.finish(weights_sha256=digest, folder=folder)
    delete_checkpoints(checkpoints)
    best = history["epochs"][history["best_epoch"]]
    figures = f"best epoch {best['epoch']} with val F1 {best['val_f1']:.4f}, weights {digest[:12]}"
    log.info("train: %s: %s", network, figures)


def _provenance(split: Path) -> dict[str, Any]:
    tags = {"git_revision": git_revision(), "data_version": data_version(), "split": sha256_of(split / ASSIGNMENT_FILE)}
    return tags | {f"environment.{name}": release for name, release in environment().items()}
