"""Training and testing of one network for every fold of the evaluation protocols.

A finished fold is kept under a name made of its frames, parts, parameters and code, and is not trained again; an
interrupted one continues from its last checkpoint.
"""

import hashlib
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base.errors import ConfigError, PageflipError
from pageflip.base.files import atomic_folder, sha256_of, write_json
from pageflip.base.progress import LINE_EVERY_S
from pageflip.evaluation.metrics import binary_metrics
from pageflip.evaluation.protocol_folds import Fold, shown_name
from pageflip.evaluation.thresholds import choose_threshold
from pageflip.frames.assignment import part_rows
from pageflip.frames.pack import FACTS_FILE, INDEX_FILE
from pageflip.networks import build, predict
from pageflip.params.all import Params
from pageflip.training import checkpoints as training_checkpoints
from pageflip.training import devices, loop
from pageflip.training.batches import TrainingData
from pageflip.training.recipe import TrainingRecipe

FOLD_FILE, FOLD_PREDICTIONS_FILE = "fold.json", "predictions.parquet"
CALLED = 0.5  # calls are 0 or 1: folds have different thresholds, so their probabilities cannot be pooled


def make_recipe(network: str, params: Params, epochs: int | None = None) -> TrainingRecipe:
    """Return the training of `network` as in params.yaml, with another number of epochs if one is given.

    Raises:
        ConfigError: there is no such network.
    """
    if network not in build.REGISTRY:
        raise ConfigError(f"there is no network {network!r}", f"known are {', '.join(sorted(build.REGISTRY))}.")
    # with several devices, Lightning would start this whole command once more for each
    changes = {"devices": 1, "num_nodes": 1} | ({} if epochs is None else {"epochs": epochs})
    return TrainingRecipe.from_params(params.train, network, **changes)


def recipe_facts(recipe: TrainingRecipe) -> dict[str, Any]:
    """Return what all folds' trainings have in common, as JSON: all of the recipe but its seed.

    Raises:
        ConfigError: the initial weights are missing.
    """
    facts = {"initial_sha256": ""} | recipe.facts()
    del facts["seed"]
    return facts


def fold_key(fold: Fold, facts: dict[str, Any], frames: Path) -> str:
    """Return a name for this training and test, made of its frames, parts, groups, `recipe_facts` and code."""
    digest = hashlib.sha256(json.dumps(facts | {"seed": fold.seed}, sort_keys=True).encode())
    digest.update(fold.assignment[["row", "part", "group"]].to_csv(index=False).encode())
    for file in (frames / INDEX_FILE, frames / FACTS_FILE, *training_checkpoints.training_code(), Path(__file__)):
        digest.update(sha256_of(file).encode())
    return digest.hexdigest()[:32]


def train_folds(todo: list[tuple[Fold, Path]], pack: np.ndarray, recipe: TrainingRecipe) -> None:
    """Train and test the folds whose folder does not exist yet, with progress on standard error."""
    missing = [(fold, folder) for fold, folder in todo if not (folder / FOLD_FILE).exists()]
    if len(missing) < len(todo):
        write_line(f"{len(todo) - len(missing)} of {len(todo)} folds are already finished")
    progress = FoldProgress([_training_frames(fold, recipe) for fold, _ in missing])
    for number, (fold, folder) in enumerate(missing, start=1):
        title = f"{shown_name(fold.protocol)}, {fold.name}"
        progress.start(f"[{number}/{len(missing)}] {title}")
        try:
            facts = train_fold(fold, folder, pack, recipe, progress)
        except PageflipError as error:
            error.message = f"{title}: {error.message}"
            error.args = (error.message,)
            raise
        f1 = "undefined (a single label)" if facts["f1"] is None else f"{facts['f1']:.3f}"
        progress.finish(f"F1 {f1} at the threshold {facts['threshold']:.3f}")


