"""How well flips and pages are found in long drawn videos, beside piffler 0.1.0 on the same videos.

Measured: six videos of 24 flips each, 540x960, of books and seeds that nothing was learnt from (`events.seed` and
`day_zero.seed` are others). Rows:

    event_f1          F1 of flips, onset and offset within 150 ms, one to one (pageflip.event_metrics)
    page_recall       share of the openings (two pages) that have a still
    page_duplicates   share of the stills that show an opening once more, or a sheet in the air
    piffler_*         the same for piffler, a motion-based page finder from PyPI (MIT)

pageflip runs as scoring does, with day-zero. In its detail stand the baselines for events: a threshold, a running
median, and the difference of frames; errors of onset and offset; aborted lifts; and flips found by the stream with a
fixed lag of 0.6 s. piffler runs with its own settings but without OCR, PDF, scans and dewarping, which take most of its
time: its text comparison of repeated pages needs OCR and is therefore off, its comparison of pictures is on. Its events
are the gaps between the holds it finds, its stills the frame of each hold of which it keeps a page. It is installed
from requirements/piffler.txt into an environment below PAGEFLIP_HOME/benchmarks.

    python -m benchmarks leafing
"""

import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import pageflip.synthetic
from benchmarks.measuring import machine, quiet
from benchmarks.results import Result
from pageflip import settings
from pageflip.day_zero import load_day_zero
from pageflip.decoding import available_cores
from pageflip.errors import UnavailableError
from pageflip.event_decoding import FlipStream
from pageflip.event_metrics import Event, Truth, event_metrics, read_truth, still_metrics
from pageflip.events import Flip, difference_flips, find_flips, threshold_flips
from pageflip.inference import Predictor, iter_video
from pageflip.params import Stills, load_params
from pageflip.sequences import find_sequence_flips, video_stills
from pageflip.synthetic import write_video

SEED, VIDEOS, FLIPS = 60_000, 6, 24
WIDTH, HEIGHT = 540, 960
LAG_S = 0.6
BARS = {"event_f1": 0.97, "page_recall": 0.99, "page_duplicates": 0.01}
ROWS = (*BARS, *(f"piffler_{name}" for name in BARS))


def measure() -> list[Result]:
    """Run both over the videos."""
    videos = drawn_videos()
    truths = [read_truth(json.loads(path.with_suffix(".events.json").read_text())) for path in videos]
    predictor, plan = load_day_zero(), load_params(settings.project_root() / "params.yaml").stills
    ours = judge(truths, [run_pageflip(path, predictor, plan) for path in videos])
    python = piffler_python()
    theirs = judge(truths, [run_piffler(path, python) for path in videos])
    facts = {"machine": machine(), "pixels": [WIDTH, HEIGHT], "videos": VIDEOS, "flips": VIDEOS * FLIPS}
    facts["model"] = predictor.version
    rows = [_row(name, ours, facts | {"bar": bar}) for name, bar in BARS.items()]
    return rows + [_row(f"piffler_{name}", theirs, facts) for name in BARS]


def _row(name: str, scores: dict, facts: dict) -> Result:
    figure = name.removeprefix("piffler_")
    part = scores["stills"] if figure in scores["stills"] else scores["events"]
    value = part["f1"] if figure == "event_f1" else part[figure]
    higher = figure != "page_duplicates"
    detail = facts | part | ({"others": scores["others"]} if figure == "event_f1" else {})
    return Result(name, value, "share", higher, detail)


def judge(truths: list[Truth], runs: list[dict]) -> dict:
    """Events, stills, and other ways to find the events, of all videos at once."""
    true, aborted = [truth.events for truth in truths], [truth.aborted for truth in truths]
    others = {name: [run["others"][name] for run in runs] for name in runs[0]["others"]}
    return {
        "events": event_metrics(true, [run["events"] for run in runs], aborted),
        "stills": still_metrics([truth.pages for truth in truths], [run["stills"] for run in runs]),
        "others": {name: event_metrics(true, found, aborted)["f1"] for name, found in others.items()},
    }


