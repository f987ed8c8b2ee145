"""Drawn videos and clips that the temporal network and the decoders are trained on, and their frame predictions."""

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pageflip.base.batching import batched
from pageflip.base.errors import DataError
from pageflip.base.files import atomic_folder, read_json, sha256_of
from pageflip.base.progress import show_progress, track
from pageflip.events.log_odds import to_log_odds
from pageflip.events.metrics import Truth, read_truth
from pageflip.events.temporal import PLANE_SHAPE, PLANES, to_planes
from pageflip.events.temporal_training import TrainingSequence
from pageflip.frames.names import LABELS
from pageflip.frames.pixels import decode_image
from pageflip.frames.raw_folder import list_frames, read_books
from pageflip.frames.video import iter_video
from pageflip.inference import cards
from pageflip.inference.day_zero import load_day_zero
from pageflip.inference.predictor import BATCH, Predictor
from pageflip.params.events import Events
from pageflip.pretraining import compact_network
from pageflip.pretraining.drawn import renderer_digest
from pageflip.synthetic.archive import write_archive
from pageflip.synthetic.ranges import Ranges
from pageflip.synthetic.stage.clips import plan_clips
from pageflip.synthetic.video import VideoPlan, write_video

HOLD_OUT_EVERY = 4  # one video, or book of clips, in so many is held out of the training of the temporal network
EVENTS_SUFFIX = ".events.json"


