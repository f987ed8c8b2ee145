"""Measure a model on a labelled folder in the archive's layout, straight from its files."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.errors import ConfigError, DataError
from pageflip.frames import BOOKS_FILE, LABELS, FrameFile, list_frames, read_books
from pageflip.inference import Predictor
from pageflip.metrics import binary_metrics, book_table, clip_table
from pageflip.pack import in_order
from pageflip.pixels import decode_image
from pageflip.progress import track

CHUNK = 32
FEW = 64  # below this many frames, starting processes takes longer than decoding

Decoded = tuple[np.ndarray, list[int], list[tuple[int, str]]]


def evaluate_folder(
    folder: Path, predictor: Predictor, *, books: Path | None = None, workers: int | None = None
) -> dict[str, Any]:
    """Predict every frame below `folder` with `predictor`, at its own threshold, and measure.

    Memory stays flat in the number of frames: they are decoded by worker processes and predicted chunk by chunk.

    Args:
        folder: labelled frames in the archive's layout.
        books: a books.csv, or the folder that holds it, for results per book; None leaves them out.
        workers: processes that decode; None takes one per core.

    Returns:
        Ready for JSON: f1, precision, recall, accuracy, roc_auc (None with one class), average_precision, brier,
        threshold, n, n_flip, confusion, model, version, clips (see `clip_table`), undecodable ({path, error}), and
        with `books` also books (see `book_table`). Frames that cannot be decoded count nowhere else.

    Raises:
        DataError: the folder is missing, empty or not in the layout, or no frame can be decoded.
        ConfigError: `books` is no books.csv.
    """
    book_of = _read_books(books) if books is not None else {}
    files = list_frames(folder)
    kept, probabilities, undecodable = [], [np.empty(0, np.float32)], []
    chunks = _decoded_chunks(folder, files, predictor.width, predictor.height, workers or os.cpu_count() or 1)
    for pixels, positions, failures in track(
        chunks, total=-(-len(files) // CHUNK), description=f"evaluate, chunks of {CHUNK} frames"
    ):
        if positions:
            probabilities.append(predictor.predict(pixels))
        kept += [files[position] for position in positions]
        undecodable += [{"path": files[position].path, "error": error} for position, error in failures]
    if not kept:
        raise DataError(
            f"none of the {len(files)} frames below {folder} can be decoded, the first: {undecodable[0]['error']}",
            "check that the files are whole JPEGs.",
        )
    table = _table(kept, np.concatenate(probabilities), book_of)
    result = {
        **binary_metrics(table["target"], table["probability"], predictor.threshold),
        "threshold": predictor.threshold,
        "model": predictor.name,
        "version": predictor.version,
        "clips": clip_table(table, predictor.threshold),
        "undecodable": undecodable,
    }
    return result | ({"books": book_table(table, predictor.threshold)} if books is not None else {})


def _read_books(books: Path) -> Mapping[tuple[str, str], str]:
    folder = books if books.is_dir() else books.parent
    if not (folder / BOOKS_FILE).is_file() or (not books.is_dir() and books.name != BOOKS_FILE):
        raise ConfigError(f"{books} is no {BOOKS_FILE}", f"name a {BOOKS_FILE} (label,video_id,book), or its folder.")
    return read_books(folder)


def _table(files: list[FrameFile], probability: np.ndarray, book_of: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip": [file.clip for file in files],
            "book": pd.Series([book_of.get((file.label, file.video)) for file in files], dtype=object),
            "target": [LABELS.index(file.label) for file in files],
            "probability": probability,
        }
    )


def _decoded_chunks(folder: Path, files: list[FrameFile], width: int, height: int, workers: int) -> Iterator[Decoded]:
    tasks = [
        (start, [folder / file.path for file in files[start : start + CHUNK]]) for start in range(0, len(files), CHUNK)
    ]
    if len(files) <= FEW or workers == 1:
        yield from (_decode_chunk(start, paths, width, height) for start, paths in tasks)
        return
    # spawn: a forked child of a process with ONNX Runtime's threads may hang
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
        jobs = (pool.submit(_decode_chunk, start, paths, width, height) for start, paths in tasks)
        yield from (future.result() for future in in_order(jobs, ahead=2 * workers))


def _decode_chunk(start: int, paths: list[Path], width: int, height: int) -> Decoded:
    """The frames that can be decoded, uint8 [K, height, width, 3], their positions, and (position, error) of others."""
    frames, positions, failures = [], [], []
    for position, path in enumerate(paths, start=start):
        try:
            frames.append(decode_image(path, width, height))
        except DataError as error:
            failures.append((position, error.message))
        else:
            positions.append(position)
    pixels = np.stack(frames) if frames else np.empty((0, height, width, 3), np.uint8)
    return pixels, positions, failures
