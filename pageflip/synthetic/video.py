"""Writes a video of one book that is leafed through, and its true flip events."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import av

from pageflip.base.errors import DataError
from pageflip.base.files import atomic_file, write_json
from pageflip.synthetic.ranges import DEFAULT_RANGES, Ranges
from pageflip.synthetic.records import write_scene
from pageflip.synthetic.stage.clips import check_numbers, check_size
from pageflip.synthetic.stage.motion import SceneState, Script
from pageflip.synthetic.stage.renderer import Renderer
from pageflip.synthetic.stage.scripts import video_script

# Without lookahead: even with one thread, x264's gives other bytes now and then on a busy machine.
ENCODING = {
    "crf": "20",
    "preset": "veryfast",
    "x264-params": "threads=1:lookahead-threads=1:sync-lookahead=0:rc-lookahead=0:mbtree=0",
}


@dataclass(frozen=True)
class VideoPlan:
    """A video to draw; `width` and `height` are in pixels.

    Raises:
        ConfigError: a number is out of its range.
    """

    seed: int
    book: int
    flips: int
    width: int = 540
    height: int = 960
    fps: int = 30
    ranges: Ranges = DEFAULT_RANGES

    def __post_init__(self) -> None:
        check_numbers(
            seed=(self.seed, 0, 2**63 - 1),
            book=(self.book, 0, 998),
            flips=(self.flips, 0, 200),
            fps=(self.fps, 5, 240),
        )
        check_size(self.width, self.height)


def write_video(
    path: Path, plan: VideoPlan, *, events_path: Path | None = None, scene_path: Path | None = None
) -> dict[str, Any]:
    """Write an MP4 (H.264) of the planned flips, with rests before, between and after them.

    Args:
        path: the MP4; an earlier file is replaced.
        plan: what to draw.
        events_path: where to write the returned events as JSON.
        scene_path: where to write the scene file.

    Returns:
        {"fps", "frames", "events", "pages"}. An event is a run of frames with a sheet off the book, both ends included:
        {"start_frame", "end_frame", "direction" ("forward", "backward"), "aborted", "leaves"}. Each of `pages` is a run
        of frames with the same open pages: {"start_frame", "end_frame", "left", "right"}.

    Raises:
        DataError: the path does not end in .mp4.
    """
    if path.suffix.lower() != ".mp4":
        raise DataError(f"{path} is not the name of an MP4 file", "end the name in .mp4.")
    aspect = plan.height / plan.width
    script, frames = video_script(plan.seed, plan.book, plan.flips, aspect, plan.fps, plan.ranges)
    with atomic_file(path) as draft:
        states = _encode(draft, Renderer(script, plan.width, plan.height), frames, plan.fps)
        truth = {"fps": plan.fps, "frames": frames, "events": _events(script, states), "pages": _open_pages(states)}
        if scene_path is not None:
            write_scene(scene_path, script, enumerate(states))
        if events_path is not None:
            write_json(events_path, truth)
    return truth


def _events(script: Script, states: list[SceneState]) -> list[dict[str, Any]]:
    """Return the runs of frames in which a flip's sheet is off the book."""
    events = []
    for flip in script.flips:
        frames = [index for index, state in enumerate(states) if state.flip is flip]
        if frames:
            event = {"start_frame": frames[0], "end_frame": frames[-1], "aborted": flip.aborted, "leaves": flip.leaves}
            events.append(event | {"direction": "forward" if flip.bend.side > 0 else "backward"})
    return events


def _open_pages(states: list[SceneState]) -> list[dict[str, int]]:
    """Return the runs of frames in which the same two pages lie open."""
    runs = []
    start = 0
    for pages, group in groupby(state.pages for state in states):
        end = start + len(list(group))
        if pages is not None:
            runs.append({"start_frame": start, "end_frame": end - 1, "left": pages[0], "right": pages[1]})
        start = end
    return runs


def _encode(path: Path, renderer: Renderer, frames: int, fps: int) -> list[SceneState]:
    """Render and encode all frames, one in memory at a time; return the state of each."""
    states = []
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=ENCODING)
        stream.width, stream.height = renderer.wide, renderer.tall
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, fps)
        for index in range(frames):
            image, state = renderer.render(index)
            states.append(state)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return states