def drawn_videos() -> list[Path]:
    """The videos, drawn once for each state of the renderer."""
    sources = sorted(Path(pageflip.synthetic.__file__).parent.glob("*.py"))
    state = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = settings.home() / "benchmarks" / f"videos-{state}-{WIDTH}x{HEIGHT}"
    paths = [folder / f"{number}.mp4" for number in range(VIDEOS)]
    with ProcessPoolExecutor(available_cores()) as pool:
        list(pool.map(_draw, [path for path in paths if not path.exists()]))
    return paths


def _draw(path: Path) -> None:
    number = int(path.stem)
    sizes = {"width": WIDTH, "height": HEIGHT}
    events = path.with_suffix(".events.json")
    write_video(path, seed=SEED + number, book=number, flips=FLIPS, events_path=events, **sizes)


# --- pageflip


def run_pageflip(path: Path, predictor: Predictor, plan: Stills) -> dict:
    """Events and stills as scoring finds them, and the events of the baselines and of the stream."""
    times, pixels, probabilities, changes = [], [], [], []
    before = None
    for _, time_s, rgb in iter_video(path, predictor.width, predictor.height):
        times.append(time_s)
        pixels.append(rgb)
        grey = rgb.astype(np.float32).mean(axis=2)
        changes.append(0.0 if before is None else float(np.abs(grey - before).mean()))
        before = grey
        if len(pixels) == 64:
            probabilities += predictor.predict(np.stack(pixels)).tolist()
            pixels = []
    probabilities += predictor.predict(np.stack(pixels)).tolist() if pixels else []
    known, clock, threshold = np.array(probabilities), np.array(times), predictor.threshold
    flips = find_sequence_flips(probabilities, times, threshold)
    with tempfile.TemporaryDirectory(prefix="pageflip-bench-") as folder:
        stills = video_stills(path, flips, probabilities, times, plan, Path(folder))
    stream = FlipStream(threshold, LAG_S)
    streamed = [flip for pair in zip(probabilities, times, strict=True) for flip in stream.push(*pair)]
    others = {
        "stream": streamed + stream.finish(),
        "threshold": threshold_flips(known, clock, threshold),
        "median": find_flips(known, clock, threshold),
        "difference": difference_flips(np.array(changes), clock),
    }
    return {
        "events": _spans(flips),
        "stills": [still.index for still in stills],
        "others": {name: _spans(found) for name, found in others.items()},
    }


def _spans(flips: list[Flip]) -> list[Event]:
    return [(flip.start_s, flip.end_s) for flip in flips]


# --- piffler


def piffler_python() -> Path:
    """The Python of an environment that holds piffler; it is made when it is not there.

    Raises:
        UnavailableError: it cannot be installed.
    """
    list_of_pins = settings.project_root() / "requirements" / "piffler.txt"
    state = hashlib.sha256(list_of_pins.read_bytes()).hexdigest()[:12]
    folder = settings.home() / "benchmarks" / f"piffler-{state}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists():
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        try:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([*install, "-r", str(list_of_pins)], check=True)
        except (subprocess.CalledProcessError, OSError) as error:
            raise UnavailableError(
                f"piffler cannot be installed: {error}", f"install {list_of_pins} into {folder} by hand."
            ) from error
        ready.touch()
    return python


def run_piffler(path: Path, python: Path) -> dict:
    """Its holds as events between them, and the frame of each hold of which it keeps a page."""
    script = Path(__file__).with_name("piffler_pages.py")
    with tempfile.TemporaryDirectory(prefix="pageflip-bench-") as folder, quiet():
        done = subprocess.run([str(python), str(script), str(path), folder], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"events": gaps(found["holds"], found["fps"]), "stills": found["stills"], "others": {}}


def gaps(holds: list[tuple[int, int]], fps: float) -> list[Event]:
    """What lies between holds (first and last frame): (onset, offset) in seconds."""
    pairs = itertools.pairwise(holds)
    return [((one[1] + 1) / fps, (two[0] - 1) / fps) for one, two in pairs if two[0] - 1 >= one[1] + 1]
