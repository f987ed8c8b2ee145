"""Speed of the renderer, from nothing to the JPEG files.

Measured: frames of 1080x1920 that one process draws and writes per second of its CPU time (`write_archive` with one
worker, clips of 8 frames, each of another book). In the detail: wall time with one worker and with two, pools included,
and the gain of the second; the memory of a clip beyond that of the imports; frames of 360x640, the size of a large
training set; and the limit, encoding the same frames as JPEG, with its share of the whole.

    python -m benchmarks synthesize_frames_per_second
"""

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
from threadpoolctl import threadpool_limits

from benchmarks.measuring import HEIGHT, SEED, WIDTH, machine, seconds
from benchmarks.results import Result
from pageflip.frames.raw_folder import list_frames
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.stage.clips import Clip, plan_clips

BAR = 6.0
BOOKS, FRAMES_PER_CLIP, QUALITY = 6, 8, 88
SMALL = (360, 640)
SMALL_BOOKS = 8


def measure() -> Result:
    """Draw in a fresh process for speed and memory, then in pools of one and two."""
    clips = _clips(BOOKS, (WIDTH, HEIGHT))
    full = _in_a_fresh_process(clips)
    small = _in_a_fresh_process(_clips(SMALL_BOOKS, SMALL))
    durations = {workers: _wall(clips, workers) for workers in (1, 2)}
    frames = sum(clip.frames for clip in clips)
    detail = {
        "bar": BAR,
        "machine": machine(),
        "pixels": [WIDTH, HEIGHT],
        "clips": len(clips),
        "frames": frames,
        "frames_per_second_of_wall_time": {f"workers_{count}": frames / wall for count, wall in durations.items()},
        "gain_of_a_second_worker": durations[1] / durations[2],
        "peak_megabytes_of_a_clip": full["peak_megabytes"],
        "small": {"pixels": list(SMALL), "frames_per_cpu_second": small["frames_per_cpu_second"]},
        "limit": {
            "jpeg_encoding_frames_per_cpu_second": full["encoded_per_cpu_second"],
            "share_of_the_whole": full["frames_per_cpu_second"] / full["encoded_per_cpu_second"],
        },
    }
    return Result("synthesize_frames_per_second", full["frames_per_cpu_second"], "frames/s", True, detail)


def _clips(books: int, size: tuple[int, int]) -> list[Clip]:
    return plan_clips(
        seed=SEED, books=books, clips_per_book=2, frames_per_clip=FRAMES_PER_CLIP, width=size[0], height=size[1]
    )


def _in_a_fresh_process(clips: list[Clip]) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_alone, clips).result()


def _alone(clips: list[Clip]) -> dict[str, float]:
    """Draw the clips in this process on one core, then encode the frames once more."""
    threadpool_limits(1)
    cv2.setNumThreads(1)
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        write_archive(_clips(1, (90, 160)), Path(place) / "first", workers=1)  # loads fonts and tables
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        write_archive(clips, Path(place) / "raw", workers=1, quality=QUALITY)
        drawn = time.process_time() - start
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        pictures = [cv2.imread(str(Path(place) / "raw" / frame.path)) for frame in list_frames(Path(place) / "raw")]
        start = time.process_time()
        for picture in pictures:
            cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        encoded = time.process_time() - start
    return {
        "frames_per_cpu_second": len(pictures) / drawn,
        "encoded_per_cpu_second": len(pictures) / encoded,
        "peak_megabytes": peak,
    }


def _wall(clips: list[Clip], workers: int) -> float:
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        return seconds(lambda: write_archive(clips, Path(place) / "raw", workers=workers, quality=QUALITY))
