"""Quality of flips and page stills in long drawn videos, compared with piffler 0.1.0.

Measured: six videos of 24 flips each, 540x960, of books and seeds that no shipped model was trained on. Rows:

    event_f1          F1 of flips with a tolerance of 150 ms for onset and offset (pageflip.events.metrics)
    page_recall       share of the openings (two pages) that have a still
    page_duplicates   share of the stills that repeat an opening or show a sheet in the air
    piffler_*         the same for piffler, a motion-based page finder from PyPI (MIT)

pageflip runs as in scoring, with day-zero. In its detail: other detectors of events (without the temporal network, a
threshold, a running median, frame differences, and the stream with a fixed lag of 0.6 s), F1 of frames by the frame
model alone and in sequence, errors of onset and offset, and aborted lifts. piffler runs with its defaults but without
OCR, PDF, scans and dewarping, which take most of its time: its text comparison of repeated pages needs OCR and is off,
its image comparison is on. Its events are the gaps between its holds, its stills the frames of the holds that it keeps
as pages. It is installed from requirements/piffler.txt into an environment in PAGEFLIP_HOME/benchmarks.

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

from benchmarks.measuring import machine, silence
from benchmarks.results import Result
from pageflip.base import settings
from pageflip.base.batching import batched
from pageflip.base.errors import UnavailableError
from pageflip.evaluation.metrics import binary_metrics
from pageflip.events.baselines import difference_flips, median_flips, threshold_flips
from pageflip.events.decoder import decode_flips
from pageflip.events.decoder_fitting import frame_states
from pageflip.events.flip import Flip
from pageflip.events.metrics import Event, Truth, event_metrics, read_truth, still_metrics
from pageflip.events.page_stills import video_stills
from pageflip.events.reader import SequenceReader
from pageflip.events.sequence_model import SequenceModel, load_sequence_model
from pageflip.events.stream import SequenceStream
from pageflip.events.temporal import THRESHOLD
from pageflip.frames.parallel import available_cores
from pageflip.frames.video import iter_video
from pageflip.inference.cards import PRETRAINED
from pageflip.inference.day_zero import load_day_zero
from pageflip.inference.predictor import BATCH, Predictor
from pageflip.params.all import load_params
from pageflip.params.scoring import Stills
from pageflip.pretraining.drawn import renderer_digest
from pageflip.synthetic.video import VideoPlan, write_video

SEED, VIDEOS, FLIPS = 60_000, 6, 24
WIDTH, HEIGHT = 540, 960
LAG_S = 0.6
BARS = {"event_f1": 0.97, "page_recall": 0.99, "page_duplicates": 0.01}
ROWS = (*BARS, *(f"piffler_{name}" for name in BARS))


def measure() -> list[Result]:
    """Run pageflip and piffler on the videos."""
    videos = drawn_videos()
    truths = [read_truth(json.loads(path.with_suffix(".events.json").read_text())) for path in videos]
    predictor, model = load_day_zero(PRETRAINED), load_sequence_model(PRETRAINED)
    plan = load_params(settings.project_root() / "params.yaml").stills
    own_scores = score(
        truths, [run_pageflip(*pair, predictor, model, plan) for pair in zip(videos, truths, strict=True)]
    )
    python = piffler_python()
    piffler_scores = score(truths, [run_piffler(path, python) for path in videos])
    facts = {"machine": machine(), "pixels": [WIDTH, HEIGHT], "videos": VIDEOS, "flips": VIDEOS * FLIPS}
    facts["model"] = predictor.version
    rows = [_row(name, own_scores, facts | {"bar": bar}) for name, bar in BARS.items()]
    return rows + [_row(f"piffler_{name}", piffler_scores, facts) for name in BARS]


def _row(name: str, scores: dict, facts: dict) -> Result:
    figure = name.removeprefix("piffler_")
    part = scores["stills"] if figure in scores["stills"] else scores["events"]
    value = part["f1"] if figure == "event_f1" else part[figure]
    higher = figure != "page_duplicates"
    more = {name: scores[name] for name in ("others", "frames")} if figure == "event_f1" else {}
    detail = facts | part | more
    return Result(name, value, "share", higher, detail)


def score(truths: list[Truth], runs: list[dict]) -> dict:
    """Compute the metrics of events, stills, other detectors and frames over all videos at once."""
    true, aborted = [truth.events for truth in truths], [truth.aborted for truth in truths]
    others = {name: [run["others"][name] for run in runs] for name in runs[0]["others"]}
    return {
        "events": event_metrics(true, [run["events"] for run in runs], aborted),
        "stills": still_metrics([truth.pages for truth in truths], [run["stills"] for run in runs]),
        "others": {name: event_metrics(true, found, aborted)["f1"] for name, found in others.items()},
        "frames": {name: _frame_f1(runs, name) for name in runs[0]["frames"] if name != "truth"},
    }


def _frame_f1(runs: list[dict], name: str) -> float:
    """Compute F1 of frames over all videos at once."""
    target, called = (np.concatenate([run["frames"][key] for run in runs]) for key in ("truth", name))
    return binary_metrics(target, called.astype(float), 0.5)["f1"]


def drawn_videos() -> list[Path]:
    """Return the videos, cached for each version of the renderer."""
    folder = settings.home() / "benchmarks" / f"videos-{renderer_digest()[:12]}-{WIDTH}x{HEIGHT}"
    paths = [folder / f"{number}.mp4" for number in range(VIDEOS)]
    with ProcessPoolExecutor(available_cores()) as pool:
        list(pool.map(_draw, [path for path in paths if not path.exists()]))
    return paths


def _draw(path: Path) -> None:
    number = int(path.stem)
    video = VideoPlan(SEED + number, number, FLIPS, WIDTH, HEIGHT)
    write_video(path, video, events_path=path.with_suffix(".events.json"))


# --- pageflip


def run_pageflip(path: Path, truth: Truth, predictor: Predictor, model: SequenceModel, plan: Stills) -> dict:
    """Find events and stills as scoring does, and the events of the other detectors."""
    reader, stream, streamed = SequenceReader(predictor, model), SequenceStream(predictor, model, LAG_S), []
    changes, before = [], None
    frames = ((rgb, time_s) for _, time_s, rgb in iter_video(path, predictor.width, predictor.height))
    for batch in batched(frames, BATCH):
        reader.push(*zip(*batch, strict=True))
        for rgb, time_s in batch:
            streamed += stream.push(rgb, time_s)
            grey = rgb.astype(np.float32).mean(axis=2)
            changes.append(0.0 if before is None else float(np.abs(grey - before).mean()))
            before = grey
    known, clock, threshold = np.array(reader.probabilities), np.array(reader.times_s), predictor.threshold
    in_sequence = reader.in_sequence()
    flips = reader.flips(in_sequence)
    with tempfile.TemporaryDirectory(prefix="pageflip-bench-") as folder:
        stills = video_stills(path, flips, in_sequence, reader.times_s, plan, Path(folder))
    others = {
        "stream": streamed + stream.finish(),
        "without_temporal_network": decode_flips(known, clock, threshold, model.frame_decoder),
        "threshold": threshold_flips(known, clock, threshold),
        "median": median_flips(known, clock, threshold),
        "median_in_sequence": median_flips(in_sequence, clock, THRESHOLD),
        "difference": difference_flips(np.array(changes), clock),
    }
    called = {"single": known >= threshold, "in_sequence": in_sequence >= THRESHOLD}
    return {
        "frames": {"truth": frame_states(clock, truth), **called},
        "events": _spans(flips),
        "stills": [still.index for still in stills],
        "others": {name: _spans(found) for name, found in others.items()},
    }


def _spans(flips: list[Flip]) -> list[Event]:
    return [(flip.start_s, flip.end_s) for flip in flips]


# --- piffler


def piffler_python() -> Path:
    """Return the Python of piffler's environment, which is made if it does not exist.

    Raises:
        UnavailableError: it cannot be installed.
    """
    list_of_pins = settings.project_root() / "requirements" / "piffler.txt"
    state = hashlib.sha256(list_of_pins.read_bytes()).hexdigest()[:12]
    folder = settings.home() / "benchmarks" / f"piffler-{state}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.exists():
        install = [str(python), "-m", "pip", "install", "--silence", "--no-deps", "--require-hashes"]
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
    """Return the gaps between piffler's holds as events, and the frames of its pages as stills."""
    script = Path(__file__).with_name("piffler_pages.py")
    with tempfile.TemporaryDirectory(prefix="pageflip-bench-") as folder, silence():
        done = subprocess.run([str(python), str(script), str(path), folder], check=True, capture_output=True, text=True)
    output = json.loads(done.stdout.splitlines()[-1])
    return {"events": gaps(output["holds"], output["fps"]), "stills": output["stills"], "others": {}, "frames": {}}


def gaps(holds: list[tuple[int, int]], fps: float) -> list[Event]:
    """Return the gaps between holds (first and last frame) as (onset, offset) in seconds."""
    pairs = itertools.pairwise(holds)
    return [((one[1] + 1) / fps, (two[0] - 1) / fps) for one, two in pairs if two[0] - 1 >= one[1] + 1]