@dataclass(frozen=True)
class FrameModels:
    """The frame models whose probabilities the temporal network is trained on; both take frames of one size."""

    main: Predictor
    other: Predictor

    @classmethod
    def load(cls) -> "FrameModels":
        """Load day-zero and the compact network.

        Raises:
            DataError: one is missing, differs from its card, or takes frames of another size.
        """
        main, other = load_day_zero(cards.PRETRAINED), compact_network.load(cards.PRETRAINED)
        if (main.width, main.height) != (other.width, other.height):
            raise DataError(
                f"day-zero takes frames of {main.width}x{main.height}, its compact network of "
                f"{other.width}x{other.height}",
                f"make the compact network again: `{compact_network.COMMAND}`.",
            )
        return cls(main, other)

    @property
    def name(self) -> str:
        """Both versions."""
        return f"{self.main.version}.{self.other.version}"

    def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the main model's probabilities and the other one's log-odds, float [N], of uint8 [N, h, w, 3]."""
        return self.main.predict(pixels), to_log_odds(self.other.predict(pixels), self.other.threshold)


@dataclass(frozen=True)
class PredictedVideo:
    """Frame predictions and true events of a labelled video.

    Attributes:
        times_s: float [N].
        probabilities: by the main model, float [N].
        other_odds: log-odds by the other model, float [N].
        planes: input of the temporal network, uint8 [N, PLANES, h, w].
        truth: the true events.
    """

    times_s: np.ndarray
    probabilities: np.ndarray
    other_odds: np.ndarray
    planes: np.ndarray
    truth: Truth


def draw_videos(plan: Events, ranges: Ranges, work: Path, workers: int) -> Path:
    """Draw the videos that do not exist yet, and return their folder."""
    brisk = ranges.model_copy(update={"flips": ranges.flips.model_copy(update={"rest": plan.brisk_rest})})
    sizes = [plan.seed, plan.videos, plan.flips, plan.brisk, plan.brisk_rest, plan.width, plan.height]
    folder = work / f"videos-{_drawing_key(sizes, ranges)}"
    numbers = [number for number in range(plan.videos) if not (folder / f"{number:03d}.mp4").exists()]
    with ProcessPoolExecutor(workers) as pool, show_progress(len(numbers), "events: draw videos") as advance:
        rows = [(folder, number, plan, brisk if number >= plan.videos - plan.brisk else ranges) for number in numbers]
        for _ in pool.map(_draw_video, rows):
            advance(1)
    return folder


def _draw_video(row: tuple[Path, int, Events, Ranges]) -> None:
    folder, number, plan, ranges = row
    path = folder / f"{number:03d}.mp4"
    video = VideoPlan(plan.seed + number, number, plan.flips, plan.width, plan.height, ranges=ranges)
    write_video(path, video, events_path=path.with_suffix(EVENTS_SUFFIX))


def draw_clips(plan: Events, ranges: Ranges, work: Path, workers: int) -> Path:
    """Draw the archive of clips unless it exists, and return its folder."""
    sizes = plan.clips.model_dump() | {"width": plan.width, "height": plan.height}
    folder = work / f"clips-{_drawing_key([plan.seed, sizes], ranges)}"
    if not folder.exists():
        clips = plan_clips(seed=plan.seed, **sizes)
        with show_progress(sum(clip.frames for clip in clips), "events: draw clips") as advance:
            write_archive(clips, folder, ranges=ranges, workers=workers, advance=advance)
    return folder


def _drawing_key(sizes: list[Any], ranges: Ranges) -> str:
    facts = [sizes, ranges.model_dump(), renderer_digest()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def predict_video(file: Path, models: FrameModels) -> PredictedVideo:
    """Predict the frames of a labelled video; the predictions are cached beside it.

    Raises:
        DataError: the video or its events cannot be read.
    """
    truth = read_truth(read_json(file.with_suffix(EVENTS_SUFFIX)))
    cache, digest = _cache_folder(file, models), sha256_of(file)
    if cache.exists():
        arrays = _load_arrays(cache)
        if str(arrays.pop("video")) == digest:
            return PredictedVideo(**arrays, truth=truth)
    times_s, predictions, planes = [], [], []
    for batch in batched(iter_video(file, models.main.width, models.main.height), BATCH):
        pixels = np.stack([rgb for _, _, rgb in batch])
        times_s += [time_s for _, time_s, _ in batch]
        predictions.append(models.predict(pixels))
        planes.append(to_planes(pixels))
    probabilities, other_odds = (np.concatenate(parts) for parts in zip(*predictions, strict=True))
    arrays = {"times_s": np.array(times_s), "probabilities": probabilities, "other_odds": other_odds}
    arrays["planes"] = np.concatenate(planes)
    with atomic_folder(cache) as folder:
        _save_arrays(folder, arrays | {"video": np.array(digest)})
    return PredictedVideo(**arrays, truth=truth)


def predict_clips(archive: Path, models: FrameModels) -> tuple[list[TrainingSequence], list[TrainingSequence]]:
    """Predict the clips of an archive; the predictions are cached beside it.

    Returns:
        The clips to train on, and those of the books that are held out.

    Raises:
        DataError: a frame cannot be read.
    """
    cache = _cache_folder(archive, models)
    if not cache.exists():
        with atomic_folder(cache) as folder:
            _predict_archive(archive, models, folder)
    arrays = _load_arrays(cache)
    columns = [arrays[name] for name in ("planes", "log_odds", "states", "other_odds")]
    training: list[TrainingSequence] = []
    held_out: list[TrainingSequence] = []
    for begin, end in arrays["spans"]:
        part = held_out if (arrays["books"][begin] + 1) % HOLD_OUT_EVERY == 0 else training
        part.append(TrainingSequence(*(column[begin:end] for column in columns)))
    return training, held_out


def _predict_archive(archive: Path, models: FrameModels, out: Path) -> None:
    files, book_of = list_frames(archive), read_books(archive)
    books = {name: number for number, name in enumerate(sorted(set(book_of.values())))}
    predictions, done = [], 0
    # on disk from the start: the planes of 15,360 clips take 5 GB
    planes = np.lib.format.open_memmap(out / "planes.npy", "w+", np.uint8, (len(files), PLANES, *PLANE_SHAPE))
    width, height = models.main.width, models.main.height
    for batch in batched(track(files, description="events: predict clips"), BATCH):
        pixels = np.stack([decode_image(archive / frame.path, width, height) for frame in batch])
        predictions.append(models.predict(pixels))
        planes[done : done + len(batch)] = to_planes(pixels)
        done += len(batch)
    planes.flush()
    probabilities, other_odds = (np.concatenate(parts) for parts in zip(*predictions, strict=True))
    first = [i for i, frame in enumerate(files) if not i or files[i - 1].clip != frame.clip]
    arrays = {
        "log_odds": to_log_odds(probabilities, models.main.threshold),
        "other_odds": other_odds,
        "states": np.array([frame.label == LABELS[1] for frame in files], int),
        "books": np.array([books[book_of[frame.label, frame.video]] for frame in files]),
        "spans": np.column_stack([first, [*first[1:], len(files)]]),
    }
    _save_arrays(out, arrays)


def _cache_folder(source: Path, models: FrameModels) -> Path:
    """Return the folder of the predictions, named after source, models and size of the planes."""
    rows, columns = PLANE_SHAPE
    return source.with_suffix(f".{models.name}.{PLANES}x{columns}x{rows}")


def _save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)


def _load_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays that `_save_arrays` wrote, the planes as a memory map."""
    return {
        file.stem: np.load(file, mmap_mode="r" if file.stem == "planes" else None, allow_pickle=False)
        for file in folder.glob("*.npy")
    }
