"""Drawn frames that the shipped frame models are trained on: drawing, packing, and the split by books."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pageflip import synthetic
from pageflip.base import settings, storage
from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import sha256_of
from pageflip.base.progress import show_progress
from pageflip.frames.assignment import ASSIGNMENT_FILE, part_rows
from pageflip.frames.pack import open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.params.day_zero import DayZero
from pageflip.params.sections import Shares
from pageflip.synthetic import archive
from pageflip.synthetic.ranges import Ranges
from pageflip.synthetic.stage.clips import plan_clips
from pageflip.training.batches import TrainingData
from pageflip.training.checkpoints import training_key

SPLIT_STREAM = 61  # of the random numbers that assign books to parts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnFrames:
    """Packed frames of drawn books, with every book assigned to one part.

    Attributes:
        folder: of the pack.
        pack: uint8 [N, height, width, 3].
        index: one row per frame.
        assignment: one row per frame, with the columns of `pageflip.frames.splitting`.
    """

    folder: Path
    pack: np.ndarray
    index: pd.DataFrame
    assignment: pd.DataFrame

    @classmethod
    def open(cls, folder: Path, plan: DayZero) -> "DrawnFrames":
        """Open a pack, and assign its books to the parts.

        Raises:
            ConfigError: there are too few books for three parts.
        """
        pack, index = open_pack(folder)
        return cls(folder, pack, index, split_books(index, plan.shares, plan.seed))

    @property
    def training_data(self) -> TrainingData:
        """The parts train and val."""
        return TrainingData(self.pack, part_rows(self.assignment, "train"), part_rows(self.assignment, "val"))

    def training_key(self, facts: dict[str, Any], work: Path) -> str:
        """Return the name of a training on these frames (see `pageflip.training.checkpoints.training_key`)."""
        split = work / "split"
        split.mkdir(parents=True, exist_ok=True)
        self.assignment.to_parquet(split / ASSIGNMENT_FILE, index=False)
        return training_key(facts, self.folder, split)

    def summary(self) -> dict[str, Any]:
        """Return source, size of each part, and digest of the frames, for a model card."""
        parts = {
            part: {"books": table["book"].nunique(), "clips": table["clip"].nunique(), "frames": len(table)}
            | {"flips": int((table["label"] == "flip").sum())}
            for part, table in self.assignment.groupby("part")
        }
        source = "drawn by pageflip.synthetic; no real frame among them"
        return {"source": source, "parts": parts, "frames_sha256": frames_digest(self.index)}


def work_folder(name: str) -> Path:
    """Return a folder of this name in the run store, or in the home folder if the store is remote."""
    return (storage.local_path(settings.store_url()) or settings.home() / "runs") / name


def split_books(index: pd.DataFrame, shares: Shares, seed: int) -> pd.DataFrame:
    """Assign whole books to train, val and test: one row per frame, as `pageflip.frames.splitting` writes it.

    Raises:
        ConfigError: there are too few books for three parts.
    """
    books = sorted(index["book"].unique())
    order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(len(books))
    val, test = (max(1, round(share * len(books))) for share in (shares.val, shares.test))
    if val + test >= len(books):
        raise ConfigError(f"{len(books)} books are too few for three parts", "set day_zero.books higher.")
    part_of = {books[number]: "val" if rank < val else "test" for rank, number in enumerate(order[: val + test])}
    table = index[["label", "video", "frame", "clip", "book"]].copy()
    table.insert(0, "row", np.arange(len(index)))
    table["group"] = table["book"]
    table["part"] = [part_of.get(book, "train") for book in table["book"]]
    return table


def draw_frames(plan: DayZero, ranges: Ranges, renderer: str, work: Path, workers: int | None) -> Path:
    """Draw and pack the frames unless they are in the work folder, and return the pack's folder.

    Args:
        plan: section `day_zero`.
        ranges: of the scenes.
        renderer: what `renderer_digest` returned.
        work: folder of raw and packed frames, which are named by all that they depend on.
        workers: processes that draw; None is one per core.
    """
    sizes = {name: getattr(plan, name) for name in ("seed", "books", "clips_per_book", "frames_per_clip")}
    sizes |= {"width": plan.width, "height": plan.height}
    facts = {**sizes, "quality": plan.quality, "ranges": ranges_digest(ranges), "renderer": renderer}
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    raw, frames = work / f"raw-{key}", work / f"frames-{key}-{plan.prepare.width}x{plan.prepare.height}"
    if frames.exists():
        log.info("day-zero: reusing the frames of an earlier attempt: %s", frames)
        return frames
    if not raw.exists():
        clips = plan_clips(**sizes)
        with show_progress(sum(clip.frames for clip in clips), "day-zero: draw") as advance:
            archive.write_archive(clips, raw, ranges=ranges, quality=plan.quality, workers=workers, advance=advance)
    build_pack(raw, frames, width=plan.prepare.width, height=plan.prepare.height)
    return frames


def find_frames(work: Path, frames_sha256: str) -> Path:
    """Return the folder of the pack whose frames have this digest.

    Raises:
        DataError: it is not in the work folder.
    """
    for folder in sorted(work.glob("frames-*")):
        if frames_digest(open_pack(folder)[1]) == frames_sha256:
            return folder
    raise DataError(
        f"the frames that these weights were trained on ({frames_sha256[:12]}) are not in {work}",
        "name the work folder of the training with --work, or run `make day-zero`.",
    )


def renderer_digest() -> str:
    """Return the SHA-256 of the renderer's code."""
    folder = Path(synthetic.__file__).parent
    code = "".join(
        f"{file.relative_to(folder).as_posix()} {sha256_of(file)}\n" for file in sorted(folder.rglob("*.py"))
    )
    return hashlib.sha256(code.encode()).hexdigest()


def ranges_digest(ranges: Ranges) -> str:
    """Return the SHA-256 of the ranges of scenes."""
    return hashlib.sha256(json.dumps(ranges.model_dump(), sort_keys=True).encode()).hexdigest()


def frames_digest(index: pd.DataFrame) -> str:
    """Return the SHA-256 of a pack's frames in their order."""
    return hashlib.sha256("".join(index["sha256"]).encode()).hexdigest()
