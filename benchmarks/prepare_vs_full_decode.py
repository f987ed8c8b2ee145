"""Speed of the stage `prepare` compared with decoding at full size.

Measured: frames per second of `pageflip.frames.pack_building.build_pack`, everything included (listing, reading,
SHA-256, decoding, perceptual hash, statistics, table), on 480 drawn frames of 1080x1920 (120 pictures, four times each)
with one worker per core. Compared with: Pillow's full decode, conversion and bilinear resize of the same files to the
same size into the same kind of memory-mapped array, on as many threads. The value is the ratio of the speeds. In the
detail: the limit, entropy decoding alone (libjpeg at scale 1/8, no resize), which no JPEG reader can skip; the same
comparison with one worker; the time before the first frame; and, if PAGEFLIP_REAL_FRAMES names a raw folder, the
comparison on its frames.

    python -m benchmarks prepare_vs_full_decode
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.measuring import alternate, drawn_frames, file_sizes, machine, repeated, seconds
from benchmarks.results import Result
from pageflip.base.settings import project_root
from pageflip.frames.pack_building import build_pack
from pageflip.frames.parallel import available_cores
from pageflip.frames.raw_folder import list_frames
from pageflip.params.all import load_params

BAR = 3.0
FRAMES = 480
VARIANTS = ("prepare", "full_decode", "entropy_decoding")


def measure() -> Result:
    """Compare the variants."""
    size = load_params(project_root() / "params.yaml").prepare
    raw, workers = drawn_frames(), available_cores()
    detail = {"bar": BAR, "machine": machine(), "workers": workers, "pixels": [size.width, size.height]}
    all_cores = compare(raw, FRAMES, size.width, size.height, workers, rounds=3)
    detail |= {
        "all_cores": all_cores,
        "one_worker": compare(raw, 120, size.width, size.height, 1, rounds=3),
        "before_the_first_frame": _start_up(raw, size.width, size.height),
    }
    if os.environ.get("PAGEFLIP_REAL_FRAMES"):
        real = Path(os.environ["PAGEFLIP_REAL_FRAMES"])
        detail["real_frames"] = compare(real, FRAMES, size.width, size.height, workers, rounds=3)
    return Result("prepare_vs_full_decode", all_cores["prepare_vs_full_decode"], "ratio", True, detail)


def compare(raw: Path, frames: int, width: int, height: int, workers: int, rounds: int) -> dict[str, object]:
    """Return the speed of each variant on about `frames` frames, and their ratios."""
    times = max(1, round(frames / len(list_frames(raw))))
    with repeated(raw, times) as many, TemporaryDirectory(prefix="pageflip-bench-") as place:
        out = Path(place)
        works = (
            lambda: build_pack(many, out / "pack", width=width, height=height, workers=workers),
            lambda: full_decode(many, out / "full.npy", width, height, workers),
            lambda: entropy_decoding(many, workers),
        )
        durations = alternate(dict(zip(VARIANTS, works, strict=True)), rounds)
        facts = file_sizes(many)
    speeds = {name: facts["frames"] / durations[name] for name in VARIANTS}
    return facts | {
        "frames_per_second": speeds,
        "frames_per_second_and_core": {name: speed / workers for name, speed in speeds.items()},
        "prepare_vs_full_decode": speeds["prepare"] / speeds["full_decode"],
        "prepare_vs_entropy_decoding": speeds["prepare"] / speeds["entropy_decoding"],
    }


def full_decode(raw: Path, out: Path, width: int, height: int, workers: int) -> None:
    """Decode all pixels, then resize."""
    paths = [raw / frame.path for frame in list_frames(raw)]
    array = np.lib.format.open_memmap(out, mode="w+", dtype=np.uint8, shape=(len(paths), height, width, 3))

    def work(position: int) -> None:
        with Image.open(paths[position]) as image:
            small = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=None)
        array[position] = np.asarray(small)

    _on_threads(work, len(paths), workers)
    array.flush()


def entropy_decoding(raw: Path, workers: int) -> None:
    """Undo the Huffman coding, as every JPEG reader must; scale 1/8 needs only the mean of each 8x8 block."""
    paths = [raw / frame.path for frame in list_frames(raw)]

    def work(position: int) -> None:
        with Image.open(paths[position]) as image:
            image.draft("RGB", (1, 1))
            image.load()

    _on_threads(work, len(paths), workers)


def _on_threads(work, count: int, workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, range(count)):
            pass


def _start_up(raw: Path, width: int, height: int) -> dict[str, float]:
    """Return the seconds of the stage's start (Python and imports), and of packing one frame."""
    command = [sys.executable, "-c", "import tasks.prepare"]
    start = [seconds(lambda: subprocess.run(command, check=True, cwd=project_root())) for _ in range(3)]
    with TemporaryDirectory(prefix="pageflip-bench-") as place:
        frame = list_frames(raw)[0]
        one = Path(place) / "raw" / frame.path
        one.parent.mkdir(parents=True)
        one.symlink_to((raw / frame.path).absolute())
        out = Path(place) / "pack"
        single = [seconds(lambda: build_pack(Path(place) / "raw", out, width=width, height=height)) for _ in range(5)]
    return {"python_and_imports_s": median(start), "pack_of_one_frame_s": median(single)}
