"""Writes a video of one book that is leafed through, with the frames of each flip as the truth beside it."""

import json
import os
import tempfile
from fractions import Fraction
from pathlib import Path

import av

from pageflip.base.errors import DataError
from pageflip.synthetic.ranges import DEFAULT, Ranges
from pageflip.synthetic.records import write_scene
from pageflip.synthetic.stage.clips import check_numbers, check_size
from pageflip.synthetic.stage.draw import Stage
from pageflip.synthetic.stage.motion import Pose, Script
from pageflip.synthetic.stage.scripts import video_script

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
    ranges: Ranges = DEFAULT,
    events_path: Path | None = None,
    scene_path: Path | None = None,
) -> dict:
    """Write an MP4 (H.264) of `flips` flips with rests between, before and after; replaces an earlier file.

    Returns:
        {"fps", "frames", "events", "pages"}. An event is every frame whose sheet is off the book, both ends included:
        {"start_frame", "end_frame", "direction" (forward, backward), "aborted", "leaves"}. `pages` says what lies open
        when: {"start_frame", "end_frame", "left", "right"}; frames in between have a sheet in the air. The same is
        written as JSON to `events_path` when given, and what all was drawn from to `scene_path`.

    Raises:
        ConfigError: a number is out of its range.
        DataError: the path does not end in .mp4.
    """
    check_numbers(seed=(seed, 0, 2**63 - 1), book=(book, 0, 998), flips=(flips, 0, 200), fps=(fps, 5, 240))
    check_size(width, height)
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise DataError(f"{path} is not the name of an MP4 file", "end the name in .mp4.")
    script, frames = video_script(seed, book, flips, height / width, fps, ranges)
    stage = Stage(script, width, height)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".mp4", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        poses = _encode(draft, stage, frames, fps)
        draft.chmod(0o644)  # mkstemp makes files that only their owner can read
        truth = {"fps": fps, "frames": frames, "events": events_of(script, poses), "pages": pages_of(poses)}
        if scene_path is not None:
            records = [{"number": i, "lift": round(p.lift, 6), "pages": p.pages} for i, p in enumerate(poses)]
            write_scene(Path(scene_path), script, records)
        if events_path is not None:
            _write_json(Path(events_path), truth)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return truth


def events_of(script: Script, poses: list[Pose]) -> list[dict]:
    """The runs of frames in which one flip's sheet is off the book."""
    events = []
    for flip in script.flips:
        frames = [index for index, pose in enumerate(poses) if pose.flip is flip]
        if frames:
            event = {"start_frame": frames[0], "end_frame": frames[-1]}
            event |= {"direction": "forward" if flip.bend.side > 0 else "backward"}
            events.append(event | {"aborted": flip.aborted, "leaves": flip.leaves})
    return events


def pages_of(poses: list[Pose]) -> list[dict]:
    """The runs of frames in which the same two pages lie open."""
    runs: list[dict] = []
    for index, pose in enumerate(poses):
        if pose.pages is None:
            continue
        left, right = pose.pages
        if runs and runs[-1]["end_frame"] == index - 1 and (runs[-1]["left"], runs[-1]["right"]) == (left, right):
            runs[-1]["end_frame"] = index
        else:
            runs.append({"start_frame": index, "end_frame": index, "left": left, "right": right})
    return runs


def _encode(path: Path, stage: Stage, frames: int, fps: int) -> list[Pose]:
    """Draw and encode all frames, one in memory at a time; returns the pose of each."""
    poses = []
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=ENCODING)
        stream.width, stream.height = stage.wide, stage.tall
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, fps)
        for index in range(frames):
            image, pose = stage.photograph(index)
            poses.append(pose)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return poses


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
