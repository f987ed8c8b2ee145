"""Train and test one network under several protocols, fold by fold, so that their F1 can stand in one table.

Each fold chooses its epoch and its threshold on its own validation part; the F1 of a protocol is that of all its test
predictions at once. A finished fold is kept under a name made of its frames, split, parameters and code, and is not
trained again; a killed one goes on from its last checkpoint.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base.errors import ConfigError, DataError, PageflipError
from pageflip.base.files import atomic_folder, sha256_of, write_json, write_text
from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.evaluation import protocol_folds
from pageflip.evaluation.metrics import SUPPLIED_NAME, binary_metrics, bootstrap_interval
from pageflip.evaluation.protocol_folds import Fold, make_folds, seen_in_training, shown_name
from pageflip.evaluation.protocol_tables import as_markdown
from pageflip.evaluation.temporal_refinement import in_sequence
from pageflip.evaluation.thresholds import choose_threshold
from pageflip.events.temporal import THRESHOLD
from pageflip.frames.assignment import part_rows
from pageflip.frames.names import BOOKS_FILE, LABELS, list_frames
from pageflip.frames.pack import FACTS_FILE, INDEX_FILE, data_digest, open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.networks import build, initial_weights, predict
from pageflip.params.all import Params
from pageflip.params.prepare import Prepare
from pageflip.params.protocols import PROTOCOLS
from pageflip.params.training import Augment, Fit
from pageflip.training import checkpoints as training_checkpoints
from pageflip.training import devices, loop

# as in tasks/train.py
RESULT_FILE, TABLE_FILE, SOURCE_FILE = "protocols.json", "protocols.md", "source.json"
PREDICTIONS_FILE, FOLD_FILE = "predictions.parquet", "fold.json"
LINE_EVERY_S = 5.0
CALLED = 0.5  # calls are 0 or 1: each fold has a threshold of its own, so probabilities cannot be pooled


@dataclass(frozen=True)
class Recipe:
    """How every fold's network is trained; `facts` is all of it for JSON, and tells one recipe from another."""

    model: str
    settings: dict[str, Any]
    fit: Fit
    augment: Augment
    facts: dict[str, Any]


def make_recipe(model: str, params: Params, epochs: int | None = None) -> Recipe:
    """The training of `model` as params.yaml has it, with another number of epochs if one is given.

    Raises:
        ConfigError: there is no such network, or its initial weights are not there.
    """
    if model not in build.REGISTRY:
        raise ConfigError(f"there is no network {model!r}", f"known are {', '.join(sorted(build.REGISTRY))}.")
    section = getattr(params.train.networks, model)
    settings, fit = section.model_dump(exclude={"fit"}), section.fit.applied_to(params.train.fit)
    # on several devices Lightning would start this whole command once more for each
    changes = {"devices": 1, "num_nodes": 1} | ({} if epochs is None else {"epochs": epochs})
    fit = fit.model_copy(update=changes)
    facts = {"network": model, "settings": settings, "fit": fit.model_dump()}
    facts |= {"augment": params.train.augment.model_dump()}
    facts |= {"initial_sha256": initial_weights.fingerprint(settings.get(build.INITIAL, "none"), model)}
    return Recipe(model, settings, fit, params.train.augment, facts)


