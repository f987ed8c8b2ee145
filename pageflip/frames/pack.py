"""The pack: every frame of a raw folder decoded once into one uint8 array, with a table of what each frame is.

A pack is a folder with `pack.npy` (uint8 [N, height, width, 3], RGB, read by memory map), `index.parquet` (row i tells
of frame i) and `pack.json`. Threads write their rows straight into the array's file, so memory stays flat in the
number of frames.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pageflip.base.errors import DataError
from pageflip.base.files import atomic_folder
from pageflip.base.progress import track
from pageflip.frames.names import FrameFile, list_frames, read_books
from pageflip.frames.parallel import available_cores, in_order
from pageflip.frames.pixels import decode_frame

PACK_FILE, INDEX_FILE, FACTS_FILE = "pack.npy", "index.parquet", "pack.json"
CHUNK = 8
INDEX_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("video", pa.string()),
        ("frame", pa.int64()),
        ("clip", pa.string()),
        ("supplied", pa.string()),
        ("book", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
        ("brightness_mean", pa.float32()),
        ("brightness_std", pa.float32()),
        ("sharpness", pa.float32()),
        ("decodable", pa.bool_()),
        ("error", pa.string()),
    ]
)


def build_pack(raw: Path, out: Path, *, width: int, height: int, workers: int | None = None) -> pd.DataFrame:
    """Decode the frames below `raw` into the pack folder `out` and return its index.

    A frame that cannot be decoded keeps its row: its pixels and hash are zero, `decodable` is false, `error` says why.

    Raises:
        DataError: the raw folder is missing, empty or not in the layout (see `list_frames`, `read_books`).
    """
    frames = list_frames(raw)
    books = read_books(raw)
    with atomic_folder(out) as folder:
        shape = (len(frames), height, width, 3)
        _reserve(folder / PACK_FILE, shape)
        rows = _decode_all(raw, frames, folder / PACK_FILE, workers or available_cores())
        index = _write_index(folder / INDEX_FILE, frames, books, rows)
        facts = {"frames": len(frames), "width": width, "height": height, "layout": "NHWC RGB uint8"}
        (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return index


def open_pack(folder: Path) -> tuple[np.memmap, pd.DataFrame]:
    """Open a pack: (frames uint8 [N, height, width, 3] by memory map, index with one row a frame).

    Raises:
        DataError: a file is missing, or the array and the index disagree.
    """
    for name in (PACK_FILE, INDEX_FILE):
        if not (folder / name).exists():
            raise DataError(f"there is no {folder / name}", "run `dvc repro prepare` first.")
    frames = np.load(folder / PACK_FILE, mmap_mode="r", allow_pickle=False)
    index = pd.read_parquet(folder / INDEX_FILE)
    if frames.ndim != 4 or len(frames) != len(index):
        raise DataError(
            f"{folder}: the array has the shape {frames.shape}, the index {len(index)} rows",
            "run `dvc repro --force prepare`.",
        )
    return frames, index


def data_digest(index: pd.DataFrame) -> str:
    """What tells frames from others, whatever size they were packed at: a SHA-256 of paths, contents and books."""
    table = index[["path", "sha256", "book"]].sort_values("path")
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Make the array's file with all its room on the disk: a write to a memory map that finds none is a SIGBUS."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _decode_all(raw: Path, frames: list[FrameFile], pack: Path, workers: int) -> Iterator[dict]:
    chunks = [
        (start, [frame.path for frame in frames[start : start + CHUNK]]) for start in range(0, len(frames), CHUNK)
    ]
    array = np.load(pack, mmap_mode="r+", allow_pickle=False)
    # threads: Pillow and hashlib work outside the interpreter's lock, and a process would first have to import pandas
    with ThreadPoolExecutor(min(workers, len(chunks))) as pool:
        jobs = (pool.submit(_decode_chunk, raw, array, start, paths) for start, paths in chunks)
        results = (row for future in in_order(jobs, ahead=4 * workers) for row in future.result())
        yield from track(results, total=len(frames), description="prepare")
    array.flush()


def _decode_chunk(raw: Path, array: np.memmap, start: int, paths: list[str]) -> list[dict]:
    _, height, width, _ = array.shape
    rows = []
    for position, path in enumerate(paths, start=start):
        content = (raw / path).read_bytes()
        row = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "decodable": False}
        row["phash"] = 0  # a null among 64-bit numbers would turn the whole column into floats of 53 bits
        try:
            frame = decode_frame(content, width, height)
        except DataError as error:
            row["error"] = error.message
        else:
            array[position] = frame.pixels
            row |= {key: value for key, value in vars(frame).items() if key != "pixels"} | {"decodable": True}
        rows.append(row)
    return rows


def _write_index(
    path: Path, frames: list[FrameFile], books: dict[tuple[str, str], str], rows: Iterable[dict]
) -> pd.DataFrame:
    records = [
        vars(frame) | {"clip": frame.clip, "book": books.get((frame.label, frame.video))} | row
        for frame, row in zip(frames, rows, strict=True)
    ]
    table = pa.Table.from_pylist(records, schema=INDEX_SCHEMA)
    pq.write_table(table, path)
    return table.to_pandas()
