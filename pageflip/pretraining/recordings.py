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

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pageflip.base.errors import DataError
from pageflip.base.files import atomic_folder, sha256_of
from pageflip.base.progress import show_progress, track
from pageflip.events.log_odds import to_log_odds
from pageflip.events.metrics import Truth, read_truth
from pageflip.events.temporal import PLANE_SHAPE, PLANES, to_planes
from pageflip.events.temporal_training import TrainingSequence
from pageflip.frames.names import LABELS
from pageflip.frames.pixels import decode_image
from pageflip.frames.raw_folder import list_frames, read_books
from pageflip.frames.video import iter_video
from pageflip.inference import cards, day_zero
from pageflip.inference.predictor import BATCH, Predictor
from pageflip.params.events import Events
from pageflip.pretraining import compact_network
from pageflip.pretraining.drawn import renderer_digest
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.ranges import Ranges
from pageflip.synthetic.stage.clips import plan_clips
from pageflip.synthetic.video import VideoPlan, write_video

HELD_EVERY = 4  # every such video, and book of clips, is held out of the network's training


@dataclass(frozen=True)
class Readers:
    """The models of single frames whose words the temporal network learns from; both take frames of one size."""

    main: Predictor
    other: Predictor

    @classmethod
    def load(cls) -> "Readers":
        """day-zero, and the compact network.

        Raises:
            DataError: one is missing, or not as its card says, or they take frames of different sizes.
        """
        main, other = day_zero.load_day_zero(cards.PRETRAINED), compact_network.load(cards.PRETRAINED)
        if (main.width, main.height) != (other.width, other.height):
            raise DataError(
                f"day-zero takes frames of {main.width}x{main.height}, its compact network of "
                f"{other.width}x{other.height}",
                f"make that anew: `{compact_network.COMMAND}`.",
            )
        return cls(main, other)

    @property
    def name(self) -> str:
        """Both versions: what was read is kept under it."""
        return f"{self.main.version}.{self.other.version}"

    def read(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The main one's probabilities and the other one's log-odds, float [N], of uint8 [N, height, width, 3]."""
        return self.main.predict(pixels), to_log_odds(self.other.predict(pixels), self.other.threshold)


@dataclass(frozen=True)
class Footage:
    """A video's frames in short: their planes uint8 [N, PLANES, h, w], the rest but for the truth float [N]."""

    times_s: np.ndarray
    probabilities: np.ndarray
    other_odds: np.ndarray
    planes: np.ndarray
    truth: Truth


def draw_videos(plan: Events, ranges: Ranges, work: Path, workers: int) -> Path:
    """Draw the videos that are not there yet, and return their folder."""
    brisk = ranges.model_copy(update={"flips": ranges.flips.model_copy(update={"rest": plan.brisk_rest})})
    drawn = [plan.seed, plan.videos, plan.flips, plan.brisk, plan.brisk_rest, plan.width, plan.height]
    folder = work / f"videos-{_key(drawn, ranges)}"
    numbers = [number for number in range(plan.videos) if not (folder / f"{number:03d}.mp4").exists()]
    with ProcessPoolExecutor(workers) as pool, show_progress(len(numbers), "events: draw videos") as advance:
        rows = [(folder, number, plan, brisk if number >= plan.videos - plan.brisk else ranges) for number in numbers]
        for _ in pool.map(_draw, rows):
            advance(1)
    return folder


def _draw(row: tuple[Path, int, Events, Ranges]) -> None:
    folder, number, plan, ranges = row
    path = folder / f"{number:03d}.mp4"
    video = VideoPlan(plan.seed + number, number, plan.flips, plan.width, plan.height, ranges=ranges)
    write_video(path, video, events_path=path.with_suffix(".events.json"))


def draw_clips(plan: Events, ranges: Ranges, work: Path, workers: int) -> Path:
    """Draw the archive of clips, unless it is there, and return its folder."""
    sizes = plan.clips.model_dump() | {"width": plan.width, "height": plan.height}
    folder = work / f"clips-{_key([plan.seed, sizes], ranges)}"
    if not folder.exists():
        clips = plan_clips(seed=plan.seed, **sizes)
        with show_progress(sum(clip.frames for clip in clips), "events: draw clips") as advance:
            write_archive(clips, folder, ranges=ranges, workers=workers, advance=advance)
    return folder


def _key(drawn: list, ranges: Ranges) -> str:
    facts = [drawn, ranges.model_dump(), renderer_digest()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


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
        planes.append(to_planes(pixels))
    probabilities, other_odds = (np.concatenate(parts) for parts in zip(*said, strict=True))
    arrays = {"times_s": np.array(times), "probabilities": probabilities, "other_odds": other_odds}
    arrays["planes"] = np.concatenate(planes)
    with atomic_folder(kept) as folder:
        _save(folder, arrays | {"video": np.array(digest)})
    return Footage(**arrays, truth=truth)


def read_clips(folder: Path, readers: Readers) -> tuple[list[TrainingSequence], list[TrainingSequence]]:
    """The clips of an archive, and those of every fourth book apart; they are kept beside it for the next attempt.

    Raises:
        DataError: a frame cannot be read.
    """
    kept = _kept(folder, readers)
    if not kept.exists():
        with atomic_folder(kept) as place:
            _read_archive(folder, readers, place)
    known, unknown = [], []
    arrays = _load(kept)
    columns = [arrays[name] for name in ("planes", "log_odds", "states", "other_odds")]
    for begin, end in arrays["spans"]:
        part = unknown if (arrays["books"][begin] + 1) % HELD_EVERY == 0 else known
        part.append(TrainingSequence(*(column[begin:end] for column in columns)))
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
        planes[done : done + len(batch)] = to_planes(pixels)
        done += len(batch)
    planes.flush()
    probabilities, other_odds = (np.concatenate(parts) for parts in zip(*said, strict=True))
    first = [i for i, one in enumerate(files) if not i or files[i - 1].clip != one.clip]
    arrays = {
        "log_odds": to_log_odds(probabilities, readers.main.threshold),
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
