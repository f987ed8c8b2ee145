"""How much faster the stage `prepare` packs frames than the usual way does.

Measured: frames per second of `pageflip.frames.pack.build_pack`, everything included (listing, reading, SHA-256,
decoding,
perceptual hash, statistics, table), on 480 synthetic frames of 1080x1920 (120 pictures, four times each) with one
worker a core. Against: Pillow's full decode, convert and bilinear resize of the same files to the same size into the
same kind of memory-mapped array, on as many threads. The value is the ratio of the two speeds. In the detail: the
limit, entropy decoding alone (libjpeg at scale 1/8, no resize), which no reader of JPEGs can skip; the same contest
with one worker; what comes before the first frame; and, when PAGEFLIP_REAL_FRAMES names a raw folder, the contest on
its frames.

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
CONTESTANTS = ("prepare", "full_decode", "entropy_decoding")


def measure() -> Result:
    """Run the contest."""
    size = load_params(project_root() / "params.yaml").prepare
    raw, workers = drawn_frames(), available_cores()
    detail = {"bar": BAR, "machine": machine(), "workers": workers, "pixels": [size.width, size.height]}
    all_cores = contest(raw, FRAMES, size.width, size.height, workers, rounds=3)
    detail |= {
        "all_cores": all_cores,
        "one_worker": contest(raw, 120, size.width, size.height, 1, rounds=3),
        "before_the_first_frame": _start_up(raw, size.width, size.height),
    }
    if os.environ.get("PAGEFLIP_REAL_FRAMES"):
        real = Path(os.environ["PAGEFLIP_REAL_FRAMES"])
        detail["real_frames"] = contest(real, FRAMES, size.width, size.height, workers, rounds=3)
    return Result("prepare_vs_full_decode", all_cores["prepare_vs_full_decode"], "ratio", True, detail)


def contest(raw: Path, frames: int, width: int, height: int, workers: int, rounds: int) -> dict[str, object]:
    """Frames per second of each contestant on about `frames` frames, and how they compare."""
    times = max(1, round(frames / len(list_frames(raw))))
    with repeated(raw, times) as many, TemporaryDirectory(prefix="pageflip-bench-") as place:
        out = Path(place)
        works = (
            lambda: build_pack(many, out / "pack", width=width, height=height, workers=workers),
            lambda: full_decode(many, out / "full.npy", width, height, workers),
            lambda: entropy_decoding(many, workers),
        )
        taken = alternate(dict(zip(CONTESTANTS, works, strict=True)), rounds)
        facts = file_sizes(many)
    speeds = {name: facts["frames"] / taken[name] for name in CONTESTANTS}
    return facts | {
        "frames_per_second": speeds,
        "frames_per_second_and_core": {name: speed / workers for name, speed in speeds.items()},
        "prepare_vs_full_decode": speeds["prepare"] / speeds["full_decode"],
        "prepare_vs_entropy_decoding": speeds["prepare"] / speeds["entropy_decoding"],
    }


def full_decode(raw: Path, out: Path, width: int, height: int, workers: int) -> None:
    """The usual way: decode all pixels, then make the picture small."""
    paths = [raw / frame.path for frame in list_frames(raw)]
    array = np.lib.format.open_memmap(out, mode="w+", dtype=np.uint8, shape=(len(paths), height, width, 3))

    def work(position: int) -> None:
        with Image.open(paths[position]) as image:
            small = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=None)
        array[position] = np.asarray(small)

    _on_threads(work, len(paths), workers)
    array.flush()


def entropy_decoding(raw: Path, workers: int) -> None:
    """What every JPEG reader must do: undo the Huffman coding. Scale 1/8 needs only the mean of each 8x8 block."""
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
    """Seconds of the stage's own start (Python and its imports) and of a pack of a single frame."""
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
