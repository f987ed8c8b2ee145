"""Tiny frames drawn in place: a dark book on a bright desk; in a flip a white sheet stands slanted over it.

And what a pack's index says of frames that nobody drew.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pageflip.frames.names import frame_path


def draw_desk(rng: np.random.Generator, width: int = 54, height: int = 96) -> np.ndarray:
    """The blotchy desk of one clip, float [height, width]: clips must not be near-duplicates of each other."""
    blotches = Image.fromarray(rng.integers(90, 210, (6, 4)).astype(np.uint8))
    return np.asarray(blotches.resize((width, height), Image.Resampling.BICUBIC), dtype=float)


def draw_frame(rng: np.random.Generator, label: str, desk: np.ndarray) -> np.ndarray:
    """One frame, uint8 [height, width, 3], over a desk; every call differs."""
    height, width = desk.shape
    frame = np.repeat(desk[:, :, None], 3, axis=2)
    top, left = height // 4 + rng.integers(-1, 2), width // 8 + rng.integers(-1, 2)
    frame[top : top + height // 2, left : left + 3 * width // 4] = rng.integers(60, 100)
    if label == "flip":
        for row in range(height // 2):
            start = left + width // 3 + row // 6
            frame[top + row - 6, start : start + width // 5] = 235
    noise = rng.integers(-6, 7, (height, width, 1))
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def make_raw(
    raw: Path,
    *,
    clips: int = 6,
    frames: int = 5,
    seed: int = 0,
    books: int = 3,
    width: int = 54,
    height: int = 96,
) -> Path:
    """A folder of raw frames: `clips` clips per label of `frames` frames each, spread over `books` books."""
    rng = np.random.default_rng(seed)
    rows = ["label,video_id,book"]
    for label in ("flip", "notflip"):
        for clip in range(1, clips + 1):
            video = f"{clip:04d}"
            rows.append(f"{label},{video},book-{clip % books + 1}")
            desk = draw_desk(rng, width, height)
            for number in range(1, frames + 1):
                supplied = "testing" if number % 5 == 0 else "training"
                path = raw / frame_path(supplied, label, video, number)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(draw_frame(rng, label, desk)).save(path, quality=90)
    (raw / "books.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return raw


def make_index(
    clips: int = 10, frames: int = 5, books: int = 4, seed: int = 0, *, testing_every: int = 5
) -> pd.DataFrame:
    """An index of clips whose hashes are far apart; of each every few frames stand in the folder `testing`."""
    rng = np.random.default_rng(seed)
    rows = [
        (label, f"{clip:04d}", number, f"{label}/{clip:04d}", f"book-{clip % books}")
        for label in ("flip", "notflip")
        for clip in range(clips)
        for number in range(1, frames + 1)
    ]
    index = pd.DataFrame(rows, columns=["label", "video", "frame", "clip", "book"])
    index["phash"] = rng.integers(0, 2**64, len(index), dtype=np.uint64)
    index["supplied"] = np.where(index["frame"] % testing_every == 0, "testing", "training")
    return index.assign(decodable=True)