def benchmark_protocols(
    data: Path, out: Path, *, model: str, params: Params, wanted: Sequence[str], epochs: int | None = None
) -> dict[str, Any]:
    """Measure `model` under the protocols `wanted`, and write protocols.json and protocols.md below `out`/`model`.

    Of protocols that are not wanted, results stand in the files too where all their folds were finished before, with
    these very frames, parameters and code.

    Returns:
        The content of protocols.json: model, data, recipe, params, revision, environment, `protocols` (one dict each,
        see `summarise`) and `refused` (name, reason and remedy of each protocol that these frames do not allow).

    Raises:
        ConfigError: an unknown protocol or network, or a GPU that is asked for is not there.
        DataError: there are no frames, or they allow none of the protocols wanted.
    """
    unknown = [name for name in wanted if name not in PROTOCOLS]
    if unknown:
        raise ConfigError(f"there is no protocol {unknown[0]!r}", f"known are {', '.join(PROTOCOLS)}.")
    recipe = make_recipe(model, params, epochs)
    devices.pick_accelerator(recipe.fit.accelerator, recipe.fit.require_gpu)
    frames = out / "frames"
    pack, index = prepare(data, frames, params.prepare)
    planned, refused = plan(index, params)
    refused = [entry for entry in refused if entry["protocol"] in wanted]
    for entry in refused:
        print(f"{entry['name']} is left out: {entry['reason']}\n  What to do: {entry['remedy']}", file=sys.stderr)
    keys = {id(fold): fold_key(fold, recipe, frames) for folds in planned.values() for fold in folds}
    todo = [
        (fold, out / model / "folds" / keys[id(fold)]) for name in planned if name in wanted for fold in planned[name]
    ]
    if not todo:
        raise DataError(refused[0]["reason"], refused[0]["remedy"])
    train_folds(todo, pack, recipe)
    result = _facts(data, index, recipe, params) | {"refused": refused, "protocols": []}
    for folds in planned.values():
        folders = [out / model / "folds" / keys[id(fold)] for fold in folds]
        if all((folder / FOLD_FILE).exists() for folder in folders):
            result["protocols"].append(summarise(folds, folders, index, pack, params))
    write_json(out / model / RESULT_FILE, result)
    write_text(out / model / TABLE_FILE, as_markdown(result))
    return result


