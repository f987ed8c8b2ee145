"""Frames, timing and facts of the machine that the benchmarks share."""

import contextlib
import io
import logging
import os
import platform
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pageflip.base import settings
from pageflip.frames.names import frame_path
from pageflip.frames.parallel import available_cores
from pageflip.frames.raw_folder import list_frames
from pageflip.networks.layers import scale_pixels
from pageflip.pretraining.drawn import renderer_digest
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.stage.clips import plan_clips

WIDTH, HEIGHT = 1080, 1920
BOOKS, CLIPS_PER_BOOK, FRAMES_PER_CLIP = 3, 4, 10
SEED = 11
NUMBERS_APART = 1_000_000  # between the frame numbers of a picture's repetitions


def machine() -> dict[str, object]:
    """Return facts of the machine that figures depend on."""
    return {
        "cores": available_cores(),
        "cpu": _cpu(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def drawn_frames() -> Path:
    """Return a raw folder of 120 drawn frames of 1080x1920, cached for each version of the renderer."""
    folder = settings.home() / "benchmarks" / f"frames-{renderer_digest()[:12]}"
    if not folder.exists():
        for old in folder.parent.glob("frames-*"):  # of earlier versions
            shutil.rmtree(old)
        clips = plan_clips(
            seed=SEED,
            books=BOOKS,
            clips_per_book=CLIPS_PER_BOOK,
            frames_per_clip=FRAMES_PER_CLIP,
            width=WIDTH,
            height=HEIGHT,
        )
        write_archive(clips, folder)
    return folder


@contextlib.contextmanager
def repeated(raw: Path, times: int) -> Iterator[Path]:
    """Yield a temporary raw folder that holds every frame of `raw` `times` times, as links."""
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        folder = Path(place) / "raw"
        for frame in list_frames(raw):
            for turn in range(times):
                number = frame.frame + turn * NUMBERS_APART
                link = folder / frame_path(frame.supplied, frame.label, frame.video, number)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((raw / frame.path).absolute())
        yield folder


def file_sizes(raw: Path) -> dict[str, float]:
    """Return number and mean size of the frames in a raw folder."""
    sizes = [(raw / frame.path).stat().st_size for frame in list_frames(raw)]
    return {"frames": len(sizes), "kilobytes_per_frame": mean(sizes) / 1000}


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppress output, logs and warnings."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(action="ignore"),
        ):
            yield
    finally:
        logging.disable(level)


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that a call of `work` takes."""
    with silence():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def alternate(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each variant over rounds A B A B ..., after a warm-up round."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, work in variants.items():
            duration = seconds(work)
            if turn:
                times[name].append(duration)
    return {name: median(durations) for name, durations in times.items()}


def step_flop(network: nn.Module, frames: Tensor) -> float:
    """Return the floating-point operations of a training step per frame, as torch counts them.

    Forward and backward pass; a multiplication and its addition are two. `frames` is uint8 [N, height, width, 3].
    """
    targets = torch.zeros(len(frames))
    with FlopCounterMode(display=False) as counter:
        nn.BCEWithLogitsLoss()(network(scale_pixels(frames)), targets).backward()
    return counter.get_total_flops() / len(frames)