def train_fold(
    fold: Fold, folder: Path, pack: np.ndarray, recipe: TrainingRecipe, progress: "FoldProgress"
) -> dict[str, Any]:
    """Train one fold, choose its threshold on val, and predict test once.

    Returns:
        What is written to fold.json in `folder`: n, n_flip, f1 (see `fold_scores`), threshold, val_f1, train, val,
        best_epoch (from 1), epochs, seconds. The predictions are written beside it.
    """
    started = time.monotonic()
    train, val, test = (part_rows(fold.assignment, part) for part in ("train", "val", "test"))
    checkpoints = folder.parent.parent / "checkpoints" / folder.name
    network, history = loop.train_network(
        TrainingData(pack, train, val),
        replace(recipe, seed=fold.seed),
        checkpoints=str(checkpoints),
        on_epoch=lambda record: progress.epoch(record, len(train[0])),
    )
    device = devices.pick_accelerator(recipe.fit.accelerator, recipe.fit.require_gpu)
    val_probability = predict.predict_rows(network, pack, val[0], device=device)
    threshold = choose_threshold(val[1], val_probability)
    probability = predict.predict_rows(network, pack, test[0], device=device)
    table = fold.assignment.iloc[test[0]][["row", "clip", "book", "group"]]
    table = table.assign(target=test[1].astype(np.int64), probability=probability, called=probability >= threshold)
    best = history["epochs"][history["best_epoch"]]
    facts = fold_scores(table)
    facts |= {"threshold": threshold, "val_f1": binary_metrics(val[1], val_probability, threshold)["f1"]}
    facts |= {"train": len(train[0]), "val": len(val[0]), "best_epoch": best["epoch"] + 1}
    facts |= {"epochs": len(history["epochs"]), "seconds": round(time.monotonic() - started, 1)}
    with atomic_folder(folder) as staging:
        table.to_parquet(staging / FOLD_PREDICTIONS_FILE, index=False)
        write_json(staging / FOLD_FILE, facts)
    training_checkpoints.delete_checkpoints(str(checkpoints))
    if checkpoints.parent.exists() and not any(checkpoints.parent.iterdir()):
        shutil.rmtree(checkpoints.parent)
    return facts


def fold_scores(table: pd.DataFrame, calls: str = "called") -> dict[str, Any]:
    """Compute n, n_flip and f1 (None with a single label) of the calls in a column of a fold's predictions."""
    scores = binary_metrics(table["target"], table[calls].astype(float), CALLED)
    mixed = 0 < scores["n_flip"] < scores["n"]
    return {"n": scores["n"], "n_flip": scores["n_flip"], "f1": scores["f1"] if mixed else None}


class FoldProgress:
    """Progress lines on standard error; the remaining time is estimated from the frames trained on so far.

    Args:
        frames: number of frames that each fold trains on, over all its epochs.
    """

    def __init__(self, frames: list[int]) -> None:
        self._frames, self._fold = frames, -1
        self._started = self._last_line = time.monotonic()
        self._done, self._left_in_fold, self._title = 0, 0, ""

    def start(self, title: str) -> None:
        """Report that the next fold starts."""
        self._fold, self._title = self._fold + 1, title
        self._left_in_fold = self._frames[self._fold]
        write_line(f"{title}: starts{self._remaining()}")

    def epoch(self, record: dict[str, float], frames: int) -> None:
        """Report an epoch of `frames` training frames, at most every LINE_EVERY_S seconds."""
        self._done += frames
        self._left_in_fold = self._frames[self._fold] - (int(record["epoch"]) + 1) * frames
        if time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            line = f"{self._title}: epoch {record['epoch'] + 1}, val F1 {record['val_f1']:.3f}"
            write_line(f"{line}{self._remaining()}")

    def finish(self, outcome: str) -> None:
        """Report the result of the fold."""
        self._left_in_fold = 0
        write_line(f"{self._title}: {outcome}{self._remaining()}")

    def _remaining(self) -> str:
        left = self._left_in_fold + sum(self._frames[self._fold + 1 :])
        if not self._done or not left:
            return ""
        seconds = left * (time.monotonic() - self._started) / self._done
        return f"; about {seconds / 60:.0f} min left" if seconds >= 90 else f"; about {seconds:.0f} s left"


def _training_frames(fold: Fold, recipe: TrainingRecipe) -> int:
    return int((fold.assignment["part"] == "train").sum()) * recipe.fit.epochs


def write_line(line: str) -> None:
    """Write a line to standard error at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