def prepare(data: Path, folder: Path, params: Prepare) -> tuple[np.ndarray, pd.DataFrame]:
    """Pack the frames below `data` into `folder`, unless just these are there already: (frames uint8, index).

    Raises:
        DataError: see `pageflip.frames.pack.build_pack`.
    """
    digest = hashlib.sha256()
    for frame in list_frames(data):
        status = (data / frame.path).stat()
        digest.update(f"{frame.path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    books = data / BOOKS_FILE
    source = params.model_dump() | {"files": digest.hexdigest(), "books": sha256_of(books) if books.exists() else ""}
    if not (folder / SOURCE_FILE).exists() or json.loads((folder / SOURCE_FILE).read_text()) != source:
        build_pack(data, folder, width=params.width, height=params.height)
        write_json(folder / SOURCE_FILE, source)
    return open_pack(folder)


def plan(index: pd.DataFrame, params: Params) -> tuple[dict[str, list[Fold]], list[dict[str, str]]]:
    """The folds of every protocol that these frames allow, and why the others are refused."""
    planned, refused = {}, []
    for protocol in PROTOCOLS:
        try:
            planned[protocol] = make_folds(protocol, index, params.protocols, params.split.near_duplicate_bits)
        except DataError as error:
            entry = {"protocol": protocol, "name": shown_name(protocol)}
            refused.append(entry | {"reason": error.message, "remedy": error.remedy})
    return planned, refused


def fold_key(fold: Fold, recipe: Recipe, frames: Path) -> str:
    """Name this very training and test: the same frames, parts, groups, parameters and code, and nothing else."""
    facts = recipe.facts | {"seed": fold.seed}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(fold.assignment[["row", "part", "group"]].to_csv(index=False).encode())
    code = (*training_checkpoints.training_code(), Path(__file__))
    for file in (frames / INDEX_FILE, frames / FACTS_FILE, *code):
        digest.update(sha256_of(file).encode())
    return digest.hexdigest()[:32]


def train_folds(todo: list[tuple[Fold, Path]], pack: np.ndarray, recipe: Recipe) -> None:
    """Train and test the folds whose folder is not there yet, telling how far it is on standard error."""
    missing = [(fold, folder) for fold, folder in todo if not (folder / FOLD_FILE).exists()]
    if len(missing) < len(todo):
        print(f"{len(todo) - len(missing)} of {len(todo)} folds are finished already", file=sys.stderr)
    progress = _Progress([_steps(fold, recipe) for fold, _ in missing])
    for number, (fold, folder) in enumerate(missing, start=1):
        title = f"{shown_name(fold.protocol)}, {fold.name}"
        progress.begin(f"[{number}/{len(missing)}] {title}")
        try:
            with redirect_stdout(sys.stderr):  # what training says must not stand in a JSON output
                facts = train_fold(fold, folder, pack, recipe, progress)
        except PageflipError as error:
            error.message = f"{title}: {error.message}"
            error.args = (error.message,)
            raise
        progress.end(f"F1 {_shown(facts['f1'])} at the threshold {facts['threshold']:.3f}")


def train_fold(fold: Fold, folder: Path, pack: np.ndarray, recipe: Recipe, progress: "_Progress") -> dict[str, Any]:
    """Train one fold, choose its threshold on val, predict test once; leave both in `folder` and return its facts."""
    started = time.monotonic()
    train, val, test = (part_rows(fold.assignment, part) for part in ("train", "val", "test"))
    checkpoints = folder.parent.parent / "checkpoints" / folder.name
    network, history = loop.train_network(
        pack,
        train,
        val,
        name=recipe.model,
        settings=recipe.settings,
        fit=recipe.fit,
        augment=recipe.augment,
        seed=fold.seed,
        checkpoints=str(checkpoints),
        on_epoch=lambda record: progress.epoch(record, len(train[0])),
    )
    device = devices.pick_accelerator(recipe.fit.accelerator, recipe.fit.require_gpu)
    judged = predict.predict_rows(network, pack, val[0], device=device)
    threshold = choose_threshold(val[1], judged)
    probability = predict.predict_rows(network, pack, test[0], device=device)
    table = fold.assignment.iloc[test[0]][["row", "clip", "book", "group"]]
    table = table.assign(target=test[1].astype(np.int64), probability=probability, called=probability >= threshold)
    best = history["epochs"][history["best_epoch"]]
    facts = _fold_scores(table) | {"threshold": threshold, "val_f1": binary_metrics(val[1], judged, threshold)["f1"]}
    facts |= {"train": len(train[0]), "val": len(val[0]), "best_epoch": best["epoch"] + 1}
    facts |= {"epochs": len(history["epochs"]), "seconds": round(time.monotonic() - started, 1)}
    with atomic_folder(folder) as staging:
        table.to_parquet(staging / PREDICTIONS_FILE, index=False)
        write_json(staging / FOLD_FILE, facts)
    training_checkpoints.delete_checkpoints(str(checkpoints))
    if checkpoints.parent.exists() and not any(checkpoints.parent.iterdir()):
        shutil.rmtree(checkpoints.parent)
    return facts


def summarise(
    folds: list[Fold], folders: list[Path], index: pd.DataFrame, pack: np.ndarray, params: Params
) -> dict[str, Any]:
    """The results of one protocol from its finished folds.

    Returns:
        name, protocol, leaky, meaning; f1, f1_low, f1_high, precision, recall and confusion of all test predictions at
        once, n and n_flip of them, n_groups that the interval draws from, and `unit`, what such a group is; f1_mean,
        f1_least and f1_most over the folds; `in_sequence`, the same figures of the frames read with those before and
        after them in their clip (see `pageflip.evaluation.temporal_refinement`); `seen`, see
        `pageflip.evaluation.protocol_folds.seen_in_training`,
        over all folds; and `folds`: name, seed, n, n_flip, f1 (None with one label), threshold, val_f1, train, val,
        best_epoch (from 1), epochs, seconds.
    """
    tables = [pd.read_parquet(folder / PREDICTIONS_FILE) for folder in folders]
    entries = [json.loads((folder / FOLD_FILE).read_text(encoding="utf-8")) for folder in folders]
    entries = [{"name": fold.name, "seed": fold.seed} | entry for fold, entry in zip(folds, entries, strict=True)]
    for table, entry in zip(tables, entries, strict=True):
        frames = table.assign(frame=index["frame"].to_numpy()[table["row"]])
        refined = in_sequence(frames, pack, entry["threshold"])
        table["called_in_sequence"] = refined >= THRESHOLD
    seen = pd.DataFrame([seen_in_training(fold, index, params.split.near_duplicate_bits) for fold in folds])
    weights = np.array([len(table) for table in tables]) / sum(len(table) for table in tables)
    name = shown_name(folds[0].protocol)
    return {
        "name": name,
        "protocol": folds[0].protocol,
        "leaky": name == SUPPLIED_NAME,
        "meaning": protocol_folds.MEANING[folds[0].protocol],
        **_pooled_scores(tables, "called", params),
        "in_sequence": _pooled_scores(tables, "called_in_sequence", params),
        "unit": protocol_folds.GROUP_OF[folds[0].protocol],
        "seen": {
            key: None if seen[key].isna().all() else float(np.average(seen[key].astype(float), weights=weights))
            for key in seen
        },
        "folds": entries,
    }


def _pooled_scores(tables: list[pd.DataFrame], calls: str, params: Params) -> dict[str, Any]:
    """Figures of all folds' calls at once, and the mean and ends of the folds' F1."""
    pooled = pd.concat(tables, ignore_index=True)
    called = pooled[calls].to_numpy(dtype=float)
    scores = binary_metrics(pooled["target"], called, CALLED)
    low, high = bootstrap_interval(
        pooled["target"],
        called,
        pooled["group"],
        CALLED,
        samples=params.evaluate.bootstrap_samples,
        seed=params.evaluate.seed,
    )
    known = [f1 for table in tables if (f1 := _fold_scores(table, calls)["f1"]) is not None]
    return {
        "f1_low": low,
        "f1_high": high,
        **{key: scores[key] for key in ("f1", "precision", "recall", "confusion", "n", "n_flip")},
        "n_groups": int(pooled["group"].nunique()),
        "f1_mean": float(np.mean(known)) if known else None,
        "f1_least": min(known, default=None),
        "f1_most": max(known, default=None),
    }


def _fold_scores(table: pd.DataFrame, calls: str = "called") -> dict[str, Any]:
    scores = binary_metrics(table["target"], table[calls].astype(float), CALLED)
    mixed = 0 < scores["n_flip"] < scores["n"]
    return {"n": scores["n"], "n_flip": scores["n_flip"], "f1": scores["f1"] if mixed else None}


def _facts(data: Path, index: pd.DataFrame, recipe: Recipe, params: Params) -> dict[str, Any]:
    flips = int((index["label"] == LABELS[1]).sum())
    counts = {"frames": len(index), "flips": flips, "clips": index["clip"].nunique()}
    counts |= {"undecodable": int((~index["decodable"]).sum()), "books": int(index["book"].nunique())}
    # the version of data/raw says nothing of another folder
    version = data_version() if data.absolute() == Path("data/raw").absolute() else None
    return {
        "model": recipe.model,
        "data": counts | {"digest": data_digest(index), "version": version},
        "recipe": recipe.facts,
        "params": params.protocols.model_dump(mode="json")
        | {"near_duplicate_bits": params.split.near_duplicate_bits}
        | {"bootstrap_samples": params.evaluate.bootstrap_samples, "bootstrap_seed": params.evaluate.seed},
        "revision": git_revision(),
        "environment": environment(),
    }


def _steps(fold: Fold, recipe: Recipe) -> int:
    return int((fold.assignment["part"] == "train").sum()) * recipe.fit.epochs


def _shown(value: float | None) -> str:
    return "undefined (one label)" if value is None else f"{value:.3f}"


class _Progress:
    """Lines on standard error; the time left is estimated from the frames that were trained on since the start."""

    def __init__(self, steps: list[int]) -> None:
        self.steps, self.fold = steps, -1
        self.started = self.told = time.monotonic()
        self.work, self.left_in_fold, self.title = 0, 0, ""

    def begin(self, title: str) -> None:
        """A fold begins."""
        self.fold, self.title = self.fold + 1, title
        self.left_in_fold = self.steps[self.fold]
        print(f"{title}: begins{self._left()}", file=sys.stderr, flush=True)

    def epoch(self, record: dict[str, float], frames: int) -> None:
        """An epoch of `frames` training frames is over."""
        self.work += frames
        self.left_in_fold = self.steps[self.fold] - (record["epoch"] + 1) * frames
        if time.monotonic() - self.told >= LINE_EVERY_S:
            self.told = time.monotonic()
            line = f"{self.title}: epoch {record['epoch'] + 1}, val F1 {record['val_f1']:.3f}"
            print(f"{line}{self._left()}", file=sys.stderr, flush=True)

    def end(self, outcome: str) -> None:
        """The fold is tested."""
        self.left_in_fold = 0
        print(f"{self.title}: {outcome}{self._left()}", file=sys.stderr, flush=True)

    def _left(self) -> str:
        left = self.left_in_fold + sum(self.steps[self.fold + 1 :])
        if not self.work or not left:
            return ""
        seconds = left * (time.monotonic() - self.started) / self.work
        return f"; about {seconds / 60:.0f} min left" if seconds >= 90 else f"; about {seconds:.0f} s left"
