"""Benchmark of one network under several evaluation protocols, so that their F1 can be compared in one table.

Each fold chooses its epoch and its threshold on its own validation part. The F1 of a protocol is computed from the test
predictions of all its folds at once.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import read_json, sha256_of, write_json, write_text
from pageflip.base.provenance import data_version, environment, git_revision
from pageflip.evaluation import protocol_folds
from pageflip.evaluation.metrics import SUPPLIED_NAME, binary_metrics, bootstrap_interval
from pageflip.evaluation.protocol_folds import Fold, make_folds, seen_in_training, shown_name
from pageflip.evaluation.protocol_tables import PROTOCOLS_FILE, TABLE_FILE, protocols_page
from pageflip.evaluation.protocol_training import (
    CALLED,
    FOLD_FILE,
    FOLD_PREDICTIONS_FILE,
    fold_key,
    fold_scores,
    make_recipe,
    recipe_facts,
    train_folds,
    write_line,
)
from pageflip.evaluation.temporal_refinement import refine_clips
from pageflip.events.temporal import THRESHOLD, TemporalModel
from pageflip.frames.names import BOOKS_FILE, LABELS
from pageflip.frames.pack import data_digest, open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.frames.raw_folder import list_frames
from pageflip.params.all import Params
from pageflip.params.prepare import Prepare
from pageflip.params.protocols import PROTOCOLS
from pageflip.training import devices

SOURCE_FILE = "source.json"  # beside the pack: which files it was built from
ARCHIVE = Path("data/raw")


def benchmark_protocols(
    data: Path,
    out: Path,
    *,
    model: str,
    params: Params,
    protocols: Sequence[str],
    temporal: TemporalModel,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Evaluate `model` under `protocols`; write protocols.json and protocols.md to `out`/`model`.

    The files also hold other protocols whose folds were all finished before, with the same frames, parameters and code.

    Args:
        data: frames in the archive's layout.
        out: folder of the pack, the folds and the results.
        model: name of the network.
        params: all sections of params.yaml.
        protocols: their names, of `PROTOCOLS`.
        temporal: the temporal network, for the results in sequence.
        epochs: instead of the network's own.

    Returns:
        The content of protocols.json: model, data, recipe, params, revision, environment, protocols (see `pool_folds`)
        and refused (protocol, name, reason and remedy of each protocol that these frames do not allow).

    Raises:
        ConfigError: a protocol or network is unknown, or a required GPU is missing.
        DataError: there are no frames, or they allow none of the protocols.
    """
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise ConfigError(f"there is no protocol {unknown[0]!r}", f"known are {', '.join(PROTOCOLS)}.")
    recipe = make_recipe(model, params, epochs)
    facts = recipe_facts(recipe)
    devices.pick_accelerator(recipe.fit.accelerator, recipe.fit.require_gpu)
    pack, index = pack_frames(data, out / "frames", params.prepare)
    planned, refused = plan_folds(index, params)
    refused = [entry for entry in refused if entry["protocol"] in protocols]
    for entry in refused:
        write_line(f"{entry['name']} is left out: {entry['reason']}\n  What to do: {entry['remedy']}")
    folders = {
        protocol: [out / model / "folds" / fold_key(fold, facts, out / "frames") for fold in folds]
        for protocol, folds in planned.items()
    }
    todo = [pair for name in planned if name in protocols for pair in zip(planned[name], folders[name], strict=True)]
    if not todo:
        raise DataError(refused[0]["reason"], refused[0]["remedy"])
    train_folds(todo, pack, recipe)
    result = _facts(data, index, facts, params) | {"refused": refused, "protocols": []}
    for name, folds in planned.items():
        if all((folder / FOLD_FILE).exists() for folder in folders[name]):
            result["protocols"].append(pool_folds(folds, folders[name], index, pack, params, temporal))
    write_json(out / model / PROTOCOLS_FILE, result)
    write_text(out / model / TABLE_FILE, protocols_page(result))
    return result


