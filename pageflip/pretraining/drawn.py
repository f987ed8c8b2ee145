"""Make the model that is there before any labels: draw books, train on them, judge on others, write
pageflip/inference/pretrained.

    make day-zero                                   # installs the ImageNet weights first
    python -m tasks.day_zero --real FOLDER          # and says how it does on labelled real frames
    python -m tasks.day_zero --params small.yaml    # section day_zero cut down: minutes
    python -m tasks.day_zero --from-weights         # only judge, calibrate and export the weights in --out again
    python -m tasks.day_zero --network cnn          # the weights that cnn starts from, learnt from day-zero

What takes long is kept in the work folder: drawn frames are used again when they are complete and nothing that they
depend on has changed, and a killed training goes on from its last epoch. `--from-weights` trains nothing: it wants the
work folder of the training, whose validation frames temperature, threshold and review band are chosen on.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pageflip import synthetic
from pageflip.base.errors import DataError
from pageflip.base.files import sha256_of
from pageflip.base.progress import show_progress
from pageflip.frames.pack import open_pack
from pageflip.frames.pack_building import build_pack
from pageflip.params.day_zero import DayZero
from pageflip.synthetic import archive
from pageflip.synthetic.ranges import Ranges
from pageflip.synthetic.stage.clips import plan_clips


def find_pack(work: Path, frames_sha256: str) -> tuple[np.ndarray, pd.DataFrame]:
    """The packed frames of a training, by the digest that its card holds.

    Raises:
        DataError: they are not in the work folder.
    """
    return open_pack(find_frames(work, frames_sha256))


def find_frames(work: Path, frames_sha256: str) -> Path:
    """The folder of the pack whose frames have this digest.

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


def prepare(plan: DayZero, ranges: Ranges, renderer: str, work: Path, workers: int | None) -> Path:
    """Draw and pack the frames, unless they are there; return the pack's folder."""
    sizes = {name: getattr(plan, name) for name in ("seed", "books", "clips_per_book", "frames_per_clip")}
    sizes |= {"width": plan.width, "height": plan.height}
    drawn = {**sizes, "quality": plan.quality, "ranges": digest(ranges), "renderer": renderer}
    key = hashlib.sha256(json.dumps(drawn, sort_keys=True).encode()).hexdigest()[:12]
    raw, frames = work / f"raw-{key}", work / f"frames-{key}-{plan.prepare.width}x{plan.prepare.height}"
    if frames.exists():
        print(f"day-zero: the frames of an earlier attempt are used again: {frames}", flush=True)
        return frames
    if not raw.exists():
        clips = plan_clips(**sizes)
        with show_progress(sum(clip.frames for clip in clips), "day-zero: draw") as advance:
            archive.write_archive(clips, raw, ranges=ranges, quality=plan.quality, workers=workers, advance=advance)
    build_pack(raw, frames, width=plan.prepare.width, height=plan.prepare.height)
    return frames


def renderer_digest() -> str:
    """The SHA-256 of the renderer's code."""
    folder = Path(synthetic.__file__).parent
    code = "".join(
        f"{file.relative_to(folder).as_posix()} {sha256_of(file)}\n" for file in sorted(folder.rglob("*.py"))
    )
    return hashlib.sha256(code.encode()).hexdigest()


def digest(ranges: Ranges) -> str:
    return hashlib.sha256(json.dumps(ranges.model_dump(), sort_keys=True).encode()).hexdigest()


def frames_digest(index: pd.DataFrame) -> str:
    """The SHA-256 of the frames of a pack, in their order."""
    return hashlib.sha256("".join(index["sha256"]).encode()).hexdigest()
