"""Writes clips as an archive of frames, in worker processes."""

import csv
import os
import shutil
import tempfile
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
from pageflip.frames.names import BOOKS_FILE, LABELS, SCENES_FOLDER, SUPPLIED_PARTS, frame_path
from pageflip.frames.parallel import available_cores
from pageflip.synthetic.ranges import DEFAULT, Ranges
from pageflip.synthetic.records import write_scene
from pageflip.synthetic.stage.clips import Clip, check_numbers
from pageflip.synthetic.stage.draw import render_script
from pageflip.synthetic.stage.scripts import clip_script

TESTING_SHARE = 0.2


def write_archive(
    clips: Sequence[Clip],
    out: Path,
    *,
    ranges: Ranges = DEFAULT,
    quality: int = 88,
    workers: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> None:
    """Draw the clips into `out`, all or nothing: images/{training,testing}/LABEL/VVVV_FFFFFFFFF.jpg, books.csv, and
    what each clip was drawn from in scenes/LABEL/VVVV.json.

    Args:
        clips: what to draw; each (label, video) once.
        out: a folder that does not exist, or is empty.
        ranges: what scenes are drawn from.
        quality: of the JPEG files, 1 to 100.
        workers: processes; by default one for each core this process may use. With 1 no process is started.
        advance: called in this process with the number of frames of each clip that is done.

    Raises:
        DataError: `out` holds something already.
        ConfigError: `quality`, `workers` or the clips cannot be.
    """
    workers = available_cores() if workers is None else workers
    check_numbers(quality=(quality, 1, 100), workers=(workers, 1, 1024))
    _check_clips(clips)
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already", "remove it, or name another folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        draw = partial(_write_clip, draft=draft, ranges=ranges, quality=quality)
        _make_folders(draft)
        _write_all(clips, draw, min(workers, len(clips)), advance or (lambda count: None))
        _write_books(clips, draft / BOOKS_FILE)
        draft.chmod(0o755)  # mkdtemp makes folders that only their owner can enter
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_clips(clips: Sequence[Clip]) -> None:
    if not clips:
        raise ConfigError("there are no clips to write", "plan at least one with plan_clips.")
    names = [(clip.label, clip.video) for clip in clips]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigError(
            f"the clip {'/'.join(twice[0])} is planned twice", "give every clip a video number of its own."
        )
    for clip in clips:
        if clip.label not in LABELS:
            raise ConfigError(f"a clip has the label {clip.label!r}", f"use one of {', '.join(LABELS)}.")


def _make_folders(draft: Path) -> None:
    for label in LABELS:
        for part in SUPPLIED_PARTS:
            (draft / frame_path(part, label, "0000", 0)).parent.mkdir(parents=True)


def _write_all(clips: Sequence[Clip], draw: Callable[[Clip], int], workers: int, advance: Callable) -> None:
    if workers == 1:
        for clip in clips:
            advance(draw(clip))
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin_work)
    try:
        for done in as_completed([pool.submit(draw, clip) for clip in clips]):
            advance(done.result())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_work() -> None:
    """Keep a worker to its own core, there is one worker for each; and end it with its parent, however that ends."""
    threadpool_limits(1)
    cv2.setNumThreads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait([parent_process().sentinel])
    os._exit(1)  # a pool whose parent was killed would wait for ever


def _write_clip(clip: Clip, draft: Path, ranges: Ranges, quality: int) -> int:
    """Draw and write one clip; returns its number of frames."""
    testing, script, records = testing_numbers(clip), clip_script(clip, ranges), []
    for frame in render_script(script, clip):
        part = "testing" if frame.number in testing else "training"
        path = draft / frame_path(part, clip.label, clip.video, frame.number)
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        path.write_bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())
        records.append({"number": frame.number, "lift": round(frame.lift, 6), "pages": frame.pages})
    write_scene(draft / SCENES_FOLDER / clip.label / f"{clip.video}.json", script, records, clip)
    return len(records)


def testing_numbers(clip: Clip) -> set[int]:
    """The frame numbers of a clip that go to `testing`: a fifth of them at random, neighbours of training frames."""
    rng = np.random.default_rng([clip.seed, 51])
    count = max(round(clip.frames * TESTING_SHARE), 1)
    return {int(number) for number in rng.choice(clip.numbers, count, replace=False)}


def _write_books(clips: Sequence[Clip], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label", "video_id", "book"])
        writer.writerows(sorted((clip.label, clip.video, clip.book) for clip in clips))
