"""Learn how flips follow each other and look in time: write what stands in pageflip/inference/pretrained.

    make events                                      # draws first; to be run again once day-zero or cnn is made anew
    python -m tasks.learn_events --videos FOLDER     # from videos of your own: NAME.mp4 with NAME.events.json beside it

    temporal-encoder.onnx, temporal-head.onnx   the temporal network (pageflip.events.temporal)
    events-in-sequence.json                     durations and evidence for the probabilities that it refined
    events.json                                 the same for probabilities of single frames alone

Frames are read by day-zero, and by the compact network that is weaker: the temporal network learns to read after both.

Every fourth video, and all clips of every fourth book, teach the network nothing: durations and evidence are learnt
there, and the network is judged. With videos of your own no clips are drawn. Drawn videos and clips, and what was read
from them, are kept in the work folder, named by all that they depend on.
"""

import argparse
from pathlib import Path

from pageflip.base import settings, storage
from pageflip.base.console import run_main
from pageflip.events.temporal import LEARNT
from pageflip.frames.parallel import available_cores
from pageflip.params.all import load_params
from pageflip.pretraining.events import learn
from pageflip.pretraining.recordings import draw_clips, draw_videos
from pageflip.synthetic.ranges import load_synthesize


def main() -> None:
    """Read the section `events`, and write what is learnt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--videos", type=Path, help="a folder of videos with their truth, instead of drawn ones")
    parser.add_argument("--work", type=Path, help="folder of drawn videos (default: below the run store)")
    parser.add_argument("--out", type=Path, default=LEARNT, help="folder of what is learnt")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes that draw")
    args = parser.parse_args()
    plan = load_params(args.params).events
    work = args.work or (storage.local_path(settings.store_url()) or settings.home() / "runs") / "events"
    if args.videos:
        learn(plan, args.videos, args.out)
        return
    ranges = load_synthesize(args.params).ranges
    videos, clips = draw_videos(plan, ranges, work, args.workers), draw_clips(plan, ranges, work, args.workers)
    learn(plan, videos, args.out, clips)


def draw_videos(plan: Events, ranges: Ranges, work: Path, workers: int) -> Path:
    """Draw the videos that are not there yet, and return their folder."""
    brisk = ranges.model_copy(update={"flips": ranges.flips.model_copy(update={"rest": plan.brisk_rest})})
    drawn = [plan.seed, plan.videos, plan.flips, plan.brisk, plan.brisk_rest, plan.width, plan.height]
    folder = work / f"videos-{_key(drawn, ranges)}"
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


def draw_clips(plan: Events, ranges: Ranges, work: Path, workers: int) -> Path:
    """Draw the archive of clips, unless it is there, and return its folder."""
    sizes = plan.clips.model_dump() | {"width": plan.width, "height": plan.height}
    folder = work / f"clips-{_key([plan.seed, sizes], ranges)}"
    if not folder.exists():
        clips = plan_clips(seed=plan.seed, **sizes)
        with counting(sum(clip.frames for clip in clips), "events: draw clips") as advance:
            write_archive(clips, folder, ranges=ranges, workers=workers, advance=advance)
    return folder


def _key(drawn: list, ranges: Ranges) -> str:
    facts = [drawn, ranges.model_dump(), renderer_digest()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def learn(plan: Events, videos: Path, out: Path, clips: Path | None = None) -> dict:
    """Read the videos, learn, write it all to the folder `out`, and return the metrics of events on held-out videos.

    Args:
        clips: an archive of drawn clips, which the temporal network learns from, too.

    Raises:
        ConfigError: the folder holds too few videos with their truth.
    """
    files = sorted(path for path in videos.glob("*.mp4") if path.with_suffix(".events.json").exists())
    if len(files) < LEAST_VIDEOS:
        raise ConfigError(
            f"{videos} holds {len(files)} videos with their truth, and at least {LEAST_VIDEOS} are needed",
            "give NAME.mp4 with NAME.events.json beside it.",
        )
    readers = Readers.load()
    threshold = readers.main.threshold
    footage = [read_footage(file, readers) for file in track(files, description="events: read videos")]
    source = {
        "command": COMMAND,
        "model": readers.main.version,
        "other_model": readers.other.version,
        "threshold": threshold,
        "videos": len(files),
        "flips": sum(len(one.truth.events) for one in footage),
        "source": "drawn by pageflip.synthetic" if clips else "videos of the user",
        "params": plan.model_dump(mode="json"),
    }
    with folder_in_one_piece(out) as folder:
        plain = [Recording(one.probabilities, one.times_s, one.truth) for one in footage]
        _learn_numbers(plain, threshold, plan, folder / decoder_model.FILE.name, source)
        taught = [_lesson(one, threshold) for number, one in enumerate(footage) if (number + 1) % HELD_EVERY]
        known, unknown = read_clips(clips, readers) if clips else ([], [])
        _train([*taught, *known], plan, folder, source)
        if unknown:
            source["held_out_clips"] = _judge_clips(unknown, folder)
        held = [_refined(one, threshold, folder) for one in footage[HELD_EVERY - 1 :: HELD_EVERY]]
        scores = _learn_numbers(held, THRESHOLD, plan, folder / decoder_model.IN_SEQUENCE_FILE.name, source)
    print(f"events: F1 {scores['f1']:.4f} within {scores['tolerance_ms']:g} ms on held-out videos", flush=True)
    print(f"events: {scores['n_matched']} of {scores['n_true']} flips, {scores['n_found']} found; written to {out}")
    return scores


def _lesson(footage: Footage, threshold: float) -> Lesson:
    states = states_of(footage.times_s, footage.truth)
    return Lesson(footage.planes, log_odds(footage.probabilities, threshold), states, footage.other_odds)


def _learn_numbers(recordings: list[Recording], threshold: float, plan: Events, file: Path, source: dict) -> dict:
    """Write the file of durations and evidence, and return the metrics of events by cross-validation."""
    source = dict(source)
    folds = min(plan.folds, len(recordings))
    model, scores = learn_event_model(recordings, threshold, plan.model_copy(update={"folds": folds}), source)
    source["held_out"] = scores
    write_text(file, decoder_model.to_json(model))
    return scores


def _train(lessons: Sequence[Lesson], plan: Events, folder: Path, source: dict) -> None:
    facts = {"model": str(source["model"]), "learnt_from": f"{len(lessons)} recordings, {source['source']}"}
    with counting(plan.temporal.steps, "events: train the temporal network") as advance:
        network = train_temporal(lessons, plan.temporal, plan.seed, lambda steps, _: advance(steps))
    write_temporal(network, folder, facts)


def _judge_clips(clips: Sequence[Lesson], folder: Path) -> dict[str, float]:
    """F1 of the frames of clips that taught nothing, by single frames alone and in sequence, of both readers."""
    model = load_temporal(folder)
    targets = np.concatenate([clip.states for clip in clips])
    said, refined = ([], []), ([], [])  # of the main one, and of the other
    for clip in clips:
        times = np.arange(len(clip.states)) * STEP_S
        features = FrameEncoder(model).push_planes(clip.planes, times)
        for number, odds in enumerate((clip.log_odds, clip.other_odds)):
            said[number].append(odds)
            refined[number].append(refine(features, 1 / (1 + np.exp(-odds)), times, 0.5, model))
    told = {"n": len(targets)}
    for number, name in enumerate(("f1", "other_f1")):
        told[f"{name}_alone"] = _f1(targets, np.concatenate(said[number]) >= 0)
        told[f"{name}_in_sequence"] = _f1(targets, np.concatenate(refined[number]) >= THRESHOLD)
    print("events: F1 of {n} frames of held-out clips {f1_in_sequence:.4f}, alone {f1_alone:.4f}".format(**told))
    print("events: read by cnn {other_f1_in_sequence:.4f}, alone {other_f1_alone:.4f}".format(**told))
    return told


def _f1(targets: np.ndarray, called: np.ndarray) -> float:
    return binary_metrics(targets, called.astype(float), 0.5)["f1"]


def _refined(footage: Footage, threshold: float, folder: Path) -> Recording:
    model, times = load_temporal(folder), footage.times_s
    features = FrameEncoder(model).push_planes(footage.planes, times)
    return Recording(refine(features, footage.probabilities, times, threshold, model), times, footage.truth)


def read_footage(file: Path, readers: Readers) -> Footage:
    """What is learnt from a video; it is kept beside the video for the next attempt.

    Raises:
        DataError: the video cannot be read, or its truth is none.
    """
    told = file.with_suffix(".events.json")
    try:
        truth = read_truth(json.loads(told.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"{told} is not JSON: {error}", "see docs/reference/frames.md for what it holds.") from None
    kept, digest = _kept(file, readers), sha256_of(file)
    if kept.exists():
        arrays = _load(kept)
        if str(arrays.pop("video")) == digest:
            return Footage(**arrays, truth=truth)
    times, said, planes = [], [], []
    frames = iter_video(file, readers.main.width, readers.main.height)
    while batch := list(islice(frames, BATCH)):
        pixels = np.stack([rgb for _, _, rgb in batch])
        times += [time_s for _, time_s, _ in batch]
        said.append(readers.read(pixels))
        planes.append(planes_of(pixels))
    probabilities, other_odds = (np.concatenate(parts) for parts in zip(*said, strict=True))
    arrays = {"times_s": np.array(times), "probabilities": probabilities, "other_odds": other_odds}
    arrays["planes"] = np.concatenate(planes)
    with folder_in_one_piece(kept) as folder:
        _save(folder, arrays | {"video": np.array(digest)})
    return Footage(**arrays, truth=truth)


def read_clips(folder: Path, readers: Readers) -> tuple[list[Lesson], list[Lesson]]:
    """The clips of an archive, and those of every fourth book apart; they are kept beside it for the next attempt.

    Raises:
        DataError: a frame cannot be read.
    """
    kept = _kept(folder, readers)
    if not kept.exists():
        with folder_in_one_piece(kept) as place:
            _read_archive(folder, readers, place)
    known, unknown = [], []
    arrays = _load(kept)
    columns = [arrays[name] for name in ("planes", "log_odds", "states", "other_odds")]
    for begin, end in arrays["spans"]:
        part = unknown if (arrays["books"][begin] + 1) % HELD_EVERY == 0 else known
        part.append(Lesson(*(column[begin:end] for column in columns)))
    return known, unknown


def _read_archive(folder: Path, readers: Readers, out: Path) -> None:
    files, book_of = list_frames(folder), read_books(folder)
    books = {name: number for number, name in enumerate(sorted(set(book_of.values())))}
    said, done = [], 0
    # on the disk from the start: the planes of 15,360 clips take 5 GB
    planes = np.lib.format.open_memmap(out / "planes.npy", "w+", np.uint8, (len(files), PLANES, *PLANE_SHAPE))
    frames = iter(track(files, description="events: read clips"))
    while batch := list(islice(frames, BATCH)):
        pixels = np.stack([decode_image(folder / one.path, readers.main.width, readers.main.height) for one in batch])
        said.append(readers.read(pixels))
        planes[done : done + len(batch)] = planes_of(pixels)
        done += len(batch)
    planes.flush()
    probabilities, other_odds = (np.concatenate(parts) for parts in zip(*said, strict=True))
    first = [i for i, one in enumerate(files) if not i or files[i - 1].clip != one.clip]
    arrays = {
        "log_odds": log_odds(probabilities, readers.main.threshold),
        "other_odds": other_odds,
        "states": np.array([one.label == LABELS[1] for one in files], int),
        "books": np.array([books[book_of[one.label, one.video]] for one in files]),
        "spans": np.column_stack([first, [*first[1:], len(files)]]),
    }
    _save(out, arrays)


def _kept(read: Path, readers: Readers) -> Path:
    """The folder of what was read: named by what was read, by whom, and by the planes' size."""
    rows, columns = PLANE_SHAPE
    return read.with_suffix(f".{readers.name}.{PLANES}x{columns}x{rows}")


def _save(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)


def _load(folder: Path) -> dict[str, np.ndarray]:
    """The arrays of `_save`; planes are read from the disk as they are needed."""
    return {
        file.stem: np.load(file, mmap_mode="r" if file.stem == "planes" else None, allow_pickle=False)
        for file in folder.glob("*.npy")
    }


if __name__ == "__main__":
    run_main(main)
