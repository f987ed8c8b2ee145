"""The pack: all frames as one uint8 array that is memory-mapped, and a table with one row per frame.

    pack.npy        uint8 [N, height, width, 3], RGB
    index.parquet   row i describes frame i of the array; its columns are `pack_building.INDEX_SCHEMA`
    pack.json       number, size and layout of the frames

`pageflip.frames.pack_building` writes it, in the stage `prepare`.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from pageflip.base.errors import DataError

PACK_FILE, INDEX_FILE, FACTS_FILE = "pack.npy", "index.parquet", "pack.json"


def open_pack(folder: Path) -> tuple[np.memmap, pd.DataFrame]:
    """Open a pack: (memory-mapped frames uint8 [N, height, width, 3], index with one row per frame).

    Raises:
        DataError: a file is missing, or the array and the index have different lengths.
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
    """Return the SHA-256 over path, content digest and book of all frames, which does not depend on the packed size."""
    table = index[["path", "sha256", "book"]].sort_values("path")
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
