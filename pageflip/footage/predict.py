"""A model's word on whatever a user names: pictures, folders of pictures, videos, and the events of the latter two."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from pageflip.base.errors import ConfigError, DataError
from pageflip.events.flip import Flip
from pageflip.events.page_stills import folder_stills, video_stills
from pageflip.events.reader import holds_flip
from pageflip.events.stills import Still
from pageflip.footage.frame_scores import score_files
from pageflip.footage.media import IMAGE_SUFFIXES, SEQUENCE, VIDEO, VIDEO_SUFFIXES, LocalFile, natural_key
from pageflip.frames.names import LABELS
from pageflip.frames.pixels import decode_image
from pageflip.frames.video import iter_video
from pageflip.inference.predictor import BATCH, Predictor
from pageflip.params.scoring import Stills


@dataclass(frozen=True)
class Prediction:
    """One frame's result; `time_s` and `frame` only for videos; `error` instead of a probability for a bad file.

    `review` marks a frame that the model is not sure of, and that a person should look at.
    """

    path: str
    frame: int | None
    time_s: float | None
    probability: float | None
    label: str | None
    review: bool | None = None
    error: str | None = None


def list_inputs(paths: list[Path]) -> list[Path]:
    """The pictures and videos that the paths name; folders are searched, in order of name.

    Raises:
        ConfigError: a path does not exist, is of an unknown kind, or is a folder with nothing to predict.
    """
    found: list[Path] = []
    known = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in known and file.is_file())
            if not inside:
                raise ConfigError(f"the folder {path} holds no pictures or videos", f"known are {', '.join(known)}.")
            found += inside
        elif not path.exists():
            raise ConfigError(f"there is no {path}", "check the path.")
        elif path.suffix.lower() not in known:
            raise ConfigError(f"{path} is neither a picture nor a video", f"known are {', '.join(known)}.")
        else:
            found.append(path)
    return found


def predict_files(predictor: Predictor, files: list[Path]) -> Iterator[Prediction]:
    """Predict pictures and videos in order, in batches; a file that cannot be read gives its error and no more."""
    pending: list[tuple[Path, int | None, float | None, np.ndarray]] = []
    for file in files:
        try:
            if file.suffix.lower() in IMAGE_SUFFIXES:
                pending.append((file, None, None, decode_image(file, predictor.width, predictor.height)))
            else:
                yield from _flush(predictor, pending)
                yield from _video(predictor, file)
        except DataError as error:
            yield from _flush(predictor, pending)
            yield Prediction(str(file), None, None, None, None, error=error.message)
        if len(pending) >= BATCH:
            yield from _flush(predictor, pending)
    yield from _flush(predictor, pending)


def _video(predictor: Predictor, file: Path) -> Iterator[Prediction]:
    frames = iter_video(file, predictor.width, predictor.height)
    while batch := list(islice(frames, BATCH)):
        yield from _flush(predictor, [(file, index, time_s, pixels) for index, time_s, pixels in batch])


def _flush(predictor: Predictor, pending: list) -> Iterator[Prediction]:
    if not pending:
        return
    probabilities = predictor.predict(np.stack([entry[3] for entry in pending]))
    for (file, frame, time_s, _), probability in zip(pending, probabilities.tolist(), strict=True):
        label = LABELS[probability >= predictor.threshold]
        yield Prediction(str(file), frame, time_s, probability, label, predictor.to_review(probability))
    pending.clear()


# --- events of videos, and of folders of frames


@dataclass(frozen=True)
class Sequence:
    """What is found in a video or folder of frames, of which `broken` could not be read.

    `probabilities` and `in_sequence` (NaN where a frame cannot be read; see
    `pageflip.footage.frame_scores.FrameScores`) and
    `times_s` are those of the frames; times of a video only.
    """

    path: str
    frames: int
    broken: int
    holds_flip: bool
    flips: list[Flip]
    stills: list[Still]
    probabilities: tuple[float, ...] = field(default=(), repr=False)
    in_sequence: tuple[float, ...] = field(default=(), repr=False)
    times_s: tuple[float | None, ...] = field(default=(), repr=False)


def find_events(predictor: Predictor, paths: list[Path], folder: Path | None, plan: Stills) -> list[Sequence]:
    """The flips of videos and of folders of frames; with `folder`, their page stills in a folder NAME there.

    Raises:
        ConfigError: a path is neither, or two have the same name.
        DataError: one cannot be read.
    """
    names = [path.resolve().name for path in paths]
    twice = next((name for name in names if names.count(name) > 1), None)
    if folder is not None and twice:
        raise ConfigError(f"two of the sequences are named {twice}", "give them one after the other, or rename one.")
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", "name another with --stills.")
    found = []
    for path, name in zip(paths, names, strict=True):
        if not path.exists():
            raise ConfigError(f"there is no {path}", "check the path.")
        if not path.is_dir() and path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ConfigError(f"{path} is neither a video nor a folder of frames", "events need frames in order.")
        place = None if folder is None else folder / name
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
            if any(place.iterdir()):
                raise ConfigError(f"{place} is not empty", "name another folder with --stills, or empty it.")
        found.append(_events_of(predictor, path, place, plan))
    return found


def _events_of(predictor: Predictor, path: Path, folder: Path | None, plan: Stills) -> Sequence:
    if path.is_dir():
        files = sorted(list_inputs([path]), key=lambda file: natural_key(file.relative_to(path).as_posix()))
        files = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
        if not files:
            raise ConfigError(f"the folder {path} holds no frames", f"known are {', '.join(IMAGE_SUFFIXES)}.")
    else:
        files = list_inputs([path])
    named = [LocalFile(str(file), file) for file in files]
    scores = score_files(SEQUENCE if path.is_dir() else VIDEO, named, predictor)
    stills: list[Still] = []
    if folder is not None and path.is_dir():
        stills = folder_stills(files, scores.flips, scores.in_sequence, plan, folder)
    elif folder is not None:
        stills = video_stills(path, scores.flips, scores.in_sequence, scores.times_s, plan, folder)
    broken = sum(error is not None for error in scores.errors)
    frames = tuple(scores.probabilities), tuple(scores.in_sequence.tolist()), tuple(scores.times_s)
    return Sequence(str(path), len(scores.errors), broken, holds_flip(scores.flips), scores.flips, stills, *frames)


def sequence_facts(sequence: Sequence) -> dict:
    """What is found, ready for JSON; a folder of frames has no clock, so its flips have no times."""
    facts = asdict(sequence)
    for name in ("probabilities", "in_sequence", "times_s"):  # of every frame: scoring's frames.parquet holds them
        del facts[name]
    if not Path(sequence.path).is_file():
        facts["flips"] = [flip | {"start_s": None, "end_s": None} for flip in facts["flips"]]
    facts["stills"] = [asdict(still) | {"reason": still.reason} for still in sequence.stills]
    return facts


def event_rows(sequence: Sequence) -> list[dict]:
    """Flips and stills as rows, by frame: path, what, first and last frame, start_s, end_s, about."""
    timed = Path(sequence.path).is_file()  # a folder has no clock
    rows = [
        _row(sequence, "flip", flip.start_index, flip.end_index, f"surest frame {flip.peak_probability:.3f}")
        | {"start_s": flip.start_s if timed else None, "end_s": flip.end_s if timed else None}
        for flip in sequence.flips
    ]
    rows += [
        _row(sequence, "still", still.index, still.index, f"{still.file}: {still.reason}") | {"start_s": still.time_s}
        for still in sequence.stills
    ]
    return sorted(rows, key=lambda row: row["first"])


def _row(sequence: Sequence, what: str, first: int, last: int, about: str) -> dict:
    row = {"path": sequence.path, "what": what, "first": first, "last": last}
    return row | {"start_s": None, "end_s": None, "about": about}
