"""Learn how flips follow each other, and what probabilities are worth as evidence: write pageflip/learnt/events.json.

    make events                                      # draws the videos first; again after day-zero is made anew
    python -m tasks.learn_events --videos FOLDER     # from videos of your own: NAME.mp4 with NAME.events.json beside it

Drawn videos and their probabilities are kept in the work folder, named by all that they depend on.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from pageflip import day_zero, event_model, settings, storage
from pageflip.console import run_main
from pageflip.decoding import available_cores
from pageflip.errors import ConfigError, DataError
from pageflip.event_learning import Recording, learn_event_model
from pageflip.event_metrics import read_truth
from pageflip.files import sha256_of, temporary_folder, write_text
from pageflip.inference import BATCH, Predictor, iter_video
from pageflip.params import Events, load_params
from pageflip.progress import counting
from pageflip.synthetic import write_video
from pageflip.synthetic.ranges import Ranges, load_synthesize
from tasks.day_zero import renderer_digest

COMMAND = "python -m tasks.learn_events"


def main() -> None:
    """Read the section `events`, and write the learnt numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--videos", type=Path, help="a folder of videos with their truth, instead of drawn ones")
    parser.add_argument("--work", type=Path, help="folder of drawn videos (default: below the run store)")
    parser.add_argument("--out", type=Path, default=event_model.FILE)
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes that draw")
    args = parser.parse_args()
    plan = load_params(args.params).events
    work = args.work or (storage.local_path(settings.store_url()) or settings.home() / "runs") / "events"
    videos = args.videos or draw_videos(plan, load_synthesize(args.params).ranges, work, args.workers)
    learn(plan, videos, args.out, drawn=args.videos is None)


def draw_videos(plan: Events, ranges: Ranges, work: Path, workers: int) -> Path:
    """Draw the videos that are not there yet, and return their folder."""
    brisk = ranges.model_copy(update={"flips": ranges.flips.model_copy(update={"rest": plan.brisk_rest})})
    drawn = [plan.seed, plan.videos, plan.flips, plan.brisk, plan.brisk_rest, plan.width, plan.height]
    facts = [drawn, ranges.model_dump(), renderer_digest()]
    folder = work / f"videos-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]}"
    numbers = [number for number in range(plan.videos) if not (folder / f"{number:03d}.mp4").exists()]
    with ProcessPoolExecutor(workers) as pool, counting(len(numbers), "events: draw videos") as advance:
        rows = [(folder, number, plan, brisk if number >= plan.videos - plan.brisk else ranges) for number in numbers]
        for _ in pool.map(_draw, rows):
            advance(1)
    return folder


def _draw(row: tuple[Path, int, Events, Ranges]) -> None:
    folder, number, plan, ranges = row
    path = folder / f"{number:03d}.mp4"
    write_video(
        path,
        seed=plan.seed + number,
        book=number,
        flips=plan.flips,
        width=plan.width,
        height=plan.height,
        ranges=ranges,
        events_path=path.with_suffix(".events.json"),
    )


def learn(plan: Events, videos: Path, out: Path, *, drawn: bool) -> dict:
    """Predict, learn, write the numbers to `out`, and return the metrics on held-out videos.

    Raises:
        ConfigError: the folder holds no videos with their truth.
    """
    files = sorted(path for path in videos.glob("*.mp4") if path.with_suffix(".events.json").exists())
    if not files:
        raise ConfigError(f"{videos} holds no videos with their truth", "give NAME.mp4 with NAME.events.json.")
    predictor = day_zero.load_day_zero()
    with counting(len(files), "events: predict") as advance:
        recordings = [_record(file, predictor, advance) for file in files]
    source = {
        "command": COMMAND,
        "model": predictor.version,
        "threshold": predictor.threshold,
        "videos": len(files),
        "flips": sum(len(recording.truth.events) for recording in recordings),
        "source": "drawn by pageflip.synthetic" if drawn else "videos of the user",
        "params": plan.model_dump(mode="json"),
    }
    model, scores = learn_event_model(recordings, predictor.threshold, plan, source)
    out.parent.mkdir(parents=True, exist_ok=True)
    source["held_out"] = scores
    write_text(out, event_model.to_json(model))
    print(f"events: F1 {scores['f1']:.4f} within {scores['tolerance_ms']:g} ms on held-out videos", flush=True)
    print(f"events: {scores['n_matched']} of {scores['n_true']} flips, {scores['n_found']} found; written to {out}")
    return scores


def _record(file: Path, predictor: Predictor, advance: Callable[[int], None]) -> Recording:
    told = file.with_suffix(".events.json")
    try:
        truth = read_truth(json.loads(told.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"{told} is not JSON: {error}", "see docs/synthetic.md for what it holds.") from None
    times, probabilities = probabilities_of(file, predictor)
    advance(1)
    return Recording(probabilities, times, truth)


def probabilities_of(file: Path, predictor: Predictor) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and probabilities of a video's frames, float [N] each, kept beside it for the next attempt."""
    kept = file.with_suffix(f".{predictor.version}.npz")
    if kept.exists():
        with np.load(kept, allow_pickle=False) as arrays:
            if str(arrays["video"]) == sha256_of(file):
                return arrays["times_s"], arrays["probabilities"]
    times, parts, batch = [], [], []
    for _, time_s, pixels in iter_video(file, predictor.width, predictor.height):
        times.append(time_s)
        batch.append(pixels)
        if len(batch) == BATCH:
            parts.append(predictor.predict(np.stack(batch)))
            batch = []
    if batch:
        parts.append(predictor.predict(np.stack(batch)))
    times_s, probabilities = np.array(times), np.concatenate(parts)
    with temporary_folder(file.parent, ".probabilities.") as folder:
        np.savez(folder / "new.npz", times_s=times_s, probabilities=probabilities, video=np.array(sha256_of(file)))
        os.replace(folder / "new.npz", kept)
    return times_s, probabilities


if __name__ == "__main__":
    run_main(main)
