"""What the benchmarks share: frames to work on, stop-watches, and a word about the machine."""

import contextlib
import hashlib
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

import pageflip.synthetic
from pageflip.base import settings
from pageflip.frames.names import frame_path
from pageflip.frames.parallel import available_cores
from pageflip.frames.raw_folder import list_frames
from pageflip.networks.layers import scale_pixels
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.stage.clips import plan_clips

WIDTH, HEIGHT = 1080, 1920
BOOKS, CLIPS_PER_BOOK, FRAMES_PER_CLIP = 3, 4, 10
SEED = 11
NUMBERS_APART = 1_000_000  # between the frame numbers of a picture's repetitions


def machine() -> dict[str, object]:
    """What a reader must know of the machine to judge a figure."""
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
    """A raw folder of 120 synthetic frames of 1080x1920, drawn once for each state of the renderer."""
    sources = sorted(Path(pageflip.synthetic.__file__).parent.rglob("*.py"))
    state = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = settings.home() / "benchmarks" / f"frames-{state}"
    if not folder.exists():
        for old in folder.parent.glob("frames-*"):  # of earlier renderers
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
    """A temporary raw folder in which every frame of `raw` stands `times` times, by links."""
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
    """How many frames a raw folder holds, and how large they are."""
    sizes = [(raw / frame.path).stat().st_size for frame in list_frames(raw)]
    return {"frames": len(sizes), "kilobytes_per_frame": mean(sizes) / 1000}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what is said: progress on standard error, notes on standard output, logs and warnings of libraries."""
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
    """How long `work` takes, quietly."""
    with quiet():
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def alternate(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each contestant over `rounds` rounds A B A B ..., after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, work in contestants.items():
            taken = seconds(work)
            if turn:
                times[name].append(taken)
    return {name: median(taken) for name, taken in times.items()}


def step_flop(network: nn.Module, frames: Tensor) -> float:
    """Floating-point operations of a training step, for each of the frames uint8 [N, height, width, 3] of its batch.

    Forward and backward, as torch counts them; a multiplication and its addition are two.
    """
    targets = torch.zeros(len(frames))
    with FlopCounterMode(display=False) as counter:
        nn.BCEWithLogitsLoss()(network(scale_pixels(frames)), targets).backward()
    return counter.get_total_flops() / len(frames)
