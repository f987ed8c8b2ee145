"""Writes clips as an archive of frames, in worker processes."""

import csv
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from pageflip.base.errors import ConfigError, DataError
from pageflip.base.files import temporary_folder
from pageflip.frames.names import BOOKS_FILE, LABELS, SCENES_FOLDER, SUPPLIED_PARTS, frame_path
from pageflip.frames.parallel import available_cores
from pageflip.synthetic.ranges import DEFAULT_RANGES, Ranges
from pageflip.synthetic.records import write_scene
from pageflip.synthetic.stage.clips import Clip, check_numbers
from pageflip.synthetic.stage.renderer import Renderer
from pageflip.synthetic.stage.scripts import clip_script

TESTING_SHARE = 0.2


def write_archive(
    clips: Sequence[Clip],
    out: Path,
    *,
    ranges: Ranges = DEFAULT_RANGES,
    quality: int = 88,
    workers: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> None:
    """Render the clips into the folder `out`, completely or not at all.

    It then holds images/{training,testing}/LABEL/VVVV_FFFFFFFFF.jpg, books.csv, and scenes/LABEL/VVVV.json.

    Args:
        clips: what to draw; no (label, video) twice.
        out: a folder that is missing or empty.
        ranges: what scenes are sampled from.
        quality: of the JPEG files, 1 to 100.
        workers: number of processes, by default one per core; 1 starts none.
        advance: called with the number of frames of each finished clip.

    Raises:
        DataError: `out` is not empty.
        ConfigError: `quality` or `workers` is out of its range, or the clips are not valid.
    """
    workers = available_cores() if workers is None else workers
    check_numbers(quality=(quality, 1, 100), workers=(workers, 1, 1024))
    _check_clips(clips)
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already", "remove it, or name another folder.")
    with temporary_folder(out.parent, f".{out.name}.new.") as parent:
        draft = parent / "archive"
        write_clip = partial(_write_clip, folder=draft, ranges=ranges, quality=quality)
        _make_folders(draft)
        _write_all(clips, write_clip, min(workers, len(clips)), advance or (lambda count: None))
        _write_books(clips, draft / BOOKS_FILE)
        draft.rename(out)


def _check_clips(clips: Sequence[Clip]) -> None:
    if not clips:
        raise ConfigError("there are no clips to write", "plan at least one with plan_clips.")
    (name, count), *_ = Counter(f"{clip.label}/{clip.video}" for clip in clips).most_common(1)
    if count > 1:
        raise ConfigError(f"the clip {name} is planned twice", "give every clip a video number of its own.")
    for clip in clips:
        if clip.label not in LABELS:
            raise ConfigError(f"a clip has the label {clip.label!r}", f"use one of {', '.join(LABELS)}.")


def _make_folders(folder: Path) -> None:
    for label in LABELS:
        for part in SUPPLIED_PARTS:
            (folder / frame_path(part, label, "0000", 0)).parent.mkdir(parents=True)


def _write_all(
    clips: Sequence[Clip], write_clip: Callable[[Clip], int], workers: int, advance: Callable[[int], object]
) -> None:
    if workers == 1:
        for clip in clips:
            advance(write_clip(clip))
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        for future in as_completed([pool.submit(write_clip, clip) for clip in clips]):
            advance(future.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Limit a worker process to one thread, as there is one worker per core, and end it when its parent ends."""
    threadpool_limits(1)
    cv2.setNumThreads(1)
    parent = parent_process()
    if parent is not None:
        Thread(target=_exit_with, args=[parent.sentinel], daemon=True).start()


def _exit_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)  # a worker whose parent was killed would wait for ever


def _write_clip(clip: Clip, folder: Path, ranges: Ranges, quality: int) -> int:
    """Render and write one clip; return its number of frames."""
    testing, script = testing_numbers(clip), clip_script(clip, ranges)
    renderer, states = Renderer(script, clip.width, clip.height), []
    for number in clip.numbers:
        image, state = renderer.render((number - 1) * script.step)
        part = "testing" if number in testing else "training"
        path = folder / frame_path(part, clip.label, clip.video, number)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
        states.append((number, state))
    write_scene(folder / SCENES_FOLDER / clip.label / f"{clip.video}.json", script, states, clip)
    return len(states)


def testing_numbers(clip: Clip) -> set[int]:
    """Return the frame numbers of a clip that go to `testing`: a random fifth, with neighbours in training."""
    rng = np.random.default_rng([clip.seed, 51])
    count = max(round(clip.frames * TESTING_SHARE), 1)
    return {int(number) for number in rng.choice(clip.numbers, count, replace=False)}


def _write_books(clips: Sequence[Clip], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "video_id", "book"])
        writer.writerows(sorted((clip.label, clip.video, clip.book) for clip in clips))
