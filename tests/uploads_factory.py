"""Uploads to be scored, scoring them as a shard does, and what of it stands in a folder."""

from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from pageflip.events.sequence_model import SequenceModel, load_sequence_model
from pageflip.inference.cards import PRETRAINED
from pageflip.scoring import results as scoring_results
from pageflip.scoring import uploads
from pageflip.scoring.ledger import Ledger
from pageflip.scoring.score import score_upload

DARK, BRIGHT = 40, 220  # no flip, and a flip, to a model that knows brightness


def frame(grey: int, number: int, width: int = 54, height: int = 96) -> np.ndarray:
    """A frame of one grey, uint8 [height, width, 3]; over a bright one go stripes, and its number says how far.

    What is bright and stands still is no flip to those who read frames in sequence, whatever a model says.
    """
    stripes = 60 * ((np.arange(width) + 3 * number) // 9 % 2) - 30 if grey >= BRIGHT else np.zeros(width, int)
    return np.broadcast_to((grey + stripes).clip(0, 255).astype(np.uint8)[:, None], (height, width, 3)).copy()


def picture(path: Path, grey: int) -> Path:
    """A picture of one grey, numbered by its name; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = int("0" + "".join(filter(str.isdecimal, path.stem)))
    Image.fromarray(frame(grey, number)).save(path)
    return path


def video(path: Path, greys: list[int], **options: str) -> Path:
    """A video of 30 frames a second, one of each grey; `options` are the container's."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 96, "yuv420p", 1
        for number, grey in enumerate(greys):
            shown = av.VideoFrame.from_ndarray(frame(grey, number, 64), format="rgb24")
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


@cache
def sequence_model() -> SequenceModel:
    """The temporal network and decoder that ship with the package."""
    return load_sequence_model(PRETRAINED)


def score(
    drop: Path | str, results: Path | str, predictor: Any, run: str = "run-1"
) -> dict[str, scoring_results.Outcome]:
    """Score every upload of the place, with what the ledger of the results knows; the outcomes by name."""
    ledger = Ledger(str(results))
    found = uploads.find_uploads(str(drop))
    return {upload.name: score_one(upload, results, predictor, ledger, run) for upload in found}


def score_one(
    upload: uploads.Upload, results: Path | str, predictor: Any, ledger: Ledger, run: str
) -> scoring_results.Outcome:
    """Score one upload as it was found."""
    return score_upload(
        upload.url,
        upload.kind,
        upload.fingerprint,
        predictor=predictor,
        model=sequence_model(),
        results_url=str(results),
        ledger=ledger,
        run=run,
    )


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file, by its name below the folder."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