def pack_frames(data: Path, folder: Path, params: Prepare) -> tuple[np.ndarray, pd.DataFrame]:
    """Pack the frames of `data` into `folder` unless they are packed there already; return the pack and its index.

    Raises:
        DataError: see `pageflip.frames.pack.build_pack`.
    """
    digest = hashlib.sha256()
    for frame in list_frames(data):
        status = (data / frame.path).stat()
        digest.update(f"{frame.path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    books = data / BOOKS_FILE
    source = params.model_dump() | {"files": digest.hexdigest(), "books": sha256_of(books) if books.exists() else ""}
    if not (folder / SOURCE_FILE).exists() or read_json(folder / SOURCE_FILE) != source:
        build_pack(data, folder, width=params.width, height=params.height)
        write_json(folder / SOURCE_FILE, source)
    return open_pack(folder)


def plan_folds(index: pd.DataFrame, params: Params) -> tuple[dict[str, list[Fold]], list[dict[str, str]]]:
    """Return the folds of every protocol that these frames allow, and why the others are refused."""
    planned, refused = {}, []
    for protocol in PROTOCOLS:
        try:
            planned[protocol] = make_folds(protocol, index, params.protocols, params.split.near_duplicate_bits)
        except DataError as error:
            entry = {"protocol": protocol, "name": shown_name(protocol)}
            refused.append(entry | {"reason": error.message, "remedy": error.remedy})
    return planned, refused


def pool_folds(
    folds: list[Fold],
    folders: list[Path],
    index: pd.DataFrame,
    pack: np.ndarray,
    params: Params,
    temporal: TemporalModel,
) -> dict[str, Any]:
    """Compute the results of one protocol from its finished folds.

    Returns:
        name, protocol, leaky, meaning; f1, f1_low, f1_high, precision, recall, confusion, n and n_flip of all test
        predictions at once; n_groups that the interval draws from, and unit, the kind of these groups; f1_mean,
        f1_least and f1_most over the folds; in_sequence, the same numbers for frames that are read together with their
        clip (see `pageflip.evaluation.temporal_refinement`); seen (see `seen_in_training`) over all folds; and folds,
        with name, seed and the content of fold.json.
    """
    tables = [pd.read_parquet(folder / FOLD_PREDICTIONS_FILE) for folder in folders]
    entries = [
        {"name": fold.name, "seed": fold.seed} | read_json(folder / FOLD_FILE)
        for fold, folder in zip(folds, folders, strict=True)
    ]
    for table, entry in zip(tables, entries, strict=True):
        frames = table.assign(frame=index["frame"].to_numpy()[table["row"]])
        table["called_in_sequence"] = refine_clips(frames, pack, entry["threshold"], temporal) >= THRESHOLD
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
    known = [f1 for table in tables if (f1 := fold_scores(table, calls)["f1"]) is not None]
    return {
        "f1_low": low,
        "f1_high": high,
        **{key: scores[key] for key in ("f1", "precision", "recall", "confusion", "n", "n_flip")},
        "n_groups": int(pooled["group"].nunique()),
        "f1_mean": float(np.mean(known)) if known else None,
        "f1_least": min(known, default=None),
        "f1_most": max(known, default=None),
    }


def _facts(data: Path, index: pd.DataFrame, recipe: dict[str, Any], params: Params) -> dict[str, Any]:
    flips = int((index["label"] == LABELS[1]).sum())
    counts = {"frames": len(index), "flips": flips, "clips": index["clip"].nunique()}
    counts |= {"undecodable": int((~index["decodable"]).sum()), "books": int(index["book"].nunique())}
    version = data_version() if data.absolute() == ARCHIVE.absolute() else None  # DVC tracks no other folder
    return {
        "model": recipe["network"],
        "data": counts | {"digest": data_digest(index), "version": version},
        "recipe": recipe,
        "params": params.protocols.model_dump(mode="json")
        | {"near_duplicate_bits": params.split.near_duplicate_bits}
        | {"bootstrap_samples": params.evaluate.bootstrap_samples, "bootstrap_seed": params.evaluate.seed},
        "revision": git_revision(),
        "environment": environment(),
    }
