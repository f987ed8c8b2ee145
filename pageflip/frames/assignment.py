"""The assignment of frames to the parts train, val and test, as the stage `split` writes it and others read it."""

from pathlib import Path

import numpy as np
import pandas as pd

from pageflip.base.errors import DataError
from pageflip.frames.names import LABELS

PARTS = ("train", "val", "test")
UNUSED = "unused"
ASSIGNMENT_FILE, LEAKS_FILE = "assignment.parquet", "leaks.json"


def read_assignment(folder: Path) -> pd.DataFrame:
    """Read the assignment in `folder`; see `pageflip.frames.splitting.assign_parts` for its columns.

    Raises:
        DataError: there is none.
    """
    path = folder / ASSIGNMENT_FILE
    if not path.exists():
        raise DataError(f"there is no {path}", "run `dvc repro split` first.")
    return pd.read_parquet(path)


def part_rows(assignment: pd.DataFrame, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pack rows of a part, int64 [M], and their targets, uint8 [M] with 1 for flip."""
    chosen = assignment[assignment["part"] == part]
    return chosen["row"].to_numpy(dtype=np.int64), (chosen["label"] == LABELS[1]).to_numpy(dtype=np.uint8)
