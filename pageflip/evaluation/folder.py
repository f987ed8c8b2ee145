"""Evaluation of a model file on a labelled folder in the archive's layout, straight from its JPEGs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.progress import track
from pageflip.evaluation.metrics import binary_metrics
from pageflip.evaluation.tables import book_table, clip_table
from pageflip.frames.names import BOOKS_FILE, LABELS, FrameFile
from pageflip.frames.parallel import CHUNK, available_cores, decode_in_chunks
from pageflip.frames.raw_folder import list_frames, read_books_file
from pageflip.inference.predictor import Predictor


def evaluate_folder(
    folder: Path, predictor: Predictor, *, books: Path | None = None, workers: int | None = None
) -> dict[str, Any]:
    """Predict every frame of a labelled folder at the model's own threshold, and evaluate.

    Memory does not grow with the number of frames: they are decoded on all cores and predicted in chunks.

    Args:
        folder: labelled frames in the archive's layout.
        predictor: the model.
        books: for results per book, a CSV with label,video_id,book, or a folder with such a books.csv.
        workers: number of decoding threads; None for one per core.

    Returns:
        Ready for JSON: the keys of `binary_metrics`, threshold, model, version, clips (see `clip_table`), undecodable
        (dicts of path and error), and with `books` also books (see `book_table`). Frames that cannot be decoded are
        left out of everything else.

    Raises:
        DataError: the folder is missing, empty or not in the layout, or no frame can be decoded.
        ConfigError: there is no file of books.
    """
    book_of = _read_books(books) if books is not None else {}
    files = list_frames(folder)
    kept, probabilities, undecodable = [], [np.empty(0, np.float32)], []
    paths = [folder / file.path for file in files]
    chunks = decode_in_chunks(paths, predictor.width, predictor.height, workers or available_cores())
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
            "check that the files are complete JPEGs.",
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
    path = books / BOOKS_FILE if books.is_dir() else books
    if not path.is_file():
        raise ConfigError(f"there is no {path}", "name a CSV with label,video_id,book, or a folder with a books.csv.")
    return read_books_file(path)


def _table(files: list[FrameFile], probability: np.ndarray, book_of: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "clip": [file.clip for file in files],
            "book": pd.Series([book_of.get((file.label, file.video)) for file in files], dtype=object),
            "target": [LABELS.index(file.label) for file in files],
            "probability": probability,
        }
    )
