"""Building of a pack (see `pageflip.frames.pack`): every frame of a raw folder is decoded once.

Threads write pixels straight into the memory-mapped array, so that memory does not grow with the number of frames.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pageflip.base.errors import DataError
from pageflip.base.files import atomic_folder, write_json
from pageflip.base.progress import track
from pageflip.frames.names import FrameFile
from pageflip.frames.pack import FACTS_FILE, INDEX_FILE, PACK_FILE
from pageflip.frames.parallel import available_cores, map_chunks
from pageflip.frames.pixels import decode_frame
from pageflip.frames.raw_folder import list_frames, read_books

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

    A frame that cannot be decoded keeps its row: pixels and hash are zero, `decodable` is false, `error` says why.

    Raises:
        DataError: the raw folder is missing, empty or not in the layout (see `list_frames`, `read_books`).
    """
    frames = list_frames(raw)
    books = read_books(raw)
    with atomic_folder(out) as folder:
        _allocate(folder / PACK_FILE, (len(frames), height, width, 3))
        array = np.load(folder / PACK_FILE, mmap_mode="r+", allow_pickle=False)
        rows = _decode_all(raw, array, frames, workers or available_cores())
        index = _write_index(folder / INDEX_FILE, frames, books, rows)
        array.flush()
        facts = {"frames": len(frames), "width": width, "height": height, "layout": "NHWC RGB uint8"}
        write_json(folder / FACTS_FILE, facts)
    return index


def _allocate(path: Path, shape: tuple[int, ...]) -> None:
    """Create the array's file and reserve its disk space: writing to a memory map on a full disk is a SIGBUS."""
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _decode_all(raw: Path, array: np.memmap, frames: list[FrameFile], workers: int) -> Iterator[dict[str, Any]]:
    rows = chain.from_iterable(map_chunks(partial(_decode_chunk, raw, array), frames, workers))
    return track(rows, total=len(frames), description="prepare")


def _decode_chunk(raw: Path, array: np.memmap, start: int, frames: Sequence[FrameFile]) -> list[dict[str, Any]]:
    """Write the pixels of a chunk into `array` from row `start` on; return the other columns of its index."""
    _, height, width, _ = array.shape
    rows = []
    for position, file in enumerate(frames, start=start):
        content = (raw / file.path).read_bytes()
        # a null among the hashes would turn the whole column into floats, which keep 53 of the 64 bits
        row = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "decodable": False, "phash": 0}
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
    path: Path, frames: list[FrameFile], books: dict[tuple[str, str], str], rows: Iterable[dict[str, Any]]
) -> pd.DataFrame:
    records = [
        vars(frame) | {"clip": frame.clip, "book": books.get((frame.label, frame.video))} | row
        for frame, row in zip(frames, rows, strict=True)
    ]
    table = pa.Table.from_pylist(records, schema=INDEX_SCHEMA)
    pq.write_table(table, path)
    return table.to_pandas()
