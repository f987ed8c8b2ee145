"""Writes a video of one book that is leafed through, with the frames of each flip as the truth beside it."""

import json
import os
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pageflip.errors import DataError
from pageflip.synthetic.draw import Stage
from pageflip.synthetic.scene import check_numbers, check_size, video_script

# x264's lookahead, even with one thread, gives other bytes now and then on a busy machine: it is left out.
ENCODING = {
    "crf": "20",
    "preset": "veryfast",
    "x264-params": "threads=1:lookahead-threads=1:sync-lookahead=0:rc-lookahead=0:mbtree=0",
}


def write_video(
    path: Path,
    *,
    seed: int,
    book: int,
    flips: int,
    width: int = 540,
    height: int = 960,
    fps: int = 30,
    events_path: Path | None = None,
) -> dict:
    """Write an MP4 (H.264) of `flips` flips with rests between, before and after; replaces an earlier file.

    Returns:
        {"fps", "frames", "events": [{"start_frame", "end_frame"}]}: a flip is every frame whose page is off the book,
        both ends included. The same is written as JSON to `events_path` when given.

    Raises:
        ConfigError: a number is out of its range.
        DataError: the path does not end in .mp4.
    """
    check_numbers(seed=(seed, 0, 2**63 - 1), book=(book, 0, 998), flips=(flips, 0, 200), fps=(fps, 5, 240))
    check_size(width, height)
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise DataError(f"{path} is not the name of an MP4 file", "end the name in .mp4.")
    script, frames = video_script(seed, book, flips, height / width, fps)
    stage = Stage(script, width, height)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".mp4", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        lifts = _encode(draft, stage, frames, fps)
        draft.chmod(0o644)  # mkstemp makes files that only their owner can read
        truth = {"fps": fps, "frames": frames, "events": events_of(lifts)}
        if events_path is not None:
            _write_json(Path(events_path), truth)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return truth


def events_of(lifts: np.ndarray) -> list[dict[str, int]]:
    """The runs of frames whose lift, float [frames], is above 0; first and last frame of each."""
    up = np.concatenate([[False], np.asarray(lifts) > 0, [False]]).astype(np.int8)
    starts, ends = (np.flatnonzero(np.diff(up) == 1), np.flatnonzero(np.diff(up) == -1) - 1)
    return [{"start_frame": int(a), "end_frame": int(b)} for a, b in zip(starts, ends, strict=True)]


def _encode(path: Path, stage: Stage, frames: int, fps: int) -> np.ndarray:
    """Draw and encode all frames, one in memory at a time; returns the lifts, float64 [frames]."""
    lifts = np.zeros(frames)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=ENCODING)
        stream.width, stream.height = stage.size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, fps)
        for index in range(frames):
            image, lifts[index] = stage.photograph(index)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return lifts


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
