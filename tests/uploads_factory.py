"""Uploads to be scored, scoring them as a shard does, and what of it stands in a folder."""

from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from pageflip import scoring, uploads
from pageflip.uploads import Ledger

DARK, BRIGHT = 40, 220  # no flip, and a flip, to a model that knows brightness


def picture(path: Path, grey: int) -> Path:
    """A picture of one grey; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (54, 96), (grey, grey, grey)).save(path)
    return path


def video(path: Path, greys: list[int], **options: str) -> Path:
    """A video of 30 frames a second, one of each grey; `options` are the container's."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 96, "yuv420p", 1
        for grey in greys:
            frame = av.VideoFrame.from_ndarray(np.full((96, 64, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def score(drop: Path | str, results: Path | str, predictor: Any, run: str = "run-1") -> dict[str, scoring.Outcome]:
    """Score every upload of the place, with what the ledger of the results knows; the outcomes by name."""
    ledger = Ledger(str(results))
    found = uploads.find_uploads(str(drop))
    return {upload.name: score_one(upload, results, predictor, ledger, run) for upload in found}


def score_one(upload: uploads.Upload, results: Path | str, predictor: Any, ledger: Ledger, run: str) -> scoring.Outcome:
    """Score one upload as it was found."""
    return scoring.score_upload(
        upload.url,
        upload.kind,
        upload.fingerprint,
        predictor=predictor,
        results_url=str(results),
        ledger=ledger,
        run=run,
    )


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file, by its name below the folder."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.relative_to(folder).as_posix(): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
